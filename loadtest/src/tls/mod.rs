//! TLS as a run uses it: whom to trust, which name to ask for, and in words what went wrong.
//! Not the records of a connection; those are `generator::session`.

mod trust;

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection, Error};

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
    /// Fails with [`Failure::Usage`] where there is nobody to trust.
    pub fn resolve(flags: &Security, host: &str, http: bool) -> Result<Tls, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::Usage(format!("{host} is no name that TLS could ask for")))?;
        let provider = Arc::new(ring::default_provider());
        let verifier = trust::verifier(flags, &provider)?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
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
        // What the verifier says of a certificate that is its own issuer, as made for a try.
        CertificateError::Other(why) if why.to_string().contains("CaUsedAsEndEntity") => {
            "is its own issuer, and that is not trusted here".to_owned()
        }
        other => format!("does not pass ({other})"),
    }
}
