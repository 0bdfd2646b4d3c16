//! Servers of the tests' own, in threads on free ports, and the real binary run against them.
//! Not a server to measure: each does one thing that a test knows beforehand.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::result_large_err, reason = "tungstenite's errors are")]

#[path = "../../../tests/harness/driver.rs"]
pub mod driver;
pub mod embedded;
pub mod pubsub;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::Value;
use tungstenite::{Message, WebSocket};

/// Serves each connection to `serve` on a thread of its own, for as long as the test runs.
pub fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// What a server has seen of all its connections.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections that were upgraded.
    pub opened: AtomicU64,
    /// Those of them that are open.
    pub open: AtomicU64,
    /// Text and binary messages that came.
    pub messages: AtomicU64,
    /// Connections that ended with a close frame.
    pub closed: AtomicU64,
}

impl Seen {
    /// How many so far.
    pub fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::SeqCst)
    }
}

/// A WebSocket echo that has `answer` make what goes back of each message and of how many came
/// before it, over all connections.
pub fn echo_by(
    answer: impl Fn(Message, u64) -> Message + Send + Sync + 'static,
) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    let address = server(move |stream| {
        let _ = stream.set_nodelay(true);
        let Ok(socket) = tungstenite::accept(stream) else { return };
        echo_messages(socket, &counted, &answer);
    });
    (address, seen)
}

/// A WebSocket echo.
pub fn echo() -> (SocketAddr, Arc<Seen>) {
    echo_by(|message, _| message)
}

/// Echoes on one connection until it ends.
pub fn echo_messages(
    mut socket: WebSocket<TcpStream>,
    seen: &Seen,
    answer: &impl Fn(Message, u64) -> Message,
) {
    seen.opened.fetch_add(1, Ordering::SeqCst);
    seen.open.fetch_add(1, Ordering::SeqCst);
    while let Ok(message) = socket.read() {
        if message.is_close() {
            seen.closed.fetch_add(1, Ordering::SeqCst);
            // The next read flushes the answer and tells that the handshake is over.
            continue;
        }
        if message.is_text() || message.is_binary() {
            let before = seen.messages.fetch_add(1, Ordering::SeqCst);
            if socket.send(answer(message, before)).is_err() {
                break;
            }
        }
    }
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

/// A plain TCP echo.
pub fn tcp_echo() -> SocketAddr {
    server(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    })
}

/// The binary with the words of a line, and behind them `further` ones as they are.
pub fn command(line: &str, further: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"));
    command.args(line.split_whitespace()).args(further).args(["--output", "json", "--quiet"]);
    command
}

/// Runs to the end.
pub fn run(line: &str, further: &[&str]) -> Output {
    command(line, further).output().expect("the binary runs")
}

/// Runs to the end and returns the JSON report.
pub fn report(line: &str) -> Value {
    report_with(line, &[])
}

/// As [`report`], with further words as they are.
pub fn report_with(line: &str, further: &[&str]) -> Value {
    parse(line, &run(line, further))
}

/// As [`report`], of a run without errors and with exit code 0.
pub fn clean_report(line: &str, further: &[&str]) -> Value {
    let output = run(line, further);
    let report = parse(line, &output);
    assert_eq!(report["errors"]["total"], 0, "{line}: {report}");
    assert_eq!(output.status.code(), Some(0), "{line}: {report}");
    report
}

/// The report on standard output.
pub fn parse(line: &str, output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Starts a run whose report is read later.
pub fn start(line: &str) -> Child {
    let mut command = command(line, &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

/// The number at a path such as `/latency_us/p50`.
pub fn number(report: &Value, path: &str) -> f64 {
    let value = report.pointer(path).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no number {path} in {report}"))
}

/// The count at a path.
pub fn count(report: &Value, path: &str) -> u64 {
    let value = report.pointer(path).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no count {path} in {report}"))
}
