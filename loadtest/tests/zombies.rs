//! The `zombies` scenario against servers of the test's own whose deadlines are known.
//! Not those that reset: whether a server noticed is seen in its descriptors, so that such tests
//! need a process each (`zombie_resets`, `zombies_pulsewheel`).

mod harness;
mod zombie_server;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

use zombie_server::{
    Deadlines, Ending, assert_noticed, command, keeping, keeping_over_tls, oblivious, of_kind,
    report, run, run_at,
};

/// The deadlines of [`Deadlines::SHORT`], and a grace that a loaded machine keeps.
const CLAIMS: &str = "--handshake-timeout 1s --ping-interval 500ms --pong-timeout 500ms \
                      --message-timeout 1s --write-timeout 1s --grace 10s --drip 50ms";

/// Each kind but `reset`, and the sign by which the server of these tests shows that it noticed.
const SIGNS: [(&str, &str); 9] = [
    ("silent-handshake", "http 408"),
    ("drip-handshake", "http 408"),
    ("no-pong", "reset"),
    ("vanish", "reset"),
    ("stop-reading", "reset"),
    ("half-close", "fin"),
    ("garbage", "close 1002"),
    ("huge-length", "close 1009"),
    ("endless-fragments", "close 1008"),
];

fn mix() -> String {
    SIGNS.map(|(kind, _)| format!("{kind}=1")).join(",")
}

