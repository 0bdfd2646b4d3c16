//! Bars that are times: they hold for the release builds, which `PULSEWHEEL` and
//! `PULSEWHEEL_LOADTEST` name, on a machine that does nothing else. `tests/run generator_bars` sees to it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

fn release_build(variable: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} must name the release build"))
}

/// A server as a process of its own; it is killed when this is dropped.
struct Serving {
    child: Child,
    address: String,
}

/// One descriptor table holds RLIMIT_NOFILE connections, hence four reactors.
fn serve(flags: &[&str]) -> Serving {
    let mut child = Command::new(release_build("PULSEWHEEL"))
        .args(["--listen", "127.0.0.1:0", "--admin", "off", "--reactors", "4"])
        .args(flags)
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be run");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut address = None;
    while address.is_none() {
        let mut line = String::new();
        let read = log.read_line(&mut line).expect("the log is text");
        assert!(read > 0, "the server ended before it listened");
        let listens = line.split_once(" listens on ").map(|(_, rest)| rest);
        address = listens.and_then(|rest| Some(rest.split_once(';')?.0.to_owned()));
    }
    // Nobody wants the rest, but a pipe that fills would cost the server lines.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Serving { child, address: address.expect("the loop has ended") }
}

impl Serving {
    /// The report of a run against it.
    fn report(&self, scenario: &str, flags: &str) -> Value {
        let output = Command::new(release_build("PULSEWHEEL_LOADTEST"))
            .args([scenario, "--url", &format!("ws://{}/echo", self.address)])
            .args(["--output", "json", "--quiet", "--server-pid"])
            .arg(self.child.id().to_string())
            .args(flags.split_whitespace())
            .output()
            .expect("the binary runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{scenario}: {error}: {}", String::from_utf8_lossy(&output.stderr))
        })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn fifty_thousand_heartbeating_connections_open_within_a_minute() {
    let server = serve(&["--ping-interval", "10s", "--pong-timeout", "10s"]);
    let flags = "-c 50000 --warmup 0 --duration 22s --final-echo --probes 0";
    let report = server.report("idle", flags);
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
    let server = serve(&[]);
    let report = server.report("zombies", "-c 200 --rate 500 --zombies 1000");
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

#[test]
fn a_herd_of_ten_thousand_is_back_at_the_pace_and_those_who_stayed_do_not_notice() {
    let name = format!("pulsewheel-herd-{}.toml", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, "").expect("a file can be written");
    let server = serve(&["--config", &file.to_string_lossy()]);
    let (herd, steady) = std::thread::scope(|scope| {
        let steady = scope.spawn(|| server.report("rate", "-c 200 --rate 1000 --duration 24s"));
        let flags = "-c 10000 --warmup 8s --duration 15s --heed-retry-after --backoff 100ms \
                     --backoff-max 1s";
        let herd = scope.spawn(|| server.report("herd", flags));
        // All are open after a second or two, without a pace, and drop after ten.
        std::thread::sleep(Duration::from_secs(5));
        std::fs::write(&file, "connect_rate = \"2000/s\"\n").expect("it can be written anew");
        let pid = server.child.id().to_string();
        let hup = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(hup.expect("there is a kill command").success());
        (herd.join().expect("it reports"), steady.join().expect("it reports"))
    });
    let _ = std::fs::remove_file(&file);
    let told = &herd["herd"];
    assert_eq!((&told["dropped"], &told["back"]), (&Value::from(10_000), &Value::from(10_000)));
    // Nobody is turned away but by an answer.
    assert_eq!(told["failed_attempts"], told["refused_attempts"], "{told}");
    assert!(told["refused_attempts"].as_u64() >= Some(5_000), "{told}");
    let seconds = told["max_seconds"].as_f64().expect("a time");
    let p99 = steady["latency_us"]["p99"].as_f64().expect("a latency");
    eprintln!("all back after {seconds:.2} s; {told}; those who stayed: p99 {p99} us");
    assert!(seconds < 8.0, "{told}");
    assert_eq!(steady["errors"]["total"], 0, "{steady}");
    assert!(p99 < 50_000.0, "{p99}");
}
