//! What an idle TLS connection costs: a session beside an untouched rustls connection with the same
//! configuration, in one run; and a whole server's beside its plain ones.
//!
//! Printed with `cargo test --release --test tls_memory -- --nocapture`.

#[path = "harness/counting.rs"]
mod counting;
mod harness;

use std::io::{Read, Write};
use std::sync::Arc;

use counting::live;
use harness::tls::{Certificate, secure_client};
use harness::{Event, RawClient, Server, ms};
use pulsewheel::proto::tls::{Session, prepare};
use rustls::client::Resumption;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a name");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has it")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("they belong together");
    server.ticketer = Ticketer::new().expect("random numbers");
    prepare(&mut server);
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("it is a certificate");
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has it")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    (Arc::new(server), Arc::new(client))
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("it is a name");
    ClientConnection::new(Arc::clone(config), name).expect("it is a client")
}

fn outgoing(client: &mut ClientConnection) -> Vec<u8> {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).expect("memory takes all");
    }
    wire
}

fn incoming(client: &mut ClientConnection, mut wire: &[u8]) {
    while !wire.is_empty() {
        client.read_tls(&mut wire).expect("memory gives all");
        client.process_new_packets().expect("it can be opened");
    }
}

/// A handshake and an echo, after which the session idles.
fn session(server: &Arc<ServerConfig>, config: &Arc<ClientConfig>) -> Session {
    let (mut client, mut session, mut held) = (client(config), Session::default(), Vec::new());
    while client.is_handshaking() || session.is_shaking() {
        let mut wire = outgoing(&mut client);
        let out = session.unseal(&mut held, &mut wire, || Arc::clone(server), || true);
        incoming(&mut client, &out.wire);
    }
    client.writer().write_all(b"to be echoed").expect("memory takes all");
    let mut wire = outgoing(&mut client);
    let out = session.unseal(&mut held, &mut wire, || Arc::clone(server), || true);
    let mut sealed = Vec::new();
    session.seal([&wire[out.plain]], &mut sealed).expect("there is a key");
    incoming(&mut client, &sealed);
    assert_eq!(held.capacity(), 0);
    session
}

/// The same by rustls alone.
fn untouched(server: &Arc<ServerConfig>, config: &Arc<ClientConfig>) -> Box<ServerConnection> {
    let mut client = client(config);
    let mut server = Box::new(ServerConnection::new(Arc::clone(server)).expect("it is a server"));
    let mut echoed = false;
    while !echoed || client.wants_write() || server.wants_write() {
        server.read_tls(&mut &outgoing(&mut client)[..]).expect("memory gives all");
        server.process_new_packets().expect("it can be opened");
        let mut plain = Vec::new();
        // It says so where there is no more for now.
        let _ = server.reader().read_to_end(&mut plain);
        if !plain.is_empty() {
            server.writer().write_all(&plain).expect("memory takes all");
            echoed = true;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory takes all");
        }
        incoming(&mut client, &wire);
        if !client.is_handshaking() && !echoed {
            client.writer().write_all(b"to be echoed").expect("memory takes all");
        }
    }
    server
}

/// Bytes of the heap that each of a hundred keeps.
fn heap_of<T>(make: impl Fn() -> T) -> usize {
    drop(make());
    let mut kept = Vec::with_capacity(100);
    let before = live();
    for _ in 0..100 {
        kept.push(make());
    }
    (live() - before) / 100
}

fn heap() {
    let (server, config) = configs();
    let ours = heap_of(|| session(&server, &config)) + size_of::<Option<Session>>();
    let theirs = heap_of(|| untouched(&server, &config));
    println!(
        "heap of an idle TLS 1.3 connection: {ours} bytes; rustls' ServerConnection: {theirs}"
    );
    assert!(ours * 2 <= theirs, "{ours} bytes, and {theirs} of rustls");
    assert!(ours <= 256, "{ours} bytes");
}

/// Resident bytes of the server for each of many idle connections.
fn resident(server: &Server, open: impl Fn() -> RawClient) -> u64 {
    const CROWD: usize = 250;
    let mut crowd: Vec<_> = (0..CROWD).map(|_| open()).collect();
    // The first crowd fetches pages that the second finds.
    for peer in &mut crowd {
        peer.expect_echo("once");
    }
    let before = server.resident();
    let mut more: Vec<_> = (0..CROWD).map(|_| open()).collect();
    for peer in &mut more {
        peer.expect_echo("once");
        assert_eq!(peer.next(ms(1)), Event::Nothing);
    }
    server.resident().saturating_sub(before) / CROWD as u64
}

fn whole_server() {
    let certificate = Certificate::new();
    let plain = Server::start(&["--reactors", "1"]);
    let sealed = certificate.serve(&["--reactors", "1"]);
    let config = certificate.clients();
    let plain = resident(&plain, || RawClient::open(&plain, "/echo"));
    let sealed = resident(&sealed, || secure_client(&sealed, &config, "/echo"));
    println!("resident bytes of the server for each: {plain} plain, {sealed} with TLS 1.3");
    assert!(sealed <= plain + 3_800, "{sealed} bytes, {plain} without TLS");
}

/// One test, since another's allocations would be counted too.
#[test]
fn an_idle_tls_connection_costs_less_than_half_of_what_rustls_keeps() {
    heap();
    whole_server();
}
