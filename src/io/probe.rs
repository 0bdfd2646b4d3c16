//! What the kernel knows of a connection's peer.
//! Not for statistics: it is asked only before a verdict.

use std::os::fd::AsRawFd;

use socket2::Socket;

/// Bytes that the peer's kernel has acknowledged (`tcpi_bytes_acked`, tcp(7)); `None` for a socket
/// that is not TCP.
pub(super) fn acknowledged(socket: &Socket) -> Option<u64> {
    /// `tcpi_bytes_acked` follows 104 bytes of older fields and two 64-bit pacing rates
    /// (linux/tcp.h, since 4.1).
    const OFFSET: usize = 120;
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
    if failed != 0 || (length as usize) < OFFSET + 8 {
        return None;
    }
    let bytes = info.get(OFFSET..OFFSET + 8)?.try_into().ok()?;
    Some(u64::from_ne_bytes(bytes))
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
        assert!((1000..=1001).contains(&acknowledged(&socket).unwrap()));
        let (unix, _) =
            socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        assert_eq!(acknowledged(&unix), None);
    }
}
