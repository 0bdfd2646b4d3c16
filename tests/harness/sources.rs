//! Clients that come from an address of their own: all of 127.0.0.0/8 is this machine, and ::1.
//! Not for what they say.

use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::RawClient;

/// A connection to `server` from that address.
pub fn client_from(source: &str, server: SocketAddr) -> RawClient {
    let ip: IpAddr = source.parse().expect("an address");
    let domain = if ip.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, None).expect("a socket can be made");
    socket.bind(&SocketAddr::new(ip, 0).into()).expect("the address is this machine's");
    socket.connect(&server.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("nodelay can be set");
    RawClient::from(stream)
}
