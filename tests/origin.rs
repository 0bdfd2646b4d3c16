//! Which web pages may connect: the `Origin` of a request against `--allow-origin`, and a page of
//! another site that would ride on its visitor's cookies.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use harness::token::write_private;
use harness::{RawClient, Server, request, scratch_path};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

/// The status and the body of what a request with these lines is answered.
fn answer(server: &Server, lines: &[&str]) -> (u16, String) {
    let mut client = RawClient::connect(server);
    client.send(request("/echo", lines).as_bytes());
    let response = client.response();
    (response.status, response.body)
}

fn status(server: &Server, origin: &str) -> u16 {
    answer(server, &[&format!("Origin: {origin}")]).0
}

/// A browser that visits a page sends the cookies of the site that the page connects to along. The
/// server can't tell such a request from one of its own pages but by the origin.
#[test]
fn a_page_of_another_site_cannot_ride_on_its_visitors_cookies() {
    let cookie = "Cookie: session=the-visitors-own";
    let hijack = ["Origin: https://evil.test", cookie];
    let open = Server::start(&["--allow-origin", "*"]);
    assert_eq!(answer(&open, &hijack).0, 101, "where every page may connect it succeeds");
    let server = Server::start(&[]);
    let (status, body) = answer(&server, &hijack);
    assert_eq!(status, 403);
    assert_eq!(body, "403 Forbidden: pages of this origin may not connect here\n");
    assert_eq!(answer(&server, &["Origin: http://test", cookie]).0, 101, "its own page");
    assert_eq!(server.metrics().refused("origin_refused"), 1);
    server.wait_for("its end", |m| m.closed("handshake_refused") == 1);
}

/// The harness's requests name the host `test`.
#[test]
fn by_default_the_same_host_may_connect_and_who_is_no_browser() {
    let server = Server::start(&[]);
    assert_eq!(answer(&server, &[]).0, 101);
    for origin in ["http://test", "https://test", "https://TEST:443"] {
        assert_eq!(status(&server, origin), 101, "{origin}");
    }
    for origin in ["http://test:8080", "https://test.evil.test", "https://a.test", "null"] {
        assert_eq!(status(&server, origin), 403, "{origin}");
    }
    assert_eq!(answer(&server, &["Origin: http://test", "Origin: http://test"]).0, 403);
}

#[test]
fn a_list_takes_the_place_of_the_same_host() {
    let allowed = ["--allow-origin", "https://a.test", "--allow-origin", "https://*.b.test"];
    let server = Server::start(&allowed);
    for origin in ["https://a.test", "https://x.b.test", "https://x.y.b.test"] {
        assert_eq!(status(&server, origin), 101, "{origin}");
    }
    for origin in ["http://test", "http://a.test", "https://b.test", "https://xb.test"] {
        assert_eq!(status(&server, origin), 403, "{origin}");
    }
    let both = Server::start(&[&allowed[..], &["--allow-origin", "same-host"]].concat());
    assert_eq!(status(&both, "http://test"), 101);
}

#[test]
fn an_origin_may_be_required() {
    let server = Server::start(&["--require-origin"]);
    let (status, body) = answer(&server, &[]);
    assert_eq!(status, 403);
    assert!(body.contains("says no Origin"), "{body}");
    assert_eq!(answer(&server, &["Origin: http://test"]).0, 101);
}

#[test]
fn sighup_changes_who_may_connect_and_closes_nobody() {
    let path = scratch_path("toml");
    std::fs::write(&path, "").expect("a scratch file can be written");
    let server = Server::start(&["--config", path.to_str().expect("the path is text")]);
    let mut old = RawClient::open(&server, "/echo");
    assert_eq!(status(&server, "https://a.test"), 403);
    std::fs::write(&path, "allow_origin = [\"https://a.test\"]\n").expect("it can be written");
    server.signal("HUP");
    server.wait_for_log("allow-origin same-host -> https://a.test");
    harness::wait_until("the new list", || status(&server, "https://a.test") == 101);
    assert_eq!(status(&server, "http://test"), 403);
    old.expect_echo("still here");
}

/// What else the port answers is the same for everyone, and holds nothing of anyone's.
#[test]
fn the_page_and_the_refusals_of_bad_requests_ask_for_no_origin() {
    let server = Server::start(&["--require-origin"]);
    for (target, status) in [("/", 200), ("/nowhere", 404)] {
        let mut client = RawClient::connect(&server);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(client.response().status, status);
    }
}

/// The first line of what an upgrade over TLS is answered that a page of this origin asks for.
fn answer_over_tls(server: &Server, roots: &RootCertStore, origin: &str) -> String {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are some")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let name = "test".try_into().expect("it is a name");
    let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client can be made");
    let mut socket = TcpStream::connect(server.address()).expect("the server listens");
    let mut stream = Stream::new(&mut tls, &mut socket);
    let head = request("/echo", &[&format!("Origin: {origin}")]);
    stream.write_all(head.as_bytes()).expect("the server takes it");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whoever stands on the way of a page that comes without TLS may write it.
#[test]
fn where_tls_ends_here_a_page_of_the_same_host_must_have_come_by_tls_too() {
    let made = rcgen::generate_simple_self_signed(["test".to_owned()]).expect("it can be made");
    let certificate = write_private(&scratch_path("pem"), made.cert.pem().as_bytes());
    let key = write_private(&scratch_path("key"), made.signing_key.serialize_pem().as_bytes());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it is a certificate");
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let server = Server::start(&tls);
    assert_eq!(answer_over_tls(&server, &roots, "https://test"), "HTTP/1.1 101");
    assert_eq!(answer_over_tls(&server, &roots, "http://test"), "HTTP/1.1 403");
    // A proxy's TLS says nothing of how the page came.
    let server = Server::start(&[&tls[..], &["--trust-proxy", "127.0.0.1"]].concat());
    assert_eq!(answer_over_tls(&server, &roots, "http://test"), "HTTP/1.1 101");
    assert_eq!(answer_over_tls(&server, &roots, "http://other"), "HTTP/1.1 403");
}
