//! Whose a connection is that a proxy brings: `X-Forwarded-For`, `Forwarded` and the PROXY protocol,
//! from proxies that are trusted and from those who only pretend.
//! Not a real proxy: nginx is in `tests/proxy`.

mod harness;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;

use harness::{
    PATIENCE, RawClient, SLACK, Server, assert_between, client_from, frame, ms, request,
    scratch_path,
};

/// The proxy that is trusted in these tests, and one that is not.
const PROXY: &str = "127.0.0.10";
const STRANGER: &str = "127.0.0.66";

/// The flags of a server that trusts [`PROXY`] and says who its clients were.
fn trusting<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["--trust-proxy", "127.0.0.10", "--log-level", "debug"], more].concat()
}

/// Waits until the log tells of the end of a client at that address.
fn wait_for_client(server: &Server, address: &str) {
    server.wait_for_log(&format!("closed peer={address} "));
}

/// An upgrade whose request has these lines besides; the status.
fn ask_with(source: &str, server: &Server, lines: &[&str]) -> u16 {
    let mut client = client_from(source, server.address());
    client.send(request("/echo", lines).as_bytes());
    client.response().status
}

/// A header of version 2 for a TCP connection over IPv4.
fn binary_header(client: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(client) = client else { panic!("this one is for IPv4") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client.ip().octets());
    header.extend([127, 0, 0, 1]);
    header.extend(client.port().to_be_bytes());
    header.extend(80u16.to_be_bytes());
    header
}

#[test]
fn a_trusted_proxy_says_whose_a_connection_is_and_limits_count_the_client() {
    let server = Server::start(&trusting(&["--max-connections-per-ip", "1"]));
    let open = |client: &str| {
        let mut stream = client_from(PROXY, server.address());
        let line = format!("X-Forwarded-For: {client}");
        stream.send(request("/echo", &[&line]).as_bytes());
        let status = stream.response().status;
        (stream, status)
    };
    let (_first, status) = open("203.0.113.9");
    assert_eq!(status, 101);
    assert_eq!(open("203.0.113.9").1, 429, "the client has one");
    let (_other, status) = open("203.0.113.10");
    assert_eq!(status, 101, "another client of the same proxy");
    assert_eq!(open("198.51.100.7, 203.0.113.10").1, 429, "what stands further left is invented");
    assert_eq!(open("2001:db8::1").1, 101);
    wait_for_client(&server, "203.0.113.9:0");
    wait_for_client(&server, "[2001:db8::1]:0");
    let metrics = server.metrics();
    let proxied = [("source", "x_forwarded_for")];
    assert_eq!(metrics.value("ws_proxied_connections_total", &proxied), 5.0);
    assert_eq!(metrics.refused("address_full"), 2);
}

#[test]
fn a_header_that_a_stranger_forged_changes_nothing() {
    let server = Server::start(&trusting(&["--max-connections-per-ip", "1"]));
    let mut first = client_from(STRANGER, server.address());
    first.send(request("/echo", &["X-Forwarded-For: 203.0.113.9"]).as_bytes());
    assert_eq!(first.response().status, 101);
    for line in ["X-Forwarded-For: 203.0.113.10", "Forwarded: for=203.0.113.11"] {
        assert_eq!(ask_with(STRANGER, &server, &[line]), 429, "{line}");
    }
    drop(first);
    let line = server.wait_for_log("closed peer=127.0.0.66:");
    assert!(!line.contains(":0 "), "the socket's own port: {line}");
    assert!(!server.log().iter().any(|line| line.contains("203.0.113.")), "{:#?}", server.log());
    assert_eq!(server.metrics().sum("ws_proxied_connections_total"), 0.0);
}

#[test]
fn without_a_trusted_proxy_nobody_is_believed() {
    let server = Server::start(&["--max-connections-per-ip", "1"]);
    let _first = RawClient::open(&server, "/echo");
    assert_eq!(ask_with("127.0.0.1", &server, &["X-Forwarded-For: 203.0.113.9"]), 429);
}

#[test]
fn of_the_two_headers_only_the_one_that_was_chosen_is_looked_at() {
    let both = ["X-Forwarded-For: 203.0.113.1", "Forwarded: for=\"203.0.113.2:4711\";proto=https"];
    for (flags, client) in
        [(&[][..], "203.0.113.1:0"), (&["--forwarded-header", "forwarded"], "203.0.113.2:4711")]
    {
        let server = Server::start(&trusting(flags));
        assert_eq!(ask_with(PROXY, &server, &both), 101);
        wait_for_client(&server, client);
    }
}

