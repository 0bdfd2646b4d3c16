//! SIGHUP: what changes at once, for those who are connected already too; what has to wait for a
//! restart; and what is wrong and therefore changes nothing.

mod harness;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use harness::server::binary;
use harness::token::{Signer, in_seconds};
use harness::{
    PATIENCE, RawClient, Server, assert_between, client_from, frame, ms, request, scratch_path,
    wait_until,
};
use serde_json::json;

/// A server with a configuration file that can be written anew.
struct Configured {
    path: PathBuf,
    server: Server,
}

impl Configured {
    fn start(toml: &str) -> Self {
        let path = scratch_path("toml");
        fs::write(&path, toml).expect("a scratch file can be written");
        let server = Server::start(&["--config", path.to_str().expect("the path is text")]);
        Configured { path, server }
    }

    /// Writes the file anew, has it read, and returns what the log says about it up to a line that
    /// contains `last`.
    fn reload(&self, toml: &str, last: &str) -> Vec<String> {
        let seen = self.server.log().len();
        fs::write(&self.path, toml).expect("a scratch file can be written");
        self.server.signal("HUP");
        let mut lines = Vec::new();
        wait_until(&format!("the log to say {last:?}"), || {
            lines = self.server.log().split_off(seen);
            lines.iter().any(|line| line.contains(last))
        });
        lines
    }
}

#[test]
fn a_new_message_limit_holds_for_old_connections_and_new_ones() {
    let configured = Configured::start("max_message_size = \"64KiB\"\n");
    let server = &configured.server;
    let mut old = RawClient::open(server, "/echo");
    old.expect_echo(&"x".repeat(2000));
    configured.reload("max_message_size = \"1KiB\"\n", "max-message-size 64KiB -> 1KiB");
    let mut new = RawClient::open(server, "/echo");
    for peer in [&mut old, &mut new] {
        peer.expect_echo(&"x".repeat(1024));
        peer.send(&frame::text(&"x".repeat(1025)));
        peer.expect_close(1009);
    }

    configured.reload("max_message_size = \"2MiB\"\n", "max-message-size 1KiB -> 2MiB");
    RawClient::open(server, "/echo").expect_echo(&"x".repeat(2 * 1024 * 1024));
}

#[test]
fn a_new_idle_timeout_holds_for_connections_that_are_idle_already() {
    let configured = Configured::start("ping_interval = \"off\"\n");
    let mut idle = RawClient::open(&configured.server, "/echo");
    idle.expect_echo("the last that is said");
    let said = Instant::now();
    configured.reload("ping_interval = \"off\"\nidle_timeout = \"2s\"\n", "idle-timeout off -> 2s");
    idle.next_close(1001);
    assert_between(said.elapsed(), ms(2000), ms(2000));
    idle.send(&frame::close(1001, ""));
    let is_counted = |m: &harness::Metrics| m.closed("idle_timeout") == 1;
    let metrics = configured.server.wait_for("it to be counted", is_counted);
    assert_eq!(metrics.expired("idle"), 1);
}

#[test]
fn a_shorter_heartbeat_finds_the_dead_among_old_connections() {
    let configured = Configured::start("");
    let mut dead = RawClient::open(&configured.server, "/echo");
    let heartbeat = "ping_interval = \"1s\"\npong_timeout = \"1s\"\n";
    configured.reload(heartbeat, "ping-interval 25s -> 1s");
    let begun = Instant::now();
    let (frames, _) = dead.drain(PATIENCE);
    assert!(frames.iter().all(|frame| frame.first == frame::PING), "{frames:?}");
    assert_between(begun.elapsed(), ms(900), ms(2000));
    assert_eq!(configured.server.metrics().closed("pong_timeout"), 1);
}

#[test]
fn a_longer_timeout_spares_those_who_are_idle_already() {
    let configured = Configured::start("ping_interval = \"off\"\nidle_timeout = \"2s\"\n");
    let mut idle = RawClient::open(&configured.server, "/echo");
    configured.reload("ping_interval = \"off\"\n", "idle-timeout 2s -> off");
    assert_eq!(idle.next(ms(3000)), harness::Event::Nothing);
    idle.expect_echo("still here");
}

#[test]
fn a_new_lifetime_ends_connections_that_have_lived_that_long_already() {
    let configured = Configured::start("");
    let opened = Instant::now();
    let mut old = RawClient::open(&configured.server, "/echo");
    configured.reload("max_lifetime = \"2s\"\n", "max-lifetime off -> 2s");
    old.expect_echo("a busy connection ages too");
    old.next_close(1001);
    assert_between(opened.elapsed(), ms(1800), ms(2000));
    old.send(&frame::close(1001, ""));
    let is_counted = |m: &harness::Metrics| m.closed("lifetime_reached") == 1;
    configured.server.wait_for("it to be counted", is_counted);
}

