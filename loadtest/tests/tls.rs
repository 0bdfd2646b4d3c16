//! Drives the real binary against servers that speak TLS, with certificates made for each test.
//! Not the certificates' cryptography, which is rustls's: only what the tool makes of it.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use harness::server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion, version,
};
use serde_json::Value;

const SHORT: &str = "--warmup 50ms --duration 300ms";

/// A certificate authority of the test's own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    /// A new one, known to nobody; its certificate is in `file`, named after the test.
    fn new(test: &str) -> Authority {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority::of(test, params)
    }

    fn of(test: &str, mut params: CertificateParams) -> Authority {
        params.distinguished_name.push(DnType::CommonName, test);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.pem"));
        std::fs::write(&file, issuer.pem()).expect("a file");
        Authority { issuer, file }
    }

    fn flag(&self) -> String {
        format!("--tls-ca {}", self.file.display())
    }

    /// A server's configuration with a certificate for `host`.
    fn config(
        &self,
        host: &str,
        version: &'static SupportedProtocolVersion,
        change: impl Fn(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        server_config(version, certificate.der().clone(), key)
    }
}

fn server_config(
    version: &'static SupportedProtocolVersion,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version of the provider")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a key that fits"))
}

/// What a server saw of a connection that it has served to its end.
#[derive(Debug)]
struct Life {
    /// It resumed the session of an earlier one.
    resumed: bool,
    /// It ended with a close_notify.
    farewell: bool,
}

type Secure = StreamOwned<ServerConnection, TcpStream>;

fn tls_server(config: Arc<ServerConfig>, serve: fn(&mut Secure)) -> (SocketAddr, Receiver<Life>) {
    let (lives, seen) = mpsc::channel();
    let address = server(move |socket| {
        socket.set_nodelay(true).expect("a TCP socket");
        let connection = ServerConnection::new(Arc::clone(&config)).expect("a good configuration");
        let mut stream = StreamOwned::new(connection, socket);
        serve(&mut stream);
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        stream.conn.send_close_notify();
        let _ = stream.flush();
        // A bare end of the TCP stream would be an error here.
        let farewell = stream.read(&mut [0; 64]).is_ok_and(|n| n == 0);
        // Not every test looks.
        let _ = lives.send(Life { resumed, farewell });
    });
    (address, seen)
}

fn websocket_echo(stream: &mut Secure) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}

fn byte_echo(stream: &mut Secure) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// The binary, on a system that trusts only `trusted`.
fn loadtest(line: &str, trusted: &Authority) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"));
    command.args(line.split_whitespace()).arg("--quiet");
    command.env("SSL_CERT_FILE", &trusted.file).env_remove("SSL_CERT_DIR");
    command.output().expect("the binary runs")
}

/// Runs to the end without errors and returns the JSON report.
fn report(line: &str, trusted: &Authority) -> Value {
    let output = loadtest(&format!("{line} --output json"), trusted);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    });
    assert_eq!(report["errors"]["total"], 0, "{line}: {report}");
    report
}

/// Runs into a failure and returns the one line that tells of it.
fn complaint(line: &str, trusted: &Authority) -> String {
    let output = loadtest(&format!("{line} {SHORT} -c 3"), trusted);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{line}: {said}");
    assert_eq!(said.lines().count(), 1, "{line}: {said}");
    said
}

#[test]
fn echo_is_verified_over_both_versions_of_tls() {
    let authority = Authority::new("both-versions");
    for version in [&version::TLS12, &version::TLS13] {
        let config = authority.config("localhost", version, |_| {});
        let (websocket, _) = tls_server(Arc::clone(&config), websocket_echo);
        let (bytes, _) = tls_server(config, byte_echo);
        for url in [
            format!("wss://localhost:{}/", websocket.port()),
            format!("ws://localhost:{}/ --tls", websocket.port()),
            format!("tcp://localhost:{} --tls", bytes.port()),
        ] {
            for shape in ["--size 20", "--size 100KiB", "--size 100KiB --pipeline 8 --binary"] {
                let line = format!("echo --url {url} {} -c 4 {shape} {SHORT}", authority.flag());
                let report = report(&line, &authority);
                assert_eq!(report["connections"], 4, "{line}: {report}");
                assert!(report["messages_total"].as_u64() > Some(0), "{line}: {report}");
            }
        }
    }
}

