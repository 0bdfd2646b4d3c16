//! Whether a token is genuine, meant for us, and of now.
//! Not for where it stood, nor for what its claims allow.
//!
//! The algorithm is the key's own, and the key is chosen before the signature is looked at; so a
//! token that says `none`, or is signed by HMAC with the text of a public key, finds nothing here
//! that would take it (RFC 8725 sections 2.1 and 3.1).

use std::time::Duration;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::keys::{Algorithm, Key, KeyError, Keys};
use super::provider;
use crate::gate::Claims;

/// Why a token is refused. The texts are told to clients: they say nothing of the token itself, and
/// fit into a quoted string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the token is malformed")]
    Malformed,
    #[error("the header of the token is malformed, or names an unknown algorithm")]
    Header,
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    #[error("the signature of the token is wrong")]
    Signature,
    #[error("the token has a critical header that is not understood here")]
    Critical,
    #[error("the token has no exp, or no number in it")]
    NoExpiry,
    #[error("the nbf of the token is no number")]
    NotBefore,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Early,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token is from another issuer")]
    Issuer,
}

/// What tokens must satisfy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Demands<'a> {
    pub algorithm: Option<Algorithm>,
    pub audience: &'a [String],
    pub issuer: &'a [String],
    pub leeway: Duration,
}

/// Keys that are ready to check with.
pub(crate) struct Verifier {
    keys: Vec<Ready>,
    /// The keys are a set, of which a token names one.
    is_set: bool,
    leeway: Duration,
}

struct Ready {
    id: Option<String>,
    algorithm: jsonwebtoken::Algorithm,
    decoding: DecodingKey,
    validation: Validation,
}

impl Verifier {
    /// Checks with these keys.
    pub(crate) fn new(keys: &Keys, demands: &Demands<'_>) -> Result<Self, KeyError> {
        provider::install();
        let is_set = keys.source() == super::KeySource::KeySet;
        let keys = keys.usable(demands.algorithm)?;
        let keys = keys.into_iter().map(|key| Ready::new(key, demands)).collect();
        Ok(Verifier { keys, is_set, leeway: demands.leeway })
    }

    /// The claims of a token that is good at `now`, the time since 1970 began.
    pub(crate) fn verify(&self, token: &str, now: Duration) -> Result<Claims, Fault> {
        let header = decode_header(token).map_err(|error| match error.kind() {
            // `alg` is read into an enum, in which there is no `none`.
            ErrorKind::Json(_) => Fault::Header,
            _ => Fault::Malformed,
        })?;
        if header.crit.is_some() {
            return Err(Fault::Critical);
        }
        let key = self.key(&header)?;
        let data = decode::<Map<String, Value>>(token, &key.decoding, &key.validation)
            .map_err(|error| fault(&error))?;
        let all = data.claims;
        let expires = all.get("exp").and_then(numeric_date).ok_or(Fault::NoExpiry)?;
        if now >= expires.saturating_add(self.leeway) {
            return Err(Fault::Expired);
        }
        if let Some(not_before) = all.get("nbf") {
            let not_before = numeric_date(not_before).ok_or(Fault::NotBefore)?;
            if now.saturating_add(self.leeway) < not_before {
                return Err(Fault::Early);
            }
        }
        Ok(Claims::new(all, expires))
    }

    /// How long after a token's `exp` it is still good.
    pub(crate) fn leeway(&self) -> Duration {
        self.leeway
    }

    /// The key that a token is to be checked with, found before anything of it is believed.
    fn key(&self, header: &Header) -> Result<&Ready, Fault> {
        let mut named = self.keys.iter().filter(|key| match (&header.kid, self.keys.len()) {
            _ if !self.is_set => true,
            (None, count) => count == 1,
            (Some(_), _) => key.id == header.kid,
        });
        let mut is_known = false;
        let key = named.find(|key| {
            is_known = true;
            key.algorithm == header.alg
        });
        key.ok_or(if is_known { Fault::Algorithm } else { Fault::UnknownKey })
    }
}

impl Ready {
    fn new(key: Key, demands: &Demands<'_>) -> Self {
        let algorithm = key.algorithm.of_library();
        let mut validation = Validation::new(algorithm);
        // Times are compared in `verify`: the library takes a token in the very second of its
        // `exp`, rounds fractions, and reads a clock of its own.
        validation.validate_exp = false;
        validation.leeway = 0;
        let mut required = vec!["exp"];
        if !demands.audience.is_empty() {
            validation.set_audience(demands.audience);
            required.push("aud");
        }
        if !demands.issuer.is_empty() {
            validation.set_issuer(demands.issuer);
            required.push("iss");
        }
        // Else one that is missing would pass.
        validation.set_required_spec_claims(&required);
        Ready { id: key.id, algorithm, decoding: key.decoding, validation }
    }
}

fn fault(error: &Error) -> Fault {
    match error.kind() {
        ErrorKind::InvalidSignature => Fault::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Fault::Algorithm,
        ErrorKind::InvalidAudience => Fault::Audience,
        ErrorKind::InvalidIssuer => Fault::Issuer,
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "aud" => Fault::Audience,
            "iss" => Fault::Issuer,
            _ => Fault::NoExpiry,
        },
        _ => Fault::Malformed,
    }
}

/// A NumericDate (RFC 7519 section 2): seconds since 1970, perhaps with a fraction.
fn numeric_date(value: &Value) -> Option<Duration> {
    match value.as_u64() {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok(),
    }
}