#[test]
fn a_new_rate_holds_for_old_connections() {
    let configured = Configured::start("");
    let mut peer = RawClient::open(&configured.server, "/echo");
    peer.expect_echo("as fast as you like");
    let rate = "message_rate = \"10/s:10\"\nmessage_rate_policy = \"close\"\n";
    configured.reload(rate, "message-rate off -> 10/s");
    peer.send(&frame::text("quick").repeat(30));
    let (frames, _) = peer.drain(PATIENCE);
    let close = frames.last().expect("a close frame comes at least");
    assert_eq!(close.close_code(), Some(1008), "{frames:?}");
    assert!((10..20).contains(&(frames.len() - 1)), "{} messages passed", frames.len() - 1);
}

#[test]
fn the_log_level_changes_both_ways() {
    let configured = Configured::start("log_level = \"info\"\n");
    let server = &configured.server;
    drop(RawClient::open(server, "/echo"));
    server.wait_for("it to be gone", |m| m.closed("peer_gone") == 1);
    assert!(!server.log().iter().any(|line| line.contains("closed peer=")));

    configured.reload("log_level = \"debug\"\n", "log-level info -> debug");
    let peer = RawClient::open(server, "/echo");
    let address = peer.stream().local_addr().expect("it is connected").to_string();
    drop(peer);
    let line = server.wait_for_log("closed peer=");
    for part in [&address, "DEBUG", "path=/echo", "reason=peer_gone", "age_ms=", "bytes_in="] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }

    configured.reload("log_level = \"warn\"\nreactors = 7\n", "reactors");
    let seen = server.log().len();
    drop(RawClient::open(server, "/echo"));
    server.wait_for("it to be gone", |m| m.closed("peer_gone") == 3);
    assert_eq!(server.log().len(), seen, "neither debug nor info lines any more");
}

#[test]
fn what_needs_a_restart_is_named_and_what_does_not_is_taken_all_the_same() {
    let configured = Configured::start("reactors = 1\nmax_message_size = \"2KiB\"\n");
    let toml = "reactors = 2\nmax_message_size = \"1KiB\"\nmailbox_limit = \"1MiB\"\n";
    let log = configured.reload(toml, "mailbox-limit");
    let restart: Vec<_> = log.iter().filter(|line| line.contains("needs a restart")).collect();
    assert_eq!(restart.len(), 2, "{log:#?}");
    assert!(restart[0].contains("WARN") && restart[0].contains("reactors 1 -> 2"), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("max-message-size 2KiB -> 1KiB")), "{log:#?}");
    assert_eq!(configured.server.metric("ws_reactors", &[]), 1.0);
    let mut peer = RawClient::open(&configured.server, "/echo");
    peer.send(&frame::text(&"x".repeat(1025)));
    peer.expect_close(1009);
}

/// Who starts a server waits for the line that says where it listens.
#[test]
fn a_reload_that_is_asked_for_as_soon_as_the_server_listens_is_not_its_end() {
    // A shell is quick enough to signal in the very moment.
    const SCRIPT: &str = "(\"$0\" --listen 127.0.0.1:0 --admin off 2>&1 & echo \"pid $!\") |
        while read -r line; do
            case $line in
                'pid '*) pid=${line#pid } ;;
                *' listens on '*) kill -s HUP $pid ;;
                *'nothing has changed'*) kill -s TERM $pid ;;
            esac
            echo \"$line\"
        done";
    for _ in 0..10 {
        let ran = Command::new("/bin/sh").args(["-c", SCRIPT]).arg(binary()).output();
        let told = String::from_utf8(ran.expect("there is a shell").stdout).expect("it is text");
        assert!(told.contains("nothing has changed") && told.contains("drained"), "{told}");
    }
}

