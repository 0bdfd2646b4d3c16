//! What the kernel and the allocator say about this process, for `/metrics`.
//! Not for what reactors count: see `metrics`.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::io::memory;

/// What the kernel says about this process, under the names that Prometheus clients agree on.
#[derive(Debug)]
pub struct Process {
    started: SystemTime,
    driver: &'static str,
}

impl Process {
    /// The one that this is, which starts now, with such drivers.
    pub fn starting(driver: &'static str) -> Self {
        Process { started: SystemTime::now(), driver }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory of the process.";
            let (name, unit) = ("process_resident_memory", Unit::Bytes);
            encoder
                .encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?
                .encode_gauge(&bytes)?;
        }
        heap(&mut encoder)?;
        if let Some(spent) = cpu_seconds() {
            let help = "Processor time that the process spent, user and system.";
            encoder
                .encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?
                .encode_counter::<NoLabelSet, f64, f64>(&spent, None)?;
        }
        if let Ok(since_epoch) = self.started.duration_since(UNIX_EPOCH) {
            let help = "When the process started, in seconds since the Unix epoch.";
            let (name, unit) = ("process_start_time", Unit::Seconds);
            encoder
                .encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?
                .encode_gauge(&since_epoch.as_secs_f64())?;
        }
        let (pid, version) = (std::process::id().to_string(), env!("CARGO_PKG_VERSION"));
        let help = "The process that answers: its id, the version it runs, and its driver.";
        encoder.encode_descriptor("ws_process", help, None, MetricType::Info)?.encode_info(&[
            ("driver", self.driver),
            ("pid", &pid),
            ("version", version),
        ])
    }
}

/// What the allocator holds: of resident memory the part that tells a leak (in use) from
/// fragmentation (free).
fn heap(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(heap) = memory::heap() else { return Ok(()) };
    for (name, help, bytes) in [
        ("process_heap_used", "Bytes allocated from heaps, threads' caches included.", heap.used),
        ("process_heap_free", "Bytes of heaps that are free and not given back yet.", heap.free),
        ("process_heap_mapped", "Bytes of large blocks, each with pages of its own.", heap.mapped),
    ] {
        encoder
            .encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?
            .encode_gauge(&bytes)?;
    }
    Ok(())
}

/// Resident memory in bytes; `None` where there is no `/proc`.
///
/// From `status`, which gives KiB (proc_pid_status(5)), where `statm` gives pages of a size that
/// would have to be asked for.
fn resident_bytes() -> Option<u64> {
    parse_resident(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Processor time in seconds; `None` where there is no `/proc`.
fn cpu_seconds() -> Option<f64> {
    parse_cpu(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse_cpu(stat: &str) -> Option<f64> {
    /// The clock ticks that `/proc` counts in (proc_pid_stat(5), `sysconf(_SC_CLK_TCK)`): 100 a
    /// second on every architecture this server is built for, whatever the kernel's own tick.
    const TICKS_PER_SECOND: f64 = 100.0;
    // The second field is the name in parentheses, which may itself hold spaces and parentheses.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    // utime and stime are fields 14 and 15 of the line; what follows the name begins with field 3.
    let user: u64 = fields.nth(14 - 3)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_it_of_this_process() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(cpu_seconds().is_some());
    }

    #[test]
    fn what_the_kernel_says_is_read_whatever_the_process_is_called() {
        let stat = "17 (a) (b c) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1000";
        assert_eq!(parse_cpu(stat), Some(3.0));
        assert_eq!(parse_cpu("17 (cut"), None);
        assert_eq!(parse_cpu("17 (cut) S 1"), None);
        let status = "Name:\tVmRSS: 7 kB\nVmHWM:\t    9 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n";
        assert_eq!(parse_resident(status), Some(1234 * 1024));
        assert_eq!(parse_resident("Name:\tkernel thread\n"), None);
    }
}
