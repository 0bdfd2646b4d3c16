//! Attacks that are known by name elsewhere and have no subject of their own among the tests here.
//! `docs/attacks.md` goes through all of them and says where each is shown.

mod harness;

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::{Event, PATIENCE, RawClient, SLACK, Server, frame, ms, request, sockets};

const MIB: u64 = 1 << 20;

/// What the server sends to these bytes until it ends the stream in good order.
fn all_answers(server: &Server, bytes: &[u8]) -> String {
    let mut peer = RawClient::connect(server);
    peer.send(bytes);
    let (answers, end) = peer.drain_bytes(PATIENCE);
    let answers = String::from_utf8(answers).expect("answers are text");
    assert_eq!(end, Event::Finished, "after {answers:?}");
    answers
}

fn status(server: &Server, head: &str) -> u16 {
    let mut peer = RawClient::connect(server);
    peer.send(head.as_bytes());
    peer.response().status
}

/// Sends until the server does not take it any more; bytes that were taken.
fn flood(mut stream: &TcpStream, bytes: &[u8], until: Instant) -> usize {
    stream.set_write_timeout(Some(ms(100))).expect("a timeout can be set");
    let mut sent = 0;
    while Instant::now() < until {
        // What is repeated stays whole, whatever is taken of it at a time.
        match stream.write(&bytes[sent % bytes.len()..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    sent
}

/// How many sockets listen on a port.
fn listeners(port: u16) -> usize {
    sockets::listeners_here().iter().filter(|address| address.port() == port).count()
}

/// A proxy that takes any upgrade request for a tunnel, whatever the answer, would carry a second
/// request past its own rules.
#[test]
fn a_refused_upgrade_leaves_no_tunnel_behind_it() {
    let server = Server::start(&[]);
    let good = request("/echo", &[]);
    for (refused, code) in [
        (good.replace("Version: 13", "Version: 1337"), "426"),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), "426"),
        (good.replace("/echo", "/nowhere"), "404"),
        (good.replace("GET", "POST"), "405"),
    ] {
        let smuggled = format!("{refused}GET / HTTP/1.1\r\nHost: a\r\n\r\n{good}");
        let answers = all_answers(&server, smuggled.as_bytes());
        assert!(answers.starts_with(&format!("HTTP/1.1 {code} ")), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
}

/// Where regular expressions split these headers, blanks (CVE-2021-32640) and quotes that do not end
/// (CVE-2020-7662) took minutes; elsewhere bytes that are not ASCII ended the process.
#[test]
fn lists_full_of_anything_are_only_headers() {
    let mut server = Server::start(&["--subprotocol", "chat"]);
    let blanks = " ".repeat(7000);
    for (protocols, status) in [
        (format!("b{blanks}x"), 400),
        (format!("b,{blanks}x"), 101),
        (",".repeat(7000), 400),
        ("a,".repeat(3500), 101),
        ("\u{e4}chat".to_owned(), 400),
        ("other\t,\tchat".to_owned(), 101),
    ] {
        let mut peer = RawClient::connect(&server);
        let line = format!("Sec-WebSocket-Protocol: {protocols}");
        peer.send(request("/echo", &[&line]).as_bytes());
        let response = peer.response();
        let shown = &protocols[..protocols.len().min(20)];
        assert_eq!(response.status, status, "{shown:?}: {response:?}");
        let selected = (protocols.ends_with("chat") && status == 101).then_some("chat");
        assert_eq!(response.header("Sec-WebSocket-Protocol"), selected, "{shown:?}");
        if status == 101 {
            peer.expect_echo("served");
        }
    }
    let endless = format!("Sec-WebSocket-Extensions: x; a=\"{}", "\\b".repeat(3500));
    assert_eq!(status(&server, &request("/echo", &[&endless])), 400);
    let mut peer = RawClient::connect(&server);
    let head = request("/echo", &[]);
    peer.send(
        &[head.trim_end().as_bytes(), b"\r\nSec-WebSocket-Protocol: \xff\x80\r\n\r\n"].concat(),
    );
    assert_eq!(peer.response().status, 400);
    server.assert_sound();
}

/// Compression is off unless it is asked for, so there is nothing that could blow up.
#[test]
fn no_offer_of_compression_is_taken_up_unasked() {
    let server = Server::start(&[]);
    let mut peer = RawClient::connect(&server);
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit";
    peer.send(request("/echo", &[offer]).as_bytes());
    let response = peer.response();
    assert_eq!((response.status, response.header("Sec-WebSocket-Extensions")), (101, None));
    // A frame that says it is compressed.
    peer.send(&frame::frame(0xc2, &[0x4b, 0x04, 0x00]));
    peer.expect_close(1002);
}

/// The sum over a message's fragments, where adding them up overflowed (CVE-2020-27813) or a
/// length was taken for negative (CVE-2020-13935).
#[test]
fn no_sum_of_fragments_wraps_past_the_limit() {
    let mut server = Server::start(&[]);
    for (length, code) in [
        ((1 << 20) - 9, 1009),
        (u64::from(u32::MAX) - 8, 1009),
        (u64::from(u32::MAX) + 1, 1009),
        ((1 << 63) - 11, 1009),
        ((1 << 63) - 1, 1009),
        (1 << 63, 1002),
        (u64::MAX - 9, 1002),
        (u64::MAX, 1002),
    ] {
        let mut peer = RawClient::open(&server, "/echo");
        peer.send(&frame::frame(0x02, &[7; 10]));
        peer.send(&frame::header(0x80, length));
        let answer = peer.data();
        assert_eq!(answer.close_code(), Some(code), "{length}: {answer:?}");
        assert_eq!(peer.next(PATIENCE), Event::Finished, "{length}");
    }
    server.assert_sound();
}

/// Where each fragment is kept as an object of its own, a hundred times what was sent is held
/// (CVE-2026-48779).
#[test]
fn tiny_fragments_cost_what_is_in_them() {
    const PEERS: usize = 20;
    const FRAGMENTS: usize = 50_000;
    let server = Server::start(&["--message-timeout", "60s"]);
    let mut peers: Vec<_> = (0..PEERS).map(|_| RawClient::open(&server, "/echo")).collect();
    let resident = server.resident();
    let first = frame::frame(0x02, b"x");
    let more = frame::frame(0x00, b"x").repeat(FRAGMENTS);
    for peer in &mut peers {
        peer.send(&first);
        peer.send(&more);
    }
    let sent = (PEERS * FRAGMENTS) as f64;
    let held = server.wait_for("all", |m| m.value("ws_inbox_bytes", &[]) >= sent);
    assert!(held.value("ws_inbox_bytes", &[]) < 1.1 * sent, "the account is of what is held");
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 8 * MIB, "{grown} bytes for {sent} of payload");
    for peer in &mut peers {
        peer.send(&frame::frame(0x80, b"x"));
        assert_eq!(peer.data().payload.len(), FRAGMENTS + 2);
    }
}

#[test]
fn empty_fragments_without_end_gain_neither_time_nor_memory() {
    let server = Server::start(&["--message-timeout", "2s", "--reactors", "1"]);
    let mut peer = RawClient::open(&server, "/echo");
    let mut other = RawClient::open(&server, "/echo");
    let resident = server.resident();
    let begun = Instant::now();
    peer.send(&frame::frame(0x01, b""));
    let stream = peer.stream().try_clone().expect("a socket can be cloned");
    let until = begun + PATIENCE;
    let flooding =
        std::thread::spawn(move || flood(&stream, &frame::frame(0x00, b"").repeat(1000), until));
    while peer.stream().peek(&mut [0]).is_err() {}
    other.expect_echo("served beside it");
    assert!(server.resident().saturating_sub(resident) < 4 * MIB);
    peer.next_close(1008);
    assert!(begun.elapsed() < ms(2000) + SLACK, "{:?}", begun.elapsed());
    server.wait_for("its end", |m| m.expired("message") == 1);
    drop(peer);
    assert!(flooding.join().expect("it ends") > 100_000);
}

/// Each ping asks for a pong of its own size.
#[test]
fn pings_without_end_from_who_does_not_read_cost_a_bounded_lane() {
    let flags = ["--write-timeout", "2s", "--reactors", "1"];
    let server = Server::start(&flags);
    let peer = RawClient::connect_narrow(&server).upgraded("/echo");
    let mut other = RawClient::open(&server, "/echo");
    let resident = server.resident();
    let until = Instant::now() + PATIENCE;
    let stream = peer.stream().try_clone().expect("a socket can be cloned");
    let flooding = std::thread::spawn(move || {
        flood(&stream, &frame::frame(frame::PING, &[1; 125]).repeat(100), until)
    });
    server.wait_for("a pong that waits", |m| m.value("ws_outbox_bytes", &[]) > 0.0);
    while server.metrics().closed("write_timeout") == 0 {
        let metrics = server.metrics();
        let waits = metrics.value("ws_outbox_bytes", &[]);
        assert!(waits <= f64::from(126 + 508 + 2), "{waits} bytes of pongs");
        assert!(server.resident().saturating_sub(resident) < 4 * MIB);
        other.expect_echo("served beside it");
        assert!(Instant::now() < until, "it was never reset");
    }
    drop(peer);
    assert!(flooding.join().expect("it ends") > 100_000);
}

/// Who occupies all places and says nothing has them until the deadline and no longer.
#[test]
fn places_that_are_held_by_silence_come_back_at_the_deadline() {
    let flags = ["--max-connections", "30", "--handshake-timeout", "3s", "--reactors", "1"];
    let server = Server::start(&flags);
    let mut silent: Vec<_> = (0..30).map(|_| RawClient::connect(&server)).collect();
    for peer in &mut silent {
        peer.send(b"GET /echo HTTP/1.1\r\nHost: ");
    }
    server.wait_for("all places taken", |m| m.value("ws_slots_used", &[]) == 30.0);
    let begun = Instant::now();
    assert_eq!(status(&server, &request("/echo", &[])), 503);
    for peer in &mut silent {
        assert_eq!(peer.response().status, 408);
    }
    assert!(begun.elapsed() < ms(3000) + 2 * SLACK, "after {:?}", begun.elapsed());
    drop(silent);
    server.wait_for("places again", |m| m.value("ws_slots_used", &[]) == 0.0);
    RawClient::open(&server, "/echo").expect_echo("one who speaks");
}

#[test]
fn a_flood_of_connections_that_are_reset_at_once_leaves_nothing() {
    let mut server = Server::start(&["--reactors", "2"]);
    let mut steady = RawClient::open(&server, "/echo");
    let before = server.metric("ws_descriptors_used", &[]);
    for n in 0..2000 {
        let mut peer = RawClient::connect(&server);
        if n % 2 == 0 {
            // The server may be so quick that this is a connection it has refused.
            let _ = peer.try_send(request("/echo", &[]).as_bytes());
        }
        let socket = socket2::SockRef::from(peer.stream());
        socket.set_linger(Some(ms(0))).expect("a socket can be told to reset");
    }
    steady.expect_echo("served beside it");
    let end = server.wait_for("their end", |m| {
        m.value("ws_slots_used", &[]) == 1.0 && m.value("ws_descriptors_used", &[]) == before
    });
    assert_eq!(end.value("ws_connections_active", &[]), 1.0);
    server.assert_sound();
}

/// What a peer writes never reaches the log, so that nothing in it can forge a line there.
#[test]
fn the_log_holds_no_text_of_a_peers() {
    let server = Server::start(&["--log-level", "trace"]);
    const SPELL: &str = "xyzzy";
    let mut peer = RawClient::connect(&server);
    let (agent, origin) = (format!("User-Agent: {SPELL}"), format!("Origin: http://{SPELL}"));
    let path = format!("/echo?{SPELL}");
    peer.send(request(&path, &[&agent]).as_bytes());
    assert_eq!(peer.response().status, 101);
    assert_eq!(status(&server, &request(&path, &[&origin])), 403);
    peer.expect_echo(SPELL);
    peer.send(&frame::close(1000, SPELL));
    assert_eq!(peer.data().close_code(), Some(1000));
    assert_eq!(status(&server, &request(&format!("/{SPELL}"), &[])), 404);
    assert_eq!(status(&server, &format!("{SPELL} / HTTP/1.1\r\nHost: {SPELL}\r\n\r\n")), 405);
    drop(peer);
    server.wait_for_log("reason=peer_closed");
    server.wait_for("the others", |m| m.value("ws_slots_used", &[]) == 0.0);
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains(SPELL)), "{log:#?}");
}

