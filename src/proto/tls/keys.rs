//! The keys of one direction of a connection, kept as small as they come (RFC 8446 section 7).
//! Not for records: see `record`.
//!
//! A key that is ready for use has tables and takes some 540 bytes for AES-GCM, each direction; the
//! bare key has 32 at most. It is made ready for each burst of records, in a third of a microsecond,
//! and then forgotten. To keep those of the 256 connections that spoke last saved a tenth of an echo's
//! time where there were no more of them and cost nearly as much where there were a thousand.

use ring::aead::{AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305, NONCE_LEN};
use ring::aead::{LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{self, HKDF_SHA256, HKDF_SHA384, KeyType};
use rustls::ConnectionTrafficSecrets;
use zeroize::Zeroize;

use super::Failure;

/// The longest traffic secret: a SHA-384 hash.
pub(super) const SECRET_LIMIT: usize = 48;

/// The longest key.
const KEY_LIMIT: usize = 32;

/// Which AEAD seals the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    Chacha20Poly1305,
}

impl Cipher {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::Chacha20Poly1305 => &CHACHA20_POLY1305,
        }
    }

    fn key_length(self) -> usize {
        match self {
            Cipher::Aes128Gcm => 16,
            Cipher::Aes256Gcm | Cipher::Chacha20Poly1305 => KEY_LIMIT,
        }
    }

    /// Whether the number of records that one key may seal is a matter of practice.
    pub fn wears_out(self) -> bool {
        self != Cipher::Chacha20Poly1305
    }
}

/// One direction's traffic secret (RFC 8446 section 7.2); empty under TLS 1.2, which has none.
#[derive(Clone)]
pub(super) struct Secret {
    bytes: [u8; SECRET_LIMIT],
    length: u8,
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Secret {
    /// None.
    pub const NONE: Secret = Secret { bytes: [0; SECRET_LIMIT], length: 0 };

    /// Becomes these bytes, or none if no hash is that long.
    pub fn set(&mut self, bytes: &[u8]) {
        self.wipe();
        if let (Some(place), Ok(length)) =
            (self.bytes.get_mut(..bytes.len()), u8::try_from(bytes.len()))
        {
            place.copy_from_slice(bytes);
            self.length = length;
        }
    }

    /// Gives what it has, if anything, and keeps nothing of it: a plain move would leave the bytes
    /// where they were.
    pub fn give(&mut self, to: &mut Secret) {
        if self.length > 0 {
            to.set(self.bytes.get(..usize::from(self.length)).unwrap_or_default());
            self.wipe();
        }
    }

    /// True if there is none.
    pub fn is_none(&self) -> bool {
        self.length == 0
    }

    fn wipe(&mut self) {
        self.bytes.zeroize();
        self.length = 0;
    }

    fn prk(&self) -> Option<hkdf::Prk> {
        let bytes = self.bytes.get(..usize::from(self.length))?;
        let hash = match bytes.len() {
            32 => HKDF_SHA256,
            SECRET_LIMIT => HKDF_SHA384,
            _ => return None,
        };
        Some(hkdf::Prk::new_less_safe(hash, bytes))
    }

    /// Fills `out` with the output of HKDF-Expand-Label for this label and no context.
    fn expand(&self, label: &[u8], out: &mut [u8]) -> Option<()> {
        struct Length(usize);
        impl KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let length = u16::try_from(out.len()).ok()?.to_be_bytes();
        let label_length = u8::try_from(label.len().checked_add(PREFIX.len())?).ok()?;
        let info = [&length[..], &[label_length], PREFIX, label, &[0]];
        self.prk()?.expand(&info, Length(out.len())).ok()?.fill(out).ok()
    }

    /// The secret that follows this one at a key update.
    fn next(&self) -> Option<Secret> {
        let mut next = Secret { bytes: [0; SECRET_LIMIT], length: self.length };
        self.expand(b"traffic upd", next.bytes.get_mut(..usize::from(self.length))?)?;
        Some(next)
    }
}

/// What every label begins with.
const PREFIX: &[u8] = b"tls13 ";

/// One direction: its key, and how many records it has seen.
pub(super) struct Half {
    /// The number of the next record.
    pub sequence: u64,
    secret: Secret,
    key: [u8; KEY_LIMIT],
    iv: [u8; NONCE_LEN],
    cipher: Cipher,
}

impl Drop for Half {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl Half {
    /// What rustls has agreed on with the peer.
    pub fn new(
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
        secret: Secret,
    ) -> Result<Self, Failure> {
        let (cipher, bytes, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Cipher::Chacha20Poly1305, key, iv)
            }
            _ => return Err(Failure::Internal("a cipher that is not known")),
        };
        let mut half = Half { sequence, secret, key: [0; KEY_LIMIT], iv: [0; NONCE_LEN], cipher };
        let (bytes, iv) = (bytes.as_ref(), iv.as_ref());
        let key = half.key.get_mut(..bytes.len()).filter(|_| bytes.len() == cipher.key_length());
        match (key, iv.len()) {
            (Some(key), NONCE_LEN) => {
                key.copy_from_slice(bytes);
                half.iv.copy_from_slice(iv);
                Ok(half)
            }
            _ => Err(Failure::Internal("a key of an unheard-of length")),
        }
    }

    /// Which AEAD it is for.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The key with its tables, for a burst of records.
    pub fn ready(&self) -> Result<LessSafeKey, Failure> {
        let bytes = self.key.get(..self.cipher.key_length()).unwrap_or_default();
        UnboundKey::new(self.cipher.algorithm(), bytes)
            .map(LessSafeKey::new)
            .map_err(|_| Failure::Internal("a key that its cipher does not take"))
    }

    /// The next record's nonce (RFC 8446 section 5.3). Under TLS 1.2 AES-GCM has the last eight
    /// bytes stand in the record too; rustls begins with a random mask there, as we go on.
    pub fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        let count = nonce.iter_mut().skip(NONCE_LEN.saturating_sub(8));
        for (byte, sequence) in count.zip(self.sequence.to_be_bytes()) {
            *byte ^= sequence;
        }
        nonce
    }

    /// The nonce of a record that has the last eight bytes of it in itself.
    pub fn nonce_with(&self, explicit: [u8; 8]) -> Nonce {
        let mut nonce = self.iv;
        if let Some(tail) = nonce.last_chunk_mut() {
            *tail = explicit;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// Goes on to the next key (RFC 8446 section 7.2).
    pub fn update(&mut self) -> Result<(), Failure> {
        let none = Failure::Internal("no secret to make the next key of");
        let Some(next) = self.secret.next() else { return Err(none) };
        let key = self.key.get_mut(..self.cipher.key_length()).unwrap_or_default();
        let is_made = next.expand(b"key", key).and(next.expand(b"iv", &mut self.iv));
        self.secret = next;
        self.sequence = 0;
        is_made.ok_or(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_given_leaves_nothing_where_it_was() {
        let (mut from, mut to) = (Secret::NONE, Secret::NONE);
        from.set(&[7; 32]);
        from.give(&mut to);
        assert!(from.is_none() && from.bytes == [0; SECRET_LIMIT]);
        assert_eq!((&to.bytes[..32], to.length), (&[7; 32][..], 32));
        from.give(&mut to);
        assert!(!to.is_none(), "nothing takes the place of nothing");
        to.set(&[7; SECRET_LIMIT + 1]);
        assert!(to.is_none() && to.bytes == [0; SECRET_LIMIT]);
    }
}
