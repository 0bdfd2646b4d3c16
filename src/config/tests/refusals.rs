//! Values that make no sense, by themselves or together: each refused with its source and what to
//! do about it.
//! Not for texts that cannot be read at all.

use std::time::Duration;

use super::super::{AdminToken, Config, ListenAddress, Rate};
use super::{Scratch, Typed, file, flags};

/// Every line of what the flags, separated by spaces, lead to.
fn refused(args: &str) -> Vec<String> {
    flags(args.split_whitespace()).config().expect_err(args)
}

#[test]
fn durations_out_of_bounds_are_refused() {
    for name in ["handshake-timeout", "message-timeout", "write-timeout", "close-timeout"] {
        let line = format!("flag --{name}: 0s is too short; write at least 1ms");
        assert_eq!(refused(&format!("--{name} 0")), [line]);
        assert!(flags([format!("--{name}=off").as_str()]).problem().contains("is not a duration"));
    }
    for name in ["pong-timeout", "idle-timeout", "max-lifetime"] {
        let line = format!("flag --{name}: 0s is too short; write at least 1ms, or off");
        assert_eq!(refused(&format!("--{name} 0s")), [line]);
    }
    for value in ["0", "99ms"] {
        let lines = refused(&format!("--ping-interval {value} --pong-timeout 1ms"));
        assert!(lines[0].starts_with("flag --ping-interval: "), "{lines:?}");
        assert!(lines[0].ends_with("is too short; write at least 100ms, or off"), "{lines:?}");
    }
    assert!(flags(["--ping-interval=100ms", "--pong-timeout=100ms"]).config().is_ok());
    for name in [
        "handshake-timeout",
        "ping-interval",
        "pong-timeout",
        "idle-timeout",
        "message-timeout",
        "write-timeout",
        "close-timeout",
        "max-lifetime",
        "drain-delay",
        "drain-window",
    ] {
        let lines = refused(&format!("--{name} 30d1ms"));
        let start = format!("flag --{name}: 30d1ms is too long; write at most 30d");
        assert!(lines[0].starts_with(&start), "{lines:?}");
    }
    assert!(flags(["--drain-window=0", "--drain-delay=0", "--max-lifetime=30d"]).config().is_ok());
}

#[test]
fn sizes_out_of_bounds_are_refused() {
    for name in
        ["max-message-size", "outbox-limit", "outbox-budget", "inbox-budget", "mailbox-limit"]
    {
        let line = format!(
            "flag --{name}: 0 leaves no room for any message; write a size like \
                            256KiB"
        );
        assert_eq!(refused(&format!("--{name} 0")), [line]);
        let line = refused(&format!("--{name} 18446744073709551615"));
        assert!(line[0].contains(" is too large; write at most "), "{line:?}");
        let line = refused(&format!("--{name} 18446744073709551615MiB"));
        assert!(line[0].contains("\"18446744073709551615MiB\" is too large; "), "{line:?}");
    }
    assert_eq!(
        refused("--max-message-size 1025MiB"),
        ["flag --max-message-size: 1025MiB is too large; write at most 1GiB"]
    );
}

#[test]
fn counts_out_of_bounds_are_refused() {
    for n in ["0", "1025"] {
        let line = format!("flag --reactors: {n} reactors cannot be run; write 1 to 1024, or auto");
        assert_eq!(refused(&format!("--reactors {n}")), [line]);
    }
    assert_eq!(
        refused("--max-connections 0"),
        ["flag --max-connections: 0 refuses every client; write 1 to 4294967295, or auto"]
    );
    assert_eq!(
        refused("--max-connections 4294967296"),
        ["flag --max-connections: 4294967296 is too many; write 1 to 4294967295, or auto"]
    );
    assert_eq!(
        refused("--max-connections -1"),
        ["command line: unknown flag \"-1\"; see pulsewheel --help"]
    );
}

#[test]
fn a_rate_that_lets_nothing_through_is_refused() {
    for name in ["message-rate", "message-rate-total"] {
        let lines = refused(&format!("--{name} 100/s:0"));
        assert_eq!(
            lines,
            [format!(
                "flag --{name}: \"100/s:0\": a burst of 0 lets nothing through; write a burst \
                 of 1 or more, or off"
            )]
        );
    }
}

