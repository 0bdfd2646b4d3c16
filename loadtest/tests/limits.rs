//! What stops a run from outside: descriptors, addresses, servers that are not there or say no.
//! Not what a command line gets wrong; that is refused before anything is tried.

mod harness;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use harness::{echo, parse, run, server, tcp_echo};

/// Runs the binary where no more than `limit` descriptors are allowed.
fn run_with_descriptors(limit: u32, line: &str) -> Output {
    let binary = env!("CARGO_BIN_EXE_pulsewheel-loadtest");
    let script = format!("ulimit -n {limit} && exec {binary} {line} --output json --quiet");
    Command::new("sh").args(["-c", &script]).output().expect("sh runs")
}

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "one clear line: {said}");
    said
}

#[test]
fn too_few_descriptors_are_told_with_what_would_do() {
    let (address, _) = echo();
    let line = format!("idle --url ws://{address}/ -c 100 --threads 1");
    let output = run_with_descriptors(64, &line);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["100 connections", "RLIMIT_NOFILE", "64", "ulimit -n", "--threads 4"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn more_connections_than_one_descriptor_table_holds_are_spread_over_several() {
    let address = tcp_echo();
    let line = format!("echo --url tcp://{address} -c 100 --warmup 0 --duration 400ms");
    let output = run_with_descriptors(64, &line);
    let report = parse(&line, &output);
    assert_eq!(report["connections"], 100, "{report}");
    assert_eq!(report["generator"]["threads"], 4, "{report}");
    assert_eq!(report["errors"]["total"], 0, "{report}");
}

#[test]
fn descriptors_that_run_out_all_the_same_are_told() {
    let address = tcp_echo();
    // As many as the generator needs for itself, and none for a connection.
    let output = run_with_descriptors(5, &format!("echo --url tcp://{address} -c 1 --threads 1"));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no descriptor left") && said.contains("ulimit -n"), "{said}");
}

#[test]
fn a_foreign_source_address_is_told() {
    let (address, _) = echo();
    // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
    let output = run(&format!("idle --url ws://{address}/ -c 2 --source-addr 192.0.2.1"), &[]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("192.0.2.1"), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_told_in_every_scenario() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    for scenario in [
        "rate",
        "idle",
        "broadcast",
        "connect",
        "connect --churn",
        "herd",
        "mixed",
        "search --keep p99<1s",
    ] {
        let output = run(&format!("{scenario} --url ws://{nobody}/"), &[]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{scenario}: {said}");
        assert!(said.contains("is the server running there"), "{scenario}: {said}");
        assert!(said.contains(&nobody.to_string()), "{scenario}: {said}");
    }
}

#[test]
fn a_server_that_refuses_is_told_with_its_answer_in_every_scenario() {
    let refusing = server(|mut stream| {
        let _ = stream.read(&mut [0; 2048]);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    for scenario in ["rate", "idle", "broadcast", "connect --churn", "herd", "mixed", "zombies"] {
        let output = run(&format!("{scenario} --url ws://{refusing}/"), &[]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{scenario}: {said}");
        assert!(said.contains("403 Forbidden"), "{scenario}: {said}");
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_told_after_the_connect_timeout() {
    let silent = server(|stream| {
        std::thread::park();
        drop(stream);
    });
    let output = run(&format!("echo --url ws://{silent}/ --connect-timeout 500ms"), &[]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("did not open"), "{said}");
}
