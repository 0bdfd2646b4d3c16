//! Making a socket's host vanish, as a phone that leaves its network does, and seeing its end.
//! Not socket options in general: those go through `socket2`.

use std::io;
use std::os::fd::AsRawFd;

use super::check;

/// Offset of the flags in a TCP header, and the two that end a connection (RFC 9293 section 3.1).
const FLAGS_AT: u32 = 13;
const FIN_OR_RST: u32 = 0x01 | 0x04;

/// Offset of `tcpi_segs_in` in the kernel's `struct tcp_info` (linux/tcp.h), which `libc` cuts
/// short; the field is a u32.
const SEGMENTS_IN_AT: usize = 140;

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Drops every segment that comes for this TCP socket, unless it carries FIN or RST: the kernel
/// never sees, and so never acknowledges, what is dropped. SO_ATTACH_FILTER, socket(7); on a TCP
/// socket the filter's packet begins with the TCP header.
pub fn drop_all_but_endings(socket: &impl AsRawFd) -> io::Result<()> {
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, FLAGS_AT),
        libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JSET, FIN_OR_RST) },
        statement(libc::BPF_RET, u32::MAX),
        statement(libc::BPF_RET, 0),
    ];
    let filter =
        libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_mut_ptr() };
    // SAFETY: `filter` points to a live program of the length it states, both outlive the call,
    // and the kernel copies what it keeps.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of_val(&filter) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Undoes [`drop_all_but_endings`]: SO_DETACH_FILTER, socket(7).
pub fn drop_nothing(socket: &impl AsRawFd) -> io::Result<()> {
    let ignored: libc::c_int = 0;
    // SAFETY: the value is a live int and its true size is passed; the kernel does not use it.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DETACH_FILTER,
            (&raw const ignored).cast(),
            size_of_val(&ignored) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// How many segments have come for this TCP socket and passed its filter: TCP_INFO, tcp(7).
///
/// A FIN behind bytes that were dropped is out of sequence, so that no readiness tells of it; here
/// it counts.
pub fn segments_in(socket: &impl AsRawFd) -> io::Result<u32> {
    let mut info = [0u8; SEGMENTS_IN_AT + size_of::<u32>()];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is live and of that size.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    match info[..length as usize].get(SEGMENTS_IN_AT..) {
        Some(&[a, b, c, d]) => Ok(u32::from_ne_bytes([a, b, c, d])),
        // A kernel from before 4.2.
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use socket2::SockRef;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let vanished = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
        (vanished, listener.accept().expect("accept").0)
    }

    #[test]
    fn a_reset_comes_through_behind_bytes_that_were_dropped() {
        let (mut vanished, mut other) = pair();
        drop_all_but_endings(&vanished).expect("attached");
        other.write_all(b"lost").expect("sent");
        let before = segments_in(&vanished).expect("counted");
        SockRef::from(&other).set_linger(Some(Duration::ZERO)).expect("linger");
        drop(other);
        vanished.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        let error = vanished.read(&mut [0; 16]).expect_err("nothing was received");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(segments_in(&vanished).is_err() || segments_in(&vanished).expect("read") > before);
    }

    #[test]
    fn what_was_dropped_comes_again_once_nothing_is() {
        let (mut vanished, mut other) = pair();
        drop_all_but_endings(&vanished).expect("attached");
        other.write_all(b"again").expect("sent");
        drop_nothing(&vanished).expect("detached");
        vanished.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        let mut received = [0; 5];
        vanished.read_exact(&mut received).expect("sent again");
        assert_eq!(&received, b"again");
    }

    #[test]
    fn a_fin_behind_bytes_that_were_dropped_is_counted() {
        let (vanished, mut other) = pair();
        drop_all_but_endings(&vanished).expect("attached");
        let before = segments_in(&vanished).expect("counted");
        other.write_all(b"lost").expect("sent");
        assert_eq!(segments_in(&vanished).expect("counted"), before, "bytes are dropped");
        drop(other);
        let begun = Instant::now();
        while segments_in(&vanished).expect("counted") == before {
            assert!(begun.elapsed() < Duration::from_secs(20), "the FIN never came");
            std::thread::yield_now();
        }
    }
}
