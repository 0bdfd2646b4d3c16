//! The TLS of a raw client, by rustls' client, and certificates for servers.
//! Not for what other makers' clients do: `tests/clients` has those.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use rustls::{SupportedProtocolVersion, version};

use super::{PATIENCE, RawClient, Server, scratch_path};

/// A certificate for `localhost` in files, and clients that trust it.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    roots: Arc<RootCertStore>,
}

impl Certificate {
    /// A new one, signed by its own key.
    pub fn new() -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a name");
        let (chain, key) = (scratch_path("crt"), scratch_path("key"));
        std::fs::write(&chain, cert.pem()).expect("a scratch file can be written");
        std::fs::write(&key, signing_key.serialize_pem()).expect("a scratch file can be written");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("it is a certificate");
        Certificate { chain, key, roots: Arc::new(roots) }
    }

    /// The flags of a server that shows it.
    pub fn flags(&self) -> [&str; 4] {
        let [chain, key] =
            [&self.chain, &self.key].map(|path| path.to_str().expect("the path is text"));
        ["--tls-cert", chain, "--tls-key", key]
    }

    /// Starts a server that shows it.
    pub fn serve(&self, flags: &[&str]) -> Server {
        Server::start(&[&self.flags()[..], flags].concat())
    }

    /// Clients that trust it and speak TLS 1.3.
    pub fn clients(&self) -> Arc<ClientConfig> {
        self.clients_of(&version::TLS13)
    }

    /// Clients that trust it and speak this version.
    pub fn clients_of(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider has it")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    }
}

/// One client's end.
#[derive(Debug)]
pub struct Secrecy(Box<ClientConnection>);

impl Secrecy {
    /// A client that has said nothing yet.
    pub fn new(config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("it is a name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("it is a client");
        Secrecy(Box::new(connection))
    }

    /// What it wants to send, sealed.
    pub fn outgoing(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut wire).expect("memory takes all");
        }
        wire
    }

    /// Seals bytes.
    pub fn seal(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        while !bytes.is_empty() {
            let taken = self.0.writer().write(bytes).expect("memory takes all");
            bytes = &bytes[taken..];
            wire.extend(self.outgoing());
        }
        wire
    }

    /// Opens bytes: what they carry is appended to `plain`.
    pub fn open(&mut self, mut wire: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        while !wire.is_empty() {
            if self.0.read_tls(&mut wire)? == 0 {
                break;
            }
            self.0.process_new_packets().map_err(io::Error::other)?;
            // It says so where there is no more for now.
            let _ = self.0.reader().read_to_end(plain);
        }
        Ok(())
    }

    /// Has the next record be under a new key, and asks for the same.
    pub fn update_keys(&mut self) {
        self.0.refresh_traffic_keys().expect("it is TLS 1.3");
    }

    /// Says that nothing more will come, sealed.
    pub fn goodbye(&mut self) -> Vec<u8> {
        self.0.send_close_notify();
        self.outgoing()
    }

    /// Whether the server has said that nothing more will come.
    pub fn was_told_goodbye(&mut self) -> bool {
        matches!(self.0.reader().read(&mut [0]), Ok(0))
    }

    /// How its handshake went.
    pub fn kind(&self) -> Option<HandshakeKind> {
        self.0.handshake_kind()
    }

    /// Shakes hands over a connection that nothing of TLS was sent on.
    pub fn shake_hands(&mut self, stream: &mut TcpStream, plain: &mut Vec<u8>) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        while self.0.is_handshaking() {
            let wire = self.outgoing();
            stream.write_all(&wire)?;
            if !self.0.is_handshaking() {
                break;
            }
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.open(&buffer[..n], plain)?;
        }
        let wire = self.outgoing();
        stream.write_all(&wire)
    }
}

/// A client on a server's path, over TLS.
pub fn secure_client(server: &Server, config: &Arc<ClientConfig>, path: &str) -> RawClient {
    RawClient::connect(server).secured(config).upgraded(path)
}
