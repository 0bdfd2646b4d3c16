//! The files of `--tls-cert` and `--tls-key`, read and put together pair by pair.
//! Not for TLS itself: `proto::tls` judges what stands in the files and speaks it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::check::Sources;
use super::error::{Problem, Refusal, quoted};
use super::gate::{LONGEST, contents, open_to_all};
use super::keys::{Key, spec};
use super::low::{Given, Low};
use super::settings::Config;
use crate::proto::tls::{Certificate, CertificateError};

/// Reads the pairs that count: the strongest list of each of the two keys.
pub(super) fn certificates(low: &Low, config: &mut Config, problems: &mut Vec<Problem>) {
    let values = |key| low.entries(key).last().map_or(&[][..], |entry| &entry.values[..]);
    let (certificates, keys) = (values(Key::TlsCertFile), values(Key::TlsKeyFile));
    if certificates.len() != keys.len() {
        let (more, fewer) = match certificates.len() > keys.len() {
            true => (Key::TlsCertFile, Key::TlsKeyFile),
            false => (Key::TlsKeyFile, Key::TlsCertFile),
        };
        let wrong =
            format!("there are {} certificates and {} keys", certificates.len(), keys.len());
        let remedy = format!("give one {} for each {}", spec(fewer).name, spec(more).name);
        problems.push(Refusal::new(wrong, remedy).at(Sources::of(low).key(more)));
        return;
    }
    for (certificate, key) in certificates.iter().zip(keys) {
        match pair(certificate, key, &mut config.warnings) {
            Ok(pair) => {
                config.warnings.extend(untimely(&pair, now()));
                config.warnings.extend(nameless(&pair).filter(|_| !config.tls.is_empty()));
                config.tls.push(pair);
            }
            Err(problem) => problems.push(problem),
        }
    }
}

fn pair(
    certificate: &Given,
    key: &Given,
    warnings: &mut Vec<String>,
) -> Result<Certificate, Problem> {
    // Whoever may replace either can be this server; who reads the key can too.
    let chain = file(Key::TlsCertFile, certificate, 0o002, warnings)?;
    let pem = file(Key::TlsKeyFile, key, 0o006, warnings)?;
    Certificate::from_pem((&certificate.text, &chain), (&key.text, &pem)).map_err(|error| {
        let source = match error {
            CertificateError::NoCertificate { .. }
            | CertificateError::BrokenChain { .. }
            | CertificateError::Malformed { .. } => certificate.source.clone(),
            _ => key.source.clone(),
        };
        Refusal::new(error.to_string(), error.remedy()).at(source)
    })
}

/// What stands in a file, with a warning if others may do with it what they must not.
fn file(
    key: Key,
    path: &Given,
    others_may_not: u32,
    warnings: &mut Vec<String>,
) -> Result<Vec<u8>, Problem> {
    let refuse = |wrong: String, remedy: &str| Refusal::new(wrong, remedy).at(path.source.clone());
    let (bytes, mode) = contents(&path.text).map_err(|error| {
        let wrong = format!("cannot read {}: {error}", quoted(&path.text));
        refuse(wrong, "name a PEM file that this user may read")
    })?;
    if bytes.len() as u64 > LONGEST {
        let wrong = format!("{} is longer than {LONGEST} bytes", quoted(&path.text));
        return Err(refuse(wrong, "name a file that holds the one chain or the one key alone"));
    }
    if mode & others_may_not != 0 {
        warnings.push(open_to_all(spec(key).name, &path.text, mode & others_may_not));
    }
    Ok(bytes)
}

/// Seconds since 1970 began.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A warning if clients do not take the certificate today.
pub(super) fn untimely(certificate: &Certificate, now: i64) -> Option<String> {
    let (validity, file) = (certificate.validity(), quoted(certificate.file()));
    let name = spec(Key::TlsCertFile).name;
    if now > validity.not_after.unix_seconds() {
        let end = validity.not_after;
        return Some(format!("{name}: {file} has expired ({end}); clients will refuse it"));
    }
    let begin = validity.not_before;
    (now < begin.unix_seconds())
        .then(|| format!("{name}: {file} is not valid before {begin}; clients will refuse it"))
}

/// A warning if no client can ask for the certificate by a name: only the first is shown without.
fn nameless(certificate: &Certificate) -> Option<String> {
    let (name, file) = (spec(Key::TlsCertFile).name, quoted(certificate.file()));
    certificate.names().is_empty().then(|| {
        format!("{name}: {file} has no DNS name and is not the first; no client will be shown it")
    })
}

/// The files of all pairs, as they are typed.
pub(super) fn show(config: &Config, key: Key) -> String {
    let file = match key {
        Key::TlsCertFile => Certificate::file,
        _ => Certificate::key_file,
    };
    match &config.tls[..] {
        [] => "none".to_owned(),
        pairs => pairs.iter().map(file).collect::<Vec<_>>().join(", "),
    }
}
