//! The TOML file: its keys and values as text, each with its line.
//! Not for what values mean, and not for writing TOML, which `template` does.

use std::fs;
use std::io::Read;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, Refusal, Source, nearest, quoted};
use super::keys::{KEYS, Kind, Spec, by_toml_key};
use super::low::{Entry, Given, Layer, TypedRoute};

/// Bytes of the longest file that is read: a wrong path to something huge is told, not swallowed.
const LONGEST: u64 = 1 << 20;

/// The key of the route tables.
const ROUTE: &str = "route";

/// The keys of a route's table.
const ROUTE_KEYS: [&str; 3] = ["path", "handler", "subprotocols"];

/// Reads the file that `--config` or its variable names.
pub(super) fn read(name: &Given, problems: &mut Vec<Problem>) -> Layer {
    let mut text = String::new();
    let opened = fs::File::open(&name.text);
    if let Err(error) = opened.and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text)) {
        let wrong = format!("cannot read {}: {error}", quoted(&name.text));
        problems.push(Refusal::new(wrong, "name a readable TOML file").at(name.source.clone()));
        return Layer::default();
    }
    if text.len() as u64 > LONGEST {
        let wrong = format!("{} is longer than {LONGEST} bytes", quoted(&name.text));
        problems.push(Refusal::new(wrong, "name a TOML file").at(name.source.clone()));
        return Layer::default();
    }
    parse(&text, &name.text, problems)
}

/// Reads the text of a file. `name` is what problems call it.
pub(super) fn parse(text: &str, name: &str, problems: &mut Vec<Problem>) -> Layer {
    let file = File { name, text };
    let mut layer = Layer::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    // Only the first: what follows a slip is often the parser's confusion and not the operator's.
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    if let Some(error) = errors.iter().min_by_key(|error| start(error)) {
        let remedy = "mend the TOML, or see pulsewheel default-config";
        problems.push(Refusal::new(error.message(), remedy).at(file.source(start(error), "")));
        return layer;
    }
    for (key, value) in in_order(table.into_inner()) {
        let Some(spec) = by_toml_key(key.get_ref()) else {
            problems.push(unknown_key(key.get_ref()).at(file.source(key.span().start, "")));
            continue;
        };
        let source = file.source(key.span().start, key.get_ref());
        if spec.kind == Kind::Routes {
            let routes = file.routes(value, problems);
            layer.set_routes(source, routes);
            continue;
        }
        if let Some(values) = file.values(spec.kind, key.get_ref(), value, problems) {
            layer.set(spec.key, Entry { source, values });
        }
    }
    layer
}

