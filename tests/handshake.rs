//! The HTTP side: what it counts, its limits, its page, its subprotocols.
//! What the RFC says about the upgrade is in `tests/conformance`.

mod harness;

use harness::{Event, PATIENCE, RawClient, Response, Server, request};

const GOOD: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The answer to a head; if it is a refusal, the stream must end after it without a reset.
fn answer(server: &Server, head: &str) -> Response {
    let mut peer = RawClient::connect(server);
    peer.send(head.as_bytes());
    let response = peer.response();
    if response.status != 101 {
        assert_eq!(response.header("Connection"), Some("close"), "{response:?}");
        assert_eq!(peer.next(PATIENCE), Event::Finished);
    }
    response
}

/// The status for the good head with one thing changed.
fn status(server: &Server, from: &str, to: &str) -> u16 {
    assert!(GOOD.contains(from));
    answer(server, &GOOD.replacen(from, to, 1)).status
}

#[test]
fn a_client_not_written_here_is_upgraded_and_closes_in_order() {
    let server = Server::start(&[]);
    let mut client = harness::tungstenite_client(&server, "/echo");
    client.send("hello".into()).expect("it is sent");
    assert_eq!(client.read().expect("it comes back"), "hello".into());
    client.close(None).expect("a close frame is sent");
    while client.read().is_ok() {}
    server.wait_for("the close", |m| m.closed("peer_closed") == 1);
}

#[test]
fn each_refusal_is_counted_under_its_reason() {
    let server = Server::start(&[]);
    assert_eq!(status(&server, "Host: a\r\n", ""), 400);
    assert_eq!(status(&server, "/echo", "/nowhere"), 404);
    assert_eq!(status(&server, "GET", "POST"), 405);
    assert_eq!(status(&server, "Version: 13", "Version: 8"), 426);
    let metrics = server.wait_for("the closes", |m| m.closed("handshake_refused") == 4);
    for reason in ["bad_request", "not_found", "method_not_allowed", "wrong_version"] {
        assert_eq!(metrics.refused(reason), 1, "{reason}");
    }
}

#[test]
fn a_head_of_8_kib_fits_and_one_of_a_byte_more_is_answered_431() {
    let server = Server::start(&[]);
    let fits = format!("X: {}\r\nHost", "y".repeat(8192 - GOOD.len() - 5));
    let fits = GOOD.replace("Host", &fits);
    assert_eq!((fits.len(), answer(&server, &fits).status), (8192, 101));
    let over = GOOD.replace("Host", &format!("X: {}\r\nHost", "y".repeat(8193 - GOOD.len() - 5)));
    assert_eq!((over.len(), answer(&server, &over).status), (8193, 431));
    let metrics = server.wait_for("the closes", |m| m.closed("handshake_refused") == 1);
    assert_eq!(metrics.refused("head_too_large"), 1);
}

#[test]
fn an_endless_head_costs_no_memory() {
    let server = Server::start(&[]);
    let resident = server.resident();
    let mut peers: Vec<_> = (0..200).map(|_| RawClient::connect(&server)).collect();
    for peer in &mut peers {
        peer.send(format!("GET /{}", "x".repeat(8000)).as_bytes());
    }
    server.wait_for("the heads", |m| m.value("ws_inbox_bytes", &[]) >= 200.0 * 8000.0);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 6 << 20, "{grown} bytes for 1.6 MB of heads");
    for peer in &mut peers {
        peer.send(&[b'x'; 1000]);
        assert_eq!(peer.response().status, 431);
    }
    drop(peers);
    server.wait_for("the end", |m| m.value("ws_inbox_bytes", &[]) == 0.0);
}

#[test]
fn what_is_pipelined_behind_a_plain_request_is_not_served_and_spoils_nothing() {
    let server = Server::start(&[]);
    let page = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut peer = RawClient::connect(&server);
    peer.send(format!("{page}{GOOD}").as_bytes());
    let response = peer.response();
    assert_eq!((response.status, response.header("Connection")), (200, Some("close")));
    assert_eq!(peer.next(PATIENCE), Event::Finished, "one answer, and no reset that could eat it");
    let mut peer = RawClient::connect(&server);
    let body = "x".repeat(100_000);
    let posted = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{body}");
    peer.send(posted.as_bytes());
    assert_eq!(peer.response().status, 405);
    assert_eq!(peer.next(PATIENCE), Event::Finished);
}

