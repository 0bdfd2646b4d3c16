//! What a second reading changed: named, with both values, under what SIGHUP can do with it.
//! Not for applying it.

use super::super::{Config, Reloaded, compare};
use super::{Scratch, flags};

fn after(args: &[&str]) -> Reloaded {
    compare(&Config::default(), &flags(args.iter().copied()).config().unwrap())
}

#[test]
fn nothing_changed_is_nothing_to_say() {
    assert_eq!(after(&[]), Reloaded::default());
}

#[test]
fn limits_drain_and_log_level_are_taken() {
    let args = [
        "--handshake-timeout=1s",
        "--ping-interval=10s",
        "--pong-timeout=off",
        "--idle-timeout=1h",
        "--message-timeout=1s",
        "--write-timeout=1s",
        "--close-timeout=1s",
        "--max-lifetime=1d",
        "--max-message-size=2MiB",
        "--outbox-limit=1000",
        "--outbox-budget=1GiB",
        "--inbox-budget=1GiB",
        "--slow-consumer=drop-newest",
        "--message-rate=100/s:200",
        "--message-rate-policy=close",
        "--message-rate-total=90/m",
        "--user-limit-policy=replace",
        "--max-connections-per-ip=20",
        "--connect-rate-per-ip=10/s:50",
        "--connect-rate=2000/s",
        "--trust-proxy=10.0.0.0/8",
        "--trust-proxy=unix",
        "--forwarded-header=forwarded",
        "--drain-delay=5s",
        "--drain-window=0",
        "--allow-origin=https://A.test",
        "--require-origin",
        "--log-level=debug",
    ];
    let reloaded = after(&args);
    assert_eq!(reloaded.needs_restart, [""; 0]);
    assert_eq!(
        reloaded.taken,
        [
            "handshake-timeout 10s -> 1s",
            "ping-interval 25s -> 10s",
            "pong-timeout 10s -> off",
            "idle-timeout off -> 1h",
            "message-timeout 30s -> 1s",
            "write-timeout 10s -> 1s",
            "close-timeout 5s -> 1s",
            "max-lifetime off -> 1d",
            "max-message-size 1MiB -> 2MiB",
            "outbox-limit 256KiB -> 1000",
            "outbox-budget 256MiB -> 1GiB",
            "inbox-budget 256MiB -> 1GiB",
            "slow-consumer close -> drop-newest",
            "message-rate off -> 100/s:200",
            "message-rate-policy pause -> close",
            "message-rate-total off -> 90/m",
            "user-limit-policy refuse -> replace",
            "max-connections-per-ip off -> 20",
            "connect-rate-per-ip off -> 10/s:50",
            "connect-rate off -> 2000/s",
            "trust-proxy none -> 10.0.0.0/8, unix",
            "forwarded-header x-forwarded-for -> forwarded",
            "drain-delay 0s -> 5s",
            "drain-window 10s -> 0s",
            "allow-origin same-host -> https://a.test",
            "require-origin off -> on",
            "log-level info -> debug",
        ]
    );
}

#[test]
fn all_else_needs_a_restart() {
    let args = [
        "--trust-proxy=10.0.0.0/8",
        "--listen=127.0.0.1:1",
        "--listen=unix:/x",
        "--admin=off",
        "--reactors=1000",
        "--pin-cores",
        "--driver=auto",
        "--io-uring-buffers=8MiB",
        "--max-connections=7",
        "--shared-descriptors",
        "--mailbox-limit=1MiB",
        "--max-addresses=1000",
        "--proxy-protocol",
        "--takeover",
        "--log-format=json",
        "--subprotocol=a",
    ];
    let reloaded = after(&args);
    let cores = Config::default().reactors;
    assert_eq!(reloaded.taken, ["trust-proxy none -> 10.0.0.0/8"], "the switch needs one");
    assert_eq!(
        reloaded.needs_restart,
        [
            "listen 127.0.0.1:9001 -> 127.0.0.1:1, unix:/x",
            "admin 127.0.0.1:9002 -> off",
            &format!("reactors {cores} -> 1000"),
            "pin-cores off -> on",
            "driver epoll -> auto",
            "io-uring-buffers 1MiB -> 8MiB",
            "max-connections auto -> 7",
            "shared-descriptors off -> on",
            "mailbox-limit 8MiB -> 1MiB",
            "max-addresses 262144 -> 1000",
            "proxy-protocol off -> on",
            "takeover off -> on",
            "log-format text -> json",
            "route /echo=echo, /broadcast=broadcast -> /echo=echo (a), /broadcast=broadcast (a)",
        ]
    );
}

#[test]
fn another_token_is_told_and_not_shown() {
    let (one, two) = (Scratch::new("first-secret"), Scratch::new("second-secret"));
    let with = |file: &Scratch| flags(["--admin-token-file", file.path()]).config().unwrap();
    let added = compare(&Config::default(), &with(&one));
    assert_eq!(added.needs_restart, ["admin-token-file none -> redacted"]);
    let changed = compare(&with(&one), &with(&two));
    assert_eq!(changed.needs_restart, ["admin-token-file holds another token"]);
}
