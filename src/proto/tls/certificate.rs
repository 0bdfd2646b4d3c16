//! One certificate chain with its key, as a pair of PEM files holds it (RFC 7468).
//! Not for reading files, which `config` does, nor for choosing among several: `identity` does.

use std::fmt;
use std::sync::Arc;

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::Validity;

/// A chain of certificates and the key of the first one. The key is never shown.
#[derive(Clone)]
pub struct Certificate {
    file: String,
    key_file: String,
    certified: Arc<CertifiedKey>,
    names: Vec<String>,
    validity: Validity,
    fingerprint: [u8; SHA256_OUTPUT_LEN],
}

/// Why a pair of files is no use. What stands in the files is not quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The first file has no certificate.
    #[error("{certificate:?} holds no certificate in PEM")]
    NoCertificate {
        /// The file.
        certificate: String,
    },
    /// The first file is damaged.
    #[error("{certificate:?} is no PEM: {why}")]
    BrokenChain {
        /// The file.
        certificate: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The first certificate of the first file can't be used.
    #[error("the first certificate in {certificate:?} can't be read: {why}")]
    Malformed {
        /// The file.
        certificate: String,
        /// What is wrong with it.
        why: String,
    },
    /// The second file has no key.
    #[error("{key:?} holds no private key in PEM")]
    NoKey {
        /// The file.
        key: String,
    },
    /// The second file asks for a password.
    #[error("the private key in {key:?} is encrypted")]
    EncryptedKey {
        /// The file.
        key: String,
    },
    /// The second file is damaged.
    #[error("{key:?} is no PEM: {why}")]
    BrokenKey {
        /// The file.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key is of a kind that is not supported.
    #[error("the private key in {key:?} can't be used")]
    UnsupportedKey {
        /// The file.
        key: String,
    },
    /// The two files don't belong together.
    #[error("the key in {key:?} is not that of the first certificate in {certificate:?}")]
    OtherKey {
        /// The first file.
        certificate: String,
        /// The second one.
        key: String,
    },
}

impl CertificateError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoCertificate { .. } | Self::BrokenChain { .. } => {
                "write the server's certificate there, and behind it those of who signed it, each \
                 between BEGIN CERTIFICATE and END CERTIFICATE"
            }
            Self::Malformed { .. } => "have it issued anew, as X.509 version 3",
            Self::NoKey { .. } | Self::BrokenKey { .. } => {
                "write one private key there: PKCS#8, PKCS#1 or SEC1"
            }
            Self::EncryptedKey { .. } => {
                "decrypt it with openssl pkey, into a file that only this server's user may read"
            }
            Self::UnsupportedKey { .. } => {
                "use a key of RSA with 2048 to 4096 bits, P-256, P-384 or Ed25519"
            }
            Self::OtherKey { .. } => {
                "give the two files of a pair in the same place of --tls-cert and --tls-key, and \
                 put the server's own certificate first"
            }
        }
    }
}

impl Certificate {
    /// Reads the content of a pair of files, whose names are for messages.
    ///
    /// # Errors
    /// One of them is not what it should be, or they don't belong together.
    pub fn from_pem(
        (certificate, chain): (&str, &[u8]),
        (key, pem): (&str, &[u8]),
    ) -> Result<Self, CertificateError> {
        let fingerprint = fingerprint(chain, pem);
        let chain = self::chain(certificate, chain)?;
        let malformed = |why: String| {
            let certificate = certificate.to_owned();
            CertificateError::Malformed { certificate, why }
        };
        let first = chain.first().map_or(&[][..], |der| der.as_ref());
        let validity = Validity::of(first).ok_or_else(|| malformed("it has no dates".into()))?;
        let names = names(first).map_err(|error| malformed(error.to_string()))?;
        let signing_key = any_supported_type(&private_key(key, pem)?)
            .map_err(|_| CertificateError::UnsupportedKey { key: key.to_owned() })?;
        let certified = CertifiedKey::new(chain, signing_key);
        match certified.keys_match() {
            Ok(()) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let (certificate, key) = (certificate.to_owned(), key.to_owned());
                return Err(CertificateError::OtherKey { certificate, key });
            }
            Err(error) => return Err(malformed(error.to_string())),
        }
        let (file, key_file) = (certificate.to_owned(), key.to_owned());
        let certified = Arc::new(certified);
        Ok(Certificate { file, key_file, certified, names, validity, fingerprint })
    }

    /// The file of the certificates, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file of the key, as it was named.
    pub fn key_file(&self) -> &str {
        &self.key_file
    }

    /// Names of hosts in its subject alternative names, in small letters; the first label of each
    /// may be `*` (RFC 6125 section 6.4.3).
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When clients take it.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