#[test]
fn a_word_that_is_not_among_the_words_is_refused() {
    for (args, line) in [
        (
            "--slow-consumer dropoldest",
            "flag --slow-consumer: \"dropoldest\" is unknown; did you \
                                        mean drop-oldest?",
        ),
        (
            "--slow-consumer x",
            "flag --slow-consumer: \"x\" is unknown; write one of close, \
                               drop-oldest, drop-newest",
        ),
        (
            "--message-rate-policy drop",
            "flag --message-rate-policy: \"drop\" is unknown; write one \
                                        of pause, close",
        ),
        ("--log-format jsno", "flag --log-format: \"jsno\" is unknown; did you mean json?"),
        (
            "--pin-cores=maybe",
            "flag --pin-cores: \"maybe\" is unknown; write one of true, false, \
                               on, off, yes, no, 1, 0",
        ),
        ("--log-level inof", "flag --log-level: \"inof\" is no log level; did you mean info?"),
        (
            "--log-level loud",
            "flag --log-level: \"loud\" is no log level; write off, error, warn, \
                              info, debug, trace, or a filter like info,pulsewheel=debug",
        ),
        (
            "--log-level a=loud",
            "flag --log-level: \"a=loud\" is no log filter; write off, error, \
                                warn, info, debug, trace, or a filter like info,pulsewheel=debug",
        ),
    ] {
        assert_eq!(refused(args), [line]);
    }
    for level in ["off", "error", "warn", "info", "debug", "trace", "INFO", "a::b=warn,info"] {
        assert_eq!(flags(["--log-level", level]).config().unwrap().log.filter, level);
    }
}

#[test]
fn a_pong_timeout_beyond_the_interval_is_refused_and_an_equal_one_is_not() {
    for (typed, line) in [
        (
            flags(["--pong-timeout", "26s"]),
            "flag --pong-timeout: pong-timeout 26s is longer than ping-interval 25s; set \
             pong-timeout to 25s or less, or raise ping-interval",
        ),
        (
            flags(["--ping-interval", "5s"]),
            "flag --ping-interval: pong-timeout 10s is longer than ping-interval 5s; set \
             pong-timeout to 5s or less, or raise ping-interval",
        ),
        (
            file("reactors = 1\nping_interval = \"1s\"")
                .variable("PULSEWHEEL_PONG_TIMEOUT", "1001ms"),
            "environment PULSEWHEEL_PONG_TIMEOUT: pong-timeout 1s1ms is longer than ping-interval \
             1s; set pong-timeout to 1s or less, or raise ping-interval",
        ),
        (
            file("reactors = 1\nping_interval = \"1s\""),
            "F:2 ping_interval: pong-timeout 10s is longer than ping-interval 1s; set pong-timeout \
             to 1s or less, or raise ping-interval",
        ),
    ] {
        assert_eq!(typed.problem(), line);
    }
    assert!(flags(["--ping-interval=10s"]).config().is_ok());
    assert!(flags(["--pong-timeout=25s"]).config().is_ok());
    assert!(flags(["--ping-interval=off", "--pong-timeout=1h"]).config().is_ok());
    assert!(flags(["--ping-interval=1s", "--pong-timeout=off"]).config().is_ok());
}

#[test]
fn a_budget_below_the_bound_of_one_connection_is_refused() {
    for (args, line) in [
        (
            "--outbox-limit 300MiB",
            "flag --outbox-limit: outbox-budget 256MiB for all connections is below outbox-limit \
             300MiB for one; raise outbox-budget to 300MiB or more, or lower outbox-limit",
        ),
        (
            "--outbox-budget 1KiB",
            "flag --outbox-budget: outbox-budget 1KiB for all connections is below outbox-limit \
             256KiB for one; raise outbox-budget to 256KiB or more, or lower outbox-limit",
        ),
        (
            "--inbox-budget 1048575",
            "flag --inbox-budget: inbox-budget 1048575 for all connections is below \
             max-message-size 1MiB for one; raise inbox-budget to 1MiB or more, or lower \
             max-message-size",
        ),
    ] {
        assert_eq!(refused(args), [line]);
    }
    assert!(flags(["--outbox-budget=256KiB", "--inbox-budget=1MiB"]).config().is_ok());
}

