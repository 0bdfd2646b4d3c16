//! Who may come in, as it is typed: origins, tokens, and the files and variables with their keys.
//! Not for judging requests, which the gate does with what is made here.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use super::check::Sources;
use super::error::{Problem, Refusal, Source, quoted};
use super::keys::{Key, spec};
use super::low::{Given, Low};
use super::quantity::show_duration;
use super::settings::{Choice, Config};
use crate::gate::{
    Algorithm, AllowedOrigin, Auth, KeyError, KeySource, Keys, OriginError, Place, RequiredClaim,
    Settings,
};

/// The variable that may hold the secret itself.
pub(super) const SECRET_VARIABLE: &str = "PULSEWHEEL_JWT_SECRET";

/// Bytes of the longest file of keys that is read.
pub(super) const LONGEST: u64 = 1 << 20;

/// The longest leeway: clocks that differ by more are not set.
const LONGEST_LEEWAY: std::time::Duration = std::time::Duration::from_secs(600);

/// The keys that name a file of keys.
const KEY_FILES: [Key; 3] = [Key::JwtSecretFile, Key::JwtPublicKeyFile, Key::JwtJwksFile];

/// The word for an algorithm that follows from the key.
const AUTO: &str = "auto";

impl Choice for Auth {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("jwt", Self::Jwt)];
}

impl Choice for Place {
    const WORDS: &'static [(&'static str, Self)] =
        &[("header", Self::Header), ("subprotocol", Self::Subprotocol), ("query", Self::Query)];
}

impl Choice for Option<Algorithm> {
    const WORDS: &'static [(&'static str, Self)] = &[
        (AUTO, None),
        ("HS256", Some(Algorithm::Hs256)),
        ("HS384", Some(Algorithm::Hs384)),
        ("HS512", Some(Algorithm::Hs512)),
        ("RS256", Some(Algorithm::Rs256)),
        ("ES256", Some(Algorithm::Es256)),
        ("EdDSA", Some(Algorithm::EdDsa)),
    ];
}

/// Reads the lists of one layer.
pub(super) fn set_list(
    settings: &mut Settings,
    key: Key,
    values: &[Given],
    problems: &mut Vec<Problem>,
) {
    match key {
        Key::AllowOrigin => settings.allowed_origins = each(values, origin, problems),
        Key::TokenFrom => settings.token_from = each(values, Place::parse, problems),
        Key::RequireClaim => settings.required_claims = each(values, claim, problems),
        Key::JwtAudience => settings.audience = each(values, name, problems),
        Key::JwtIssuer => settings.issuer = each(values, name, problems),
        _ => {}
    }
}

fn each<T>(
    values: &[Given],
    parse: impl Fn(&str) -> Result<T, Refusal>,
    problems: &mut Vec<Problem>,
) -> Vec<T> {
    let read = |value: &Given| {
        parse(&value.text).map_err(|refusal| problems.push(refusal.at(value.source.clone()))).ok()
    };
    values.iter().filter_map(read).collect()
}

fn origin(text: &str) -> Result<AllowedOrigin, Refusal> {
    text.parse().map_err(|error: OriginError| {
        let remedy = match error {
            OriginError::HasPath => "write scheme, host and port alone, like https://example.com",
            OriginError::Star => "write * alone, or https://*.example.com",
            OriginError::Null => "write * if any page may connect",
            OriginError::Malformed => {
                "write https://example.com, https://*.example.com, same-host or *"
            }
        };
        Refusal::new(format!("{} {error}", quoted(text)), remedy)
    })
}

fn claim(text: &str) -> Result<RequiredClaim, Refusal> {
    text.parse().map_err(|error| {
        Refusal::new(format!("{} {error}", quoted(text)), "write it like /admin=role=admin")
    })
}

fn name(text: &str) -> Result<String, Refusal> {
    match text.trim() {
        "" => Err(Refusal::new("is empty", "write what tokens have there")),
        text => Ok(text.to_owned()),
    }
}

