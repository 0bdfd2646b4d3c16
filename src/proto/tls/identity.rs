//! What the server shows to clients: its certificates, chosen by the name they ask for, and how it
//! speaks TLS with them. What a reload swaps.
//! Not for sessions: each takes the configuration that stands here when it begins, and keeps it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::{Certificate, Moment};

/// The one protocol that is spoken inside (RFC 7301): an upgrade needs HTTP/1.1, and a client that
/// also offers h2 must not be given that.
const ALPN: &[u8] = b"http/1.1";

/// A handle on what the server shows; clones show the same, before and after a reload.
#[derive(Clone)]
pub struct Identity(Arc<RwLock<Shown>>);

struct Shown {
    config: Arc<ServerConfig>,
    expires: Option<Moment>,
}

/// Why TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system gave no random numbers for the key of session tickets, or the like.
    #[error("TLS can't be set up: {0}; the system must have a source of random numbers")]
    Library(#[from] rustls::Error),
}

impl Identity {
    /// Shows these certificates: the first one where no other has the name that is asked for.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(certificates: &[Certificate]) -> Result<Self, IdentityError> {
        // One for all reactors: a client that comes back meets any of them.
        let shown = Shown::new(certificates, Ticketer::new()?)?;
        Ok(Identity(Arc::new(RwLock::new(shown))))
    }

    /// Shows what this configuration has.
    pub fn fixed(config: Arc<ServerConfig>) -> Self {
        Identity(Arc::new(RwLock::new(Shown { config, expires: None })))
    }

    /// What a connection that begins now uses to its end.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.read().config)
    }

    /// When the first of its certificates expires.
    pub fn expires(&self) -> Option<Moment> {
        self.read().expires
    }

    /// Shows others from now on. Who is connected stays, and the tickets that clients hold are
    /// still good.
    ///
    /// # Errors
    /// It still shows what it showed before.
    pub fn replace(&self, certificates: &[Certificate]) -> Result<(), IdentityError> {
        let ticketer = Arc::clone(&self.current().ticketer);
        let shown = Shown::new(certificates, ticketer)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Shown> {
        // Whole values are put in, so that one is whole whoever panicked.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires", &self.expires()).finish_non_exhaustive()
    }
}

impl Shown {
    fn new(
        certificates: &[Certificate],
        ticketer: Arc<dyn ProducesTickets>,
    ) -> Result<Self, IdentityError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByName::new(certificates)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = ticketer;
        // Tickets are all that is kept for a client that comes back, and the client keeps them.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Data that can be replayed by anyone on the way would open connections.
        config.max_early_data_size = 0;
        // Records as long as they may be: the kernel's buffers are what splits them.
        config.max_fragment_size = None;
        // A session that is open needs its keys and none of the library's buffers.
        super::prepare(&mut config);
        let expires = certificates.iter().map(|one| one.validity().not_after).min();
        Ok(Shown { config: Arc::new(config), expires })
    }
}

/// Chooses a certificate by the name that the client asks for (RFC 6066 section 3).
struct ByName {
    /// Each name, as certificates have it, with those that have it in the order they were given.
    names: BTreeMap<String, Vec<Arc<CertifiedKey>>>,
    default: Option<Arc<CertifiedKey>>,
}

impl ByName {
    fn new(certificates: &[Certificate]) -> Self {
        let mut names: BTreeMap<String, Vec<Arc<CertifiedKey>>> = BTreeMap::new();
        for certificate in certificates {
            for name in certificate.names() {
                let of_name = names.entry(name.clone()).or_default();
                of_name.push(Arc::clone(certificate.certified()));
            }
        }
        let default = certificates.first().map(|first| Arc::clone(first.certified()));
        ByName { names, default }
    }