fn chain(file: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificate = file.to_owned();
    match certificates {
        Ok(chain) if chain.is_empty() => Err(CertificateError::NoCertificate { certificate }),
        Ok(chain) => Ok(chain),
        Err(error) => Err(CertificateError::BrokenChain { certificate, why: in_words(&error) }),
    }
}

fn private_key(file: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    // Both PKCS#8 and the older form say so in plain words.
    let is_encrypted = pem.windows(9).any(|text| text == b"ENCRYPTED");
    let key = file.to_owned();
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        _ if is_encrypted => CertificateError::EncryptedKey { key },
        pem::Error::NoItemsFound => CertificateError::NoKey { key },
        error => CertificateError::BrokenKey { key, why: in_words(&error) },
    })
}

/// What is wrong with PEM, without the words of the file that the library's own text quotes.
fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not in Base64",
        pem::Error::NoItemsFound => "there is nothing in it",
        _ => "it can't be read",
    }
}

fn names(certificate: &[u8]) -> Result<Vec<String>, webpki::Error> {
    let certificate = CertificateDer::from(certificate);
    let parsed = webpki::EndEntityCert::try_from(&certificate)?;
    Ok(parsed.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

/// Tells pairs apart without keeping what the files held.
fn fingerprint(chain: &[u8], key: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut hash = Context::new(&SHA256);
    // The length keeps bytes from moving between the two unseen.
    hash.update(&chain.len().to_be_bytes());
    hash.update(chain);
    hash.update(key);
    let mut fingerprint = [0; SHA256_OUTPUT_LEN];
    fingerprint.copy_from_slice(hash.finish().as_ref());
    fingerprint
}

/// Equal if they were read from files of the same name and content.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        (&self.file, &self.key_file, self.fingerprint)
            == (&other.file, &other.key_file, other.fingerprint)
    }
}