/// Reads the keys for tokens from where they are said to be.
pub(super) fn keys(low: &Low, config: &mut Config, problems: &mut Vec<Problem>) {
    let mut sources: Vec<(Source, Result<Keys, Refusal>)> = Vec::new();
    for key in KEY_FILES {
        let Some(entry) = low.entries(key).last() else { continue };
        let Some(path) = entry.values.first() else { continue };
        let keys = read(key, &path.text, &mut config.warnings);
        sources.push((path.source.clone(), keys));
    }
    if let Some(secret) = low.secret() {
        let keys = Keys::secret(secret.reveal()).map_err(|error| refusal(&error, ""));
        sources.push((Source::Environment(SECRET_VARIABLE.to_owned()), keys));
    }
    if let [(first, _), (second, _), ..] = &sources[..] {
        let wrong = format!("the keys for tokens are given by {first} too");
        let remedy = "give one secret, one public key or one set";
        problems.push(Refusal::new(wrong, remedy).at(second.clone()));
    }
    for (source, keys) in sources {
        match keys {
            Ok(keys) => config.gate.keys = Some(keys),
            Err(refusal) => problems.push(refusal.at(source)),
        }
    }
}

/// Reads one file. Nothing that stands in it is quoted.
fn read(key: Key, path: &str, warnings: &mut Vec<String>) -> Result<Keys, Refusal> {
    let (bytes, mode) = contents(path).map_err(|error| {
        let wrong = format!("cannot read {}: {error}", quoted(path));
        Refusal::new(wrong, "name a file that holds the key and that this user may read")
    })?;
    if bytes.len() as u64 > LONGEST {
        let wrong = format!("{} is longer than {LONGEST} bytes", quoted(path));
        return Err(Refusal::new(wrong, "name a file that holds the keys alone"));
    }
    let keys = match key {
        Key::JwtSecretFile => Keys::secret(&bytes),
        Key::JwtPublicKeyFile => Keys::public_pem(&bytes),
        _ => Keys::jwk_set(&bytes),
    };
    // A set may hold secrets too.
    let is_secret = keys.as_ref().is_ok_and(Keys::are_secret) || key == Key::JwtSecretFile;
    let others_may_not = if is_secret { 0o006 } else { 0o002 };
    if mode & others_may_not != 0 {
        warnings.push(open_to_all(spec(key).name, path, mode & others_may_not));
    }
    keys.map_err(|error| refusal(&error, &format!("{}: ", quoted(path))))
}

/// A warning if a file with a secret may be read by any user of the machine.
pub(super) fn may_be_read(key: Key, path: &str) -> Option<String> {
    let mode = std::fs::metadata(path).map_or(0, |file| file.mode()) & 0o006;
    (mode != 0).then(|| open_to_all(spec(key).name, path, mode))
}

/// What to say of a secret that any user of the machine may read, or of a key that any may replace.
pub(super) fn open_to_all(name: &str, path: &str, mode: u32) -> String {
    let what = if mode & 0o002 != 0 { "write" } else { "read" };
    let path = quoted(path);
    format!("{name}: every user of this machine may {what} {path}; chmod o-rw would end that")
}

/// At most one byte more than is allowed, and the permissions.
pub(super) fn contents(path: &str) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes, mode))
}

fn refusal(error: &KeyError, before: &str) -> Refusal {
    Refusal::new(format!("{before}{error}"), error.remedy())
}

/// What a key's field holds, as it is typed. Secrets are not shown.
pub(super) fn show(settings: &Settings, key: Key) -> String {
    let keys = |source| match &settings.keys {
        Some(keys) if keys.source() == source => keys.to_string(),
        _ => "none".to_owned(),
    };
    match key {
        Key::AllowOrigin => listed(&settings.allowed_origins),
        Key::RequireOrigin => if settings.requires_origin { "on" } else { "off" }.to_owned(),
        Key::Auth => settings.auth.word().to_owned(),
        Key::JwtSecretFile => keys(KeySource::Secret),
        Key::JwtPublicKeyFile => keys(KeySource::PublicKey),
        Key::JwtJwksFile => keys(KeySource::KeySet),
        Key::JwtAlgorithm => settings.algorithm.word().to_owned(),
        Key::JwtAudience => listed(&settings.audience),
        Key::JwtIssuer => listed(&settings.issuer),
        Key::JwtLeeway => show_duration(settings.leeway),
        Key::TokenFrom => {
            let words: Vec<&str> = settings.token_from.iter().map(|place| place.word()).collect();
            listed(&words)
        }
        Key::RequireClaim => listed(&settings.required_claims),
        _ => String::new(),
    }
}

