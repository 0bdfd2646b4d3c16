//! The command line as people and scripts meet it: exit codes, what is printed, and where.

mod harness;

use std::net::TcpListener;
use std::process::{Command, Stdio};

use harness::server::binary;
use harness::{RawClient, Server, run_to_end, scratch_path};

/// A usage error: code 2, one line on standard error that holds all of `parts`, nothing else.
fn assert_refused(args: &[&str], parts: &[&str]) {
    let (code, out, err) = run_to_end(args);
    assert_eq!(code, 2, "{args:?}: {err}");
    assert_eq!(out, "", "{args:?}: what is wrong goes to standard error");
    assert_eq!(err.lines().count(), 1, "{args:?}: one line, but {err}");
    for part in parts {
        assert!(err.contains(part), "{args:?}: no {part:?} in {err}");
    }
}

/// The path of a configuration file with this content.
fn file(toml: &str) -> String {
    let path = scratch_path("toml");
    std::fs::write(&path, toml).expect("a scratch file can be written");
    path.into_os_string().into_string().expect("the path is text")
}

#[test]
fn a_wrong_flag_or_value_is_one_line_that_names_it() {
    assert_refused(&["--lisen", "127.0.0.1:0"], &["--lisen", "--listen"]);
    assert_refused(&["serv"], &["serv", "serve"]);
    assert_refused(&["--ping-interval", "soon"], &["ping-interval", "soon"]);
    assert_refused(&["--ping-interval"], &["--ping-interval"]);
    assert_refused(&["--max-message-size", "1MiBB"], &["max-message-size", "1MiBB"]);
    assert_refused(&["--message-rate", "fast"], &["message-rate", "fast"]);
    assert_refused(&["--listen", "localhost"], &["listen", "localhost"]);
    assert_refused(&["--reactors", "0"], &["reactors", "0"]);
    assert_refused(&["--slow-consumer", "wait"], &["slow-consumer", "wait"]);
    assert_refused(&["--route", "/a=ecko"], &["ecko", "echo"]);
    assert_refused(&["--log-level", "inof"], &["log-level", "info"]);
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let both = ["--ping-interval", "5s", "--pong-timeout", "6s"];
    assert_refused(&both, &["pong-timeout", "ping-interval", "6s", "5s"]);
    assert_refused(&["--ping-interval", "5s"], &["pong-timeout 10s", "ping-interval 5s"]);
    let equal = ["check-config", "--ping-interval", "5s", "--pong-timeout", "5s"];
    assert_eq!(run_to_end(equal).0, 0, "as long as the interval is not longer than it");

    let same = ["--listen", "127.0.0.1:9", "--admin", "127.0.0.1:9"];
    assert_refused(&same, &["127.0.0.1:9", "admin"]);
    assert_refused(&["--admin", "0.0.0.0:0"], &["admin", "token"]);
    let small = ["--outbox-budget", "1KiB", "--outbox-limit", "2KiB"];
    assert_refused(&small, &["outbox-budget", "outbox-limit"]);
    assert_refused(&["--route", "/a=echo", "--route", "/a=broadcast"], &["/a", "twice"]);
}

#[test]
fn a_wrong_file_is_named_with_its_line_and_key() {
    let unknown = file("reactors = 2\n\nping_intervall = \"5s\"\n");
    let at_line = format!("{unknown}:3");
    for command in [&["--config", &unknown][..], &["check-config", "--config", &unknown]] {
        assert_refused(command, &[&at_line, "ping_intervall", "ping_interval"]);
    }
    let bad = file("# nothing\nwrite_timeout = \"tomorrow\"\n");
    assert_refused(&["check-config", "--config", &bad], &[&format!("{bad}:2"), "tomorrow"]);
    let broken = file("reactors = 2\nlisten = [\n");
    assert_refused(&["check-config", "--config", &broken], &[&broken]);
    let missing = scratch_path("toml");
    let missing = missing.to_str().expect("the path is text");
    assert_refused(&["check-config", "--config", missing], &[missing]);
}

#[test]
fn check_config_names_every_problem_on_a_line_of_its_own() {
    let path = file("write_timeout = \"x\"\nclose_timeout = \"y\"\n");
    let (code, out, err) = run_to_end(["check-config", "--config", &path]);
    assert_eq!((code, out.as_str()), (2, ""));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(
        lines[0].contains(":1 write_timeout") && lines[1].contains(":2 close_timeout"),
        "{err}"
    );
}

