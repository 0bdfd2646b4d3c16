//! Opening sockets: non-blocking connects from the planned source addresses.
//! Not the upgrade that follows; that is `wire::handshake`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::error::Failure;
use crate::plan::Plan;
use crate::sys;

/// Why a connect did not even begin.
#[derive(Debug)]
pub enum Undialled {
    /// The server's side said no, at once.
    Connect(io::Error),
    /// This machine cannot open more: the run ends.
    Limit(Failure),
}

/// Begins a connection to the target for connection number `id`, the `nth` of this thread.
pub fn dial(plan: &Plan, id: u32, nth: usize) -> Result<TcpStream, Undialled> {
    let address = plan.target.address;
    let source = plan.sources.of(id);
    connect(address, source).map_err(|error| match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            Undialled::Limit(Failure::NoDescriptor { nth, source: error })
        }
        Some(libc::EADDRNOTAVAIL) => Undialled::Limit(match source {
            // With a source of our own the port is chosen by connect(2), so that both a foreign
            // address and too few ports end here; only the former can be the first connection.
            Some(source_address) if nth == 0 => Failure::Source { source_address, source: error },
            _ => Failure::Ports { address },
        }),
        _ => Undialled::Connect(error),
    })
}

fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        if source.is_ipv4() {
            sys::bind_address_no_port(&socket)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Makes the socket vanish with a reset when it is dropped, so that it leaves no TIME_WAIT behind.
pub fn reset_on_drop(stream: &TcpStream) {
    // A socket that the peer has already torn down may refuse; then there is nothing to reset.
    let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}