#[test]
fn a_certificate_must_be_trusted_unless_any_will_do() {
    let (authority, other) = (Authority::new("unknown"), Authority::new("somebody-else"));
    let config = authority.config("localhost", &version::TLS13, |_| {});
    let (address, _) = tls_server(config, websocket_echo);
    let url = format!("echo --url wss://localhost:{}/", address.port());
    for line in [url.clone(), format!("{url} {}", other.flag())] {
        let said = complaint(&line, &other);
        for words in ["not signed by anyone trusted", "--insecure", "--tls-ca"] {
            assert!(said.contains(words), "{said}");
        }
    }
    report(&format!("{url} --insecure {SHORT}"), &other);
    report(&format!("{url} {} {SHORT}", authority.flag()), &other);
    report(&format!("{url} {SHORT}"), &authority);
}

#[test]
fn a_certificate_that_signs_itself_may_be_listed_by_itself() {
    let unrelated = Authority::new("unrelated");
    // As `openssl req -x509` makes them: a server's, and an authority's at the same time.
    for (test, is_ca) in
        [("own-issuer-ca", IsCa::Ca(BasicConstraints::Unconstrained)), ("own-issuer", IsCa::NoCa)]
    {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.is_ca = is_ca;
        let itself = Authority::of(test, params);
        let key = PrivateKeyDer::try_from(itself.issuer.key().serialize_der()).expect("a key");
        let config = server_config(&version::TLS13, itself.issuer.der().clone(), key);
        let (address, _) = tls_server(config, websocket_echo);
        let url = format!("echo --url wss://localhost:{}/", address.port());
        report(&format!("{url} {} {SHORT}", itself.flag()), &unrelated);
        let said = complaint(&url, &unrelated);
        assert!(said.contains("trusted here"), "{said}");
        let elsewhere = format!("echo --url wss://{address}/ {}", itself.flag());
        let said = complaint(&elsewhere, &unrelated);
        assert!(said.contains("not valid for the host 127.0.0.1"), "{said}");
    }
}

#[test]
fn the_check_that_fails_is_named() {
    let authority = Authority::new("checks");
    let elsewhere = authority.config("other.example", &version::TLS12, |_| {});
    let expired = authority.config("localhost", &version::TLS13, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    for (config, words) in [(elsewhere, "not valid for the host localhost"), (expired, "expired")] {
        let (address, _) = tls_server(config, websocket_echo);
        let url = format!("echo --url wss://localhost:{}/", address.port());
        let said = complaint(&url, &authority);
        assert!(said.contains(words) && said.contains("--insecure"), "{said}");
        report(&format!("{url} --insecure {SHORT}"), &authority);
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_recognised_and_one_that_does_too() {
    let authority = Authority::new("no-tls");
    let refuses = server(|stream| drop(tungstenite::accept(stream)));
    let hangs_up = server(|mut stream| drop(stream.read(&mut [0; 4096])));
    let echoes = server(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            let _ = stream.write_all(&buffer[..length]);
        }
    });
    let answers = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    let silent = server(|mut stream| while let Ok(1..) = stream.read(&mut [0; 4096]) {});
    for address in [refuses, hangs_up, echoes, answers, silent] {
        let line = format!("echo --url wss://{address}/ --insecure --connect-timeout 300ms");
        let said = complaint(&line, &authority);
        assert!(said.contains("does the server speak TLS there?"), "{said}");
    }
    let config = authority.config("localhost", &version::TLS13, |_| {});
    let (address, _) = tls_server(config, websocket_echo);
    let said = complaint(&format!("echo --url ws://{address}/"), &authority);
    assert!(said.contains("wss://"), "{said}");
}

#[test]
fn connections_take_leave_and_later_ones_resume() {
    let authority = Authority::new("leave");
    let config = authority.config("localhost", &version::TLS13, |_| {});
    let (address, seen) = tls_server(config, websocket_echo);
    let line = format!(
        "lifecycle --url wss://localhost:{}/ {} -c 6 --bulk 2 --bulk-size 200KiB --pause 50ms {SHORT}",
        address.port(),
        authority.flag()
    );
    report(&line, &authority);
    let end = || seen.recv_timeout(Duration::from_secs(10)).expect("another connection's end");
    let seen: Vec<Life> = (0..12).map(|_| end()).collect();
    assert!(seen.iter().all(|life| life.farewell), "{seen:?}");
    assert!(seen.iter().any(|life| life.resumed), "{seen:?}");
}
