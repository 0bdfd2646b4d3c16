//! Drives the real binary against servers that look at the upgrade request, or answer it oddly.
//! Not the request's bytes one by one; those are tested where they are made.
#![allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// A WebSocket echo that upgrades as `answer` says.
fn server(
    answer: impl Fn(&Request, Response) -> Result<Response, ErrorResponse> + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept_hdr(stream, answer) else { return };
                while let Ok(message) = socket.read() {
                    if message.is_text() && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Runs against `address` with more flags, which may contain blanks.
fn loadtest(address: SocketAddr, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"));
    command.args(["echo", "--url", &format!("ws://{address}/"), "-c", "3", "--output", "json"]);
    command.args(["--warmup", "50ms", "--duration", "200ms", "--quiet"]).args(flags);
    command.output().expect("the binary runs")
}

#[test]
fn headers_and_subprotocols_reach_the_server_and_its_choice_is_taken() {
    let address = server(|request, mut response| {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let expected = header("authorization") == Some("Bearer a:b")
            && header("host") == Some("chat.example")
            && header("sec-websocket-protocol") == Some("v2, v1");
        if !expected {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = tungstenite::http::StatusCode::UNAUTHORIZED;
            return Err(refusal);
        }
        response.headers_mut().insert("sec-websocket-protocol", "v1".parse().expect("a value"));
        Ok(response)
    });
    let flags = ["--header", "Authorization: Bearer a:b", "--header", "Host: chat.example"];
    let offer = ["--subprotocol", "v2", "--subprotocol", "v1"];
    let output = loadtest(address, &[&flags[..], &offer].concat());
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["errors"]["total"], 0, "{report}");
    assert_eq!(report["connections"], 3, "{report}");
    let refused = loadtest(address, &flags);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"), "{refused:?}");
}

#[test]
fn an_answer_that_does_not_fit_the_offer_is_a_refusal_in_one_line() {
    let silent = server(|_, response| Ok(response));
    let overbearing = server(|_, mut response| {
        response.headers_mut().insert("sec-websocket-protocol", "v9".parse().expect("a value"));
        Ok(response)
    });
    for (address, flags, words) in [
        (silent, &["--subprotocol", "v1"][..], "none of the subprotocols offered (v1)"),
        (overbearing, &["--subprotocol", "v1"], "'v9', which was not offered"),
        (overbearing, &[], "'v9', which was not offered"),
    ] {
        let output = loadtest(address, flags);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_header_that_cannot_be_sent_is_told_before_anything_runs() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    for header in ["Connection: close", "Sec-WebSocket-Key: x", "no colon", "A: b\r\nC: d"] {
        let output = loadtest(nobody, &["--header", header]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--header '") && said.lines().count() == 1, "{said}");
    }
}
