//! Which key fills which field of the configuration, from text and back to text.
//! Not for judging values: `check` refuses what is well formed and makes no sense.

use std::num::NonZero;
use std::thread;

use super::address::{self, ListenAddress};
use super::error::{Problem, Refusal, nearest, quoted};
use super::gate;
use super::keys::Key;
use super::low::Given;
use super::quantity::{parse_duration, parse_size, show_duration, show_size};
use super::rate::Rate;
use super::settings::{Choice, Config};
use super::tls;

/// The most reactors that `auto` starts, and that may be asked for.
pub(super) const MOST_REACTORS: usize = 1024;

/// What says that something is switched off.
pub(super) const OFF: &str = "off";

/// What leaves a number to the machine.
pub(super) const AUTO: &str = "auto";

/// Puts the one value of a key into its field.
pub(super) fn set(config: &mut Config, key: Key, text: &str) -> Result<(), Refusal> {
    let limits = &mut config.limits;
    match key {
        Key::Admin => config.admin = address::parse_admin(text)?,
        Key::Reactors => config.reactors = parse_count(text)?.unwrap_or_else(cores),
        Key::PinCores => config.pin_cores = Choice::parse(text)?,
        Key::Driver | Key::IoUringBuffers => config.driver.set(key, text)?,
        Key::MaxConnections => config.max_connections = parse_count(text)?,
        Key::SharedDescriptors => config.shared_descriptors = Choice::parse(text)?,
        Key::HandshakeTimeout => limits.handshake_timeout = parse_duration(text)?,
        Key::PingInterval => limits.ping_interval = unless_off(text, parse_duration)?,
        Key::PongTimeout => limits.pong_timeout = unless_off(text, parse_duration)?,
        Key::IdleTimeout => limits.idle_timeout = unless_off(text, parse_duration)?,
        Key::MessageTimeout => limits.message_timeout = parse_duration(text)?,
        Key::WriteTimeout => limits.write_timeout = parse_duration(text)?,
        Key::CloseTimeout => limits.close_timeout = parse_duration(text)?,
        Key::MaxLifetime => limits.max_lifetime = unless_off(text, parse_duration)?,
        Key::MaxMessageSize => limits.max_message_size = parse_bytes(text)?,
        Key::OutboxLimit => limits.outbox_limit = parse_bytes(text)?,
        Key::OutboxBudget => limits.outbox_budget = parse_size(text)?,
        Key::InboxBudget => limits.inbox_budget = parse_size(text)?,
        Key::MailboxLimit => config.mailbox_limit = parse_bytes(text)?,
        Key::SlowConsumer => limits.slow_consumer = Choice::parse(text)?,
        Key::MessageRate => limits.message_rate = unless_off(text, str::parse::<Rate>)?,
        Key::MessageRatePolicy => limits.message_rate_policy = Choice::parse(text)?,
        Key::MessageRateTotal => limits.message_rate_total = unless_off(text, str::parse::<Rate>)?,
        Key::Compression
        | Key::CompressionMinSize
        | Key::CompressionLevel
        | Key::CompressionWindow
        | Key::CompressionMemory => config.compression.set(key, text)?,
        Key::DrainDelay => config.drain.delay = parse_duration(text)?,
        Key::DrainWindow => config.drain.window = parse_duration(text)?,
        Key::Takeover => config.takeover = Choice::parse(text)?,
        Key::RequireOrigin => config.gate.requires_origin = Choice::parse(text)?,
        Key::Auth => config.gate.auth = Choice::parse(text)?,
        Key::JwtAlgorithm => config.gate.algorithm = Choice::parse(text)?,
        Key::JwtLeeway => config.gate.leeway = parse_duration(text)?,
        Key::LogLevel => config.log.filter = text.trim().to_string(),
        Key::LogFormat => config.log.format = Choice::parse(text)?,
        Key::MaxConnectionsPerUser
        | Key::UserLimitPolicy
        | Key::MaxConnectionsPerIp
        | Key::ConnectRatePerIp
        | Key::ConnectRate
        | Key::MaxAddresses
        | Key::ForwardedHeader
        | Key::ProxyProtocol => config.admission.set(key, text)?,
        // These are lists, or files to read, or both: `high` resolves them.
        Key::TrustProxy | Key::TlsCertFile | Key::TlsKeyFile => {}
        Key::Listen | Key::AdminTokenFile | Key::Config | Key::Subprotocol | Key::Route => {}
        Key::AllowOrigin | Key::JwtAudience | Key::JwtIssuer | Key::TokenFrom => {}
        Key::RequireClaim | Key::JwtSecretFile | Key::JwtPublicKeyFile | Key::JwtJwksFile => {}
    }
    Ok(())
}

