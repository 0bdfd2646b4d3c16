//! What a second reading of the configuration changed: what SIGHUP takes, and what needs a restart.
//! Not for applying it: the reactors are told by the server.

use super::fields::show;
use super::keys::{Change, KEYS, Key};
use super::settings::Config;

/// The keys whose values differ between two configurations, one line each, such as
/// `ping-interval 25s -> 10s`, in the order of the documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What can change while the server runs: `limits`, `drain`, `gate`, certificates and the log's filter.
    pub taken: Vec<String>,
    /// What keeps its old value until the server is started anew.
    pub needs_restart: Vec<String>,
}

fn holds_the_keys(key: Key, config: &Config) -> bool {
    let names = [Key::JwtSecretFile, Key::JwtPublicKeyFile, Key::JwtJwksFile];
    names.contains(&key) && show(config, key) != "none"
}

/// Whether the names of all files are the same, so that only what they hold can differ.
fn shown_alike(old: &Config, new: &Config) -> bool {
    [Key::TlsCertFile, Key::TlsKeyFile].iter().all(|key| show(old, *key) == show(new, *key))
}

/// Says what differs between the configuration that is served with and a new one.
pub fn compare(old: &Config, new: &Config) -> Reloaded {
    let mut reloaded = Reloaded::default();
    for spec in KEYS {
        let (before, after) = (show(old, spec.key), show(new, spec.key));
        let is_of_tls = matches!(spec.key, Key::TlsCertFile | Key::TlsKeyFile);
        let line = if before != after {
            format!("{} {before} -> {after}", spec.name)
        } else if spec.key == Key::AdminTokenFile && old.admin_token != new.admin_token {
            // Both are shown as redacted.
            format!("{} holds another token", spec.name)
        } else if old.gate.keys != new.gate.keys && holds_the_keys(spec.key, new) {
            format!("{} holds other keys", spec.name)
        } else if spec.key == Key::TlsCertFile && old.tls != new.tls && shown_alike(old, new) {
            format!("{} {after} holds another certificate or has another key", spec.name)
        } else {
            continue;
        };
        let is_switch = is_of_tls && old.tls.is_empty() != new.tls.is_empty();
        match spec.change {
            Change::Reload if !is_switch => reloaded.taken.push(line),
            _ => reloaded.needs_restart.push(line),
        }
    }
    reloaded
}