/// The kernel lets only programs of one user share a port (SO_REUSEPORT in socket(7)).
#[test]
fn another_user_cannot_share_the_port() {
    const NOBODY: u32 = 65_534;
    let server = Server::start(&[]);
    // Nobody may not be allowed into the folder where the binary is.
    let folder = std::env::temp_dir().join(format!("port-{:x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).expect("a folder can be made");
    let program = folder.join("another");
    std::fs::copy(harness::server::binary(), &program).expect("the binary can be copied");
    let may_enter = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&folder, may_enter).expect("a folder can be opened");
    let address = server.address().to_string();
    let arguments = ["--takeover", "--admin", "off", "--listen", &address];
    let run = |user: Option<u32>| {
        let mut command = Command::new(&program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        user.map(|user| command.uid(user));
        command.spawn()
    };
    match run(Some(NOBODY)) {
        Ok(child) => {
            let output = child.wait_with_output().expect("a child can be waited for");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("in use"), "{said}");
        }
        // Only root can become somebody else.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    let before = listeners(server.address().port());
    // It is the user that was in the way: the same program as ourselves shares it.
    let mut own = run(None).expect("it can be run");
    server.wait_for("a listener beside it", |_| {
        let status = own.try_wait().expect("a child can be waited for");
        assert!(status.is_none(), "it ended: {status:?}");
        listeners(server.address().port()) > before
    });
    own.kill().and_then(|()| own.wait()).expect("a child can be ended");
    std::fs::remove_dir_all(&folder).expect("what was made can be removed");
}
