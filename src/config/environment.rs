//! The environment: `PULSEWHEEL_*` variables, named after the flags, and `RUST_LOG`.
//! Not for finding misspelt variables: orchestrators put their own into that name space
//! (`PULSEWHEEL_SERVICE_HOST`), so an unknown one is no error.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::command_line::{set, text};
use super::error::{Problem, Source};
use super::gate::SECRET_VARIABLE;
use super::keys::{KEYS, Key, spec};
use super::low::{Given, Layer};

/// What other programs that log through `env_logger` read too.
pub(super) const RUST_LOG: &str = "RUST_LOG";

/// Looks up a variable.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads the variable of every key.
pub(super) fn read(environment: Environment, flags: &Layer, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::default();
    for spec in KEYS {
        let variable = spec.variable();
        let Some(text) = value(environment, &variable, problems) else { continue };
        let source = Source::Environment(variable);
        let given = |text: &str| Given { text: text.to_string(), source: source.clone() };
        let values = if spec.repeatable() {
            text.split(',').map(|part| given(part.trim())).collect()
        } else {
            vec![given(&text)]
        };
        set(spec, source, values, &mut layer, problems);
    }
    // It speaks to many programs, maybe in a dialect that is not ours: it is looked at only where
    // nothing was said to this one.
    if !layer.has(Key::LogLevel)
        && !flags.has(Key::LogLevel)
        && let Some(text) = value(environment, RUST_LOG, problems)
    {
        let source = Source::Environment(RUST_LOG.to_string());
        let values = vec![Given { text, source: source.clone() }];
        set(spec(Key::LogLevel), source, values, &mut layer, problems);
    }
    // It is no key: nothing that is typed elsewhere could take its place, nor may it be shown.
    if let Some(secret) = environment(SECRET_VARIABLE).filter(|secret| !secret.is_empty()) {
        layer.set_secret(secret.as_bytes());
    }
    layer
}

/// The text of a variable. An empty one counts as unset: that is what a shell or a compose file
/// leaves where nothing was filled in.
fn value(environment: Environment, variable: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let value = environment(variable).filter(|value| !value.is_empty())?;
    text(&value)
        .map_err(|refusal| problems.push(refusal.at(Source::Environment(variable.to_string()))))
        .ok()
}
