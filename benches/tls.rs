//! An echo under TLS 1.3: a record opened and its answer sealed, by a session and by rustls alone.
//! Not the network's part, nor the client's: those are not timed.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulsewheel::proto::tls::{Session, prepare};
use ring::aead::{AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite,
};

const SUITES: [(&str, SupportedCipherSuite); 3] = [
    ("AES-128-GCM", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("AES-256-GCM", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("ChaCha20-Poly1305", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
];

const LENGTHS: [usize; 3] = [20, 1024, 16 * 1024];

fn ends(suite: SupportedCipherSuite) -> (Arc<ServerConfig>, ClientConnection) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
    let provider = Arc::new(provider);
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    prepare(&mut server);
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    (Arc::new(server), ClientConnection::new(Arc::new(client), name).unwrap())
}

fn outgoing(client: &mut ClientConnection) -> Vec<u8> {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    wire
}

fn incoming(client: &mut ClientConnection, mut wire: &[u8]) {
    while !wire.is_empty() {
        client.read_tls(&mut wire).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// The time of so many echoes; `echo` is given a record.
fn echoes(
    client: &mut ClientConnection,
    payload: &[u8],
    rounds: u64,
    mut echo: impl FnMut(&mut [u8]),
) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        client.writer().write_all(payload).unwrap();
        let mut wire = outgoing(client);
        let begun = Instant::now();
        echo(&mut wire);
        took += begun.elapsed();
    }
    took
}

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("tls_echo");
    for (name, suite) in SUITES {
        for length in LENGTHS {
            let payload = vec![7; length];
            group.throughput(Throughput::Bytes(length as u64));
            let id = BenchmarkId::new(format!("{name} session"), length);
            group.bench_function(id, |b| {
                let (server, mut client) = ends(suite);
                let (mut session, mut held) = (Session::default(), Vec::new());
                while client.is_handshaking() || session.is_shaking() {
                    let mut wire = outgoing(&mut client);
                    let out = session.unseal(&mut held, &mut wire, || Arc::clone(&server), || true);
                    incoming(&mut client, &out.wire);
                }
                let mut sealed = Vec::new();
                b.iter_custom(|rounds| {
                    echoes(&mut client, &payload, rounds, |wire| {
                        let out = session.unseal(&mut held, wire, || Arc::clone(&server), || true);
                        sealed.clear();
                        session.seal([&wire[out.plain]], &mut sealed).unwrap();
                        black_box(&sealed);
                    })
                });
            });
            let id = BenchmarkId::new(format!("{name} rustls"), length);
            group.bench_function(id, |b| {
                let (config, mut client) = ends(suite);
                let mut server = ServerConnection::new(config).unwrap();
                while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
                    server.read_tls(&mut &outgoing(&mut client)[..]).unwrap();
                    server.process_new_packets().unwrap();
                    let mut wire = Vec::new();
                    while server.wants_write() {
                        server.write_tls(&mut wire).unwrap();
                    }
                    incoming(&mut client, &wire);
                }
                let (mut plain, mut sealed) = (vec![0; 32 * 1024], Vec::new());
                b.iter_custom(|rounds| {
                    echoes(&mut client, &payload, rounds, |wire| {
                        let mut wire = &wire[..];
                        while !wire.is_empty() {
                            server.read_tls(&mut wire).unwrap();
                            server.process_new_packets().unwrap();
                        }
                        let mut length = 0;
                        while let Ok(n) = server.reader().read(&mut plain[length..]) {
                            length += n;
                        }
                        server.writer().write_all(&plain[..length]).unwrap();
                        sealed.clear();
                        while server.wants_write() {
                            server.write_tls(&mut sealed).unwrap();
                        }
                        black_box(&sealed);
                    })
                });
            });
        }
    }
    group.finish();
}

/// What it costs to make a bare key ready, which a session does for each burst.
fn ready(c: &mut Criterion) {
    let algorithms: [(&str, &'static Algorithm); 3] = [
        ("AES-128-GCM", &AES_128_GCM),
        ("AES-256-GCM", &AES_256_GCM),
        ("ChaCha20-Poly1305", &CHACHA20_POLY1305),
    ];
    for (name, algorithm) in algorithms {
        let bytes = vec![7; algorithm.key_len()];
        c.bench_function(&format!("tls_key_ready/{name}"), |b| {
            b.iter(|| LessSafeKey::new(UnboundKey::new(algorithm, black_box(&bytes)).unwrap()));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = ready, echo
}
criterion_main!(benches);
