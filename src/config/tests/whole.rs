//! Whole configurations: any legal one, written back as it is typed, reads as the same; no command
//! line and no environment makes the reader panic.
//! Not for single values.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::fields::show;
use super::super::keys::{KEYS, Key, Spec};
use super::super::{
    Admission, Compression, CompressionMode, Config, Drain, DriverSettings, ForwardedHeader,
    Limits, ListenAddress, LogFormat, LogSettings, Proxy, Rate, RatePolicy, Route, SlowConsumer,
    UserPolicy,
};
use super::{HANDLERS, Typed};
use crate::gate::{self, AllowedOrigin};
use crate::io::DriverChoice;

fn duration(shortest: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![shortest..100_000u64, shortest..=30 * 86_400_000]
        .prop_map(|millis| Duration::from_millis(millis.max(1)))
}

fn rate() -> impl Strategy<Value = Option<Rate>> {
    prop::option::of(
        (0.0001f64..1e9, 1..=u32::MAX).prop_map(|(per_second, burst)| Rate { per_second, burst }),
    )
}

fn origin() -> impl Strategy<Value = AllowedOrigin> {
    prop_oneof![
        Just("*".to_owned()),
        Just("same-host".to_owned()),
        "[a-zA-Z]{1,6}://(\\*\\.)?[a-zA-Z0-9.-]{1,12}(:[0-9]{1,4})?",
        "https?://\\[::[0-9a-f]{1,4}\\]",
    ]
    .prop_map(|text| text.parse().unwrap_or_else(|error| panic!("{text} {error}")))
}

prop_compose! {
    fn deadlines()(
        ping in prop::option::of(duration(100)),
        pong in prop::option::of(duration(1)),
        idle in prop::option::of(duration(1)),
        lifetime in prop::option::of(duration(1)),
        (handshake, message, write, close) in (duration(1), duration(1), duration(1), duration(1)),
    ) -> Limits {
        Limits {
            handshake_timeout: handshake,
            ping_interval: ping,
            // Longer than the interval it would be refused.
            pong_timeout: pong.map(|pong| ping.map_or(pong, |ping| pong.min(ping))),
            idle_timeout: idle,
            message_timeout: message,
            write_timeout: write,
            close_timeout: close,
            max_lifetime: lifetime,
            ..Limits::default()
        }
    }
}

prop_compose! {
    fn limits()(
        deadlines in deadlines(),
        max_message_size in 1..=1usize << 30,
        outbox_limit in 1..=1usize << 30,
        (more_out, more_in) in (0..=1u64 << 39, 0..=1u64 << 39),
        slow_consumer in select(vec![
            SlowConsumer::Close, SlowConsumer::DropOldest, SlowConsumer::DropNewest,
        ]),
        message_rate_policy in select(vec![RatePolicy::Pause, RatePolicy::Close]),
        (message_rate, message_rate_total) in (rate(), rate()),
    ) -> Limits {
        Limits {
            max_message_size,
            outbox_limit,
            outbox_budget: outbox_limit as u64 + more_out,
            inbox_budget: max_message_size as u64 + more_in,
            slow_consumer,
            message_rate,
            message_rate_policy,
            message_rate_total,
            ..deadlines
        }
    }
}

prop_compose! {
    fn admission()(
        per_ip in prop::option::of(1..1usize << 32),
        (per_ip_rate, connect_rate) in (rate(), rate()),
        user_limit_policy in select(vec![UserPolicy::Refuse, UserPolicy::Replace]),
        max_addresses in 1..=1usize << 26,
        proxies in prop::collection::btree_set(
            select(vec!["10.0.0.0/8", "unix", "2001:db8::/32", "192.0.2.7", "::/0"]), 0..4),
        forwarded_header in
            select(vec![ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded]),
        proxy_protocol in any::<bool>(),
    ) -> Admission {
        let trust_proxy: Vec<Proxy> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        Admission {
            // Without tokens there are no users.
            max_connections_per_user: None,
            user_limit_policy,
            max_connections_per_ip: per_ip,
            connect_rate_per_ip: per_ip_rate,
            connect_rate,
            max_addresses,
            // Without a proxy to use it, it would be refused.
            proxy_protocol: proxy_protocol && !trust_proxy.is_empty(),
            trust_proxy,
            forwarded_header,
        }
    }
}

prop_compose! {
    fn compression()(
        mode in select(vec![
            CompressionMode::Off, CompressionMode::Shared, CompressionMode::Dedicated,
        ]),
        min_size in 0..=1usize << 30,
        level in 1..=9u8,
        window in 9..=15u8,
        memory in 1..=1u64 << 40,
    ) -> Compression {
        Compression { mode, min_size, level, window, memory }
    }
}

