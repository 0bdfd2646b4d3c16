//! The report as a table to read.
//! Not the numbers themselves; those are the parent's.

use std::fmt;

use super::{Latency, Pings, Report, SceneReport, ServerAccounts};

/// A scene with fewer pinged seconds than this has no heartbeat worth a line.
const SECONDS_OF_PINGS: usize = 3;

/// Writes `value` with the digits of thousands in groups, as tables do.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        f.pad_integral(true, "", &out)
    }
}

/// A latency in the unit that suits it.
struct Micros(f64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us < 1_000.0 => write!(f, "{us:.0} us"),
            us if us < 1_000_000.0 => write!(f, "{:.2} ms", us / 1e3),
            us => write!(f, "{:.2} s", us / 1e6),
        }
    }
}

struct Mebibytes(u64);

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.scenario, self.url)?;
        let (opened, wanted) = (self.connections, self.connections_wanted as u64);
        write!(f, "  connections  {}", Grouped(opened))?;
        if opened != wanted {
            write!(f, " of {}", Grouped(wanted))?;
        }
        writeln!(f, ", opened in {:.2} s", self.connect_seconds)?;
        writeln!(f, "  measured     {:.2} s", self.duration_seconds)?;
        if let Some(latency) = &self.latency_us {
            self.messages(f)?;
            latencies(f, latency)?;
        }
        if let Some(reaped) = &self.reaped {
            writeln!(
                f,
                "  reaped       {}, {:.2} to {:.2} s after their last byte (median {:.2} s); {} left",
                Grouped(reaped.total),
                reaped.min_seconds,
                reaped.max_seconds,
                reaped.p50_seconds,
                Grouped(reaped.left)
            )?;
        }
        for scene in &self.scenes {
            pings(f, scene.name, &scene.pings)?;
        }
        if let Some(server) = &self.server {
            accounts(f, server)?;
        }
        writeln!(f, "  generator    {:.0} % of its CPU", 100.0 * self.generator.cpu_share)?;
        if let Some(zombies) = &self.zombies {
            write!(f, "{zombies}")?;
        }
        if self.scenario == "lifecycle" {
            lifecycle(f, &self.scenes)?;
        }
        self.errors_and_warnings(f)
    }
}

impl Report {
    fn messages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, rate) = (Grouped(self.messages_total), self.messages_per_second);
        let bytes = Grouped(self.message_bytes as u64);
        writeln!(f, "  messages     {total} of {bytes} bytes, {}/s", Grouped(rate as u64))?;
        if let (Some(total), Some(rate)) = (self.deliveries_total, self.deliveries_per_second) {
            writeln!(f, "  deliveries   {}, {}/s", Grouped(total), Grouped(rate as u64))?;
        }
        Ok(())
    }

    fn errors_and_warnings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  errors       {}", Grouped(self.errors.total))?;
        for (kind, count) in &self.errors.kinds {
            write!(f, ", {kind} {}", Grouped(*count))?;
        }
        for example in &self.errors.examples {
            write!(f, "\n               {example}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

fn latencies(f: &mut fmt::Formatter<'_>, latency: &Latency) -> fmt::Result {
    write!(f, "  latency      p50 {}", Micros(latency.p50))?;
    let others = [
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("p99.99", latency.p9999),
        ("max", latency.max),
    ];
    for (name, value) in others {
        write!(f, ", {name} {}", Micros(value))?;
    }
    writeln!(f)
}

fn pings(f: &mut fmt::Formatter<'_>, scene: &str, pings: &Pings) -> fmt::Result {
    if pings.total == 0 || pings.by_second.len() < SECONDS_OF_PINGS {
        return Ok(());
    }
    writeln!(
        f,
        "  pings        {} in {} s of `{scene}`; a second: least {}, mean {:.1}, most {} \
         ({:.2} of the mean)",
        Grouped(pings.total),
        pings.by_second.len(),
        Grouped(pings.min_per_second),
        pings.mean_per_second,
        Grouped(pings.max_per_second),
        pings.worst_over_mean
    )
}

fn accounts(f: &mut fmt::Formatter<'_>, server: &ServerAccounts) -> fmt::Result {
    write!(f, "  server CPU   {:.0} % of its cores", 100.0 * server.cpu_share)?;
    if let Some(cost) = server.cpu_us_per_message {
        write!(f, ", {cost:.2} us a message")?;
    }
    if let Some(cost) = server.cpu_us_per_delivery {
        write!(f, ", {cost:.2} us a delivery")?;
    }
    if let Some(cost) = server.cpu_us_per_connect {
        write!(f, ", {cost:.1} us a connection opened")?;
    }
    writeln!(f)?;
    writeln!(
        f,
        "  server RSS   {} before, {} open, {} after measuring: {:.0} bytes a connection",
        Mebibytes(server.rss_before_bytes),
        Mebibytes(server.rss_open_bytes),
        Mebibytes(server.rss_bytes),
        server.rss_bytes_per_connection
    )
}

fn lifecycle(f: &mut fmt::Formatter<'_>, scenes: &[SceneReport]) -> fmt::Result {
    writeln!(f, "\n  scene                  seconds      open  server RSS  bytes a connection")?;
    for scene in scenes {
        let (name, seconds, open) = (scene.name, scene.seconds, Grouped(scene.open));
        write!(f, "  {name:<20} {seconds:>9.2} {open:>9}")?;
        if let (Some(rss), Some(each)) =
            (scene.server_rss_bytes, scene.server_rss_bytes_per_connection)
        {
            let rss = Mebibytes(rss).to_string();
            write!(f, "  {rss:>10}  {each:>18.0}")?;
        }
        writeln!(f)?;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_padded() {
        assert_eq!(Grouped(0).to_string(), "0");
        assert_eq!(Grouped(999).to_string(), "999");
        assert_eq!(Grouped(1_234_567).to_string(), "1,234,567");
        assert_eq!(format!("{:>7}", Grouped(1_000)), "  1,000");
    }

    #[test]
    fn latencies_take_the_unit_that_suits() {
        assert_eq!(Micros(7.4).to_string(), "7 us");
        assert_eq!(Micros(12_345.0).to_string(), "12.35 ms");
        assert_eq!(Micros(1_500_000.0).to_string(), "1.50 s");
    }
}
