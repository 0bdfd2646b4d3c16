//! A flag is stronger than the environment, that than the file, that than the default: for every
//! key by itself.
//! Not for what makes a value wrong.

use super::super::fields::show;
use super::super::keys::{KEYS, Key, Kind, Spec};
use super::super::{Config, LogFormat, Rate, RatePolicy, Route, SlowConsumer};
use super::{Scratch, Typed, file, flags};

/// Three values of a key, none its default, none in contradiction to any default.
fn samples(spec: &Spec) -> [&'static str; 3] {
    match spec.key {
        Key::Listen => ["127.0.0.1:1001", "[::1]:1002", "unix:/run/1003.sock"],
        Key::Admin => ["127.0.0.1:2001", "[::1]:2002", "off"],
        Key::Reactors => ["3", "4", "5"],
        Key::MaxConnections => ["30", "40", "50"],
        Key::LogLevel => ["warn", "debug", "info,pulsewheel::conn=trace"],
        Key::LogFormat => ["json", "text", "json"],
        Key::SlowConsumer => ["drop-oldest", "drop-newest", "drop-oldest"],
        Key::MessageRatePolicy => ["close", "pause", "close"],
        Key::MessageRate | Key::MessageRateTotal => ["100/s", "6/m", "100/s:200"],
        Key::PingInterval => ["11s", "12s", "off"],
        Key::UserLimitPolicy => ["replace", "refuse", "replace"],
        Key::ConnectRate | Key::ConnectRatePerIp => ["100/s", "6/m", "100/s:200"],
        Key::TrustProxy => ["10.0.0.0/8", "2001:db8::/32", "unix"],
        Key::ForwardedHeader => ["forwarded", "x-forwarded-for", "forwarded"],
        Key::Driver => ["io_uring", "auto", "epoll"],
        Key::IoUringBuffers => ["64KiB", "2MiB", "4GiB"],
        Key::Compression => ["shared", "dedicated", "off"],
        Key::CompressionLevel => ["1", "3", "9"],
        Key::CompressionWindow => ["9", "13", "15"],
        Key::Route => ["/a=echo", "/b=broadcast", "/c=echo"],
        Key::Subprotocol => ["a", "b", "c"],
        Key::AllowOrigin => ["https://a.test", "https://*.b.test:81", "*"],
        Key::TokenFrom => ["header", "subprotocol", "query"],
        _ => match spec.kind {
            Kind::Switch => ["on", "off", "on"],
            Kind::CountOrOff | Kind::Number => ["30", "40", "50"],
            Kind::Duration | Kind::DurationOrOff => ["1s", "2s", "3s"],
            Kind::Size if spec.name.ends_with("budget") => ["300MiB", "301MiB", "1GiB"],
            Kind::Size => ["1KiB", "2KiB", "3KiB"],
            other => panic!("{} is of kind {other:?} and has no samples", spec.name),
        },
    }
}

/// The line or table of a file that says this value.
fn toml(spec: &Spec, value: &str) -> String {
    let key = spec.toml_key().unwrap();
    match spec.kind {
        Kind::Switch => format!("{key} = {}", value == "on"),
        Kind::Texts => format!("{key} = [\"{value}\"]"),
        Kind::Routes => {
            let (path, handler) = value.split_once('=').unwrap();
            format!("[[{key}]]\npath = \"{path}\"\nhandler = \"{handler}\"")
        }
        _ => format!("{key} = \"{value}\""),
    }
}

/// What a key came to mean, as it is typed.
fn meant(config: &Config, spec: &Spec) -> String {
    match spec.key {
        Key::Subprotocol => config.routes[0].subprotocols.join(", "),
        key => show(config, key),
    }
}

/// The keys whose values stand for themselves; the others have tests of their own below.
fn plain_keys() -> impl Iterator<Item = &'static Spec> {
    KEYS.iter().filter(|spec| {
        let is_of_tls = matches!(spec.key, Key::TlsCertFile | Key::TlsKeyFile);
        let names_a_file = matches!(spec.key, Key::Config | Key::AdminTokenFile) || is_of_tls;
        // None of these means anything without a key to check tokens with.
        let is_of_tokens =
            spec.key == Key::Auth || spec.key == Key::RequireClaim || spec.name.starts_with("jwt-");
        // Nor these without tokens and without a proxy.
        let leans = matches!(spec.key, Key::MaxConnectionsPerUser | Key::ProxyProtocol);
        !names_a_file && !is_of_tokens && !leans
    })
}

