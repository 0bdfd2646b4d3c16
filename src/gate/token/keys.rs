//! What tokens are checked with: a secret, a public key, or a set of them. Never shown.
//! Not for reading files, which `config` does; here are their bytes.

use std::fmt;

use jsonwebtoken::DecodingKey;

use super::jwks;

/// An algorithm that tokens may be signed with (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its name says in the RFC")]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    /// Its name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Bytes that a secret for it must have: as many as its hash (RFC 7518 section 3.2). `None` for
    /// one that has no secret.
    pub const fn shortest_secret(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            Self::Rs256 | Self::Es256 | Self::EdDsa => None,
        }
    }

    pub(super) const fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// A secret that is easier to guess than the hash is to break.
    #[error("a secret of {has} bytes is too short for {algorithm}, which needs {needs}")]
    ShortSecret {
        /// Its length in bytes.
        has: usize,
        /// The least that the algorithm takes.
        needs: usize,
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// No PEM, or of something else than a public key.
    #[error("it holds no public key in PEM")]
    NoPublicKey,
    /// A key that must not lie on a server which only checks.
    #[error("it holds a private key")]
    PrivateKey,
    /// The same, in a set.
    #[error("its key with the kid {kid:?} is a private one")]
    PrivateJwk {
        /// Its `kid`.
        kid: String,
    },
    /// A kind of key that is not supported.
    #[error("the key is none of RSA with 2048 to 8192 bits, P-256 and Ed25519")]
    Unsupported,
    /// No JWK set.
    #[error("it is no JWK set: {0}")]
    NotASet(String),
    /// A set without a key that could be used.
    #[error("none of its keys can be used")]
    NoUsableKey,
    /// Two keys that a token can't tell apart.
    #[error("two of its keys for {algorithm} have the kid {kid:?}")]
    SameId {
        /// Their `kid`.
        kid: String,
        /// Their algorithm.
        algorithm: Algorithm,
    },
    /// The algorithm that was configured is not the key's.
    #[error("the key is for {key}, not for {asked}")]
    OtherAlgorithm {
        /// The key's own.
        key: Algorithm,
        /// The configured one.
        asked: Algorithm,
    },
    /// A secret was given, and an algorithm that has none; or the other way round.
    #[error("a secret is not for {0}")]
    NotForSecrets(Algorithm),
}

impl KeyError {
    /// What the operator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Empty | Self::ShortSecret { .. } => {
                "make one with `openssl rand -base64 64 | tr -d '\\n'`"
            }
            Self::NoPublicKey | Self::Unsupported => {
                "write one with `openssl pkey -in KEY -pubout`"
            }
            Self::PrivateKey => {
                "leave that with who signs, and write the public one with `openssl pkey -in KEY \
                 -pubout`"
            }
            Self::PrivateJwk { .. } => "leave d, p, q and the like with who signs",
            Self::NotASet(_) => "write {\"keys\": [...]} as in RFC 7517",
            Self::NoUsableKey => "there must be one for RS256, ES256, EdDSA or HS256",
            Self::SameId { .. } => "give each a kid of its own",
            Self::OtherAlgorithm { .. } | Self::NotForSecrets(_) => {
                "set jwt-algorithm to auto, or give another key"
            }
        }
    }
}

/// One key, and the only algorithm that it is used with.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The keys of one source.
#[derive(Clone)]
pub struct Keys {
    kind: Kind,
    /// What it was read from, to see whether another reading differs.
    bytes: Vec<u8>,
}

#[derive(Clone)]
enum Kind {
    Secret,
    Public(Box<Key>),
    Set { keys: Vec<Key>, remarks: Vec<String> },
}

/// Where keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A secret that the signer has too.
    Secret,
    /// One public key.
    PublicKey,
    /// A set of public keys.
    KeySet,
}