#[test]
fn what_default_config_prints_is_valid_and_changes_nothing() {
    let (code, defaults, err) = run_to_end(["default-config"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let path = file(&defaults);
    let (code, _, err) = run_to_end(["check-config", "--config", &path]);
    assert_eq!((code, err.as_str()), (0, ""));
    for key in ["listen", "admin", "ping_interval", "outbox_budget", "drain_window", "takeover"] {
        let documented = defaults.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert!(documented, "{key} stands in it with its default");
    }

    // A flag given both ways is what the file said before: the default.
    let server = Server::start(&["--config", &path, "--reactors", "1"]);
    RawClient::open(&server, "/echo").expect_echo("served by the printed defaults");
}

#[test]
fn help_and_version_go_to_standard_output() {
    for flag in ["--help", "-h", "help"] {
        let (code, out, err) = run_to_end([flag]);
        assert_eq!((code, err.as_str()), (0, ""), "{flag}");
        assert!(out.contains("--listen") && out.contains("check-config"), "{out}");
    }
    let (code, out, err) = run_to_end(["--version"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.trim(), concat!("pulsewheel ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn flags_are_stronger_than_variables_and_those_than_the_file() {
    let path = file("max_message_size = 100\n[[route]]\npath = \"/file\"\nhandler = \"echo\"\n");
    let mut command = Command::new(binary());
    command.env("PULSEWHEEL_MAX_MESSAGE_SIZE", "200").env("PULSEWHEEL_CONFIG", &path);
    let server = Server::spawn(command, &[]);
    let mut peer = RawClient::open(&server, "/file");
    peer.expect_echo(&"x".repeat(200));
    peer.send(&harness::frame::text(&"x".repeat(201)));
    peer.expect_close(1009);

    let mut command = Command::new(binary());
    command.env("PULSEWHEEL_MAX_MESSAGE_SIZE", "200");
    let server = Server::spawn(command, &["--max-message-size", "300", "--config", &path]);
    RawClient::open(&server, "/file").expect_echo(&"x".repeat(300));
}

#[test]
fn a_port_in_use_is_one_line_and_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    for (flag, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let (code, out, err) = run_to_end([flag, &address, other, "127.0.0.1:0"]);
        assert_eq!((code, out.as_str()), (1, ""), "{flag}: {err}");
        assert_eq!(err.lines().count(), 1, "{flag}: {err}");
        assert!(err.contains(&address) && err.contains("in use"), "{flag}: {err}");
    }
}

#[test]
fn an_address_of_another_machine_is_one_line_and_a_failure() {
    // From a block that is reserved for documentation (RFC 5737), so no machine has it.
    let (code, _, err) = run_to_end(["--listen", "192.0.2.1:0", "--admin", "off"]);
    assert_eq!((code, err.lines().count()), (1, 1), "{err}");
    assert!(err.contains("192.0.2.1:0"), "{err}");
}

#[test]
fn the_start_line_says_what_an_operator_asks_first() {
    let server = Server::start(&["--reactors", "3", "--max-connections", "77"]);
    let line = server.wait_for_log("listens on");
    let (address, admin) = (server.address().to_string(), server.admin().to_string());
    for part in [env!("CARGO_PKG_VERSION"), &address, &admin, "reactors: 3", "descriptors: ", "77"]
    {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    let warning = server.wait_for_log("WARN");
    assert!(warning.contains("77 connections"), "{warning}");
}

#[test]
fn a_closed_standard_error_stops_nobody() {
    let mut child = Command::new(binary())
        .args(["--listen", "127.0.0.1:0", "--admin", "off", "--drain-window", "0s"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be run");
    drop(child.stderr.take());
    let pid = child.id().to_string();
    // Early signals would end it by default: wait until it has its own way to deal with them.
    harness::wait_until("the signal to be caught", || catches_sigterm(&pid));
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert!(child.wait().expect("it ends").success());
}

/// Whether the process has a handler of its own for SIGTERM (proc_pid_status(5)).
fn catches_sigterm(pid: &str) -> bool {
    const SIGTERM: u32 = 15;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGTERM - 1)) != 0)
}

#[test]
fn json_lines_are_whole_and_have_their_time_level_and_message() {
    let server = Server::start(&["--log-format", "json", "--log-level", "debug"]);
    drop(RawClient::open(&server, "/echo"));
    let closed = server.wait_for_log("closed peer=");
    assert!(closed.starts_with("{\"ts\":\"") && closed.ends_with("\"}"), "{closed}");
    assert!(closed.contains("\"level\":\"debug\"") && closed.contains("path=/echo"), "{closed}");
}
