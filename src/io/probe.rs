//! What the kernel knows of a connection's peer.
//! Not for statistics: it is asked only before a verdict.

use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::Socket;

use crate::proto::Acknowledged;

/// Where `tcpi_state` stands: 8 bits. And the state of a socket that has been reset or given up.
const STATE: usize = 0;
const CLOSED: u8 = 7;

/// Where `tcpi_last_ack_recv` stands in the kernel's answer (linux/tcp.h): 32 bits, milliseconds.
const LAST_ACK: usize = 56;

/// Where `tcpi_bytes_acked` stands, since Linux 4.1: 64 bits.
const BYTES_ACKED: usize = 120;

/// What the peer's kernel has acknowledged (`TCP_INFO`, tcp(7)); `None` for a socket that is not
/// TCP, and for one that has failed: its peer will acknowledge nothing more.
pub(super) fn acknowledged(socket: &Socket) -> Option<Acknowledged> {
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: `info` is writable for `length` bytes, and the kernel writes no more than that.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if failed != 0 || (length as usize) < BYTES_ACKED + 8 || info.get(STATE) == Some(&CLOSED) {
        return None;
    }
    let bytes = info.get(BYTES_ACKED..BYTES_ACKED + 8)?.try_into().ok()?;
    let millis = info.get(LAST_ACK..LAST_ACK + 4)?.try_into().ok()?;
    Some(Acknowledged {
        bytes: u64::from_ne_bytes(bytes),
        last: Duration::from_millis(u64::from(u32::from_ne_bytes(millis))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn acknowledged_bytes_are_those_the_peer_took() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(&[0; 1000]).unwrap();
        far.read_exact(&mut [0; 1000]).unwrap();
        far.write_all(b"x").unwrap();
        near.read_exact(&mut [0]).unwrap();
        let socket = Socket::from(near);
        // The SYN may be counted as one byte more.
        let first = acknowledged(&socket).unwrap();
        assert!((1000..=1001).contains(&first.bytes));
        std::thread::sleep(Duration::from_millis(120));
        let second = acknowledged(&socket).unwrap();
        assert_eq!(second.bytes, first.bytes);
        assert!(second.last >= first.last + Duration::from_millis(100));
        let (unix, _) =
            socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        assert_eq!(acknowledged(&unix), None);
    }

    #[test]
    fn a_connection_that_was_reset_has_nobody_to_acknowledge_anything() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.write_all(b"unread").unwrap();
        let socket = Socket::from(near);
        assert!(acknowledged(&socket).is_some());
        // What is unread turns the close into a reset.
        drop(far);
        let mut end = [0];
        assert!((&socket).read(&mut end).is_err());
        assert_eq!(acknowledged(&socket), None);
    }
}
