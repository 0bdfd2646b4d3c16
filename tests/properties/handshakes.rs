//! TLS handshakes: hellos of a real client with slips, and noise.
//! Not what must come of them: `bodies::tls_handshake` says that.

use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::bodies;

/// What a client sends first.
static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("it is a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory takes all");
    hello
});

/// A hello with slips, cut into records that may be short.
fn hello() -> impl Strategy<Value = Vec<u8>> {
    let slips = vec((any::<prop::sample::Index>(), 0..3, any::<u8>()), 0..4);
    (slips, vec(1usize..400, 0..4), any::<bool>()).prop_map(|(slips, cuts, again)| {
        let mut message = HELLO[5..].to_vec();
        for (at, how, byte) in slips {
            let at = at.index(message.len());
            match how {
                0 => message[at] = byte,
                1 => message.insert(at, byte),
                _ => drop(message.remove(at)),
            }
        }
        let mut records = Vec::new();
        let mut rest = &message[..];
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            records.extend([22, 3, 1, (now.len() >> 8) as u8, now.len() as u8]);
            records.extend(now);
            rest = later;
        }
        if again {
            records.extend(records.clone());
        }
        records
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn hellos_with_slips_are_judged_alike_wherever_they_are_cut(
        cut in any::<[u8; 2]>(), hello in hello(),
    ) {
        bodies::tls_handshake::run(&[&cut[..], &hello].concat());
    }

    #[test]
    fn noise_in_records_is_refused_or_waited_for_within_its_limit(
        cut in any::<[u8; 2]>(), kind in 18u8..26, noise in vec(any::<u8>(), 0..300),
    ) {
        bodies::tls_handshake::run(&[&cut[..], &[kind, 3, 1, 0], &noise].concat());
    }
}