#[test]
fn every_key_is_taken_from_the_file() {
    for spec in plain_keys() {
        for value in samples(spec) {
            let config = file(&toml(spec, value)).config().unwrap();
            assert_eq!(meant(&config, spec), value, "{}", spec.name);
        }
    }
}

#[test]
fn for_every_key_the_environment_is_stronger_than_the_file() {
    for spec in plain_keys() {
        let [first, second, _] = samples(spec);
        let config = file(&toml(spec, first)).variable(&spec.variable(), second).config().unwrap();
        assert_eq!(meant(&config, spec), second, "{}", spec.name);
    }
}

#[test]
fn for_every_key_a_flag_is_stronger_than_environment_and_file() {
    for spec in plain_keys() {
        let [first, second, third] = samples(spec);
        let config = file(&toml(spec, first))
            .variable(&spec.variable(), second)
            .flags([format!("--{}={third}", spec.name)])
            .config()
            .unwrap();
        assert_eq!(meant(&config, spec), third, "{}", spec.name);
    }
}

#[test]
fn a_key_set_in_one_place_leaves_the_others_to_their_own() {
    let config = file("close_timeout = \"1s\"\nwrite_timeout = \"1s\"\nmessage_timeout = \"1s\"")
        .variable("PULSEWHEEL_WRITE_TIMEOUT", "2s")
        .variable("PULSEWHEEL_MESSAGE_TIMEOUT", "2s")
        .flags(["--message-timeout", "3s"])
        .config()
        .unwrap();
    let mut expected = Config::default();
    expected.limits.close_timeout = std::time::Duration::from_secs(1);
    expected.limits.write_timeout = std::time::Duration::from_secs(2);
    expected.limits.message_timeout = std::time::Duration::from_secs(3);
    assert_eq!(config, expected);
}

#[test]
fn the_token_file_that_counts_is_the_only_one_that_is_read() {
    let (second, third) = (Scratch::new("second\n"), Scratch::new("third"));
    let typed = || {
        file("admin_token_file = \"/nonexistent\"")
            .variable("PULSEWHEEL_ADMIN_TOKEN_FILE", second.path())
    };
    assert!(typed().config().unwrap().admin_token.unwrap().matches(b"second"));
    let flag = typed().flags(["--admin-token-file", third.path()]);
    assert!(flag.config().unwrap().admin_token.unwrap().matches(b"third"));
}

#[test]
fn the_file_is_named_by_flag_or_else_by_variable() {
    let (one, two) = (Scratch::new("reactors = 1"), Scratch::new("reactors = 2"));
    let variable = || Typed::default().variable("PULSEWHEEL_CONFIG", one.path());
    assert_eq!(variable().config().unwrap().reactors, 1);
    assert_eq!(variable().flags(["--config", two.path()]).config().unwrap().reactors, 2);
}

#[test]
fn lists_replace_each_other_whole() {
    let typed = || file("listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]");
    assert_eq!(typed().config().unwrap().listen.len(), 2);
    let variable = || typed().variable("PULSEWHEEL_LISTEN", "127.0.0.1:3, unix:/x ,[::1]:4");
    let listen = |typed: Typed| show(&typed.config().unwrap(), Key::Listen);
    assert_eq!(listen(variable()), "127.0.0.1:3, unix:/x, [::1]:4");
    let flag = variable().flags(["--listen", "127.0.0.1:5", "--listen=127.0.0.1:6"]);
    assert_eq!(listen(flag), "127.0.0.1:5, 127.0.0.1:6");
}

#[test]
fn routes_given_anywhere_replace_the_default_pair() {
    let routes = |typed: Typed| show(&typed.config().unwrap(), Key::Route);
    assert_eq!(routes(Typed::default()), "/echo=echo, /broadcast=broadcast");
    assert_eq!(routes(flags(["--route", "/a=echo", "--route", "/b=c=echo"])), "/a=echo, /b=c=echo");
    let variable = Typed::default().variable("PULSEWHEEL_ROUTE", "/a=echo, /b=broadcast");
    assert_eq!(routes(variable), "/a=echo, /b=broadcast");
}

#[test]
fn subprotocols_apply_to_routes_without_a_list_of_their_own() {
    let content = "subprotocol = [\"x\", \"y\"]\n\
        [[route]]\npath = \"/a\"\nhandler = \"echo\"\n\
        [[route]]\npath = \"/b\"\nhandler = \"echo\"\nsubprotocols = [\"own\"]\n\
        [[route]]\npath = \"/c\"\nhandler = \"echo\"\nsubprotocols = []\n";
    let offered = |typed: Typed| -> Vec<Vec<String>> {
        typed.config().unwrap().routes.into_iter().map(|route| route.subprotocols).collect()
    };
    assert_eq!(offered(file(content)), [vec!["x", "y"], vec!["own"], vec![]]);
    let flag = file(content).flags(["--subprotocol", "z"]);
    assert_eq!(offered(flag), [vec!["z"], vec!["own"], vec![]]);
    let variable = Typed::default().variable("PULSEWHEEL_SUBPROTOCOL", "v2,v1");
    assert_eq!(offered(variable), [["v2", "v1"], ["v2", "v1"]]);
}