#[test]
fn each_kind_is_noticed_by_its_sign_and_the_healthy_do_not_suffer() {
    let address = keeping(Deadlines::SHORT);
    let output = run(address, &format!("-c 4 --zombies 18 --mix {} {CLAIMS}", mix()));
    let report = report(&output);
    for (kind, sign) in SIGNS {
        assert_noticed(&report, kind, 2, sign);
    }
    // Not before the deadline, though with room for a machine that is slow to see the beginning.
    for kind in ["silent-handshake", "drip-handshake", "no-pong", "vanish", "stop-reading"] {
        assert!(of_kind(&report, kind)["min_seconds"].as_f64() > Some(0.4), "{kind}: {report}");
    }
    assert_eq!(
        (&report["errors"]["total"], &report["zombies"]["healthy_errors"]),
        (&0.into(), &0.into())
    );
    assert!(report["latency_us"]["p99"].as_f64() > Some(0.0), "{report}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn over_tls_each_kind_is_noticed_by_the_same_sign() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key that fits");
    let address = keeping_over_tls(Deadlines::SHORT, Arc::new(config));
    let flags = format!("--insecure -c 2 --zombies 18 --mix {} {CLAIMS}", mix());
    let output = run_at(&format!("wss://{address}/echo"), &flags);
    let report = report(&output);
    for (kind, sign) in SIGNS {
        assert_noticed(&report, kind, 2, sign);
    }
    for kind in ["silent-handshake", "drip-handshake", "no-pong", "vanish", "stop-reading"] {
        assert!(of_kind(&report, kind)["min_seconds"].as_f64() > Some(0.4), "{kind}: {report}");
    }
    assert_eq!(report["errors"]["total"], 0, "{report}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_peer_that_vanished_finds_out_that_its_server_closed_though_no_fin_can_come() {
    let address = keeping(Deadlines { ending: Ending::Fin, ..Deadlines::SHORT });
    let claims = "--ping-interval 500ms --pong-timeout 500ms --grace 4s";
    let report = report(&run(address, &format!("-c 1 --zombies 3 --mix vanish=1 {claims}")));
    assert_noticed(&report, "vanish", 3, "gone when asked");
}

#[test]
fn a_vanished_peer_comes_back_to_see_that_its_server_was_late() {
    // What it says before it comes back is an unfinished frame, which this server ends with 1008.
    let late = Deadlines { pong: Duration::from_secs(60), ..Deadlines::SHORT };
    let claims = "--ping-interval 400ms --pong-timeout 400ms --grace 200ms";
    let report = report(&run(keeping(late), &format!("-c 1 --zombies 2 --mix vanish {claims}")));
    let found = of_kind(&report, "vanish");
    assert_eq!((&found["noticed"], &found["late"]), (&2.into(), &2.into()), "{report}");
    assert_eq!(found["signs"]["close 1008"], 2, "{report}");
}

#[test]
fn a_server_that_notices_late_is_told() {
    let late = Deadlines { handshake: Duration::from_millis(1500), ..Deadlines::SHORT };
    let flags = "-c 1 --zombies 2 --mix silent-handshake --handshake-timeout 100ms --grace 100ms";
    let output = run(keeping(late), flags);
    let report = report(&output);
    let found = of_kind(&report, "silent-handshake");
    assert_eq!((&found["noticed"], &found["late"]), (&2.into(), &2.into()), "{report}");
    assert_eq!(report["errors"]["kinds"]["zombie_late"], 2, "{report}");
    assert_eq!(report["zombies"]["healthy_errors"], 0, "{report}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_server_that_notices_nothing_is_told() {
    let claims = "--handshake-timeout 100ms --ping-interval 100ms --pong-timeout 100ms \
                  --message-timeout 100ms --write-timeout 100ms --grace 100ms --drip 300ms";
    let output = run(oblivious(), &format!("-c 2 --zombies 9 --mix {} {claims}", mix()));
    let report = report(&output);
    for (kind, _) in SIGNS {
        let found = of_kind(&report, kind);
        assert_eq!((&found["noticed"], &found["not_noticed"]), (&0.into(), &1.into()), "{kind}");
        assert!(found["p50_seconds"].is_null(), "{report}");
    }
    assert_eq!(report["errors"]["kinds"]["zombie_unnoticed"], 9, "{report}");
    assert_eq!(report["zombies"]["healthy_errors"], 0, "{report}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_server_that_is_full_is_no_server_that_noticed() {
    let address = keeping(Deadlines { handshake: Duration::ZERO, ..Deadlines::SHORT });
    let output = run(address, &format!("-c 1 --zombies 2 --mix no-pong {CLAIMS}"));
    assert_eq!(output.status.code(), Some(1), "the healthy connection is refused first");
    assert!(String::from_utf8_lossy(&output.stderr).contains("408"));
}

#[test]
fn a_run_that_is_ended_before_it_could_judge_has_failed() {
    let claims = "--ping-interval 60s --pong-timeout 60s";
    let address = oblivious();
    let flags = format!("-c 1 --zombies 3 --mix no-pong {claims}");
    let mut running = command(&format!("ws://{address}/echo"), &flags);
    let running = running.stdout(Stdio::piped()).spawn().expect("the binary runs");
    // Long before a zombie is overdue, and after the handler of the signal stands.
    std::thread::sleep(Duration::from_secs(3));
    let pid = running.id().to_string();
    let told = std::process::Command::new("kill").args(["-INT", &pid]).status();
    assert!(told.is_ok_and(|status| status.success()));
    let output = running.wait_with_output().expect("the binary ends");
    let report = report(&output);
    assert_eq!((&report["interrupted"], &report["zombies"]["unjudged"]), (&true.into(), &3.into()));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("3 zombies were not judged"), "{warnings}");
    assert_eq!(output.status.code(), Some(1), "{report}");
}

#[test]
fn a_length_that_does_not_apply_is_refused() {
    let nowhere = "127.0.0.1:9".parse().expect("an address");
    let output = run(nowhere, "--duration 10s");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--duration") && said.contains("leave it out"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn kinds_that_are_none_are_told_with_those_there_are() {
    let nowhere = "127.0.0.1:9".parse().expect("an address");
    for mix in ["werewolf=1", "no-pong=0"] {
        let output = run(nowhere, &format!("--mix {mix}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("endless-fragments") && said.lines().count() == 1, "{said}");
    }
}
