//! A server within a program, started and ended again and again: nothing of it stays behind.
//!
//! One test alone in its process, since it counts what the process has open.

mod harness;

use std::net::TcpListener;

use harness::{Embedded, wait_until};
use pulsewheel::config::{Config, ListenAddress};
use pulsewheel::handler::Echo;
use pulsewheel::io::DriverChoice;
use pulsewheel::{Server, StartError};

/// Descriptors of the table that all threads but reactors share.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("there is a /proc").count()
}

/// The reactors' threads that live.
fn reactors() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("there is a /proc");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("reactor-")).count()
}

fn serve_and_drain(config: &Config) {
    let server = Embedded::run(Server::builder().config(config.clone()).route("/echo", Echo));
    let mut peers: Vec<_> = (0..4).map(|_| server.open("/echo")).collect();
    for peer in &mut peers {
        peer.expect_echo("one of many lives");
    }
}

/// A start that fails after all reactors have opened their listeners.
fn fail_to_start(config: &Config) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let mut config = config.clone();
    // No probe warns of it, so that the last step fails.
    config.takeover = true;
    config.admin = taken.local_addr().ok();
    let failed = Server::builder().config(config).route("/echo", Echo).start();
    assert!(matches!(failed.err(), Some(StartError::Listen { .. })));
}

/// Asserts that no descriptor more is open after twenty lives than before.
fn assert_nothing_stays(what: &str, mut life: impl FnMut()) {
    // What is opened once and kept, such as a source of random numbers, is there after the first.
    life();
    let before = open_descriptors();
    for _ in 0..20 {
        life();
    }
    assert_eq!(open_descriptors(), before, "{what}");
    // The kernel may show a thread for a moment after it has been joined.
    wait_until(&format!("the last reactor's end, {what}"), || reactors() == 0);
}

#[test]
fn a_server_that_has_ended_leaves_no_descriptor_and_no_thread() {
    for choice in [DriverChoice::Epoll, DriverChoice::Auto] {
        for shared_descriptors in [false, true] {
            let unix = harness::scratch_path("sock");
            let mut config = Config { shared_descriptors, ..Embedded::config() };
            config.driver.choice = choice;
            config.listen.push(ListenAddress::Unix(unix));
            let what = format!("{choice:?}, one table: {shared_descriptors}");
            assert_nothing_stays(&what, || serve_and_drain(&config));
            assert_nothing_stays(&format!("{what}, failing"), || fail_to_start(&config));
        }
    }
}
