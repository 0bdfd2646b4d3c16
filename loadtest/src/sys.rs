//! The kernel calls that no crate here wraps: descriptor tables, CPU clocks, pinning, a timer.
//! Not sockets in general: those go through `socket2` and `mio`. All `unsafe` of this crate is here
//! and in the folder below.

mod silence;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use silence::{drop_all_but_endings, drop_nothing, segments_in};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Gives the calling thread a descriptor table of its own (a copy of the present one), so that
/// RLIMIT_NOFILE counts for this thread alone: unshare(2), CLONE_FILES.
pub fn unshare_descriptors() -> io::Result<()> {
    // SAFETY: takes a flag, no pointers; descriptors opened before stay valid in the copy.
    check(unsafe { libc::unshare(libc::CLONE_FILES) }).map(drop)
}

/// Raises the soft RLIMIT_NOFILE to the hard one and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live rlimit that the kernel fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a live rlimit that the kernel reads.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// Restricts the calling thread, and those it starts, to `cores`: sched_setaffinity(2).
pub fn pin_to(cores: &[usize]) -> io::Result<()> {
    // SAFETY: cpu_set_t is a plain bit array for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in cores {
        if core >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: the index is within CPU_SETSIZE, checked above.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: `set` is live and its true size is passed.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec that the kernel fills.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
}

/// The CPU time that all threads of process `pid` have used, user and system.
///
/// This is what utime + stime of /proc/PID/stat add up to, in nanoseconds instead of clock ticks.
pub fn process_cpu_time(pid: i32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a live clockid_t that the call fills.
    match unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } {
        0 => read_clock(clock),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The CPU time that this process has used, all threads.
pub fn own_cpu_time() -> io::Result<Duration> {
    read_clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Lets a socket be bound to an address without taking a port yet, so that connect(2) may pick one
/// that is only taken towards other destinations: IP_BIND_ADDRESS_NO_PORT, ip(7).
pub fn bind_address_no_port(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is a live int and its true size is passed.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    })
    .map(drop)
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on the first SIGINT or SIGTERM only sets what [`interrupted`] tells; a second one ends
/// the process as usual.
pub fn catch_interrupts() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: sigaction is plain data; zeroed means an empty mask and no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note_interrupt as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND;
        // SAFETY: `action` is live, and its handler only stores to an atomic, which a signal may
        // interrupt anywhere.
        check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    }
    Ok(())
}

/// Whether the operator has asked for an early end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A timer that makes a poll wake up to the microsecond, where epoll's own timeout counts
/// milliseconds: timerfd_create(2).
#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
}

impl Alarm {
    /// A timer that is not set.
    pub fn new() -> io::Result<Alarm> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes plain numbers.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: the descriptor was just opened and nothing else owns it.
        Ok(Alarm { timer: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Makes the descriptor readable once, in `after` from now.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        let after = after.max(Duration::from_nanos(1));
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec {
            tv_sec: after.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(after.subsec_nanos() as i32),
        };
        let spec = libc::itimerspec { it_interval: zero, it_value: value };
        let timer = self.timer.as_raw_fd();
        // SAFETY: `spec` is live and only read; the old value is not asked for.
        check(unsafe { libc::timerfd_settime(timer, 0, &raw const spec, std::ptr::null_mut()) })
            .map(drop)
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_its_own_cpu_time_through_both_clocks() {
        let spin = (0..20_000_000u64).fold(0, |a, b| a ^ b.wrapping_mul(a | 1));
        assert_ne!(spin, 1);
        let by_pid = process_cpu_time(std::process::id() as i32).expect("own clock");
        let own = own_cpu_time().expect("own clock");
        assert!(own >= by_pid && own - by_pid < Duration::from_secs(1));
    }

    #[test]
    fn a_private_table_does_not_disturb_open_descriptors() {
        let file = std::fs::File::open("/proc/self/status").expect("proc");
        std::thread::spawn(unshare_descriptors).join().expect("thread").expect("unshare");
        assert!(file.metadata().is_ok());
    }

    #[test]
    fn an_alarm_fires() {
        let alarm = Alarm::new().expect("timerfd");
        alarm.set(Duration::from_micros(500)).expect("set");
        let mut poll = mio::Poll::new().expect("poll");
        let mut events = mio::Events::with_capacity(4);
        let fd = alarm.as_raw_fd();
        poll.registry()
            .register(&mut mio::unix::SourceFd(&fd), mio::Token(0), mio::Interest::READABLE)
            .expect("register");
        poll.poll(&mut events, Some(Duration::from_secs(5))).expect("poll");
        assert!(!events.is_empty());
    }
}
