//! Certificates that are renewed while the server runs: what newcomers are shown, that nobody is
//! dropped, and that what is broken changes nothing. Handshakes with clients of other makers are
//! tried in `tests/clients/test_tls.py`.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use harness::{PATIENCE, Server, frame, request, scratch_path, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// An authority of the test's own, and the files of a server that has certificates of it.
struct Site {
    issuer: CertifiedIssuer<'static, KeyPair>,
    certificate: PathBuf,
    key: PathBuf,
}

impl Site {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let site = Site { issuer, certificate: scratch_path("pem"), key: scratch_path("key") };
        site.renew();
        site
    }

    /// Puts a new pair into the files; its certificate.
    fn renew(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        harness::token::write_private(&self.key, key.serialize_pem().as_bytes());
        self.certify(&key)
    }

    /// Puts a certificate for this key into its file.
    fn certify(&self, key: &KeyPair) -> CertificateDer<'static> {
        let params = CertificateParams::new(["a.test".to_owned()]).expect("a name");
        let certificate = params.signed_by(key, &self.issuer).expect("a certificate");
        std::fs::write(&self.certificate, certificate.pem()).expect("a file can be written");
        certificate.der().clone()
    }

    fn flags(&self) -> Vec<String> {
        let text = |path: &PathBuf| path.to_str().expect("the path is text").to_owned();
        ["--tls-cert", &text(&self.certificate), "--tls-key", &text(&self.key)]
            .map(str::to_owned)
            .to_vec()
    }

    fn serve(&self, more: &[&str]) -> Server {
        let flags = self.flags();
        let flags: Vec<&str> =
            flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Server::start(&flags)
    }

    /// A client that trusts the authority.
    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// A WebSocket over TLS on `/echo`, which has been talked on.
fn open(server: &Server, config: &Arc<ClientConfig>) -> Secure {
    let name = ServerName::try_from("a.test").expect("a name");
    let stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
    let mut secure = StreamOwned::new(connection, stream);
    secure.write_all(request("/echo", &[]).as_bytes()).expect("the server takes it");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        secure.read_exact(&mut byte).expect("the server answers");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    echo(&mut secure);
    secure
}

fn echo(secure: &mut Secure) {
    secure.write_all(&frame::text("hello")).expect("the server takes it");
    let mut answer = [0; 7];
    secure.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"\x81\x05hello");
}

fn shown(secure: &Secure) -> &CertificateDer<'static> {
    secure.conn.peer_certificates().and_then(<[_]>::first).expect("one is shown")
}

/// Sends SIGHUP and waits until the log says `line` once more.
fn reload(server: &Server, line: &str) {
    let count = || server.log().iter().filter(|told| told.contains(line)).count();
    let before = count();
    server.signal("HUP");
    wait_until(line, || count() > before);
}

#[test]
fn newcomers_are_shown_the_new_certificate_and_nobody_is_dropped() {
    let site = Site::new();
    let server = site.serve(&["--reactors", "2"]);
    let line = server.wait_for_log("TLS (wss://, https://) on ");
    assert!(line.ends_with(&server.address().to_string()), "{line}");
    server.wait_for_log("for a.test, valid until 4096-01-01 00:00:00 UTC");
    let mut old: Vec<Secure> = (0..8).map(|_| open(&server, &site.client())).collect();
    let first = shown(&old[0]).clone();
    for _ in 0..3 {
        let renewed = site.renew();
        reload(&server, "holds another certificate");
        wait_until("it to be shown", || *shown(&open(&server, &site.client())) == renewed);
    }
    for secure in &mut old {
        echo(secure);
        assert_eq!(*shown(secure), first);
    }
    assert_eq!(server.metric("ws_reloads_total", &[("result", "taken")]), 3.0);
}

#[test]
fn what_is_broken_leaves_the_old_certificate_in_use_and_says_so() {
    let site = Site::new();
    let server = site.serve(&[]);
    let mut old = open(&server, &site.client());
    let in_use = shown(&old).clone();
    let whole = std::fs::read(&site.certificate).expect("it is there");
    let file = site.certificate.display().to_string();
    let half = &whole[..whole.len() / 2];
    for broken in [&b""[..], half, b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&site.certificate, broken).expect("a file can be written");
        reload(&server, "everything stays as it was");
        assert_eq!(*shown(&open(&server, &site.client())), in_use);
    }
    // As when a renewal is met between its two files.
    site.certify(&KeyPair::generate().expect("a key"));
    reload(&server, "is not that of the first certificate");
    std::fs::remove_file(&site.certificate).expect("it is there");
    reload(&server, "cannot read");
    assert_eq!(*shown(&open(&server, &site.client())), in_use);
    echo(&mut old);
    let log = server.log();
    let errors: Vec<_> = log.iter().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.iter().filter(|line| line.contains(&file)).count() >= 5, "{errors:#?}");
    assert_eq!(server.metric("ws_reloads_total", &[("result", "refused")]), 5.0);
    assert_eq!(server.metric("ws_reloads_total", &[("result", "taken")]), 0.0);

    let renewed = site.renew();
    reload(&server, "holds another certificate");
    wait_until("it to be shown", || *shown(&open(&server, &site.client())) == renewed);
}

#[test]
fn tickets_are_good_on_every_reactor_and_after_a_reload() {
    let site = Site::new();
    let server = site.serve(&["--reactors", "4"]);
    let client = site.client();
    assert_eq!(open(&server, &client).conn.handshake_kind(), Some(HandshakeKind::Full));
    for n in 0..12 {
        let kind = open(&server, &client).conn.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Resumed), "connection {n}");
    }
    site.renew();
    reload(&server, "holds another certificate");
    assert_eq!(open(&server, &client).conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn tls_cannot_be_turned_on_or_off_by_a_reload() {
    let site = Site::new();
    let path = scratch_path("toml");
    let [_, certificate, _, key] = &site.flags()[..] else { panic!("four words") };
    let secure = format!("tls_cert = [\"{certificate}\"]\ntls_key = [\"{key}\"]\n");
    for (before, after) in [(secure.as_str(), ""), ("", secure.as_str())] {
        std::fs::write(&path, before).expect("a file can be written");
        let server = Server::start(&["--config", path.to_str().expect("the path is text")]);
        std::fs::write(&path, after).expect("a file can be written");
        reload(&server, "needs a restart");
        let asked = ["tls-cert", "tls-key"];
        for key in asked {
            let line = server.wait_for_log(&format!("reload: {key} "));
            assert!(line.contains("needs a restart"), "{line}");
        }
        if before.is_empty() {
            harness::RawClient::open(&server, "/echo").expect_echo("still in the clear");
        } else {
            open(&server, &site.client());
            // The same files again, and nothing has been forgotten meanwhile.
            std::fs::write(&path, before).expect("a file can be written");
            reload(&server, "nothing has changed");
        }
    }
}
