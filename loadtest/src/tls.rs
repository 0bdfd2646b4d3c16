//! TLS as a run uses it: whom to trust, which name to ask for, and in words what went wrong.
//! Not the records of a connection; those are `generator::session`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use crate::args::Security;
use crate::error::Failure;

/// What to do about a certificate that does not pass.
const REMEDY: &str = "--tls-ca FILE trusts its issuer, --insecure takes any certificate";

/// How all connections of a run do TLS.
///
/// They share one configuration, and with it the tickets that servers give out: a connection opened
/// after another one has received its tickets resumes that session, as a client's would.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Resolves what was typed, for connections to `host` that speak HTTP first (`http`) or not.
    ///
    /// Trusts the system's own roots, not a list compiled in: servers under test often have a
    /// certificate of a private authority, which the machine knows and a list of public ones can't.
    /// Fails with [`Failure::Usage`] where there is nobody to trust.
    pub fn resolve(flags: &Security, host: &str, http: bool) -> Result<Tls, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::Usage(format!("{host} is no name that TLS could ask for")))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers for TLS 1.2 and 1.3");
        let mut config = if flags.insecure {
            let anything = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(anything).with_no_client_auth()
        } else {
            let roots = match &flags.tls_ca {
                Some(file) => roots_of(file)?,
                None => system_roots()?,
            };
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        if http {
            // Else a server that also speaks HTTP/2 might choose that, which can't be upgraded.
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        Ok(Tls { config: Arc::new(config), name })
    }

    /// The client's side of one more connection.
    pub fn session(&self) -> Result<ClientConnection, Error> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore, Failure> {
    let wrong =
        |why: &dyn fmt::Display| Failure::Usage(format!("--tls-ca {}: {why}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"no certificate in it"));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry certificates too old to parse; the others still serve.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(Failure::Usage(format!(
            "this system has no trusted certificates{why}; {REMEDY}"
        )));
    }
    Ok(roots)
}

/// What ended a TLS session, for the operator.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(flaw) => {
            format!("the server's certificate {}; {REMEDY}", flaw_in_words(flaw))
        }
        Error::AlertReceived(alert) => format!("the server ended TLS with the alert {alert:?}"),
        Error::PeerIncompatible(why) => {
            format!("no version or cipher of TLS in common with the server ({why:?})")
        }
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => {
            format!("what came is not TLS ({error}); does the server speak TLS there?")
        }
        other => format!("TLS: {other}"),
    }
}

fn flaw_in_words(flaw: &CertificateError) -> String {
    match flaw {
        CertificateError::UnknownIssuer => "is not signed by anyone trusted here".to_owned(),
        CertificateError::NotValidForName => "is for another host name".to_owned(),
        CertificateError::NotValidForNameContext { expected, .. } => {
            format!("is not valid for the host {}", expected.to_str())
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::Revoked => "is revoked".to_owned(),
        CertificateError::BadSignature => "is not signed by the authority that it names".to_owned(),
        other => format!("does not pass ({other})"),
    }
}

/// `--insecure`: lets every certificate pass, and with it whoever shows it. The handshake's other
/// parts, and so its cost to the server, are the same.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
