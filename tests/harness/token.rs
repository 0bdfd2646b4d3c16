//! Tokens and keys to test with, made here by hand.
//! Not by the library that the server checks them with; clients of other makers bring more kinds.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};

use super::scratch_path;

/// Who signs.
pub enum Signer {
    /// HS256 with this secret.
    Secret(Vec<u8>),
    /// HS384 or HS512, and the secret.
    Hmac(&'static str, hmac::Key),
    /// RS256.
    Rsa(RsaKeyPair),
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

    /// HS384 or HS512 with this secret.
    pub fn hmac(algorithm: &'static str, secret: &[u8]) -> Self {
        let hash = if algorithm == "HS384" { hmac::HMAC_SHA384 } else { hmac::HMAC_SHA512 };
        Signer::Hmac(algorithm, hmac::Key::new(hash, secret))
    }

    /// A key for RS256 that was made for these tests; to make one each time would take too long.
    pub fn rsa() -> Self {
        let pair = RsaKeyPair::from_pkcs8(include_bytes!("rsa.pk8"));
        Signer::Rsa(pair.expect("it is a key"))
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
            Signer::Hmac(algorithm, _) => algorithm,
            Signer::Rsa(_) => "RS256",
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
            Signer::Hmac(_, key) => base64(hmac::sign(key, message.as_bytes()).as_ref()),
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let (random, message) = (SystemRandom::new(), message.as_bytes());
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.expect("it can sign");
                base64(&signature)
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
            Signer::Hmac(..) | Signer::Rsa(_) => panic!("it is given by a file of its own"),
            Signer::Ed25519(pair) => {
                let x = base64(pair.public_key().as_ref());
                format!("{{\"kty\":\"OKP\",\"kid\":\"{kid}\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}")
            }
        }
    }

    /// The public key in PEM: an algorithm, and the key as it is signed with (RFC 5280 section 4.1).
    pub fn public_pem(&self) -> String {
        let (algorithm, key): (&[u8], &[u8]) = match self {
            Signer::Rsa(pair) => (
                b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\
                  \x03\x82\x01\x0f\x00",
                pair.public_key().as_ref(),
            ),
            Signer::P256(pair) => (
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\
                  \x3d\x03\x01\x07\x03\x42\x00",
                pair.public_key().as_ref(),
            ),
            Signer::Ed25519(pair) => {
                (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", pair.public_key().as_ref())
            }
            Signer::Secret(_) | Signer::Hmac(..) => panic!("it has no public key"),
        };
        let text = base64(&[algorithm, key].concat()).replace('-', "+").replace('_', "/");
        let padding = "=".repeat((4 - text.len() % 4) % 4);
        format!("-----BEGIN PUBLIC KEY-----\n{text}{padding}\n-----END PUBLIC KEY-----\n")
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
