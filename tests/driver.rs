//! Which driver a server takes, what it says of that, and what it does where there is no io_uring.

mod harness;

use std::process::Command;

use harness::{RawClient, Server, frame};
use pulsewheel::io::{DriverChoice, DriverKind};

/// Whether this machine lets this process have io_uring.
fn has_io_uring() -> bool {
    matches!(DriverChoice::Auto.settle(), Ok((DriverKind::IoUring(_), _)))
}

/// The binary, under a filter in which io_uring's first system call fails with that error.
fn without_io_uring(error: &str) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/without_io_uring.py");
    let mut command = Command::new("python3");
    command.args([script, error]).arg(harness::server::binary());
    command
}

/// Asserts that a server runs that driver and serves with it.
fn assert_serves_with(server: &Server, driver: &str) {
    server.wait_for_log(&format!("driver: {driver}"));
    let metrics = server.metrics();
    assert!(metrics.text().contains(&format!("\nws_process_info{{driver=\"{driver}\",")));
    RawClient::open(server, "/echo").expect_echo("whichever it is");
}

#[test]
fn epoll_serves_unless_something_else_is_asked_for() {
    let mut command = Command::new(harness::server::binary());
    command.env_remove("PULSEWHEEL_DRIVER");
    let server = Server::spawn(command, &[]);
    assert_serves_with(&server, "epoll");
    // It is no want, so nothing is explained.
    assert!(!server.log().iter().any(|line| line.contains("io_uring")), "{:#?}", server.log());
    let mut peers: Vec<_> = (0..8).map(|_| RawClient::open(&server, "/echo")).collect();
    peers.iter_mut().for_each(|peer| peer.expect_echo("none"));
    assert_eq!(server.metric("ws_driver_requests", &[]), 0.0);
}

#[test]
fn auto_takes_io_uring_where_it_can_be_had_and_else_says_why_not() {
    let server = Server::start(&["--driver", "auto"]);
    if has_io_uring() {
        assert_serves_with(&server, "io_uring");
    } else {
        assert_serves_with(&server, "epoll");
        server.wait_for_log("since io_uring can't be had: ");
    }
}

#[test]
fn where_a_filter_denies_it_auto_serves_with_epoll_and_says_why() {
    for error in ["EPERM", "ENOSYS"] {
        let server = Server::spawn(without_io_uring(error), &["--driver", "auto"]);
        assert_serves_with(&server, "epoll");
        let line = server.wait_for_log("since io_uring can't be had: ");
        assert!(line.contains(" WARN "), "{line}");
        for part in ["the system denies it", "seccomp", "allow io_uring_setup"] {
            assert!(line.contains(part), "{error}: {line}");
        }
    }
}

#[test]
fn where_a_filter_denies_it_io_uring_is_one_clear_error() {
    for error in ["EPERM", "ENOSYS"] {
        let mut command = without_io_uring(error);
        command.args(["--driver", "io_uring", "--listen", "127.0.0.1:0", "--admin", "off"]);
        let output = command.output().expect("there is a python3");
        let told = String::from_utf8(output.stderr).expect("it writes text");
        assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{error}: {told}");
        for part in ["--driver io_uring", "seccomp", "allow io_uring_setup", "--driver auto"] {
            assert!(told.contains(part), "{error}: {told}");
        }
    }
}

#[test]
fn epoll_is_not_kept_from_serving_by_such_a_filter() {
    let server = Server::spawn(without_io_uring("EPERM"), &["--driver", "epoll"]);
    assert_serves_with(&server, "epoll");
}

#[test]
fn requests_are_told_while_they_are_with_the_kernel_and_no_longer() {
    if !has_io_uring() {
        eprintln!("this machine has no io_uring");
        return;
    }
    let server = Server::start(&["--driver", "io_uring", "--reactors", "1"]);
    let requests = || server.metric("ws_driver_requests", &[]);
    // What is asked for in a wait is told after the next turn: the accepts that wait are by now.
    RawClient::open(&server, "/echo").expect_echo("the first turns");
    server.wait_for("its end", |m| m.value("ws_slots_used", &[]) == 0.0);
    let before = requests();
    let mut peers: Vec<_> = (0..50).map(|_| RawClient::open(&server, "/echo")).collect();
    peers.iter_mut().for_each(|peer| peer.expect_echo("one receive each"));
    assert_eq!(requests() - before, 50.0);
    drop(peers);
    server.wait_for("the last request's end", |m| m.value("ws_driver_requests", &[]) == before);
    assert_eq!(server.metric("ws_driver_buffers_lent", &[]), 0.0);
}

#[test]
fn a_peer_that_is_held_back_is_told_as_a_receive_that_was_cancelled() {
    if !has_io_uring() {
        eprintln!("this machine has no io_uring");
        return;
    }
    let flags = ["--driver", "io_uring", "--reactors", "1", "--message-rate", "20/s:1"];
    let server = Server::start(&flags);
    let cancelled = [("event", "receive_cancelled")];
    assert_eq!(server.metric("ws_driver_events_total", &cancelled), 0.0);
    let mut peer = RawClient::open(&server, "/echo");
    for _ in 0..10 {
        peer.send(&frame::text("too fast"));
    }
    for _ in 0..10 {
        assert_eq!(peer.frame().payload, b"too fast");
    }
    assert!(server.metric("ws_driver_events_total", &cancelled) >= 1.0);
}
