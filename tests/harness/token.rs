//! Tokens and keys to test with, made here by hand.
//! Not by the library that the server checks them with; clients of other makers bring more kinds.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::scratch_path;

/// Who signs.
pub enum Signer {
    /// HS256 with this secret.
    Secret(Vec<u8>),
    /// ES256.
    P256(EcdsaKeyPair),
    /// EdDSA.
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// HS256 with a secret of 40 letters.
    pub fn secret() -> Self {
        Signer::Secret((0..40).map(|_| fastrand::alphanumeric() as u8).collect())
    }

    /// A new key for ES256.
    pub fn p256() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key can be made");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
        Signer::P256(pair.expect("it is a key"))
    }

    /// A new key for EdDSA.
    pub fn ed25519() -> Self {
        let pkcs8 =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key can be made");
        Signer::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("it is a key"))
    }

    /// What the signer calls its algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Signer::Secret(_) => "HS256",
            Signer::P256(_) => "ES256",
            Signer::Ed25519(_) => "EdDSA",
        }
    }

    /// A token with these claims, and more in its header than `alg` (such as `,"kid":"a"`).
    pub fn sign_with(&self, header: &str, claims: &serde_json::Value) -> String {
        let header = format!("{{\"alg\":\"{}\"{header}}}", self.algorithm());
        let claims = claims.to_string();
        let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
        let signature = match self {
            Signer::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                base64(hmac::sign(&key, message.as_bytes()).as_ref())
            }
            Signer::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message.as_bytes());
                base64(signature.expect("it can sign").as_ref())
            }
            Signer::Ed25519(pair) => base64(pair.sign(message.as_bytes()).as_ref()),
        };
        format!("{message}.{signature}")
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &serde_json::Value) -> String {
        self.sign_with("", claims)
    }

    /// The key as a member of a JWK set, under this `kid`.
    pub fn jwk(&self, kid: &str) -> String {
        match self {
            Signer::Secret(secret) => {
                format!("{{\"kty\":\"oct\",\"kid\":\"{kid}\",\"k\":\"{}\"}}", base64(secret))
            }
            Signer::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
                format!(
                    "{{\"kty\":\"EC\",\"kid\":\"{kid}\",\"crv\":\"P-256\",\"x\":\"{x}\",\
                     \"y\":\"{y}\"}}"
                )
            }
            Signer::Ed25519(pair) => {
                let x = base64(pair.public_key().as_ref());
                format!("{{\"kty\":\"OKP\",\"kid\":\"{kid}\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}")
            }
        }
    }

    /// A file with the secret, which nobody else may read.
    pub fn secret_file(&self) -> String {
        let Signer::Secret(secret) = self else { panic!("it has no secret") };
        write_private(&scratch_path("secret"), secret)
    }
}

/// A JWK set.
pub fn jwk_set(keys: &[String]) -> String {
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

/// Writes a file that nobody else may read; its name.
pub fn write_private(path: &PathBuf, content: &[u8]) -> String {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).expect("a scratch file can be written");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("a file of ours can be closed to others");
    path.to_str().expect("the path is text").to_owned()
}

/// Seconds since 1970, now and `later`.
pub fn in_seconds(later: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    now.as_secs() + later
}

/// Base64 for URLs, without padding (RFC 4648 section 5).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group = [0, 1, 2].map(|i: usize| u32::from(three.get(i).copied().unwrap_or(0)));
        let bits = group[0] << 16 | group[1] << 8 | group[2];
        for digit in 0..=three.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}