/// Reads the addresses of `--listen`.
pub(super) fn listen(values: &[Given], problems: &mut Vec<Problem>) -> Vec<ListenAddress> {
    let mut addresses = Vec::new();
    for value in values {
        match value.text.parse() {
            Ok(address) => addresses.push(address),
            Err(refusal) => problems.push(Refusal::at(refusal, value.source.clone())),
        }
    }
    addresses
}

/// What a key's field holds, as it is typed. Secrets are not shown, lists are joined by commas.
pub(super) fn show(config: &Config, key: Key) -> String {
    let limits = &config.limits;
    let or_off = |duration| Option::map_or(duration, OFF.to_string(), show_duration);
    let rate = |rate: Option<Rate>| rate.map_or(OFF.to_string(), |rate| rate.to_string());
    let size = |bytes: usize| show_size(bytes as u64);
    match key {
        Key::Listen => joined(&config.listen),
        Key::Admin => config.admin.map_or(OFF.to_string(), |admin| admin.to_string()),
        Key::AdminTokenFile => {
            config.admin_token.as_ref().map_or("none".to_string(), |token| token.to_string())
        }
        Key::TlsCertFile | Key::TlsKeyFile => tls::show(config, key),
        Key::Reactors => config.reactors.to_string(),
        Key::PinCores => switch(config.pin_cores),
        Key::Driver | Key::IoUringBuffers => config.driver.show(key),
        Key::MaxConnections => {
            config.max_connections.map_or(AUTO.to_string(), |most| most.to_string())
        }
        Key::SharedDescriptors => switch(config.shared_descriptors),
        Key::HandshakeTimeout => show_duration(limits.handshake_timeout),
        Key::PingInterval => or_off(limits.ping_interval),
        Key::PongTimeout => or_off(limits.pong_timeout),
        Key::IdleTimeout => or_off(limits.idle_timeout),
        Key::MessageTimeout => show_duration(limits.message_timeout),
        Key::WriteTimeout => show_duration(limits.write_timeout),
        Key::CloseTimeout => show_duration(limits.close_timeout),
        Key::MaxLifetime => or_off(limits.max_lifetime),
        Key::MaxMessageSize => size(limits.max_message_size),
        Key::OutboxLimit => size(limits.outbox_limit),
        Key::OutboxBudget => show_size(limits.outbox_budget),
        Key::InboxBudget => show_size(limits.inbox_budget),
        Key::MailboxLimit => size(config.mailbox_limit),
        Key::SlowConsumer => limits.slow_consumer.word().to_string(),
        Key::MessageRate => rate(limits.message_rate),
        Key::MessageRatePolicy => limits.message_rate_policy.word().to_string(),
        Key::MessageRateTotal => rate(limits.message_rate_total),
        Key::Compression
        | Key::CompressionMinSize
        | Key::CompressionLevel
        | Key::CompressionWindow
        | Key::CompressionMemory => config.compression.show(key),
        Key::DrainDelay => show_duration(config.drain.delay),
        Key::DrainWindow => show_duration(config.drain.window),
        Key::Takeover => switch(config.takeover),
        Key::LogLevel => config.log.filter.clone(),
        Key::LogFormat => config.log.format.word().to_string(),
        Key::MaxConnectionsPerUser
        | Key::UserLimitPolicy
        | Key::MaxConnectionsPerIp
        | Key::ConnectRatePerIp
        | Key::ConnectRate
        | Key::MaxAddresses
        | Key::TrustProxy
        | Key::ForwardedHeader
        | Key::ProxyProtocol => config.admission.show(key),
        Key::AllowOrigin | Key::RequireOrigin | Key::Auth | Key::TokenFrom | Key::RequireClaim => {
            gate::show(&config.gate, key)
        }
        Key::JwtSecretFile | Key::JwtPublicKeyFile | Key::JwtJwksFile | Key::JwtAlgorithm => {
            gate::show(&config.gate, key)
        }
        Key::JwtAudience | Key::JwtIssuer | Key::JwtLeeway => gate::show(&config.gate, key),
        // Which file it came from is not kept, and subprotocols are shown with their routes.
        Key::Config | Key::Subprotocol => String::new(),
        Key::Route => joined(&config.routes),
    }
}

