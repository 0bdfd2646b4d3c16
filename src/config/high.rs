//! From what was typed to what is meant: parses every value and lets the strongest one count.
//! Not for judging whether values make sense together, which `check` does.

use std::time::Duration;

use super::admission::{self, Admission};
use super::check::{self, Sources};
use super::compression::Compression;
use super::driver::DriverSettings;
use super::environment::RUST_LOG;
use super::error::{Problem, Refusal, Source};
use super::fields;
use super::gate;
use super::keys::{KEYS, Key};
use super::low::{Given, Low, TypedRoute};
use super::settings::{
    Config, Drain, Limits, LogFormat, LogSettings, RatePolicy, Route, SlowConsumer,
};
use super::tls;
use super::token::AdminToken;
use crate::gate::Settings;

/// Resolves everything that was typed. The result means something only if `problems` is empty
/// afterwards.
pub(super) fn resolve(low: &Low, known_handlers: &[&str], problems: &mut Vec<Problem>) -> Config {
    let mut config = blank();
    let mut subprotocols = Vec::new();
    for spec in KEYS {
        for entry in low.entries(spec.key) {
            match spec.key {
                Key::TrustProxy => {
                    config.admission.trust_proxy = admission::proxies(&entry.values, problems);
                }
                Key::Listen => config.listen = fields::listen(&entry.values, problems),
                Key::Subprotocol => subprotocols = names(&entry.values, problems),
                Key::AllowOrigin
                | Key::TokenFrom
                | Key::RequireClaim
                | Key::JwtAudience
                | Key::JwtIssuer => {
                    gate::set_list(&mut config.gate, spec.key, &entry.values, problems);
                }
                Key::LogLevel => log_level(&mut config, &entry.values, problems),
                _ => {
                    for value in &entry.values {
                        if let Err(refusal) = fields::set(&mut config, spec.key, &value.text) {
                            problems.push(refusal.at(value.source.clone()));
                        }
                    }
                }
            }
        }
    }
    for (_, typed) in low.routes() {
        config.routes = typed.iter().map(|typed| route(typed, &subprotocols, problems)).collect();
    }
    // The one value that is read from elsewhere: only the file that counts must exist.
    if let Some(path) = low.entries(Key::AdminTokenFile).last().and_then(|e| e.values.first()) {
        match AdminToken::read(&path.text) {
            Ok(token) => {
                config.admin_token = Some(token);
                config.warnings.extend(gate::may_be_read(Key::AdminTokenFile, &path.text));
            }
            Err(refusal) => problems.push(refusal.at(path.source.clone())),
        }
    }
    gate::keys(low, &mut config, problems);
    tls::certificates(low, &mut config, problems);
    config.warnings.extend(config.admission.warnings(config.max_connections));
    let sources = Sources::of(low);
    check::bounds(&config, &sources, problems);
    if problems.is_empty() {
        // A value that could not be read would seem to contradict others by its stand-in.
        check::contradictions(&config, &sources, known_handlers, problems);
    }
    config
}

/// What the defaults, which are always the first layer, are then written over.
fn blank() -> Config {
    let never = Duration::ZERO;
    Config {
        listen: Vec::new(),
        admin: None,
        admin_token: None,
        tls: Vec::new(),
        reactors: 0,
        pin_cores: false,
        driver: DriverSettings::blank(),
        max_connections: None,
        shared_descriptors: false,
        takeover: false,
        mailbox_limit: 0,
        limits: Limits {
            handshake_timeout: never,
            ping_interval: None,
            pong_timeout: None,
            idle_timeout: None,
            message_timeout: never,
            write_timeout: never,
            close_timeout: never,
            max_lifetime: None,
            max_message_size: 0,
            outbox_limit: 0,
            outbox_budget: 0,
            inbox_budget: 0,
            slow_consumer: SlowConsumer::Close,
            message_rate: None,
            message_rate_policy: RatePolicy::Pause,
            message_rate_total: None,
        },
        compression: Compression::blank(),
        admission: Admission::blank(),
        drain: Drain { delay: never, window: never },
        gate: Settings::default(),
        log: LogSettings { filter: String::new(), format: LogFormat::Text },
        routes: Vec::new(),
        warnings: Vec::new(),
    }
}

fn log_level(config: &mut Config, values: &[Given], problems: &mut Vec<Problem>) {
    for value in values {
        let ours = value.source != Source::Environment(RUST_LOG.to_string());
        match fields::check_filter(value.text.trim(), ours) {
            Ok(()) => config.log.filter = value.text.trim().to_string(),
            Err(refusal) => problems.push(refusal.at(value.source.clone())),
        }
    }
}

/// The subprotocols of a list, each refused with its own source.
fn names(values: &[Given], problems: &mut Vec<Problem>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for value in values {
        if let Err(refusal) = fields::check_subprotocol(&value.text) {
            problems.push(refusal.at(value.source.clone()));
        } else if names.contains(&value.text) {
            let refusal = Refusal::new(format!("{} is offered twice", value.text), "write it once");
            problems.push(refusal.at(value.source.clone()));
        }
        names.push(value.text.clone());
    }
    names
}

fn route(typed: &TypedRoute, offered: &[String], problems: &mut Vec<Problem>) -> Route {
    if let Err(refusal) = fields::check_path(&typed.path.text) {
        problems.push(refusal.at(typed.path.source.clone()));
    }
    let subprotocols = match &typed.subprotocols {
        Some(own) => names(own, problems),
        None => offered.to_vec(),
    };
    Route { path: typed.path.text.clone(), handler: typed.handler.text.clone(), subprotocols }
}