impl Keys {
    /// A secret for HS256, HS384 or HS512. One line end at its end is not part of it.
    ///
    /// # Errors
    /// It is empty. That it is long enough is judged with the algorithm.
    pub fn secret(bytes: &[u8]) -> Result<Self, KeyError> {
        let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Keys { kind: Kind::Secret, bytes: secret.to_vec() })
    }

    /// A public key in PEM: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA.
    ///
    /// # Errors
    /// It is none of those.
    pub fn public_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(pem).map_err(|_| KeyError::NoPublicKey)?;
        if text.trim().is_empty() {
            return Err(KeyError::Empty);
        }
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::PrivateKey);
        }
        if text.matches("-----BEGIN ").count() != 1 || text.contains("-----BEGIN CERTIFICATE") {
            return Err(KeyError::NoPublicKey);
        }
        let (algorithm, decoding) = [
            (Algorithm::Es256, DecodingKey::from_ec_pem(pem)),
            (Algorithm::EdDsa, DecodingKey::from_ed_pem(pem)),
            (Algorithm::Rs256, DecodingKey::from_rsa_pem(pem)),
        ]
        .into_iter()
        .find_map(|(algorithm, key)| Some((algorithm, key.ok()?)))
        .ok_or(KeyError::NoPublicKey)?;
        let key = Key::new(None, algorithm, decoding).ok_or(KeyError::Unsupported)?;
        Ok(Keys { kind: Kind::Public(Box::new(key)), bytes: pem.to_vec() })
    }

    /// A JWK set (RFC 7517 section 5). Keys for encryption, and of kinds that are not supported,
    /// are passed over; see [`remarks`](Self::remarks).
    ///
    /// # Errors
    /// It is no set, or has no key that can be used.
    pub fn jwk_set(json: &[u8]) -> Result<Self, KeyError> {
        let (keys, remarks) = jwks::read(json)?;
        Ok(Keys { kind: Kind::Set { keys, remarks }, bytes: json.to_vec() })
    }

    /// Which kind of source they come from.
    pub fn source(&self) -> KeySource {
        match &self.kind {
            Kind::Secret => KeySource::Secret,
            Kind::Public(_) => KeySource::PublicKey,
            Kind::Set { .. } => KeySource::KeySet,
        }
    }

    /// Whether anyone who reads them can sign.
    pub fn are_secret(&self) -> bool {
        match &self.kind {
            Kind::Secret => true,
            Kind::Public(_) => false,
            Kind::Set { keys, .. } => {
                keys.iter().any(|key| key.algorithm.shortest_secret().is_some())
            }
        }
    }

    /// Keys that were passed over and why, a line each.
    pub fn remarks(&self) -> &[String] {
        match &self.kind {
            Kind::Set { remarks, .. } => remarks,
            Kind::Secret | Kind::Public(_) => &[],
        }
    }

    /// The keys to check with, where tokens must be signed with `asked`; `None` for what suits the
    /// key: HS256 for a secret.
    pub(super) fn usable(&self, asked: Option<Algorithm>) -> Result<Vec<Key>, KeyError> {
        match &self.kind {
            Kind::Secret => {
                let algorithm = asked.unwrap_or(Algorithm::Hs256);
                let needs =
                    algorithm.shortest_secret().ok_or(KeyError::NotForSecrets(algorithm))?;
                let has = self.bytes.len();
                if has < needs {
                    return Err(KeyError::ShortSecret { has, needs, algorithm });
                }
                let decoding = DecodingKey::from_secret(&self.bytes);
                Ok(vec![Key { id: None, algorithm, decoding }])
            }
            Kind::Public(key) => match asked {
                Some(asked) if asked != key.algorithm => {
                    Err(KeyError::OtherAlgorithm { key: key.algorithm, asked })
                }
                _ => Ok(vec![Key::clone(key)]),
            },
            Kind::Set { keys, .. } => {
                let is_asked = |key: &&Key| asked.is_none_or(|asked| key.algorithm == asked);
                let keys: Vec<Key> = keys.iter().filter(is_asked).cloned().collect();
                if keys.is_empty() { Err(KeyError::NoUsableKey) } else { Ok(keys) }
            }
        }
    }

    /// Whether they can check tokens that are signed with `asked`.
    ///
    /// # Errors
    /// The secret is too short, or the keys are for something else.
    pub fn check(&self, asked: Option<Algorithm>) -> Result<(), KeyError> {
        self.usable(asked).map(|_| ())
    }
}

impl Key {
    /// A key, if it has the size that its algorithm wants.
    pub(super) fn new(
        id: Option<String>,
        algorithm: Algorithm,
        decoding: DecodingKey,
    ) -> Option<Self> {
        use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        // 2048 to 8192 bits, and what stands around them in DER: tags, lengths, the exponent.
        const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
        const DER: std::ops::RangeInclusive<usize> = 266..=1044;
        let fits = match (algorithm, decoding.kind()) {
            (Algorithm::Rs256, RsaModulusExponent { n, e }) => {
                let n = n.iter().skip_while(|byte| **byte == 0).count();
                MODULUS.contains(&n) && !e.is_empty()
            }
            (Algorithm::Rs256, SecretOrDer(der)) => DER.contains(&der.len()),
            (Algorithm::Es256, SecretOrDer(point)) => {
                point.len() == 65 && point.first() == Some(&4)
            }
            (Algorithm::EdDsa, SecretOrDer(point)) => point.len() == 32,
            (_, SecretOrDer(secret)) => {
                algorithm.shortest_secret().is_some_and(|needs| secret.len() >= needs)
            }
            (_, RsaModulusExponent { .. }) => false,
        };
        fits.then_some(Key { id, algorithm, decoding })
    }
}

/// Equal if they were read from the same.
impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source() && self.bytes == other.bytes
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({self})")
    }
}

/// Says what kind of keys there are, and of a set which; nothing that is secret.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Secret => f.write_str("redacted"),
            Kind::Public(key) => write!(f, "a key for {}", key.algorithm),
            Kind::Set { keys, .. } => {
                for (n, key) in keys.iter().enumerate() {
                    let id = key.id.as_deref().unwrap_or("without kid").escape_debug();
                    write!(f, "{}{id} ({})", if n > 0 { ", " } else { "" }, key.algorithm)?;
                }
                Ok(())
            }
        }
    }
}
