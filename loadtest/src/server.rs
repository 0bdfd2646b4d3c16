//! The server process's accounts, as the kernel keeps them: CPU time, resident memory, threads.
//! Not what the server says about itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use crate::error::Failure;
use crate::sys;

/// A process whose accounts are read.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pid: i32,
}

impl Server {
    /// Fails with [`Failure::Server`] where there is no such process.
    pub fn new(pid: i32) -> Result<Server, Failure> {
        let server = Server { pid };
        let failed = |source| Failure::Server { pid, source };
        server.cpu_time().map_err(failed)?;
        server.resident_bytes().map_err(failed)?;
        Ok(server)
    }

    /// CPU time of all its threads so far, user and system.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        sys::process_cpu_time(self.pid)
    }

    /// Resident memory in bytes.
    ///
    /// smaps_rollup counts page by page; the counters behind VmRSS may lag by some pages for each
    /// thread, but can be read of any process.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let exact = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid));
        if let Some(bytes) = exact.ok().and_then(|text| kibibytes(&text, "Rss:")) {
            return Ok(bytes);
        }
        self.resident_bytes_roughly()
    }

    /// Resident memory in bytes, as the kernel's counters have it: cheap enough to be asked every
    /// second, and a few pages off for each thread.
    pub fn resident_bytes_roughly(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        kibibytes(&status, "VmRSS:").ok_or(io::ErrorKind::InvalidData.into())
    }

    /// CPU time of each of its threads so far, by thread id.
    pub fn thread_times(&self) -> io::Result<BTreeMap<u32, Duration>> {
        let mut times = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // A thread that ends meanwhile has no accounts any more.
            let Ok(accounts) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let spent = accounts.split_whitespace().next().and_then(|time| time.parse().ok());
            if let (Some(id), Some(spent)) = (id, spent) {
                times.insert(id, Duration::from_nanos(spent));
            }
        }
        Ok(times)
    }

    /// How many threads it has, and on how many cores they may run.
    pub fn threads_and_cores(&self) -> io::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let threads = field(&status, "Threads:").and_then(|value| value.parse().ok());
        let cores = field(&status, "Cpus_allowed_list:").map(count_list);
        threads.zip(cores).ok_or(io::ErrorKind::InvalidData.into())
    }
}

/// What this machine's kernel holds for its sockets, in bytes: the buffers of all TCP sockets
/// (`mem` of /proc/net/sockstat, in pages) and its slab, of which sockets, their files and their
/// places in polls are what grows with connections. Both ends of a connection count where both are
/// on this machine.
pub fn kernel_socket_bytes() -> io::Result<u64> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let memory = fs::read_to_string("/proc/meminfo")?;
    let slab = kibibytes(&memory, "Slab:").ok_or_else(invalid)?;
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let mut words = field(&sockets, "TCP:").ok_or_else(invalid)?.split_whitespace();
    let pages = words.find(|word| *word == "mem").and_then(|_| words.next());
    let pages: u64 = pages.and_then(|pages| pages.parse().ok()).ok_or_else(invalid)?;
    Ok(slab + pages * PAGE)
}

/// Bytes of a page, as /proc/net/sockstat counts on this project's machines (x86-64, AArch64).
const PAGE: u64 = 4096;

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let number = field(text, name)?.split_whitespace().next()?;
    Some(number.parse::<u64>().ok()? * 1024)
}

/// How many numbers a list such as `0-3,7` names.
fn count_list(list: &str) -> u64 {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) => last.saturating_sub(first) + 1,
            _ => 0,
        }
    };
    list.split(',').map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read() {
        let own = Server::new(std::process::id() as i32).expect("own accounts");
        assert!(own.resident_bytes().expect("memory") > 100_000);
        let (threads, cores) = own.threads_and_cores().expect("status");
        assert!(threads >= 1 && cores >= 1);
        assert!(!own.thread_times().expect("threads").is_empty());
    }

    #[test]
    fn the_kernel_tells_what_sockets_take() {
        assert!(kernel_socket_bytes().expect("proc") > 1_000_000);
    }

    #[test]
    fn a_process_that_is_not_there_is_told() {
        let failure = Server::new(i32::MAX).expect_err("no such process");
        assert!(failure.to_string().contains("2147483647"), "{failure}");
    }

    #[test]
    fn lists_of_cores_are_counted() {
        assert_eq!((count_list("0-3,7"), count_list("0"), count_list("")), (5, 1, 0));
    }
}