#[test]
fn the_page_says_what_this_is_and_what_paths_exist() {
    let server = Server::start(&["--route", "/here=echo", "--route", "/all=broadcast"]);
    let mut peer = RawClient::connect(&server);
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = peer.response();
    assert_eq!(response.status, 200);
    for word in ["pulsewheel", "WebSocket", "/here", "/all"] {
        assert!(response.body.contains(word), "{word} is not in {:?}", response.body);
    }
    let mut peer = RawClient::connect(&server);
    peer.send(b"HEAD / HTTP/1.0\r\n\r\n");
    let (frames, end) = peer.drain_bytes(PATIENCE);
    assert!(frames.starts_with(b"HTTP/1.1 200 ") && frames.ends_with(b"\r\n\r\n"));
    assert_eq!(end, Event::Finished);
    assert_eq!(answer(&server, "POST / HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
    server.wait_for("the closes", |m| m.closed("http_answered") == 2);
}

#[test]
fn beyond_the_limit_clients_are_told_when_to_come_back() {
    let server = Server::start(&["--max-connections", "3"]);
    let mut within: Vec<_> = (0..3).map(|_| RawClient::open(&server, "/echo")).collect();
    for n in 1..=50 {
        let response = answer(&server, GOOD);
        assert_eq!(response.status, 503);
        let after: u32 = response.header("Retry-After").and_then(|n| n.parse().ok()).unwrap_or(0);
        assert!((1..=60).contains(&after));
        assert_eq!(server.metrics().refused("full"), n);
    }
    let (status, _) = server.admin_request("GET", "/readyz", "");
    assert_eq!(status, 503, "not ready while full");
    for peer in &mut within {
        peer.expect_echo("not disturbed");
    }
    drop(within.pop());
    server.wait_for("room", |m| m.value("ws_connections_active", &[]) == 2.0);
    assert_eq!(answer(&server, GOOD).status, 101);
}

#[test]
fn a_herd_beyond_the_limit_is_refused_to_the_last() {
    let server = Server::start(&["--max-connections", "2"]);
    let _within: Vec<_> = (0..2).map(|_| RawClient::open(&server, "/echo")).collect();
    let mut herd: Vec<_> = (0..300).map(|_| RawClient::connect(&server)).collect();
    for peer in &mut herd {
        // Some were refused on accept, and may not take it any more.
        let _ = peer.try_send(GOOD.as_bytes());
    }
    for peer in &mut herd {
        assert_eq!(peer.response().status, 503);
    }
    assert_eq!(server.metrics().refused("full"), 300);
}

#[test]
fn a_subprotocol_is_selected_by_the_servers_preference() {
    let server = Server::start(&["--subprotocol", "v2", "--subprotocol", "v1"]);
    let select = |offer: &[&str]| {
        let mut peer = RawClient::connect(&server);
        peer.send(request("/echo", offer).as_bytes());
        let response = peer.response();
        assert_eq!(response.status, 101);
        response.header("Sec-WebSocket-Protocol").map(str::to_owned)
    };
    assert_eq!(select(&["Sec-WebSocket-Protocol: v1, v2"]).as_deref(), Some("v2"));
    let lines = ["Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Protocol: x"];
    assert_eq!(select(&lines).as_deref(), Some("v1"));
    assert_eq!(select(&["Sec-WebSocket-Protocol: V1"]), None, "subprotocols have a case");
    assert_eq!(select(&["Sec-WebSocket-Protocol: other"]), None);
    assert_eq!(select(&[]), None);
}

#[test]
fn a_route_of_the_file_has_its_own_subprotocols() {
    let toml = "[[route]]\npath = \"/chat\"\nhandler = \"broadcast\"\nsubprotocols = [\"chat.v1\"]\n\
        [[route]]\npath = \"/plain\"\nhandler = \"echo\"\n";
    let server = Server::start_with_file(toml, &[]);
    for (path, selected) in [("/chat", Some("chat.v1")), ("/plain", None)] {
        let mut peer = RawClient::connect(&server);
        peer.send(request(path, &["Sec-WebSocket-Protocol: chat.v1"]).as_bytes());
        let response = peer.response();
        assert_eq!(response.header("Sec-WebSocket-Protocol"), selected, "{path}: {response:?}");
    }
}