#[test]
fn addresses_in_each_others_way_are_refused() {
    for (args, line) in [
        (
            "--listen 127.0.0.1:1 --listen 127.0.0.1:1",
            "flag --listen: 127.0.0.1:1 is given twice; leave one of them away",
        ),
        (
            "--listen [::]:1 --listen 127.0.0.1:1",
            "flag --listen: 127.0.0.1:1 and [::]:1 are in each other's way; leave one of them away",
        ),
        (
            "--listen unix:/x --listen unix:/x",
            "flag --listen: unix:/x is given twice; leave one of them away",
        ),
        (
            "--admin 127.0.0.1:9001",
            "flag --admin: clients at 127.0.0.1:9001 and admin at 127.0.0.1:9001 are in each \
             other's way; give the admin port another address, or off",
        ),
        (
            "--listen 0.0.0.0:9002",
            "flag --listen: clients at 0.0.0.0:9002 and admin at 127.0.0.1:9002 are in each \
             other's way; give the admin port another address, or off",
        ),
    ] {
        assert_eq!(refused(args), [line]);
    }
    let twice = file("listen = [\n  \"127.0.0.1:1\",\n  \"127.0.0.1:1\",\n]").problem();
    assert!(twice.starts_with("F:3 listen: 127.0.0.1:1 is given twice; "), "{twice}");
    let ports = ["--listen=127.0.0.1:0", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"];
    assert!(flags(ports).config().is_ok(), "the kernel gives each its own port");
    assert!(flags(["--listen=127.0.0.1:9002", "--admin=off"]).config().is_ok());
}

#[test]
fn an_admin_port_open_to_the_network_needs_a_token() {
    for address in ["0.0.0.0:9002", "[::]:9002", "10.0.0.1:9002", "[::ffff:10.0.0.1]:9002"] {
        let line = flags(["--admin", address]).problem();
        let start = format!("flag --admin: {address} is open to the network and asks for no token");
        assert!(line.starts_with(&start), "{line}");
        assert!(line.ends_with("; give --admin-token-file, or an address on 127.0.0.1"), "{line}");
    }
    let token = Scratch::new("t0ken");
    let args = ["--admin", "0.0.0.0:9002", "--admin-token-file", token.path()];
    assert!(flags(args).config().unwrap().admin_token.unwrap().matches(b"t0ken"));
    for address in ["127.8.8.8:9002", "[::1]:9002", "[::ffff:127.0.0.1]:9002", "off"] {
        assert!(flags(["--admin", address]).config().is_ok(), "{address}");
    }
}

#[test]
fn a_token_file_that_holds_no_token_is_refused() {
    let line = flags(["--admin-token-file", "/nonexistent"]).problem();
    assert!(line.starts_with("flag --admin-token-file: cannot read \"/nonexistent\": No such"));
    let empty = Scratch::new("\n");
    let line = flags(["--admin-token-file", empty.path()]).problem();
    assert!(line.starts_with("flag --admin-token-file: "), "{line}");
    assert!(line.ends_with(": the token is empty; write the token on one line"), "{line}");
    let line = file("\nadmin_token_file = \"/nonexistent\"").problem();
    assert!(line.starts_with("F:2 admin_token_file: cannot read"), "{line}");
    // An unreadable file is the problem; that the address then lacks a token is not another one.
    assert_eq!(refused("--admin 0.0.0.0:1 --admin-token-file /nonexistent").len(), 1);
}

#[test]
fn routes_that_cannot_be_served_are_refused() {
    let long = format!("/{}=echo", "a".repeat(1024));
    for (route, line) in [
        ("echo=echo", "the path \"echo\" does not begin with /; write it like /echo"),
        ("=echo", "the path \"\" does not begin with /; write it like /echo"),
        (
            "/a?b=echo",
            "the path \"/a?b\" holds ? or #; write the path alone, without query and \
                       fragment",
        ),
        (
            "/a#b=echo",
            "the path \"/a#b\" holds ? or #; write the path alone, without query and \
                       fragment",
        ),
        (
            "/ä=echo",
            "the path \"/ä\" holds a space or something not in ASCII; percent-encode it as \
                     clients do",
        ),
        ("/a=ecko", "unknown handler \"ecko\"; did you mean echo? There are echo, broadcast"),
        ("/a=chat", "unknown handler \"chat\"; there are echo, broadcast"),
        ("/a=", "unknown handler \"\"; there are echo, broadcast"),
    ] {
        assert_eq!(flags(["--route", route]).problem(), format!("flag --route: {line}"));
    }
    assert!(flags(["--route", &long]).problem().ends_with("is too long; write at most 1024 bytes"));
    assert_eq!(
        refused("--route /a=echo --route /a=broadcast"),
        ["flag --route: the path /a is given twice; give it one handler"]
    );
    let content = "[[route]]\npath = \"/\"\nhandler = \"echo\"\n\
                   [[route]]\nhandler = \"ecko\"\npath = \"/\"\n";
    assert_eq!(
        file(content).config().unwrap_err(),
        [
            "F:5 route.handler: unknown handler \"ecko\"; did you mean echo? There are echo, \
             broadcast",
            "F:6 route.path: the path / is given twice; give it one handler",
        ]
    );
}

#[test]
fn subprotocols_must_be_tokens_and_differ() {
    for name in ["", "a b", "a,b", "\"a\"", "a/b", "é"] {
        let line = flags(["--subprotocol", name]).problem();
        assert!(line.starts_with("flag --subprotocol: "), "{line}");
        assert!(line.contains("is no subprotocol's name; "), "{line}");
    }
    assert_eq!(
        refused("--subprotocol a --subprotocol a"),
        ["flag --subprotocol: a is offered twice; write it once"]
    );
    let line = Typed::default().variable("PULSEWHEEL_SUBPROTOCOL", "a,,b").problem();
    assert!(line.starts_with("environment PULSEWHEEL_SUBPROTOCOL: \"\" is no subprotocol's"));
}

#[test]
fn lists_are_neither_empty_nor_endless() {
    assert_eq!(file("listen = []").problem(), "F:1 listen: there are 0 addresses; write 1 to 256");
    assert_eq!(file("route = []").problem(), "F:1 route: there are 0 routes; write 1 to 256");
    assert!(file("subprotocol = []").config().is_ok());
    let many = (0..257).map(|i| format!("--route=/{i}=echo"));
    let line = Typed::default().flags(many).problem();
    assert_eq!(line, "flag --route: there are 257 routes; write 1 to 256");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let lines = file("write_timeout = \"x\"\nmax_message_size = 0")
        .variable("PULSEWHEEL_REACTORS", "many")
        .flags(["--close-timeout", "0", "--listen", "here"])
        .config()
        .unwrap_err();
    let starts: Vec<&str> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "flag --listen",
            "environment PULSEWHEEL_REACTORS",
            "flag --close-timeout",
            "F:1 write_timeout",
            "F:2 max_message_size",
        ]
    );
}

