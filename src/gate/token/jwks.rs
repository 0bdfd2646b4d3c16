//! A set of keys as identity providers publish it (RFC 7517), each pinned to one algorithm.
//! Not for fetching it: whoever rotates keys writes the file and sends SIGHUP.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use serde_json::Value;

use super::keys::{Algorithm, Key, KeyError};

/// More keys than this are no set that anyone rotates; they are searched one by one.
const MOST_KEYS: usize = 100;

/// The keys that can be used, and why others can't, a line each.
pub(super) fn read(json: &[u8]) -> Result<(Vec<Key>, Vec<String>), KeyError> {
    if json.trim_ascii().is_empty() {
        return Err(KeyError::Empty);
    }
    let set: Value = serde_json::from_slice(json).map_err(|error| {
        // Its own text may quote the file.
        KeyError::NotASet(format!("line {} is not JSON", error.line()))
    })?;
    let Some(Value::Array(list)) = set.get("keys") else {
        return Err(KeyError::NotASet("it has no list of keys".to_owned()));
    };
    if list.len() > MOST_KEYS {
        return Err(KeyError::NotASet(format!("it has more than {MOST_KEYS} keys")));
    }
    let mut keys: Vec<Key> = Vec::new();
    let mut remarks = Vec::new();
    for (n, value) in list.iter().enumerate() {
        if is_private(value) {
            let kid = value.get("kid").and_then(Value::as_str).unwrap_or("none");
            return Err(KeyError::PrivateJwk { kid: kid.to_owned() });
        }
        match key(value) {
            Ok(key) => {
                let is_same = |other: &Key| other.id == key.id && other.algorithm == key.algorithm;
                if keys.iter().any(is_same) {
                    let kid = key.id.unwrap_or_default();
                    return Err(KeyError::SameId { kid, algorithm: key.algorithm });
                }
                keys.push(key);
            }
            Err(why) => {
                let kid = value.get("kid").and_then(Value::as_str).unwrap_or("none");
                let number = n.saturating_add(1);
                remarks.push(format!("key {number} of the set (kid {kid:?}) is not used: {why}"));
            }
        }
    }
    if keys.is_empty() { Err(KeyError::NoUsableKey) } else { Ok((keys, remarks)) }
}

/// Whether it has a member that only who signs may know (RFC 7518 sections 6.2.2 and 6.3.2).
fn is_private(value: &Value) -> bool {
    let has = |name: &&str| value.get(name).is_some();
    ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(has)
}

fn key(value: &Value) -> Result<Key, &'static str> {
    let jwk = <Jwk as serde::Deserialize>::deserialize(value).map_err(|_| "it is malformed")?;
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return Err("it is not for signatures");
    }
    let operations = jwk.common.key_operations.as_ref();
    if operations.is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
        return Err("it is not for verifying");
    }
    let own = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::Rs256][..],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            &[Algorithm::Es256]
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDsa]
        }
        AlgorithmParameters::OctetKey(_) => &[Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512],
        _ => return Err("its kty or crv is not supported"),
    };
    // The set's own word for each key, never a token's, says what the key is used with.
    let algorithm = match jwk.common.key_algorithm {
        None => own.first(),
        Some(named) => own.iter().find(|own| KeyAlgorithm::from(own.of_library()) == named),
    };
    let algorithm = *algorithm.ok_or("its alg is not supported")?;
    let decoding = DecodingKey::from_jwk(&jwk).map_err(|_| "it is malformed")?;
    Key::new(jwk.common.key_id, algorithm, decoding).ok_or("it is too short or too long")
}