#[test]
fn a_chain_is_walked_over_trusted_hops_and_no_further() {
    let server = Server::start(&trusting(&["--trust-proxy", "10.0.0.0/8"]));
    for (lines, client) in [
        (&["X-Forwarded-For: 198.51.100.1, 203.0.113.1, 10.0.0.1"][..], "203.0.113.1:0"),
        (&["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.2"], "203.0.113.2:0"),
        (&["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),
        (&["X-Forwarded-For: 198.51.100.1, unknown, 10.0.0.4"], "10.0.0.4:0"),
    ] {
        assert_eq!(ask_with(PROXY, &server, lines), 101);
        wait_for_client(&server, client);
    }
    // A proxy that names nobody is a client itself.
    for lines in [&[][..], &["X-Forwarded-For: nobody"]] {
        assert_eq!(ask_with(PROXY, &server, lines), 101);
    }
    server.wait_for_log("closed peer=127.0.0.10:");
}

#[test]
fn a_proxy_at_a_unix_socket_can_be_trusted_too() {
    let path = scratch_path("sock");
    let listen = format!("unix:{}", path.display());
    let tcp = ["--listen", "127.0.0.1:0", "--listen", &listen];
    let server = Server::start(&[&trusting(&["--trust-proxy", "unix"]), &tcp[..]].concat());
    let mut stream = UnixStream::connect(&path).unwrap();
    let head = request("/echo", &["X-Forwarded-For: 203.0.113.9"]);
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    wait_for_client(&server, "203.0.113.9:0");
}

#[test]
fn both_versions_of_the_proxy_protocol_name_the_client_split_at_any_byte() {
    let server = Server::start(&trusting(&["--proxy-protocol"]));
    let text = |n: u16| format!("PROXY TCP4 203.0.113.{n} 127.0.0.1 {} 80\r\n", 1000 + n);
    let binary = |n: u16| {
        let ip = Ipv4Addr::new(203, 0, 113, n as u8);
        binary_header(SocketAddr::from((ip, 1000 + n)))
    };
    let behind = [request("/echo", &[]).into_bytes(), frame::text("hello")].concat();
    for (n, header) in [(1, text(1).into_bytes()), (101, binary(101))] {
        // Whole with the request and a frame behind it; byte by byte; and at some cuts.
        for (step, cut) in [0, 1, 5, 13, 16, 20, header.len() - 1, header.len()].iter().enumerate()
        {
            let n = n + step as u16;
            let header = if header[0] == b'P' { text(n).into_bytes() } else { binary(n) };
            let mut client = client_from(PROXY, server.address());
            let bytes = [header, behind.clone()].concat();
            if *cut == 1 {
                client.send_dripping(&bytes[..bytes.len() - behind.len() + 5]);
                client.send(&bytes[bytes.len() - behind.len() + 5..]);
            } else {
                let received = || server.metric("ws_bytes_received_total", &[]);
                let before = received();
                client.send(&bytes[..*cut]);
                if *cut > 0 {
                    harness::wait_until("the first part", || received() > before);
                }
                client.send(&bytes[*cut..]);
            }
            assert_eq!(client.response().status, 101, "cut at {cut}");
            assert_eq!(client.data().payload, b"hello");
            drop(client);
            wait_for_client(&server, &format!("203.0.113.{n}:{}", 1000 + n));
        }
    }
    let metrics = server.metrics();
    let proxied = [("source", "proxy_protocol")];
    assert_eq!(metrics.value("ws_proxied_connections_total", &proxied), 16.0);
    assert_eq!(metrics.refused("bad_proxy_header"), 0);
}

#[test]
fn a_proxy_that_speaks_for_itself_is_its_own_client() {
    let server = Server::start(&trusting(&["--proxy-protocol"]));
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = client_from(PROXY, server.address());
        client.send(header);
        client.send(request("/echo", &[]).as_bytes());
        assert_eq!(client.response().status, 101);
        let address = client.stream().local_addr().unwrap();
        drop(client);
        wait_for_client(&server, &address.to_string());
    }
    assert_eq!(server.metrics().sum("ws_proxied_connections_total"), 0.0);
}

#[test]
fn a_trusted_proxy_must_begin_with_a_header_and_a_stranger_must_not() {
    let server = Server::start(&trusting(&["--proxy-protocol"]));
    let good = b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\n";
    let head = request("/echo", &[]);
    for bytes in [
        head.as_bytes(),
        b"PROXY TCP4 203.0.113.9 127.0.0.1 1234\r\n",
        &[b'P'; 200],
        b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80                                                                       ",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01.",
    ] {
        let mut client = client_from(PROXY, server.address());
        client.send(bytes);
        let answer = client.response();
        assert_eq!(answer.status, 400, "{:?}", String::from_utf8_lossy(bytes));
        assert!(answer.body.contains("PROXY header"), "{answer:?}");
    }
    assert_eq!(server.metrics().refused("bad_proxy_header"), 6);
    for header in [&good[..], &binary_header("203.0.113.9:1234".parse().unwrap())] {
        let mut client = client_from(STRANGER, server.address());
        client.send(header);
        client.send(head.as_bytes());
        let answer = client.response();
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("not an HTTP/1.1 request"), "{answer:?}");
    }
    assert_eq!(ask_with(STRANGER, &server, &[]), 101, "without one it is served");
    assert_eq!(server.metrics().refused("bad_proxy_header"), 6);
    assert!(!server.log().iter().any(|line| line.contains("203.0.113.")), "{:#?}", server.log());
}