#[test]
fn rust_log_is_weaker_than_our_own_and_stronger_than_the_file() {
    let filter = |typed: Typed| typed.config().unwrap().log.filter;
    let typed = || file("log_level = \"error\"").variable("RUST_LOG", "mine=debug");
    assert_eq!(filter(typed()), "mine=debug");
    assert_eq!(filter(typed().variable("PULSEWHEEL_LOG_LEVEL", "warn")), "warn");
    assert_eq!(filter(typed().flags(["--log-level", "trace"])), "trace");
    assert_eq!(filter(typed().variable("RUST_LOG", "")), "error", "empty is unset");
    // It may be meant for others: a lone word can be a crate, nonsense counts only when used.
    assert_eq!(filter(Typed::default().variable("RUST_LOG", "mycrate")), "mycrate");
    let nonsense = || Typed::default().variable("RUST_LOG", "a=b=c");
    assert!(nonsense().problem().starts_with("environment RUST_LOG: \"a=b=c\" is no log filter"));
    assert_eq!(filter(nonsense().flags(["--log-level", "warn"])), "warn");
    assert_eq!(filter(nonsense().variable("PULSEWHEEL_LOG_LEVEL", "warn")), "warn");
}

#[test]
fn an_empty_variable_is_no_value() {
    for spec in KEYS {
        let config = Typed::default().variable(&spec.variable(), "").config();
        assert_eq!(config, Ok(Config::default()), "{}", spec.name);
    }
}

#[test]
fn switches_can_be_switched_off_again() {
    for name in ["pin-cores", "takeover", "shared-descriptors"] {
        let key = KEYS.iter().find(|spec| spec.name == name).unwrap().key;
        let content = format!("{} = true", name.replace('-', "_"));
        assert_eq!(show(&flags([&*format!("--{name}")]).config().unwrap(), key), "on");
        for off in ["off", "false", "no", "0"] {
            let typed = file(&content).flags([format!("--{name}={off}")]);
            assert_eq!(show(&typed.config().unwrap(), key), "off");
        }
    }
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = Typed::default().config().unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.check(&super::HANDLERS), Ok(()));
    let seconds = std::time::Duration::from_secs;
    let limits = config.limits;
    assert_eq!(show(&config, Key::Listen), "127.0.0.1:9001");
    assert_eq!(show(&config, Key::Admin), "127.0.0.1:9002");
    assert_eq!(config.admin_token, None);
    assert!(config.reactors >= 1);
    assert!(!config.pin_cores && !config.shared_descriptors && !config.takeover);
    assert_eq!(config.max_connections, None);
    assert_eq!(config.mailbox_limit, 8 << 20);
    assert_eq!(limits.handshake_timeout, seconds(10));
    assert_eq!(limits.ping_interval, Some(seconds(25)));
    assert_eq!(limits.pong_timeout, Some(seconds(10)));
    assert_eq!((limits.idle_timeout, limits.max_lifetime), (None, None));
    assert_eq!(limits.message_timeout, seconds(30));
    assert_eq!(limits.write_timeout, seconds(10));
    assert_eq!(limits.close_timeout, seconds(5));
    assert_eq!((limits.max_message_size, limits.outbox_limit), (1 << 20, 256 << 10));
    assert_eq!((limits.outbox_budget, limits.inbox_budget), (256 << 20, 256 << 20));
    assert_eq!(limits.slow_consumer, SlowConsumer::Close);
    assert_eq!((limits.message_rate, limits.message_rate_total), (None::<Rate>, None));
    assert_eq!(limits.message_rate_policy, RatePolicy::Pause);
    assert_eq!((config.drain.delay, config.drain.window), (seconds(0), seconds(10)));
    assert_eq!((config.log.filter.as_str(), config.log.format), ("info", LogFormat::Text));
    let route = |path: &str, handler: &str| Route {
        path: path.to_string(),
        handler: handler.to_string(),
        subprotocols: Vec::new(),
    };
    assert_eq!(config.routes, [route("/echo", "echo"), route("/broadcast", "broadcast")]);
}