prop_compose! {
    fn configs()(
        (limits, admission, compression) in (limits(), admission(), compression()),
        port in 10_000..60_000u16,
        count in 1..5u16,
        admin in any::<bool>(),
        (reactors, max_connections) in (1..=1024usize, prop::option::of(1..=u32::MAX as usize)),
        (pin_cores, shared_descriptors, takeover) in any::<(bool, bool, bool)>(),
        choice in select(vec![DriverChoice::Epoll, DriverChoice::IoUring, DriverChoice::Auto]),
        buffers in 1u64 << 16..=1 << 32,
        mailbox_limit in 1..=1usize << 40,
        (delay, window) in (duration(0), duration(0)),
        filter in select(vec!["info", "OFF", "warn,a::b=trace", "debug/needle"]),
        format in select(vec![LogFormat::Text, LogFormat::Json]),
        paths in prop::collection::btree_set("/[a-z=/%.~]{0,12}", 1..5),
        handler in select(&HANDLERS[..]),
        (allowed_origins, requires_origin) in (
            prop::collection::vec(origin(), 1..4), any::<bool>()
        ),
        subprotocols in prop::collection::btree_set("[a-zA-Z0-9.!#$%&'*+^_`|~-]{1,8}", 0..4),
    ) -> Config {
        let tcp = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let subprotocols: Vec<String> = subprotocols.into_iter().collect();
        Config {
            listen: (0..count)
                .map(|i| ListenAddress::Tcp(tcp(port + i)))
                .chain([ListenAddress::Unix("/run/x y.sock".into())])
                .collect(),
            admin: admin.then(|| tcp(port - 1)),
            admin_token: None,
            tls: Vec::new(),
            reactors,
            pin_cores,
            driver: DriverSettings { choice, buffers },
            max_connections,
            shared_descriptors,
            takeover,
            mailbox_limit,
            limits,
            compression,
            admission,
            drain: Drain { delay, window },
            gate: gate::Settings { allowed_origins, requires_origin, ..Default::default() },
            log: LogSettings { filter: filter.to_string(), format },
            routes: paths
                .into_iter()
                .map(|path| Route {
                    path,
                    handler: handler.to_string(),
                    subprotocols: subprotocols.clone(),
                })
                .collect(),
            warnings: Vec::new(),
        }
        .warned()
    }
}

impl Config {
    /// With what whoever reads it is to be warned of.
    fn warned(self) -> Self {
        let warnings = self.admission.warnings(self.max_connections);
        Config { warnings, ..self }
    }
}

fn keys() -> impl Strategy<Value = &'static Spec> {
    (0..KEYS.len()).prop_map(|i| &KEYS[i])
}

/// The flags that say a configuration.
fn as_typed(config: &Config) -> Vec<String> {
    let mut args = Vec::new();
    for spec in KEYS {
        let name = spec.name;
        match spec.key {
            Key::Config | Key::AdminTokenFile => {}
            // Shown as none where there is none, which is not how that is typed.
            Key::JwtSecretFile | Key::JwtPublicKeyFile | Key::JwtJwksFile => {}
            Key::TlsCertFile | Key::TlsKeyFile => {}
            Key::JwtAudience | Key::JwtIssuer | Key::RequireClaim => {}
            Key::AllowOrigin => {
                let allowed = &config.gate.allowed_origins;
                args.extend(allowed.iter().map(|origin| format!("--{name}={origin}")));
            }
            Key::TokenFrom => {}
            Key::Listen => {
                args.extend(config.listen.iter().map(|listen| format!("--{name}={listen}")));
            }
            Key::TrustProxy => {
                let proxies = &config.admission.trust_proxy;
                args.extend(proxies.iter().map(|proxy| format!("--{name}={proxy}")));
            }
            Key::Subprotocol => {
                let offered = &config.routes[0].subprotocols;
                args.extend(offered.iter().map(|offered| format!("--{name}={offered}")));
            }
            Key::Route => args
                .extend(config.routes.iter().map(|r| format!("--{name}={}={}", r.path, r.handler))),
            key => args.push(format!("--{name}={}", show(config, key))),
        }
    }
    args
}

proptest! {
    #[test]
    fn a_configuration_written_as_flags_reads_as_the_same(config in configs()) {
        prop_assert_eq!(config.check(&HANDLERS), Ok(()));
        prop_assert_eq!(Typed::default().flags(as_typed(&config)).config(), Ok(config));
    }

    #[test]
    fn no_command_line_makes_the_reader_panic(
        args in prop::collection::vec(any::<String>(), 0..5),
        values in prop::collection::vec((keys(), any::<String>()), 0..5),
    ) {
        // A file name made of anything might name something that never ends, like a terminal.
        let values = values.into_iter().filter(|(spec, _)| spec.key != Key::Config);
        let flags = values.map(|(spec, value)| format!("--{}={value}", spec.name));
        let typed = Typed::default().flags(flags).flags(args);
        if let Err(lines) = typed.command() {
            prop_assert!(lines.iter().all(|line| line.contains(": ") && line.contains("; ")));
        }
    }

    #[test]
    fn no_environment_makes_the_reader_panic(
        values in prop::collection::vec((keys(), any::<String>()), 0..5),
        rust_log in any::<String>(),
    ) {
        let mut typed = Typed::default().variable("RUST_LOG", rust_log);
        for (spec, value) in values.into_iter().filter(|(spec, _)| spec.key != Key::Config) {
            typed = typed.variable(&spec.variable(), value);
        }
        if let Err(lines) = typed.command() {
            prop_assert!(lines.iter().all(|line| line.contains(": ") && line.contains("; ")));
        }
    }
}