pub(super) fn switch(on: bool) -> String {
    if on { "on" } else { OFF }.to_string()
}

pub(super) fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn unless_off<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, Refusal>,
) -> Result<Option<T>, Refusal> {
    if text.trim() == OFF {
        return Ok(None);
    }
    parse(text).map(Some).map_err(|mut refusal| {
        refusal.remedy.push_str(", or off");
        refusal
    })
}

/// Reads a whole number; `None` for `auto`.
pub(super) fn parse_count(text: &str) -> Result<Option<usize>, Refusal> {
    let text = text.trim();
    if text == AUTO {
        return Ok(None);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        _ => {
            let why = if digits { "is too large" } else { "is not a whole number" };
            let remedy = "write a number like 4, or auto";
            Err(Refusal::new(format!("{} {why}", quoted(text)), remedy))
        }
    }
}

pub(super) fn parse_bytes(text: &str) -> Result<usize, Refusal> {
    let bytes = parse_size(text)?;
    usize::try_from(bytes).map_err(|_| {
        Refusal::new(format!("{} is too large for this machine", quoted(text)), "write less")
    })
}

/// The cores that this process may use, which a container may have cut.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST_REACTORS)
}

/// Reads a subprotocol's name: a token of RFC 9110, section 5.6.2, as RFC 6455 asks for.
pub(super) fn check_subprotocol(name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(legal) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{} is no subprotocol's name", quoted(name)),
        "write one name of letters, digits and !#$%&'*+-.^_`|~",
    ))
}

/// Refuses a path that no request can have or that a request's target could not be compared with.
pub(super) fn check_path(path: &str) -> Result<(), Refusal> {
    const LONGEST: usize = 1024;
    let refuse = |why: &str, remedy: &str| {
        Err(Refusal::new(format!("the path {} {why}", quoted(path)), remedy))
    };
    if !path.starts_with('/') {
        return refuse("does not begin with /", "write it like /echo");
    }
    if path.contains(['?', '#']) {
        return refuse("holds ? or #", "write the path alone, without query and fragment");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse(
            "holds a space or something not in ASCII",
            "percent-encode it as clients do",
        );
    }
    if path.len() > LONGEST {
        return refuse("is too long", "write at most 1024 bytes");
    }
    Ok(())
}

/// Refuses a handler that nobody registered.
pub(super) fn check_handler(name: &str, known: &[&str]) -> Result<(), Refusal> {
    if known.contains(&name) {
        return Ok(());
    }
    let all = known.join(", ");
    let remedy = match nearest(name, known.iter().copied()) {
        Some(close) => format!("did you mean {close}? There are {all}"),
        None => format!("there are {all}"),
    };
    Err(Refusal::new(format!("unknown handler {}", quoted(name)), remedy))
}

/// Refuses a filter that `env_logger` would not understand.
///
/// `by_itself` is whether the text is meant for this program alone. Then a lone word must be a
/// level: `inof` would otherwise be the name of a module that does not exist, and log nothing.
pub(super) fn check_filter(filter: &str, by_itself: bool) -> Result<(), Refusal> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let remedy =
        "write off, error, warn, info, debug, trace, or a filter like info,pulsewheel=debug";
    let word = filter.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(filter));
    if by_itself && word && !level {
        let lower = filter.to_ascii_lowercase();
        let remedy = match nearest(&lower, LEVELS) {
            Some(close) => format!("did you mean {close}?"),
            None => remedy.to_string(),
        };
        return Err(Refusal::new(format!("{} is no log level", quoted(filter)), remedy));
    }
    match env_filter::Builder::new().try_parse(filter) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::new(format!("{} is no log filter", quoted(filter)), remedy)),
    }
}