fn listed<T: ToString>(values: &[T]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// Judges each value by itself.
pub(super) fn bounds(settings: &Settings, sources: &Sources, problems: &mut Vec<Problem>) {
    if settings.leeway > LONGEST_LEEWAY {
        let (leeway, most) = (show_duration(settings.leeway), show_duration(LONGEST_LEEWAY));
        let wrong = format!("{leeway} is more than clocks differ by");
        let refusal = Refusal::new(wrong, format!("write at most {most}"));
        problems.push(refusal.at(sources.key(Key::JwtLeeway)));
    }
}

/// Judges the values together.
pub(super) fn contradictions(config: &Config, sources: &Sources, problems: &mut Vec<Problem>) {
    let settings = &config.gate;
    match settings.auth {
        Auth::Off => idle_keys(settings, sources, problems),
        Auth::Jwt => tokens(settings, sources, problems),
    }
    if sources.are_typed() {
        for required in &settings.required_claims {
            if !config.routes.iter().any(|route| route.path == required.path) {
                let wrong = format!("no route serves {}", quoted(&required.path));
                let refusal = Refusal::new(wrong, "name the path of a route, or add one");
                problems.push(refusal.at(sources.key(Key::RequireClaim)));
            }
        }
    }
}

/// Whoever gives a key means tokens to be checked: silence would leave the door open.
fn idle_keys(settings: &Settings, sources: &Sources, problems: &mut Vec<Problem>) {
    let mut idle = Vec::new();
    if let Some(keys) = &settings.keys {
        idle.push(sources.key_file(keys.source()));
    }
    for (key, is_given) in [
        (Key::JwtAlgorithm, settings.algorithm.is_some()),
        (Key::JwtAudience, !settings.audience.is_empty()),
        (Key::JwtIssuer, !settings.issuer.is_empty()),
        (Key::JwtLeeway, !settings.leeway.is_zero()),
        (Key::RequireClaim, !settings.required_claims.is_empty()),
    ] {
        if is_given {
            idle.push(sources.key(key));
        }
    }
    for source in idle {
        let refusal = Refusal::new("has no effect while auth is off", "give --auth jwt too");
        problems.push(refusal.at(source));
    }
}

fn tokens(settings: &Settings, sources: &Sources, problems: &mut Vec<Problem>) {
    match &settings.keys {
        None => {
            let remedy = "give --jwt-secret-file, --jwt-public-key-file or --jwt-jwks-file";
            let refusal = Refusal::new("jwt is asked for without a key", remedy);
            problems.push(refusal.at(sources.key(Key::Auth)));
        }
        Some(keys) => {
            if let Err(error) = keys.check(settings.algorithm) {
                let source = sources.key_file(keys.source());
                problems.push(refusal(&error, "").at(source));
            }
        }
    }
    if settings.token_from.is_empty() {
        let refusal = Refusal::new(
            "leaves no place for a token",
            "write one or more of header, subprotocol, query",
        );
        problems.push(refusal.at(sources.key(Key::TokenFrom)));
    }
}

impl Sources<'_> {
    /// Where the keys of that kind were given.
    fn key_file(&self, source: KeySource) -> Source {
        let key = match source {
            KeySource::Secret => Key::JwtSecretFile,
            KeySource::PublicKey => Key::JwtPublicKeyFile,
            KeySource::KeySet => Key::JwtJwksFile,
        };
        match self.key(key) {
            Source::Default(_) => Source::Environment(SECRET_VARIABLE.to_owned()),
            source => source,
        }
    }
}