    /// Those that have the name itself, else those that have it with `*` for its first label.
    fn of(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let name = name.to_ascii_lowercase();
        let by_name = self.names.get(name.as_str()).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.names.get(format!("*.{parent}").as_str())
        });
        by_name.map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of_name = hello.server_name().map_or(&[][..], |name| self.of(name));
        // A name may have keys of several kinds, for clients old and new.
        let schemes = hello.signature_schemes();
        let is_for_it = |one: &&Arc<CertifiedKey>| one.key.choose_scheme(schemes).is_some();
        of_name.iter().find(is_for_it).or(of_name.first()).or(self.default.as_ref()).cloned()
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{
        ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind,
        ProtocolVersion, ServerConnection, SignatureScheme, SupportedProtocolVersion,
    };

    use super::*;

    /// A certificate for these names, signed by its own key.
    fn certificate(names: &[&str], key: &KeyPair) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).expect("they are names");
        let chain = params.self_signed(key).expect("a certificate").pem();
        let key = key.serialize_pem();
        Certificate::from_pem(("cert", chain.as_bytes()), ("key", key.as_bytes())).expect("a pair")
    }

    fn of(names: &[&str]) -> Certificate {
        certificate(names, &KeyPair::generate().expect("a key"))
    }

    fn der(certificate: &Certificate) -> &CertificateDer<'static> {
        &certificate.certified().cert[0]
    }

    /// A client that takes any certificate, as only tests may.
    #[derive(Debug)]
    struct Anyone(Vec<SignatureScheme>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.clone()
        }
    }

    fn client_of(
        version: &'static SupportedProtocolVersion,
        schemes: Vec<SignatureScheme>,
    ) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider has it")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(schemes)))
            .with_no_client_auth()
    }

    fn client(version: &'static SupportedProtocolVersion) -> ClientConfig {
        client_of(version, vec![SignatureScheme::ECDSA_NISTP256_SHA256])
    }

    /// A handshake with the server by this name, and then what comes after it.
    fn shake(
        identity: &Identity,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> Result<ClientConnection, Error> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::clone(config), name)?;
        let mut server = ServerConnection::new(identity.current())?;
        while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("memory takes all");
            server.read_tls(&mut &wire[..]).expect("memory gives all");
            let verdict = server.process_new_packets();
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory takes all");
            }
            client.read_tls(&mut &wire[..]).expect("memory gives all");
            client.process_new_packets()?;
            verdict?;
        }
        Ok(client)
    }

    fn shown(client: &ClientConnection) -> &CertificateDer<'static> {
        client.peer_certificates().and_then(<[_]>::first).expect("a handshake shows one")
    }

    #[test]
    fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
        let first = of(&["first.example"]);
        let second = of(&["second.example", "*.wild.example"]);
        let exact = of(&["exact.wild.example"]);
        let all = [first.clone(), second.clone(), exact.clone()];
        let identity = Identity::new(&all).expect("random numbers");
        for version in [&TLS12, &TLS13] {
            let config = Arc::new(client(version));
            for (name, expected) in [
                ("first.example", &first),
                ("second.example", &second),
                ("SECOND.example", &second),
                ("any.wild.example", &second),
                ("exact.wild.example", &exact),
                // A star is one label and no more, and nobody has these.
                ("a.b.wild.example", &first),
                ("wild.example", &first),
                ("unknown.example", &first),
                // An address is not sent as a name.
                ("127.0.0.1", &first),
            ] {
                let client = shake(&identity, &config, name).expect(name);
                assert_eq!(shown(&client), der(expected), "{name} {version:?}");
            }
        }
    }

    #[test]
    fn of_two_for_one_name_the_client_gets_what_it_can_check() {
        let old = certificate(&["a.example"], &KeyPair::generate().expect("P-256"));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("P-384");
        let new = certificate(&["a.example"], &key);
        let identity = Identity::new(&[old.clone(), new.clone()]).expect("random numbers");
        for (scheme, expected) in [
            (SignatureScheme::ECDSA_NISTP256_SHA256, &old),
            (SignatureScheme::ECDSA_NISTP384_SHA384, &new),
        ] {
            let config = Arc::new(client_of(&TLS13, vec![scheme]));
            let client = shake(&identity, &config, "a.example").expect("there is one for it");
            assert_eq!(shown(&client), der(expected), "{scheme:?}");
        }
    }

    #[test]
    fn both_versions_are_spoken_and_http_1_1_is_all_that_is_inside() {
        let identity = Identity::new(&[of(&["a.example"])]).expect("random numbers");
        for (version, expected) in
            [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
        {
            let mut config = client(version);
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let both = shake(&identity, &Arc::new(config), "a.example").expect("one in common");
            assert_eq!(both.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(both.protocol_version(), Some(expected));

            let none =
                shake(&identity, &Arc::new(client(version)), "a.example").expect("no matter");
            assert_eq!(none.alpn_protocol(), None);

            let mut config = client(version);
            config.alpn_protocols = vec![b"h2".to_vec()];
            let refused =
                shake(&identity, &Arc::new(config), "a.example").expect_err("none in common");
            let alert = rustls::AlertDescription::NoApplicationProtocol;
            assert_eq!(refused, Error::AlertReceived(alert));
        }
    }

    #[test]
    fn a_reload_changes_what_newcomers_see_and_their_tickets_stay_good() {
        for version in [&TLS12, &TLS13] {
            let (old, new) = (of(&["a.example"]), of(&["a.example"]));
            let identity = Identity::new(std::slice::from_ref(&old)).expect("random numbers");
            let elsewhere = identity.clone();
            let returning = Arc::new(client(version));
            let first = shake(&identity, &returning, "a.example").expect("a full handshake");
            assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(shown(&first), der(&old));
            let begun = identity.current();

            identity.replace(std::slice::from_ref(&new)).expect("random numbers");
            let second = shake(&elsewhere, &returning, "a.example").expect("its ticket is good");
            assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
            let stranger = shake(&elsewhere, &Arc::new(client(version)), "a.example");
            assert_eq!(shown(&stranger.expect("a full handshake")), der(&new));
            assert!(
                !Arc::ptr_eq(&begun, &identity.current()),
                "who began before keeps what it has"
            );
        }
    }

    #[test]
    fn sessions_are_kept_by_clients_and_nothing_is_taken_early() {
        let identity = Identity::new(&[of(&["a.example"])]).expect("random numbers");
        let config = identity.current();
        assert!(!config.session_storage.can_cache(), "no memory for clients that may never return");
        assert!(config.ticketer.enabled());
        assert_eq!(config.max_early_data_size, 0);
        assert!(config.enable_secret_extraction);
        let other = Identity::new(&[of(&["a.example"])]).expect("random numbers");
        let returning = Arc::new(client(&TLS13));
        shake(&identity, &returning, "a.example").expect("a full handshake");
        let strange = shake(&other, &returning, "a.example").expect("a ticket of another server");
        assert_eq!(strange.handshake_kind(), Some(HandshakeKind::Full));
    }

    #[test]
    fn the_first_end_of_all_is_told() {
        assert_eq!(Identity::fixed(Identity::new(&[]).unwrap().current()).expires(), None);
        let mut params = CertificateParams::new(["b.example".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2031, 5, 6);
        let key = KeyPair::generate().expect("a key");
        let chain = params.self_signed(&key).expect("a certificate").pem();
        let pem = key.serialize_pem();
        let soon =
            Certificate::from_pem(("b", chain.as_bytes()), ("b", pem.as_bytes())).expect("both");
        let identity = Identity::new(&[of(&["a.example"]), soon]).expect("random numbers");
        let expires = identity.expires().expect("they end");
        assert_eq!(expires.to_string(), "2031-05-06 00:00:00 UTC");
        assert!(format!("{identity:?}").contains("expires"));
    }

    #[test]
    fn a_server_without_certificates_refuses_and_does_not_panic() {
        let identity = Identity::new(&[]).expect("random numbers");
        assert!(shake(&identity, &Arc::new(client(&TLS13)), "a.example").is_err());
    }
}