#[test]
fn a_wrong_file_changes_nothing_and_the_log_says_what_is_wrong_with_it() {
    let configured = Configured::start("max_message_size = \"2KiB\"\n");
    let path = configured.path.display().to_string();
    let mut peer = RawClient::open(&configured.server, "/echo");
    for (toml, parts) in [
        ("max_message_size = \"1KiB\"\nidle_timeout = \"soon\"\n", [":2 idle_timeout", "soon"]),
        ("max_message_size = \"1KiB\"\npong_timeout = \"1h\"\n", ["pong-timeout", "ping-interval"]),
        ("max_message_size = \"1KiB\"\nnonsense = 1\n", [":2", "nonsense"]),
        ("max_message_size = \n", [":1", "reload"]),
    ] {
        let log = configured.reload(toml, "stays as it was");
        let wrong = log.iter().find(|line| line.contains("ERROR") && line.contains(&path));
        let wrong = wrong.unwrap_or_else(|| panic!("{path} is not named: {log:#?}"));
        assert!(parts.iter().all(|part| wrong.contains(part)), "{wrong}");
        peer.expect_echo(&"x".repeat(2048));
    }
    fs::remove_file(&configured.path).expect("the file is there");
    configured.server.signal("HUP");
    configured.server.wait_for_log("reload: flag --config: cannot read");
    peer.expect_echo(&"x".repeat(2048));
}

#[test]
fn the_same_file_again_is_said_to_change_nothing() {
    let configured = Configured::start("max_message_size = \"2KiB\"\n");
    configured.reload("# as before\nmax_message_size = 2048\n", "nothing has changed");
}

#[test]
fn a_flag_stays_stronger_than_what_the_file_says_now() {
    let path = scratch_path("toml");
    fs::write(&path, "").expect("a scratch file can be written");
    let config = path.to_str().expect("the path is text");
    let server = Server::start(&["--config", config, "--max-message-size", "2KiB"]);
    let configured = Configured { path, server };
    configured.reload("max_message_size = \"1KiB\"\n", "nothing has changed");
    RawClient::open(&configured.server, "/echo").expect_echo(&"x".repeat(2048));
}

#[test]
fn a_new_drain_window_is_the_one_that_counts() {
    let mut configured = Configured::start("drain_window = \"60s\"\n");
    configured.reload("drain_window = \"0s\"\n", "drain-window");
    let mut peer = RawClient::open(&configured.server, "/echo");
    configured.server.signal("TERM");
    peer.next_close(1001);
    peer.send(&frame::close(1001, ""));
    drop(peer);
    assert!(configured.server.wait_exit(PATIENCE).success());
}

#[test]
fn a_new_rate_frees_those_who_wait_under_the_old_one() {
    let configured = Configured::start("message_rate = \"1/s:100\"\n");
    let server = &configured.server;
    let mut peer = RawClient::open(server, "/echo");
    peer.send(&frame::text("x").repeat(140));
    for _ in 0..100 {
        assert_eq!(peer.data().payload, b"x");
    }
    let begun = Instant::now();
    configured.reload("message_rate = \"1000/s:10\"\n", "message-rate 1/s:100 -> 1000/s:10");
    for _ in 100..140 {
        assert_eq!(peer.data().payload, b"x");
    }
    assert!(begun.elapsed() < ms(10_000), "{:?}", begun.elapsed());
}

/// A file that asks for tokens of that signer, with these lines, and these paths served.
fn guarded_file(secret: &str, lines: &str, paths: &[&str]) -> String {
    let route = |path: &&str| format!("[[route]]\npath = \"{path}\"\nhandler = \"echo\"\n");
    let routes: String = paths.iter().map(route).collect();
    format!("auth = \"jwt\"\njwt_secret_file = \"{secret}\"\n{lines}\n{routes}")
}

/// What an upgrade with this token is answered.
fn status_with(server: &Server, path: &str, token: &str) -> u16 {
    let mut client = RawClient::connect(server);
    client.send(request(path, &[&format!("Authorization: Bearer {token}")]).as_bytes());
    client.response().status
}

#[test]
fn a_path_that_is_served_until_the_restart_stays_closed_until_then() {
    let signer = Signer::secret();
    let secret = signer.secret_file();
    let token = signer.sign(&json!({"exp": in_seconds(600)}));
    let claim = "require_claim = [\"/admin=role=admin\", \"/a=beta\"]";
    let configured = Configured::start(&guarded_file(&secret, claim, &["/a", "/admin"]));
    let server = &configured.server;
    let statuses = || ["/a", "/admin"].map(|path| status_with(server, path, &token));
    assert_eq!(statuses(), [403, 403]);

    // The route moves with a restart alone, and what guards it with it. That of /a goes at once.
    let claim = "require_claim = [\"/admin2=role=admin\"]";
    let moved = guarded_file(&secret, claim, &["/a", "/admin2"]);
    let log = configured.reload(&moved, "require-claim without");
    let waits = "require-claim without /admin=role=admin, while /admin is served, needs a restart";
    assert!(log.iter().any(|line| line.contains(waits)), "{log:#?}");
    assert_eq!(statuses(), [101, 403]);
    configured.reload(&moved, waits);
    assert_eq!(statuses(), [101, 403], "nor at the second reading");

    // Nor may tokens as a whole go with it; origins may change all the same.
    let open = "require_origin = true\n[[route]]\npath = \"/a\"\nhandler = \"echo\"\n";
    configured.reload(open, "auth jwt -> off, while /admin is served, needs a restart");
    let origin = "Origin: http://test";
    let mut client = RawClient::connect(server);
    client.send(request("/admin", &[origin]).as_bytes());
    assert_eq!(client.response().status, 401);
    assert_eq!(statuses(), [403, 403], "no origin");
}

