//! What a run leaves behind: the page of `--report`, the verdicts of `--fail-if`, the exit code.
//! Not what happens on the wire; that is `runs`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

fn tcp_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Runs a short echo with further arguments.
fn echo(address: SocketAddr, further: &[&str]) -> Output {
    let url = format!("tcp://{address}");
    let short = ["-c", "2", "--warmup", "0", "--duration", "300ms", "--quiet"];
    Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"))
        .args(["echo", "--url", &url])
        .args(short)
        .args(further)
        .output()
        .expect("the binary runs")
}

fn page_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn thresholds_that_hold_leave_the_exit_code_alone() {
    let kept = ["--fail-if", "p99>30s, errors>0", "--fail-if", "rate < 1 and connections<2"];
    let output = echo(tcp_echo(), &kept);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in ["  ok  p99 <= 30 s: ", "  ok  errors <= 0: 0", "  ok  connections >= 2: 2"] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[test]
fn a_threshold_that_fails_exits_with_3_and_stands_in_the_document() {
    let broken = ["--output", "json", "--fail-if", "connections<3", "--fail-if", "rss_bytes>1GiB"];
    let output = echo(tcp_echo(), &broken);
    assert_eq!(output.status.code(), Some(3));
    let document: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let [connections, memory] = document["thresholds"].as_array().expect("a list").as_slice()
    else {
        panic!("two verdicts in {document}")
    };
    assert_eq!(connections["text"], "connections >= 3");
    assert_eq!((&connections["failed"], &connections["measured"]), (&true.into(), &2.0.into()));
    // No process was named, so that nothing was measured: that must not pass.
    assert_eq!((&memory["failed"], &memory["measured"]), (&true.into(), &Value::Null));
}

#[test]
fn errors_outrank_thresholds_in_the_exit_code() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    // Takes a message and hangs up, so that the connections are lost.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64]);
        }
    });
    assert_eq!(echo(address, &["--fail-if", "connections<3"]).status.code(), Some(1));
}

#[test]
fn a_threshold_that_cannot_be_meant_is_told_before_anything_runs() {
    // Nobody listens there; that this is not what is complained of shows that nothing was tried.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr();
    let nobody = nobody.expect("bound");
    for (condition, words) in [
        ("p98>5ms", "`p98` is no metric; the metrics are p50, "),
        ("p99>5", "needs a unit"),
        ("p99", "has no <"),
        ("", "is empty"),
    ] {
        let output = echo(nobody, &["--fail-if", condition]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{condition}: {said}");
        assert!(said.contains(words) && said.contains("--fail-if"), "{condition}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_page_is_written_whatever_goes_to_standard_output() {
    let path = page_path("page.html");
    let shown = path.to_string_lossy();
    let output =
        echo(tcp_echo(), &["--report", &shown, "--output", "json", "--fail-if", "p99>30s"]);
    assert_eq!(output.status.code(), Some(0));
    let _: Value = serde_json::from_slice(&output.stdout).expect("nothing but the document");
    let page = fs::read_to_string(&path).expect("the page");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for part in ["Latency by percentile", "p99 &lt;= 30 s", "--fail-if &#39;p99&gt;30s&#39;"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_page_that_cannot_be_written_names_the_file_before_the_run() {
    let path = page_path("no/such/folder/page.html");
    let shown = path.to_string_lossy();
    let output = echo(tcp_echo(), &["--report", &shown]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&*shown) && said.contains("no such folder"), "{said}");
    assert!(output.stdout.is_empty() && said.lines().count() == 1, "{said}");
}
