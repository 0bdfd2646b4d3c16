//! A door for fuzz targets and property tests to single values and to the text of a file.
//! Not part of the crate's interface; it changes without notice.

use std::net::SocketAddr;
use std::time::Duration;

use super::error::{ConfigErrors, Problem, Refusal, Source};
use super::keys::{KEYS, Key, Kind, Spec};
use super::low::{Layer, Low};
use super::{Config, address, fields, file, high, quantity};

/// A key as tests see it.
#[derive(Clone, Copy, Debug)]
pub struct KeyName(&'static Spec);

impl KeyName {
    /// The flag, without its dashes.
    pub fn flag(self) -> &'static str {
        self.0.name
    }

    /// The key in the file, and whether it takes a bare boolean there; `None` for what is no key
    /// of one text: the file itself, lists, routes, and what names another file.
    pub fn in_file(self) -> Option<(String, bool)> {
        let names_a_file =
            [Key::AdminTokenFile, Key::JwtSecretFile, Key::JwtPublicKeyFile, Key::JwtJwksFile];
        let is_special = self.0.repeatable() || names_a_file.contains(&self.0.key);
        Some((self.0.toml_key()?, self.0.kind == Kind::Switch)).filter(|_| !is_special)
    }

    /// What a configuration holds for it, as it is typed.
    pub fn show(self, config: &Config) -> String {
        fields::show(config, self.0.key)
    }

    /// Puts a value into a configuration.
    ///
    /// # Errors
    /// The value is malformed; what is told says that it came by the key's flag.
    pub fn set(self, config: &mut Config, text: &str) -> Result<(), Problem> {
        fields::set(config, self.0.key, text).map_err(|why| why.at(Source::Flag(self.0.name)))
    }
}

/// Every key, in the order of the documentation.
pub fn keys() -> impl Iterator<Item = KeyName> {
    KEYS.iter().map(KeyName)
}

/// Resolves the text of a file, called `name`, with no flags and an empty environment.
///
/// # Errors
/// Every problem found.
pub fn from_text(text: &str, name: &str, known_handlers: &[&str]) -> Result<Config, ConfigErrors> {
    let mut problems = Vec::new();
    let file = file::parse(text, name, &mut problems);
    let low = Low::new(file, Layer::default(), Layer::default());
    let config = high::resolve(&low, known_handlers, &mut problems);
    ConfigErrors::unless_empty(problems)?;
    Ok(config)
}

/// Reads a duration.
///
/// # Errors
/// It is malformed.
pub fn parse_duration(text: &str) -> Result<Duration, Refusal> {
    quantity::parse_duration(text)
}

/// Writes a duration.
pub fn show_duration(duration: Duration) -> String {
    quantity::show_duration(duration)
}

/// Reads a size in bytes.
///
/// # Errors
/// It is malformed.
pub fn parse_size(text: &str) -> Result<u64, Refusal> {
    quantity::parse_size(text)
}

/// Writes a size in bytes.
pub fn show_size(bytes: u64) -> String {
    quantity::show_size(bytes)
}

/// Reads the admin port's address, `None` for off.
///
/// # Errors
/// It is malformed.
pub fn parse_admin(text: &str) -> Result<Option<SocketAddr>, Refusal> {
    address::parse_admin(text)
}