#[test]
fn an_overridden_value_must_be_well_formed_but_need_not_make_sense() {
    let typed =
        |value: &str| file(&format!("ping_interval = \"{value}\"")).flags(["--ping-interval=25s"]);
    assert!(typed("1s").config().is_ok());
    assert!(typed("soon").problem().starts_with("F:1 ping_interval: \"soon\" is not a duration"));
}

#[test]
fn what_a_program_fills_in_is_judged_like_what_is_typed() {
    type Change = fn(&mut Config);
    let cases: [(Change, &str); 14] = [
        (|c| c.reactors = 0, "configuration reactors: 0 reactors cannot be run"),
        (|c| c.max_connections = Some(0), "configuration max-connections: 0 refuses"),
        (|c| c.listen.clear(), "configuration listen: there are 0 addresses"),
        (
            |c| c.listen.push(ListenAddress::Tcp(([127, 0, 0, 1], 9001).into())),
            "configuration \
            listen: 127.0.0.1:9001 is given twice",
        ),
        (|c| c.admin = Some(([0, 0, 0, 0], 1).into()), "configuration admin: 0.0.0.0:1 is open"),
        (|c| c.limits.close_timeout = Duration::ZERO, "configuration close-timeout: 0s is too"),
        (|c| c.limits.write_timeout = Duration::from_nanos(1), "configuration write-timeout: 1ns"),
        (|c| c.limits.max_lifetime = Some(Duration::MAX), "configuration max-lifetime: "),
        (|c| c.limits.outbox_budget = u64::MAX, "configuration outbox-budget: "),
        (|c| c.limits.pong_timeout = Some(Duration::from_secs(26)), "configuration pong-timeout: "),
        (
            |c| c.limits.message_rate = Some(Rate { per_second: f64::NAN, burst: 1 }),
            "configuration \
            message-rate: the rate is out of bounds",
        ),
        (|c| c.log.filter = "a=b=c".to_string(), "configuration log-level: "),
        (|c| c.routes[0].handler = "x".to_string(), "configuration route: unknown handler \"x\""),
        (|c| c.routes[0].subprotocols = vec!["a b".to_string()], "configuration route: \"a b\""),
    ];
    for (change, start) in cases {
        let mut config = Config::default();
        change(&mut config);
        let errors = config.check(&super::HANDLERS).expect_err(start);
        assert!(errors.to_string().starts_with(start), "{start}: {errors}");
        assert_eq!(errors.problems().len(), 1, "{errors}");
    }
    let open = Config {
        admin: Some(([0, 0, 0, 0], 1).into()),
        admin_token: Some(AdminToken::new(b"x").unwrap()),
        ..Config::default()
    };
    assert_eq!(open.check(&super::HANDLERS), Ok(()));
}
