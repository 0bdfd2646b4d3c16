//! What was typed: the text of each value with its source, in layers of rising strength.
//! Not what it means: nothing is parsed here, and nothing refused.

use std::collections::BTreeMap;
use std::fmt;

use super::error::Source;
use super::keys::{KEYS, Key};

/// One value as it was typed, and where.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: Source,
}

/// All that one layer says about one key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands, which matters when a list of values is empty.
    pub(super) source: Source,
    /// The values: exactly one unless the key is repeatable.
    pub(super) values: Vec<Given>,
}

/// A route as it was typed.
#[derive(Clone, Debug)]
pub(super) struct TypedRoute {
    pub(super) path: Given,
    pub(super) handler: Given,
    /// `None` when the route leaves them to `--subprotocol`; only the file can say otherwise.
    pub(super) subprotocols: Option<Vec<Given>>,
}

/// What one place (the command line, the environment, the file, the defaults) says.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    entries: BTreeMap<Key, Entry>,
    routes: Option<(Source, Vec<TypedRoute>)>,
    secret: Option<Secret>,
}

/// The secret for tokens, where a variable holds it. It is never printed.
#[derive(Clone)]
pub(super) struct Secret(Vec<u8>);

impl Secret {
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Layer {
    pub(super) fn set(&mut self, key: Key, entry: Entry) {
        self.entries.insert(key, entry);
    }

    pub(super) fn set_routes(&mut self, source: Source, routes: Vec<TypedRoute>) {
        self.routes = Some((source, routes));
    }

    pub(super) fn set_secret(&mut self, secret: &[u8]) {
        self.secret = Some(Secret(secret.to_vec()));
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    /// Whether nothing was typed here.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.routes.is_none()
    }

    /// The file that `--config` names.
    pub(super) fn config_file(&self) -> Option<&Given> {
        self.entries.get(&Key::Config).and_then(|entry| entry.values.first())
    }
}

/// Everything that was typed, weakest layer first.
#[derive(Debug)]
pub(super) struct Low {
    layers: Vec<Layer>,
}

impl Low {
    /// Puts the defaults under what was typed.
    pub(super) fn new(file: Layer, environment: Layer, flags: Layer) -> Self {
        Self { layers: vec![defaults(), file, environment, flags] }
    }

    /// The defaults alone.
    pub(super) fn of_defaults() -> Self {
        Self { layers: vec![defaults()] }
    }

    /// What each layer says about a key, weakest first. The last one counts.
    pub(super) fn entries(&self, key: Key) -> impl Iterator<Item = &Entry> {
        self.layers.iter().filter_map(move |layer| layer.entries.get(&key))
    }

    /// The secret that the environment holds.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.layers.iter().rev().find_map(|layer| layer.secret.as_ref())
    }

    /// The routes of each layer and where they stand, weakest first. The last one counts.
    pub(super) fn routes(&self) -> impl Iterator<Item = &(Source, Vec<TypedRoute>)> {
        self.layers.iter().filter_map(|layer| layer.routes.as_ref())
    }
}

fn defaults() -> Layer {
    let mut layer = Layer::default();
    for spec in KEYS {
        let source = Source::Default(spec.name);
        if spec.key == Key::Route {
            let routes = spec.default.iter().filter_map(|text| split_route(text, &source));
            layer.set_routes(source.clone(), routes.collect());
            continue;
        }
        // A key without a default has no entry, unless it is a list, which is then empty.
        if !spec.default.is_empty() || spec.repeatable() {
            let given = |text: &&str| Given { text: (*text).to_string(), source: source.clone() };
            let values = spec.default.iter().map(given).collect();
            layer.set(spec.key, Entry { source, values });
        }
    }
    layer
}

/// Splits `PATH=HANDLER`; `None` without an equals sign. A path may hold `=`, a name does not.
pub(super) fn split_route(text: &str, source: &Source) -> Option<TypedRoute> {
    let (path, handler) = text.trim().rsplit_once('=')?;
    let given = |text: &str| Given { text: text.to_string(), source: source.clone() };
    Some(TypedRoute { path: given(path), handler: given(handler), subprotocols: None })
}
