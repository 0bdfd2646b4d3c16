//! Listeners: binding them, and finding out first whether the address is taken.
//! Not for accepting in a loop: drivers do that.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::epoll::Incoming;
use crate::proto::Peer;

/// Connections that wait in the kernel to be accepted; `net.core.somaxconn` may cut it.
const BACKLOG: i32 = 4096;

/// Unsent bytes that the kernel holds for one connection before it takes no more: what lies there
/// can't be dropped or shed any more. Enough to keep a link busy between two turns.
const UNSENT_IN_KERNEL: u32 = 32 * 1024;

/// How long an address that is in use is looked at again before it counts as taken.
const LET_GO: Duration = Duration::from_secs(1);

/// A listening, non-blocking socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

impl Listener {
    /// Binds a TCP address that several listeners share (`SO_REUSEPORT`): the kernel spreads
    /// connections over them. Connections inherit its options, among them that the kernel gives
    /// one up whose peer has acknowledged nothing for `give_up_after`.
    ///
    /// # Errors
    /// See bind(2) and listen(2).
    pub fn tcp(address: SocketAddr, give_up_after: Duration) -> io::Result<Self> {
        let socket = tcp_socket(address)?;
        // What is unsent when a connection is closed would stay in the kernel for minutes.
        socket.set_tcp_user_timeout(Some(give_up_after))?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(UNSENT_IN_KERNEL)?;
        socket.bind(&address.into())?;
        Self::start(socket)
    }

    /// Binds a Unix socket, replacing a stale one that nobody listens on any more.
    ///
    /// # Errors
    /// See bind(2) and listen(2); `AddrInUse` where someone listens, `AlreadyExists` where the path is
    /// no socket.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        if once_let_go(LET_GO / 5, || is_stale(path, &address))? {
            std::fs::remove_file(path)?;
        }
        socket.bind(&address)?;
        Self::start(socket)
    }

    fn start(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        Ok(Listener { socket })
    }

    /// The address it is bound to; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// Takes this thread's copy of a listener that was opened before the thread got its own
    /// descriptor table.
    pub fn claim_copy(original: &Listener) -> Self {
        // SAFETY: the calling thread's table is private and has a copy of each descriptor that was
        // open before; nobody else uses the copy of this one in this table, so it may be owned.
        let copy = unsafe { OwnedFd::from_raw_fd(original.socket.as_raw_fd()) };
        Listener { socket: Socket::from(copy) }
    }

    /// Another descriptor of the same listener, in the same table.
    ///
    /// # Errors
    /// The descriptor limit.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Listener { socket: self.socket.try_clone()? })
    }

    /// The listener as the standard library's, still non-blocking.
    pub fn into_std(self) -> std::net::TcpListener {
        self.socket.into()
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn accept(&self) -> io::Result<Incoming> {
        let (socket, address) = self.socket.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)?;
        Ok((socket, address.as_socket().map_or(Peer::UNIX, Peer::from)))
    }
}

/// Finds out whether someone listens on an address already.
///
/// With `SO_REUSEPORT` a second server would bind without an error and take half the connections.
/// Without it, and with `SO_REUSEADDR`, a listener stands in the way and TIME_WAIT does not.
///
/// # Errors
/// `AddrInUse`, or whatever else binding it will meet.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    once_let_go(LET_GO / 50, || tcp_socket(address)?.bind(&address.into()))
}

/// Tries again for a while where an address is in use: the kernel lets go of a ring's listeners some
/// time after the process that had them was killed.
fn once_let_go<T>(pause: Duration, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < LET_GO => {
                std::thread::sleep(pause);
            }
            outcome => return outcome,
        }
    }
}

/// Says why a connection is not served, and waits for nothing, whatever kind of socket it is.
pub(super) fn answer_and_finish(socket: &Socket, answer: &[u8]) {
    let _ = socket.send_with_flags(answer, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    let _ = socket.shutdown(Shutdown::Write);
    // Unread input would turn the close into a reset, and that could overtake the answer.
    let mut scrap = [MaybeUninit::uninit(); 2048];
    let _ = socket.recv_with_flags(&mut scrap, libc::MSG_DONTWAIT);
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    Ok(socket)
}

/// True for a socket file that refuses connections: its server is gone.
fn is_stale(path: &Path, address: &SockAddr) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    match SockRef::from(&socket).connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_connection_inherits_the_options_of_its_listener() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), LONG).unwrap();
        let _peer = std::net::TcpStream::connect(listener.address().unwrap()).unwrap();
        let (socket, _) =
            std::iter::repeat_with(|| listener.accept()).find_map(Result::ok).unwrap();
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(LONG));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_IN_KERNEL);
        assert!(socket.tcp_nodelay().unwrap());
    }

    #[test]
    fn a_port_in_use_is_found_although_it_could_be_shared() {
        let first = Listener::tcp("127.0.0.1:0".parse().unwrap(), LONG).unwrap();
        let address = first.address().unwrap();
        assert_eq!(probe(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let second = Listener::tcp(address, LONG).unwrap();
        drop((first, second));
        probe(address).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let path = std::env::temp_dir().join(format!("pulsewheel-{}.sock", std::process::id()));
        let first = Listener::unix(&path).unwrap();
        assert_eq!(Listener::unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(Listener::unix(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert_eq!(Listener::unix(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_file(&path).unwrap();
    }
}