/// Says for what it is; nothing of its key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.file)
            .field("names", &self.names)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    /// A certificate that signs itself, and its key, both in PEM.
    fn pair(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        (signed(&key, names), key.serialize_pem())
    }

    fn signed(key: &KeyPair, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).expect("they are names");
        params.self_signed(key).expect("a certificate").pem()
    }

    fn read(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
        Certificate::from_pem(("a.pem", chain.as_bytes()), ("a.key", key.as_bytes()))
    }

    #[test]
    fn a_pair_tells_its_names_and_dates_and_not_its_key() {
        let (chain, key) = pair(&["A.example", "*.b.example", "127.0.0.1"]);
        let certificate = read(&chain, &key).expect("they belong together");
        assert_eq!(certificate.names(), ["a.example", "*.b.example"], "an address is no name");
        assert_eq!(certificate.file(), "a.pem");
        assert_eq!(certificate.validity().not_after.to_string(), "4096-01-01 00:00:00 UTC");
        let shown = format!("{certificate:?}");
        assert!(shown.contains("a.example") && !shown.to_lowercase().contains("key"), "{shown}");
    }

    #[test]
    fn a_chain_keeps_its_order_and_what_stands_between_is_skipped() {
        let ((own, key), (issuer, _)) = (pair(&["a.example"]), pair(&["ca.example"]));
        let chain = format!("subject=a.example\n{own}\nissuer=ca.example\n{issuer}");
        let certificate = read(&chain, &key).expect("it is a chain");
        assert_eq!(certificate.certified().cert.len(), 2);
        assert_eq!(certificate.names(), ["a.example"]);
        let refused = read(&format!("{issuer}{own}"), &key).expect_err("its own must come first");
        let (certificate, key) = ("a.pem".to_owned(), "a.key".to_owned());
        assert_eq!(refused, CertificateError::OtherKey { certificate, key });
    }

    #[test]
    fn keys_of_each_kind_and_form_are_taken() {
        for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            read(&signed(&key, &["a.example"]), &key.serialize_pem()).expect("PKCS#8");
        }
        let key = KeyPair::generate().expect("a key");
        // The older form (SEC1) is what PKCS#8 wraps: 109 bytes in an octet string.
        let pkcs8 = key.serialize_der();
        let wrapped = [0x04, 0x6d, 0x30, 0x6b];
        let at = pkcs8.windows(4).position(|bytes| bytes == wrapped).expect("it is there");
        let sec1 = pem_of("EC PRIVATE KEY", &pkcs8[at + 2..][..109]);
        let parameters = pem_of("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
        read(&signed(&key, &["a.example"]), &format!("{parameters}{sec1}")).expect("SEC1");
    }

    #[test]
    fn each_wrong_file_is_named_with_what_to_do() {
        let (chain, key) = pair(&["a.example"]);
        let (_, other) = pair(&["a.example"]);
        let cut = &chain[..chain.len() / 2];
        let cut_key = &key[..key.len() / 2];
        let junk = pem_of("CERTIFICATE", b"no DER");
        let no_key = pem_of("PRIVATE KEY", b"no key");
        let encrypted = pem_of("ENCRYPTED PRIVATE KEY", b"secret");
        let not_base64 = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        for (chain, key, wrong, file) in [
            ("", &*key, "no certificate", "a.pem"),
            (&*key, &*key, "no certificate", "a.pem"),
            (cut, &*key, "no END line", "a.pem"),
            (not_base64, &*key, "Base64", "a.pem"),
            (&*junk, &*key, "no dates", "a.pem"),
            (&*chain, "", "no private key", "a.key"),
            (&*chain, &*chain, "no private key", "a.key"),
            (&*chain, cut_key, "no END line", "a.key"),
            (&*chain, &*no_key, "can't be used", "a.key"),
            (&*chain, &*encrypted, "is encrypted", "a.key"),
            (&*chain, &*other, "not that of the first certificate", "a.key"),
        ] {
            let error = read(chain, key).expect_err(wrong);
            let said = error.to_string();
            assert!(said.contains(wrong) && said.contains(file), "{wrong}: {said}");
            assert!(!error.remedy().is_empty());
            let secret = key.lines().nth(1).unwrap_or("nothing");
            assert!(!said.contains(secret) && !format!("{error:?}").contains(secret), "{said}");
        }
    }

    #[test]
    fn pairs_are_equal_where_files_and_their_content_are() {
        let (chain, key) = pair(&["a.example"]);
        let one = read(&chain, &key).expect("a pair");
        assert_eq!(one, read(&chain, &key).expect("the same"));
        assert_ne!(one, read(&format!("{chain}\n"), &key).expect("almost the same"));
        let elsewhere =
            Certificate::from_pem(("b.pem", chain.as_bytes()), ("b.key", key.as_bytes()));
        assert_ne!(one, elsewhere.expect("the same in another file"));
    }

    /// Base64 by a library of the tests would be one more: certificates bring their own.
    fn pem_of(label: &str, der: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = format!("-----BEGIN {label}-----\n");
        for three in der.chunks(3) {
            let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - three.len()));
            for digit in 0..4 {
                let value = (bits >> (18 - 6 * digit)) & 63;
                let is_padding = digit > three.len();
                text.push(if is_padding { '=' } else { char::from(DIGITS[value as usize]) });
            }
        }
        text.push_str(&format!("\n-----END {label}-----\n"));
        text
    }
}
