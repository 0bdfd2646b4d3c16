//! Sessions against the client of rustls: what it seals is opened, and what it is sent it can read.
//! Not against other makers' clients: those are for whole servers.

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod streams;

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::{End, Failure, Handshake, Session, prepare};

/// Both ends' configurations, with one certificate.
struct World {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn world(provider: CryptoProvider) -> World {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    prepare(&mut server);
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::in_memory_sessions(8);
    World { server: Arc::new(server), client: Arc::new(client) }
}

fn only(suite: SupportedCipherSuite) -> World {
    world(CryptoProvider { cipher_suites: vec![suite], ..default_provider() })
}

fn suites() -> Vec<SupportedCipherSuite> {
    // The certificate is ECDSA, so RSA suites are not agreed on.
    let is_usable =
        |suite: &SupportedCipherSuite| !format!("{:?}", suite.suite()).contains("_RSA_");
    default_provider().cipher_suites.into_iter().filter(is_usable).collect()
}

fn one_of_each_version() -> [World; 2] {
    let suites = suites();
    let first = |wanted: bool| suites.iter().find(|suite| suite.tls13().is_some() == wanted);
    [only(*first(false).unwrap()), only(*first(true).unwrap())]
}

/// A client and the session that serves it.
struct Line {
    client: ClientConnection,
    session: Session,
    held: Vec<u8>,
    server: Arc<ServerConfig>,
    /// How many bytes come at a time.
    pieces: usize,
    handshake: Option<Handshake>,
    end: Option<End>,
    /// What the client has made of what it was sent.
    heard: Vec<u8>,
    client_failure: Option<rustls::Error>,
    /// Whether each record of the handshake may be looked at; all others may.
    turns: std::vec::IntoIter<bool>,
    is_postponed: bool,
}

impl Line {
    fn new(world: &World, pieces: usize) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Line {
            client: ClientConnection::new(Arc::clone(&world.client), name).unwrap(),
            session: Session::default(),
            held: Vec::new(),
            server: Arc::clone(&world.server),
            pieces,
            handshake: None,
            end: None,
            heard: Vec::new(),
            client_failure: None,
            turns: Vec::new().into_iter(),
            is_postponed: false,
        }
    }

    fn open(world: &World, pieces: usize) -> Self {
        let mut line = Line::new(world, pieces);
        for _ in 0..8 {
            line.pump();
        }
        assert!(line.session.is_open() && !line.client.is_handshaking());
        assert!(line.held.is_empty());
        line
    }

    /// What the client has to send.
    fn outgoing(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        wire
    }

    /// Brings bytes to the session; the plaintext that comes of them. What it sends goes to the
    /// client.
    fn bring(&mut self, wire: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        // No bytes are a piece too: what is held may go on.
        let pieces = std::iter::once(wire).filter(|wire| wire.is_empty());
        for piece in pieces.chain(wire.chunks(self.pieces)) {
            let mut piece = piece.to_vec();
            let server = &self.server;
            let out = self.session.unseal(
                &mut self.held,
                &mut piece,
                || Arc::clone(server),
                || self.turns.next().unwrap_or(true),
            );
            self.is_postponed = out.is_postponed;
            plain.extend(&out.first);
            plain.extend(&piece[out.plain]);
            self.handshake = self.handshake.or(out.handshake);
            let has_ended = out.end.is_some();
            self.end = out.end.or(self.end.take());
            self.hear(&out.wire);
            if has_ended {
                break;
            }
        }
        plain
    }

    fn hear(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            self.client.read_tls(&mut wire).unwrap();
            if let Err(error) = self.client.process_new_packets() {
                self.client_failure = Some(error);
                return;
            }
            let _ = self.client.reader().read_to_end(&mut self.heard);
        }
    }

    fn pump(&mut self) -> Vec<u8> {
        let wire = self.outgoing();
        self.bring(&wire)
    }

    /// The client says something; what the session makes of it.
    fn say(&mut self, plain: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(plain).unwrap();
        self.pump()
    }

    /// The session says something in so many parts; what the client makes of it.
    fn answer(&mut self, parts: &[&[u8]]) -> Vec<u8> {
        let mut wire = Vec::new();
        self.session.seal(parts.iter().copied(), &mut wire).unwrap();
        for piece in wire.chunks(self.pieces.max(512)) {
            self.hear(piece);
        }
        std::mem::take(&mut self.heard)
    }

    fn failure(&self) -> &Failure {
        match &self.end {
            Some(End::Failed(failure)) => failure,
            end => panic!("{end:?}"),
        }
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Seals as the client would, which rustls would not do.
fn forge(line: &mut Line, kind: u8, content: &[u8]) -> Vec<u8> {
    let traffic = line.session.traffic();
    let mut wire = Vec::new();
    let version = traffic.version();
    let mut sealer =
        crate::proto::tls::record::Sealer::new(&mut traffic.read, version, &mut wire).unwrap();
    if content.is_empty() {
        sealer.empty(kind).unwrap();
    } else {
        sealer.message(kind, content).unwrap();
    }
    // It shares the key with who opens it.
    traffic.read.sequence -= 1;
    wire
}