#[test]
fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    let server = Server::start(&trusting(&["--proxy-protocol", "--handshake-timeout", "500ms"]));
    for part in [&b""[..], b"PROXY TCP4 203."] {
        let mut client = client_from(PROXY, server.address());
        let begun = std::time::Instant::now();
        client.send(part);
        assert_eq!(client.response().status, 408);
        assert_between(begun.elapsed(), ms(500), ms(500));
    }
    // The rest of the time is all there is for the request.
    let mut client = client_from(PROXY, server.address());
    let begun = std::time::Instant::now();
    client.send(b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\nGET / HT");
    assert_eq!(client.response().status, 408);
    assert!(begun.elapsed() < ms(500) + SLACK);
    server.wait_for("their end", |m| m.closed("handshake_timeout") == 3);
}

#[test]
fn behind_a_proxy_header_too_few_are_refused_at_leisure_and_the_others_at_once() {
    let flags = ["--proxy-protocol", "--max-connections-per-ip", "1", "--reactors", "1"];
    let mut server = Server::start(&trusting(&flags));
    let header = b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\n";
    let announce = || {
        let mut client = client_from(PROXY, server.address());
        client.send(header);
        client
    };
    let mut first = announce();
    first.send(request("/echo", &[]).as_bytes());
    assert_eq!(first.response().status, 101);
    let silent: Vec<_> = (0..40).map(|_| announce()).collect();
    server.wait_for("those who don't fit", |m| m.refused("address_full") == 24);
    for mut client in silent {
        let _ = client.try_send(request("/echo", &[]).as_bytes());
        let answer = client.response();
        assert_eq!(answer.status, 429, "{answer:?}");
        assert!(answer.header("Retry-After").is_some());
    }
    server.wait_for("the others", |m| {
        m.refused("address_full") == 40 && m.value("ws_slots_used", &[]) == 1.0
    });
    first.send(&frame::text("still here"));
    assert_eq!(first.data().payload, b"still here");
    drop(first);
    server.wait_for("nothing left", |m| m.value("ws_addresses", &[]) == 0.0);
    assert_eq!(server.metric("ws_slots_used", &[]), 0.0);
    server.assert_sound();
}

/// A chain of two proxies: one that speaks the PROXY protocol to us, and one before it.
#[test]
fn where_the_proxy_header_names_a_trusted_proxy_the_request_is_read_on() {
    let flags = trusting(&["--proxy-protocol", "--trust-proxy", "10.0.0.0/8"]);
    let server = Server::start(&flags);
    for (source, expected) in [("10.0.0.1", "203.0.113.9:0"), ("198.51.100.1", "198.51.100.1:9")] {
        let mut client = client_from(PROXY, server.address());
        client.send(format!("PROXY TCP4 {source} 127.0.0.1 9 80\r\n").as_bytes());
        client.send(request("/echo", &["X-Forwarded-For: 203.0.113.9"]).as_bytes());
        assert_eq!(client.response().status, 101);
        drop(client);
        wait_for_client(&server, expected);
    }
}