#[test]
fn claims_and_tokens_change_for_those_who_come_next() {
    let signer = Signer::secret();
    let secret = signer.secret_file();
    let token = signer.sign(&json!({"exp": in_seconds(600), "sub": "ada"}));
    let paths = ["/a"];
    let configured = Configured::start(&guarded_file(&secret, "", &paths));
    let server = &configured.server;
    assert_eq!(status_with(server, "/a", &token), 101);

    let claim = guarded_file(&secret, "require_claim = [\"/a=role\"]", &paths);
    configured.reload(&claim, "require-claim none -> /a=role");
    assert_eq!(status_with(server, "/a", &token), 403);
    configured.reload(&guarded_file(&secret, "", &paths), "require-claim /a=role -> none");
    assert_eq!(status_with(server, "/a", &token), 101);

    let mut first = RawClient::connect(server);
    first.send(request("/a", &[&format!("Authorization: Bearer {token}")]).as_bytes());
    assert_eq!(first.response().status, 101);
    let limit = |policy: &str| {
        let lines = format!("max_connections_per_user = 1\nuser_limit_policy = \"{policy}\"");
        guarded_file(&secret, &lines, &paths)
    };
    // Who came uncounted stays uncounted.
    configured.reload(&limit("refuse"), "max-connections-per-user off -> 1");
    let mut held = RawClient::connect(server);
    held.send(request("/a", &[&format!("Authorization: Bearer {token}")]).as_bytes());
    assert_eq!(held.response().status, 101);
    assert_eq!(status_with(server, "/a", &token), 429);
    configured.reload(&limit("replace"), "user-limit-policy refuse -> replace");
    assert_eq!(status_with(server, "/a", &token), 101);
    held.next_close(1008);
    configured.reload(&guarded_file(&secret, "", &paths), "max-connections-per-user 1 -> off");
    first.expect_echo("as before");
}

#[test]
fn proxies_change_for_those_who_come_next_but_not_before_how_they_speak() {
    let configured = Configured::start("trust_proxy = [\"10.0.0.0/8\"]\n");
    let server = &configured.server;
    let proxied = |source: &str, address: &str| {
        let lines = ["X-Forwarded-For: 203.0.113.1", "Forwarded: for=203.0.113.2"];
        let labels = [("source", source)];
        let count = || server.metric("ws_proxied_connections_total", &labels);
        let before = count();
        let mut client = client_from(address, server.address());
        client.send(request("/echo", &lines).as_bytes());
        assert_eq!(client.response().status, 101);
        count() > before
    };
    let (proxy, stranger) = ("127.0.0.1", "127.0.0.66");
    assert!(!proxied("x_forwarded_for", proxy));
    configured.reload("trust_proxy = [\"127.0.0.1\"]\n", "trust-proxy 10.0.0.0/8 -> 127.0.0.1/32");
    assert!(proxied("x_forwarded_for", proxy));
    assert!(!proxied("x_forwarded_for", stranger));
    let forwarded = "trust_proxy = [\"127.0.0.1\"]\nforwarded_header = \"forwarded\"\n";
    configured.reload(forwarded, "forwarded-header x-forwarded-for -> forwarded");
    assert!(proxied("forwarded", proxy));

    // The protocol waits for a restart, so who speaks it and what else they say does too.
    let speaking = "trust_proxy = [\"127.0.0.0/8\"]\nproxy_protocol = true\n";
    let log = configured.reload(speaking, "forwarded-header");
    for waits in [
        "proxy-protocol off -> on needs a restart",
        "trust-proxy 127.0.0.1/32 -> 127.0.0.0/8, together with proxy-protocol, needs a restart",
        "forwarded-header Forwarded -> X-Forwarded-For, together with proxy-protocol, needs",
    ] {
        assert!(log.iter().any(|line| line.contains(waits)), "no {waits:?}: {log:#?}");
    }
    assert!(proxied("forwarded", proxy));
    assert!(!proxied("forwarded", stranger) && !proxied("x_forwarded_for", stranger));
}
