//! Descriptor limits and tables: raising the one, and giving each reactor its own of the other.
//! Not for sockets; this only says how many there may be.

use std::io;

/// Raises the soft limit of open descriptors to the hard one.
///
/// The limit that now holds, for each table.
///
/// # Errors
/// The kernel refuses to say or to raise it; see getrlimit(2).
pub fn raise_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: `raised` is a valid limit that only this call reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit.rlim_cur = limit.rlim_max;
        }
    }
    Ok(limit.rlim_cur)
}

/// Gives the calling thread a descriptor table of its own (unshare(2), `CLONE_FILES`).
///
/// From here on a descriptor that this thread opens means nothing in other threads, and those that
/// were open are copies. What several threads use must have been opened before.
///
/// # Errors
/// Some containers deny it; then all threads go on sharing one table.
pub fn unshare_table() -> io::Result<()> {
    // SAFETY: no pointer is involved; descriptors that other threads hold stay valid in theirs.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether a thread may have its own table, found by trying in one that ends at once.
pub fn can_unshare() -> bool {
    std::thread::spawn(|| unshare_table().is_ok()).join().unwrap_or(false)
}

/// Keeps signals away from the calling thread, so that others handle them.
///
/// A handler writes to a descriptor that was opened for all; in a thread with its own table that
/// number may by now be a client's socket. To be called before the table is taken.
///
/// # Errors
/// See pthread_sigmask(3).
pub fn leave_signals_to_others() -> io::Result<()> {
    // SAFETY: a sigset_t is plain data, for which zeros are valid; it is filled in next.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for both calls, and no old mask is asked for.
    let failed = unsafe {
        libc::sigfillset(&raw mut set);
        // What a thread brings upon itself must still reach it.
        for own in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
            libc::sigdelset(&raw mut set, own);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
    };
    if failed != 0 { Err(io::Error::from_raw_os_error(failed)) } else { Ok(()) }
}

/// Pins the calling thread to the `n`th of the cores it may run on, counting round.
///
/// # Errors
/// See sched_setaffinity(2).
pub fn pin_to_core(n: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t is a plain array of bits, for which zeros are valid.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: `allowed` is writable for `size` bytes.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the index stays below CPU_SETSIZE.
    let is_set = |core: usize| unsafe { libc::CPU_ISSET(core, &allowed) };
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(|&core| is_set(core)).collect();
    let Some(&core) = cores.get(n % cores.len().max(1)) else { return Ok(()) };
    // SAFETY: as above.
    let mut wanted: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` came from the set, so it is in range.
    unsafe { libc::CPU_SET(core, &mut wanted) };
    // SAFETY: `wanted` is readable for `size` bytes.
    if unsafe { libc::sched_setaffinity(0, size, &raw const wanted) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_table_keeps_its_descriptors_to_itself() {
        if !can_unshare() {
            return;
        }
        let opened = std::thread::spawn(|| {
            unshare_table().unwrap();
            let file = std::fs::File::open("/dev/null").unwrap();
            let number = std::os::fd::AsRawFd::as_raw_fd(&file);
            (std::fs::read_link(format!("/proc/thread-self/fd/{number}")).is_ok(), number)
        });
        let (there, number) = opened.join().unwrap();
        assert!(there);
        let here = std::fs::read_link(format!("/proc/thread-self/fd/{number}"));
        assert!(here.is_err() || here.unwrap().to_str() != Some("/dev/null"));
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        assert_eq!(raise_limit().unwrap(), raise_limit().unwrap());
    }
}