/// A table's pairs as they stand in the file; the parser sorts them by name.
fn in_order<'i>(
    table: DeTable<'i>,
) -> Vec<(Spanned<toml::de::DeString<'i>>, Spanned<DeValue<'i>>)> {
    let mut pairs: Vec<_> = table.into_iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

fn unknown_key(key: &str) -> Refusal {
    let wrong = format!("unknown key {}", quoted(key));
    let keys: Vec<String> = KEYS.iter().filter_map(Spec::toml_key).collect();
    let underscored = key.replace('-', "_");
    match nearest(&underscored, keys.iter().map(String::as_str)) {
        Some(close) => Refusal::new(wrong, format!("did you mean {close}?")),
        None => Refusal::new(wrong, "pulsewheel default-config prints every key"),
    }
}

struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl File<'_> {
    fn source(&self, at: usize, key: &str) -> Source {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Source::File { name: self.name.to_string(), line, key: key.to_string() }
    }

    /// The values of a key: all of a list, or the one there is. `None` once a problem is told.
    fn values(
        &self,
        kind: Kind,
        key: &str,
        value: Spanned<DeValue>,
        problems: &mut Vec<Problem>,
    ) -> Option<Vec<Given>> {
        let values = match value.get_ref() {
            DeValue::Array(_) if kind.repeatable() => match value.into_inner() {
                DeValue::Array(values) => values.into_iter().collect(),
                _ => Vec::new(),
            },
            _ => vec![value],
        };
        let before = problems.len();
        let mut given = Vec::new();
        for value in values {
            let source = self.source(value.span().start, key);
            match scalar(kind, value.get_ref()) {
                Ok(text) => given.push(Given { text, source }),
                Err(refusal) => problems.push(refusal.at(source)),
            }
        }
        (problems.len() == before).then_some(given)
    }

    fn routes(&self, value: Spanned<DeValue>, problems: &mut Vec<Problem>) -> Vec<TypedRoute> {
        let at = value.span().start;
        let DeValue::Array(tables) = value.into_inner() else {
            problems.push(not_a_route_table().at(self.source(at, ROUTE)));
            return Vec::new();
        };
        let mut routes = Vec::new();
        for table in tables {
            let at = table.span().start;
            match table.into_inner() {
                DeValue::Table(table) => routes.extend(self.route(at, table, problems)),
                _ => problems.push(not_a_route_table().at(self.source(at, ROUTE))),
            }
        }
        routes
    }

    /// One route, unless something in its table is wrong.
    fn route(&self, at: usize, table: DeTable, problems: &mut Vec<Problem>) -> Option<TypedRoute> {
        let before = problems.len();
        let (mut path, mut handler, mut subprotocols) = (None, None, None);
        for (key, value) in in_order(table) {
            let name = format!("{}.{}", ROUTE, key.get_ref());
            match key.get_ref().as_ref() {
                "path" => path = self.values(Kind::Text, &name, value, problems),
                "handler" => handler = self.values(Kind::Text, &name, value, problems),
                "subprotocols" => subprotocols = self.values(Kind::Texts, &name, value, problems),
                other => {
                    let remedy = match nearest(other, ROUTE_KEYS) {
                        Some(close) => format!("did you mean {close}?"),
                        None => format!("a route has {}", ROUTE_KEYS.join(", ")),
                    };
                    let refusal = Refusal::new(format!("unknown key {}", quoted(other)), remedy);
                    problems.push(refusal.at(self.source(key.span().start, ROUTE)));
                }
            }
        }
        if problems.len() > before {
            return None;
        }
        let missing = |key: &str| {
            Refusal::new(format!("a route without its {key}"), "write both path and handler")
                .at(self.source(at, ROUTE))
        };
        let one = |given: Option<Vec<Given>>| given.into_iter().flatten().next();
        match (one(path), one(handler)) {
            (Some(path), Some(handler)) => return Some(TypedRoute { path, handler, subprotocols }),
            (None, _) => problems.push(missing("path")),
            (_, None) => problems.push(missing("handler")),
        }
        None
    }
}

fn not_a_route_table() -> Refusal {
    Refusal::new("is not a list of tables", "write [[route]] above a path and a handler")
}

/// The text of a value, if its TOML type suits the kind of key.
fn scalar(kind: Kind, value: &DeValue) -> Result<String, Refusal> {
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => Ok(on.to_string()),
        (Kind::Switch, _) => Err(wrong_type(kind, value)),
        (_, DeValue::String(text)) => Ok(text.to_string()),
        // A duration takes integers for the sake of its bare 0; any other is told what it lacks.
        (
            Kind::Count
            | Kind::CountOrOff
            | Kind::Number
            | Kind::Size
            | Kind::Duration
            | Kind::DurationOrOff,
            DeValue::Integer(n),
        ) => {
            // The parser leaves an integer in its radix, which may also be 2, 8 or 16.
            Ok(i128::from_str_radix(n.as_str(), n.radix())
                .map_or_else(|_| n.to_string(), |number| number.to_string()))
        }
        _ => Err(wrong_type(kind, value)),
    }
}

fn wrong_type(kind: Kind, value: &DeValue) -> Refusal {
    let found = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let wanted = match kind {
        Kind::Switch => "true or false, without quotes",
        Kind::Count => "a whole number, or \"auto\"",
        Kind::CountOrOff => "a whole number, or \"off\"",
        Kind::Number => "a whole number",
        Kind::Size => "a number of bytes, or a string like \"256KiB\"",
        Kind::Duration => "a string like \"25s\"",
        Kind::DurationOrOff => "a string like \"25s\", or \"off\"",
        Kind::Rate => "a string like \"100/s\", or \"off\"",
        Kind::Texts => "a list of strings",
        Kind::Text | Kind::Routes | Kind::ConfigFile => "a string",
    };
    Refusal::new(format!("is {found}"), format!("write {wanted}"))
}
