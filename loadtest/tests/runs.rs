//! Drives the real binary against small servers of the test's own, on free ports.
//! Not a measurement of anything: the numbers are only looked at for what they must be.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use harness::server;
use serde_json::Value;
use tungstenite::{Message, WebSocket};

fn tcp_echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// A WebSocket echo by tungstenite that passes each message through `change`.
fn websocket_echo(change: impl Fn(Message) -> Message + Send + Sync + 'static) -> SocketAddr {
    server(move |stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if message.is_close() {
                // The next read flushes the answer and tells that the handshake is over.
                continue;
            }
            if (message.is_text() || message.is_binary()) && socket.send(change(message)).is_err() {
                return;
            }
        }
    })
}

fn loadtest(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"));
    command.args(line.split_whitespace());
    command.output().expect("the binary runs")
}

/// Runs to the end and returns the JSON report.
fn report(line: &str) -> Value {
    let output = loadtest(&format!("{line} --output json"));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

const SHORT: &str = "--warmup 100ms --duration 500ms";

#[test]
fn echo_is_verified_over_plain_tcp_and_websocket() {
    let own = std::process::id();
    let urls = [
        format!("tcp://{}", server(tcp_echo)),
        format!("ws://{}/", websocket_echo(|message| message)),
    ];
    for url in urls {
        for shape in ["--size 0", "--size 5 --binary", "--size 20 --pipeline 3", "--size 100KiB"] {
            let line = format!("echo --url {url} -c 8 {shape} {SHORT} --server-pid {own}");
            let report = report(&line);
            assert_eq!(report["errors"]["total"], 0, "{line}: {report}");
            assert_eq!(report["connections"], 8);
            let messages = report["messages_total"].as_u64().expect("a count");
            let recorded = &report["latency_us"];
            assert!(messages > 0 && recorded["p50"].as_f64() <= recorded["max"].as_f64(), "{line}");
            assert!(report["server"]["cpu_us_per_message"].as_f64() > Some(0.0), "{line}");
        }
    }
}

#[test]
fn a_server_that_changes_messages_is_found_out() {
    let address = websocket_echo(|message| {
        Message::text(message.to_text().expect("text").replace(|c: char| c.is_ascii_digit(), "0"))
    });
    let line = format!("echo --url ws://{address}/ -c 2 {SHORT}");
    let report = report(&line);
    assert!(report["errors"]["total"].as_u64() > Some(0), "{report}");
    assert_eq!(loadtest(&line).status.code(), Some(1));
}

#[test]
fn a_broadcast_reaches_everybody_once() {
    let sockets: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let address = server(move |mut stream| {
        sockets.lock().expect("alive").push(stream.try_clone().expect("a second handle"));
        stream.set_nodelay(true).expect("a TCP socket");
        // Two bytes of header, four of key, and the 20 bytes that --size is by default.
        let mut frame = [0; 26];
        while stream.read_exact(&mut frame).is_ok() {
            let key = frame[2..6].iter().cycle();
            let payload = frame[6..].iter().zip(key).map(|(byte, key)| byte ^ key);
            let answer: Vec<u8> = [frame[0], frame[1] & 0x7f].into_iter().chain(payload).collect();
            for mut other in sockets.lock().expect("alive").iter() {
                let _ = other.write_all(&answer);
            }
        }
    });
    let line = format!("broadcast --url tcp://{address} -c 20 --rate 100 {SHORT}");
    let report = report(&line);
    assert_eq!(report["errors"]["total"], 0, "{report}");
    let published = report["messages_total"].as_u64().expect("a count");
    let delivered = report["deliveries_total"].as_u64().expect("a count");
    assert!((40..=60).contains(&published), "{published}");
    assert!(delivered.abs_diff(20 * published) <= 40, "{delivered} of {published}");
}

#[test]
fn idle_answers_pings_and_proves_life() {
    let address = server(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let Ok(mut socket): Result<WebSocket<TcpStream>, _> = tungstenite::accept(stream) else {
            return;
        };
        let mut unanswered = 0;
        while unanswered < 3 {
            match socket.read() {
                Ok(Message::Pong(_)) => unanswered = 0,
                Ok(Message::Text(text)) => drop(socket.send(Message::Text(text))),
                Ok(_) => {}
                Err(tungstenite::Error::Io(_)) => {
                    unanswered += 1;
                    drop(socket.send(Message::Ping(vec![1, 2].into())));
                }
                Err(_) => return,
            }
        }
    });
    let report_alive =
        report(&format!("idle --url ws://{address}/ -c 5 --warmup 0 --duration 4s --final-echo"));
    assert_eq!(report_alive["errors"]["total"], 0, "{report_alive}");
    assert!(report_alive["pings"]["total"].as_u64() > Some(25), "{report_alive}");
    let report_mute =
        report(&format!("idle --url ws://{address}/ -c 5 --warmup 0 --duration 4s --mute"));
    assert_eq!(report_mute["reaped"]["total"], 5, "{report_mute}");
    assert_eq!(report_mute["reaped"]["left"], 0, "{report_mute}");
}

#[test]
fn a_lifecycle_brings_large_messages_back_and_everybody_twice() {
    let address = websocket_echo(|message| message);
    let line = format!(
        "lifecycle --url ws://{address}/ -c 12 --bulk 5 --bulk-at-a-time 2 --bulk-size 200KiB \
         --pause 50ms {SHORT}"
    );
    let report = report(&line);
    assert_eq!(report["errors"]["total"], 0, "{report}");
    let scenes = report["scenes"].as_array().expect("a list");
    let messages = |name: &str| {
        let scene = scenes.iter().find(|scene| scene["name"] == name).expect(name);
        scene["messages"].as_u64().expect("a count")
    };
    assert_eq!((messages("echo each"), messages("bulk"), messages("echo each again")), (12, 5, 12));
}

#[test]
fn what_stops_a_run_is_one_clear_line() {
    let refusing = server(|mut stream| {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    for (line, code, words) in [
        (format!("echo --url ws://{refusing}/nowhere"), 1, "404 Not Found"),
        (format!("echo --url ws://{closed}/"), 1, "is the server running there"),
        (format!("echo --url ws://{closed}/ --size big"), 2, "no size"),
        (format!("echo --url ws://{closed}/ --loud"), 2, "--loud"),
        (format!("idle --url ws://{closed}/ --server-pid 2147483647"), 1, "2147483647"),
        (String::new(), 2, "--help"),
    ] {
        let output = loadtest(&format!("{line} {}", if line.is_empty() { "" } else { "--quiet" }));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(words), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
    }
}

#[test]
fn an_interrupted_run_still_reports() {
    let address = server(tcp_echo);
    let child = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"))
        .args([
            "echo",
            "--url",
            &format!("tcp://{address}"),
            "--duration",
            "1h",
            "--output",
            "json",
        ])
        .args(["--warmup", "100ms", "--quiet"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    thread::sleep(Duration::from_millis(800));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["interrupted"], true);
    assert!(report["messages_total"].as_u64() > Some(0), "{report}");
}
