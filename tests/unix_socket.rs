//! Listening elsewhere than on IPv4: Unix sockets, and both families on one socket.

mod harness;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use harness::{PATIENCE, RawClient, Server, frame, request, run_to_end, scratch_path, wait_until};

/// Upgrades over a Unix socket and has a message echoed; the connection stays open.
fn echo_over(path: &Path, message: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.write_all(request("/echo", &[]).as_bytes()).expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream.write_all(&frame::text(message)).expect("the server reads");
    assert_eq!(next_frame(&mut stream, 2 + message.len())[2..], *message.as_bytes());
    stream
}

fn next_frame(stream: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("a frame comes");
    bytes
}

/// A listener's address for the command line, in a folder for sockets: their paths must be short.
fn address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

#[test]
fn a_unix_socket_is_served_by_all_reactors_and_removed_at_the_end() {
    let path = scratch_path("sock");
    let flags = ["--listen", &address(&path), "--reactors", "4", "--drain-window", "0s"];
    let mut server = Server::start(&flags);
    let log = server.wait_for_log("listens on");
    assert!(log.contains(&address(&path)), "{log}");
    let mut crowd: Vec<_> = (0..40).map(|n| echo_over(&path, &format!("number {n}"))).collect();
    assert_eq!(server.metric("ws_connections_active", &[]), 40.0);

    server.signal("TERM");
    wait_until("the listener to close", || UnixStream::connect(&path).is_err());
    for stream in &mut crowd {
        let close = next_frame(stream, 4);
        assert_eq!((close[0], &close[2..]), (frame::CLOSE, &1001_u16.to_be_bytes()[..]));
        stream.write_all(&frame::close(1001, "")).expect("the server reads");
    }
    drop(crowd);
    let status = server.wait_exit(PATIENCE);
    assert!(status.success(), "{status}: {:#?}", server.log());
    assert!(!path.exists(), "the socket file is gone with its server");
}

#[test]
fn unix_and_tcp_are_listened_on_together() {
    let path = scratch_path("sock");
    let server = Server::start(&["--listen", "127.0.0.1:0", "--listen", &address(&path)]);
    let _unix = echo_over(&path, "from beside");
    RawClient::open(&server, "/echo").expect_echo("from afar");
}

#[test]
fn a_stale_socket_is_replaced() {
    let path = scratch_path("sock");
    let server = Server::start(&["--listen", &address(&path)]);
    // Killed, so it had no chance to remove its file.
    drop(server);
    assert!(path.metadata().expect("it is left").file_type().is_socket());
    let _server = Server::start(&["--listen", &address(&path)]);
    let _stream = echo_over(&path, "again");
}

#[test]
fn a_socket_in_use_and_a_file_of_another_kind_are_left_alone() {
    let (used, file) = (scratch_path("sock"), scratch_path("txt"));
    let _other = UnixListener::bind(&used).expect("a socket can be made");
    std::fs::write(&file, "precious").expect("a scratch file can be written");
    for path in [&used, &file] {
        let (code, _, err) = run_to_end(["--listen", &address(path), "--admin", "off"]);
        assert_eq!((code, err.lines().count()), (1, 1), "{err}");
        assert!(err.contains(&address(path)), "{err}");
    }
    UnixStream::connect(&used).expect("the other one still listens");
    assert_eq!(std::fs::read(&file).expect("it is there"), b"precious");
}

#[test]
fn an_unspecified_ipv6_address_takes_both_families() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        // Nothing that the server does could be told from what the machine lacks.
        eprintln!("this machine has no IPv6");
        return;
    }
    let server = Server::start(&["--listen", "[::]:0"]);
    let port = server.address().port();
    let hosts = [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()];
    for host in hosts {
        let client = RawClient::try_connect(host).unwrap_or_else(|e| panic!("{host}: {e}"));
        client.upgraded("/echo").expect_echo("hello");
    }
}

#[test]
fn an_ipv6_address_of_one_host_takes_ipv6_alone() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let server = Server::start(&["--listen", "[::1]:0"]);
    let port = server.address().port();
    assert!(RawClient::try_connect((Ipv4Addr::LOCALHOST, port).into()).is_err());
    RawClient::open(&server, "/echo").expect_echo("hello");
}
