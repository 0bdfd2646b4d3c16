//! Bars that are times: they hold for the release build on a machine that does nothing else, and
//! are not compiled into any other.
#![cfg(not(debug_assertions))]

use std::net::SocketAddr;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use pulsewheel::config::{Config, ListenAddress};
use pulsewheel::handler::Echo;
use pulsewheel::{Drainer, Server};
use serde_json::Value;

/// A server within this process: its CPU time and memory are the test's, its descriptors are not.
struct Serving {
    address: SocketAddr,
    drainer: Drainer,
    thread: JoinHandle<()>,
}

fn serve(mut config: Config) -> Serving {
    config.admin = None;
    // One descriptor table holds RLIMIT_NOFILE connections.
    config.reactors = 4;
    config.drain.window = Duration::ZERO;
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let server = Server::builder().config(config).listen([any_port]).route("/echo", Echo);
    let running = server.start().expect("the server starts");
    let Some(ListenAddress::Tcp(address)) = running.addresses().first().cloned() else {
        panic!("the server listens on TCP");
    };
    let drainer = running.drainer();
    let run = move || running.run().map(drop).expect("the server ends well");
    Serving { address, drainer, thread: std::thread::spawn(run) }
}

impl Serving {
    /// The report of a run against it.
    fn report(&self, scenario: &str, flags: &str) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"))
            .args([scenario, "--url", &format!("ws://{}/echo", self.address)])
            .args(["--output", "json", "--quiet", "--server-pid"])
            .arg(std::process::id().to_string())
            .args(flags.split_whitespace())
            .output()
            .expect("the binary runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{scenario}: {error}: {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    fn end(self) {
        self.drainer.drain();
        self.thread.join().expect("no panic");
    }
}

#[test]
fn fifty_thousand_heartbeating_connections_open_within_a_minute() {
    let mut config = Config::default();
    config.limits.ping_interval = Some(Duration::from_secs(10));
    config.limits.pong_timeout = Some(Duration::from_secs(10));
    let server = serve(config);
    let flags = "-c 50000 --warmup 0 --duration 22s --final-echo --probes 0";
    let report = server.report("idle", flags);
    server.end();
    assert_eq!(report["errors"]["total"], 0, "{report}");
    assert_eq!(report["connections"], 50_000);
    let seconds = report["connect_seconds"].as_f64().expect("a time");
    eprintln!("50,000 connections opened in {seconds:.1} s");
    assert!(seconds < 60.0, "{seconds}");
    // Each has been pinged in the two intervals, and answered.
    assert!(report["pings"]["total"].as_u64() >= Some(90_000), "{}", report["pings"]["total"]);
}

#[test]
fn each_kind_of_zombie_is_noticed_in_time_and_the_healthy_do_not_suffer() {
    let server = serve(Config::default());
    let report = server.report("zombies", "-c 200 --rate 500 --zombies 1000");
    server.end();
    assert_eq!(report["errors"]["total"], 0, "{report}");
    let kinds = report["zombies"]["kinds"].as_array().expect("a list");
    assert_eq!(kinds.len(), 10);
    for kind in kinds {
        eprintln!("{}: {} to {} s", kind["kind"], kind["min_seconds"], kind["max_seconds"]);
        assert_eq!((&kind["noticed"], &kind["late"]), (&kind["count"], &Value::from(0)), "{kind}");
    }
    let p99 = report["latency_us"]["p99"].as_f64().expect("a latency");
    eprintln!("healthy connections: p99 {p99} us");
    assert!(p99 < 50_000.0, "{p99}");
}
