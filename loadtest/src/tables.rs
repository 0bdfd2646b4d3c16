//! What a process has open: descriptors, and sockets that stand in no table but a ring's (io_uring).
//! Not what each is for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a ring is asked that is being used at that moment, and tells nothing then.
const ATTEMPTS: u32 = 200;

/// The tables of one process.
#[derive(Debug)]
pub struct Tables {
    pid: i32,
    /// Where the kernel tells of its rings: those that its threads had when this was made.
    rings: Vec<PathBuf>,
}

impl Tables {
    /// Those of a process that has started. Rings that can't be seen are none.
    pub fn of(pid: i32) -> Tables {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut rings = BTreeMap::new();
        for task in tasks {
            let fds = fs::read_dir(task.path().join("fd")).into_iter().flatten().flatten();
            for fd in fds {
                let is_ring = fs::read_link(fd.path())
                    .is_ok_and(|to| to.as_os_str() == "anon_inode:[io_uring]");
                if is_ring {
                    // A ring that several tables have was opened before they were, under one number.
                    let about = task.path().join("fdinfo").join(fd.file_name());
                    rings.insert(fd.file_name(), about);
                }
            }
        }
        Tables { pid, rings: rings.into_values().collect() }
    }

    /// How much is open, each descriptor counted once for every thread that has it in its table:
    /// threads may share one or have their own.
    pub fn open(&self) -> io::Result<u64> {
        let mut count = 0;
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            match open_in(&entry?.path().join("fd")) {
                Ok(open) => count += open,
                // A thread that ends meanwhile has no table any more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        for ring in &self.rings {
            count += sockets_in(ring)?;
        }
        Ok(count)
    }
}

/// How many descriptors one thread's table has open.
fn open_in(table: &Path) -> io::Result<u64> {
    // The directory's size is their number since Linux 6.2. It is 0 before that, and for a thread
    // that is about to end.
    match fs::metadata(table)?.len() {
        0 => Ok(fs::read_dir(table)?.count() as u64),
        open => Ok(open),
    }
}

/// How many sockets stand in a ring's own table.
fn sockets_in(ring: &Path) -> io::Result<u64> {
    for _ in 0..ATTEMPTS {
        let told = fs::read_to_string(ring)?;
        if let Some(count) = count_sockets(&told) {
            return Ok(count);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// The same, of what `/proc/PID/fdinfo` tells of the ring; `None` where that leaves its table out.
fn count_sockets(told: &str) -> Option<u64> {
    told.contains("\nUserFiles:")
        .then(|| told.lines().filter(|line| line.contains(": socket:[")).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Tables {
        Tables::of(std::process::id() as i32)
    }

    #[test]
    fn a_process_has_at_least_its_standard_descriptors_open() {
        assert!(own().open().expect("tables") >= 3);
    }

    #[test]
    fn sockets_of_a_ring_are_counted_where_the_kernel_tells_of_them() {
        let busy = "pos:\t0\nflags:\t02000002\n";
        assert_eq!(count_sockets(busy), None);
        let table =
            "pos:\t0\nUserFiles:\t20000\n    0: socket:[17]\n   12: socket:[19]\nUserBufs:\t0\n";
        assert_eq!(count_sockets(table), Some(2));
        assert_eq!(count_sockets("pos:\t0\nUserFiles:\t0\nUserBufs:\t0\n"), Some(0));
    }

    #[test]
    fn threads_that_end_meanwhile_do_not_keep_tables_from_being_read() {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
        let is_over = AtomicBool::new(false);
        let own = own();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Relaxed) {
                        std::thread::spawn(|| {}).join().expect("it does nothing");
                    }
                });
            }
            let failed = (0..2_000).find_map(|_| own.open().err());
            is_over.store(true, Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
    }
}