/// Twenty thousand addresses come by way of a proxy; the table stays within its bound, and nobody is
/// refused for them.
#[test]
fn a_flood_of_addresses_stays_within_the_tables_bound() {
    let flags = ["--connect-rate-per-ip", "6/m:10", "--max-addresses", "5000"];
    let server = Server::start(&[&["--trust-proxy", "127.0.0.10"], &flags[..]].concat());
    let flood = |range: std::ops::Range<u32>| {
        for n in range {
            let [_, b, c, d] = n.to_be_bytes();
            let line = format!("X-Forwarded-For: 100.{b}.{c}.{d}");
            let mut client = client_from(PROXY, server.address());
            client.send(request("/nowhere", &[&line]).as_bytes());
            assert_eq!(client.try_response(PATIENCE).unwrap().status, 404);
        }
    };
    flood(0..2_000);
    assert_eq!(server.metric("ws_addresses", &[]), 2_000.0);
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || flood(2_000 + part * 4_500..2_000 + (part + 1) * 4_500));
        }
    });
    let metrics = server.metrics();
    assert_eq!(metrics.value("ws_addresses", &[]), 5_000.0);
    assert_eq!(metrics.value("ws_address_evictions_total", &[]), 15_000.0);
    assert_eq!(metrics.refused("address_rate"), 0);
    // One who is there before the flood has passed is still counted.
    let statuses = [(); 12].map(|()| ask_with(PROXY, &server, &["X-Forwarded-For: 192.0.2.1"]));
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 2, "{statuses:?}");
}

#[test]
fn a_full_server_says_so_behind_a_proxy_header_too() {
    let flags = ["--proxy-protocol", "--max-connections", "1", "--reactors", "1"];
    let mut server = Server::start(&trusting(&flags));
    let head = request("/echo", &[]);
    let binary = binary_header("203.0.113.9:1234".parse().unwrap());
    let open = |header: &[u8]| {
        let mut client = client_from(PROXY, server.address());
        client.send(header);
        client.send(head.as_bytes());
        let answer = client.response();
        (client, answer)
    };
    let text = b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\n";
    let (mut first, answer) = open(text);
    assert_eq!(answer.status, 101);
    for header in [&text[..], &binary, b"PROXY UNKNOWN\r\n"] {
        let (_, answer) = open(header);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("Retry-After").is_some(), "{answer:?}");
    }
    let metrics = server.metrics();
    assert_eq!((metrics.refused("full"), metrics.refused("bad_proxy_header")), (3, 0));
    first.send(&frame::text("still here"));
    assert_eq!(first.data().payload, b"still here");
    drop(first);
    harness::wait_until("the place", || open(text).1.status == 101);
    server.assert_sound();
}

/// Its header names nobody, so the head behind it is not a proxy's but may be anyone's.
#[test]
fn a_header_that_names_nobody_makes_nobody_believed() {
    let server = Server::start(&trusting(&["--proxy-protocol"]));
    let v2 = |command: u8, family: u8, length: u8| {
        let fixed = [command, family, 0, length];
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &fixed, &vec![9; length.into()]].concat()
    };
    let headers = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x20, 0x00, 0),
        v2(0x20, 0x11, 12),
        v2(0x21, 0x00, 0),
        v2(0x21, 0x12, 12),
        v2(0x21, 0x31, 216),
    ];
    for header in headers {
        let mut client = client_from(PROXY, server.address());
        client.send(&header);
        client.send(request("/echo", &["X-Forwarded-For: 203.0.113.9"]).as_bytes());
        assert_eq!(client.response().status, 101);
        let address = client.stream().local_addr().unwrap();
        drop(client);
        wait_for_client(&server, &address.to_string());
    }
    assert_eq!(server.metrics().sum("ws_proxied_connections_total"), 0.0);
    assert!(!server.log().iter().any(|line| line.contains("203.0.113.")), "{:#?}", server.log());
}

/// Else whoever sends nothing better would be under no rate at all.
#[test]
fn what_names_nobody_counts_for_the_proxy_that_brought_it_and_for_no_other() {
    let rate = ["--connect-rate-per-ip", "1/h:3"];
    for (flags, rubbish) in [
        (&[][..], &b"RUBBISH\r\n\r\n"[..]),
        (&["--proxy-protocol"], b"RUBBISH\r\n\r\n"),
        (&["--proxy-protocol"], b"PROXY TCP4 10.0.0.1 127.0.0.1 9 80\r\nRUBBISH\r\n\r\n"),
    ] {
        let flags = [&rate[..], &["--trust-proxy", "10.0.0.0/8"], flags].concat();
        let server = Server::start(&trusting(&flags));
        let statuses = [(); 8].map(|()| {
            let mut client = client_from(PROXY, server.address());
            client.send(rubbish);
            client.response().status
        });
        assert_eq!(statuses, [400, 400, 400, 429, 429, 429, 429, 429]);
        if flags.len() == 4 {
            let lines = ["X-Forwarded-For: 203.0.113.9"];
            assert_eq!(ask_with(PROXY, &server, &lines), 101, "another client of the proxy");
        }
    }
}
