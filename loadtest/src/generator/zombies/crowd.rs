//! The zombies of a run: the flags as typed, and what they mean.
//! Not the flags that all scenarios share; those are in `args`.

use std::time::Duration;

use clap::builder::{TypedValueParser, ValueParser};
use clap::{Arg, Args};

use super::kind::{Claims, Kind};
use super::mix::Mix;
use crate::error::Failure;
use crate::units;

/// Zombies begun a second, all threads together, where `--connect-rate` does not say.
const BEGUN_A_SECOND: f64 = 1_000.0;

/// For how long a zombie that is overdue is watched on, to tell late from never.
pub const WATCHED_ON: Duration = Duration::from_secs(3);

/// Flags of the `zombies` scenario.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// How many peers go wrong [default: as many as --connections, which behave]
    #[arg(long, value_name = "N")]
    pub zombies: Option<usize>,
    /// Shares of the kinds, such as no-pong=2,vanish=1: silent-handshake, drip-handshake, no-pong,
    /// vanish, stop-reading, half-close, garbage, huge-length, endless-fragments, reset [default:
    /// all equally]
    #[arg(long, value_name = "KIND=SHARE,..", value_parser = Mix::parse)]
    pub mix: Option<Mix>,
    /// Time from one byte of a dripped head, or one fragment without end, to the next
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = units::duration)]
    pub drip: Duration,
    /// The server's claim: from accept to the end of the upgrade
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = units::duration)]
    pub handshake_timeout: Duration,
    /// The server's claim: silence before a ping
    #[arg(long, default_value = "25s", value_name = "TIME", value_parser = units::duration)]
    pub ping_interval: Duration,
    /// The server's claim: from a ping to the end of a peer that does not answer
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = units::duration)]
    pub pong_timeout: Duration,
    /// The server's claim: for how long a message may stay unfinished; each 4 KiB add a second
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = units::duration)]
    pub message_timeout: Duration,
    /// The server's claim: for how long it keeps a byte that a peer does not read
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = units::duration)]
    pub write_timeout: Duration,
    /// What the server may take beyond its deadline before it counts as late
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = units::duration)]
    pub grace: Duration,
}

/// Takes `--duration` from a scenario that has no length of its own: it is not listed, and refused
/// where it is typed.
pub fn without_duration(flag: Arg) -> Arg {
    const WHATEVER: &str = "as long as it takes";
    let refuse = |typed: String| match typed.as_str() {
        WHATEVER => Ok(Duration::MAX),
        _ => Err("zombies end when each is noticed or watched long enough; leave it out"),
    };
    let parser = ValueParser::new(clap::builder::StringValueParser::new().try_map(refuse));
    flag.hide(true).default_value(WHATEVER).value_parser(parser)
}

/// The zombies of a run, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// How many, those that reset included.
    pub count: usize,
    /// Of which kinds.
    pub mix: Mix,
    /// Time from one dripped byte or fragment to the next.
    pub drip: Duration,
    /// The deadlines that the server claims.
    pub claims: Claims,
}

impl Crowd {
    /// Resolves the flags of a run with so many healthy connections.
    ///
    /// Fails with [`Failure::Usage`] where nothing would happen, or too much.
    pub fn resolve(flags: Flags, connections: usize) -> Result<Crowd, Failure> {
        let count = flags.zombies.unwrap_or(connections);
        if count == 0 {
            return Err(Failure::Usage("--zombies must be at least 1".to_owned()));
        }
        if count > 1 << 24 {
            return Err(Failure::Usage("--zombies is at most 16777216".to_owned()));
        }
        // Dripped faster than 4 KiB a second, a message without end would never be overdue.
        if flags.drip < Duration::from_millis(10) {
            return Err(Failure::Usage("--drip must be at least 10ms".to_owned()));
        }
        let claims = Claims {
            handshake_timeout: flags.handshake_timeout,
            ping_interval: flags.ping_interval,
            pong_timeout: flags.pong_timeout,
            message_timeout: flags.message_timeout,
            write_timeout: flags.write_timeout,
            grace: flags.grace,
        };
        Ok(Crowd { count, mix: flags.mix.unwrap_or_default(), drip: flags.drip, claims })
    }

    /// How many reset their connections.
    pub fn resets(&self) -> usize {
        self.mix.quotas(self.count)[Kind::Reset as usize]
    }

    /// When number `nth` of the line is begun, counted from the start of the scene.
    pub fn begins(&self, nth: usize, connect_rate: Option<f64>) -> Duration {
        // A small crowd is spread over the first second too.
        let usual = BEGUN_A_SECOND.min(self.count as f64);
        Duration::from_secs_f64(nth as f64 / connect_rate.unwrap_or(usual))
    }

    /// When a server is no longer waited for, counted from when the zombie should be noticed.
    pub fn patience(&self) -> Duration {
        self.claims.grace + WATCHED_ON
    }

    /// How long all of it may take at most: only a server that takes bytes without end needs it.
    pub fn longest(&self, connect_rate: Option<f64>, connect_timeout: Duration) -> Duration {
        let begun = self.begins(self.count, connect_rate);
        let margin = Duration::from_secs(30);
        begun + connect_timeout + self.claims.longest() + self.patience() + margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn crowd(line: &str) -> Result<Crowd, Failure> {
        let line = format!("x {line}");
        Crowd::resolve(Line::parse_from(line.split_whitespace()).flags, 100)
    }

    #[test]
    fn as_many_as_the_healthy_of_all_kinds_unless_told_otherwise() {
        let crowd = crowd("").expect("good");
        assert_eq!((crowd.count, crowd.resets()), (100, 10));
        let few = crowd.mix.line(crowd.count);
        assert_eq!(few.len(), 90);
    }

    #[test]
    fn beginnings_are_spread_over_seconds() {
        let crowd = crowd("--zombies 5000").expect("good");
        assert_eq!(crowd.begins(0, None), Duration::ZERO);
        assert_eq!(crowd.begins(2_000, None), Duration::from_secs(2));
        assert_eq!(crowd.begins(2_000, Some(500.0)), Duration::from_secs(4));
    }

    #[test]
    fn nothing_and_no_time_are_refused() {
        for wrong in ["--zombies 0", "--drip 0", "--zombies 99999999"] {
            assert!(matches!(crowd(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
