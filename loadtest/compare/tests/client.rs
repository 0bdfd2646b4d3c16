//! The generator's floor as a process: that it speaks to the plain TCP echo and says what it did.
//! Not what a message costs it; that is for `run` to measure.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A generous bound for what takes milliseconds.
const LONG: Duration = Duration::from_secs(20);

fn client(address: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tcp-client"))
        .args(["--connect", address, "-c", "50", "--warmup", "50ms", "--duration", "200ms"])
        .output()
        .expect("it runs")
}

#[test]
fn it_counts_the_messages_that_came_back() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
    let address = free.expect("a free port").to_string();
    let mut server = Command::new(env!("CARGO_BIN_EXE_tcp-echo"))
        .args(["--listen", &address])
        .spawn()
        .expect("the echo starts");
    let begun = Instant::now();
    while TcpStream::connect(&address).is_err() && begun.elapsed() < LONG {
        std::thread::yield_now();
    }
    let output = client(&address);
    let _ = server.kill();
    let _ = server.wait();
    let report = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{report}");
    assert!(report.contains("\"connections\": 50, \"message_bytes\": 26"), "{report}");
    assert!(!report.contains("\"messages_total\": 0,"), "{report}");
}

#[test]
fn nobody_there_is_an_error_and_no_report() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
    let output = client(&free.expect("a free port").to_string());
    assert!(!output.status.success() && output.stdout.is_empty());
}
