//! The operator's port: what it tells, that it tells the truth, and whom.

mod harness;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use harness::{
    Embedded, PATIENCE, RawClient, Server, frame, ms, run_to_end, scratch_path, wait_until,
};
use pulsewheel::{Connection, Handler, Message, Opening, Reject};

/// Families that are counters, by the name that their samples have.
const COUNTERS: [&str; 23] = [
    "ws_connections_accepted_total",
    "ws_connections_refused_total",
    "ws_connections_closed_total",
    "ws_close_codes_total",
    "ws_accept_pauses_total",
    "ws_messages_received_total",
    "ws_messages_sent_total",
    "ws_bytes_received_total",
    "ws_bytes_sent_total",
    "ws_pings_sent_total",
    "ws_pongs_received_total",
    "ws_outbox_frames_dropped_total",
    "ws_outbox_sheds_total",
    "ws_inbox_sheds_total",
    "ws_reads_paused_total",
    "ws_mailbox_messages_total",
    "ws_mailbox_full_total",
    "ws_deadlines_expired_total",
    "ws_stalls_total",
    "ws_turns_total",
    "ws_phase_carried_over_total",
    "ws_handler_panics_total",
    "process_cpu_seconds_total",
];

const GAUGES: [&str; 10] = [
    "ws_connections_active",
    "ws_slots_used",
    "ws_accept_paused",
    "ws_descriptors_used",
    "ws_descriptors_allowed",
    "ws_outbox_bytes",
    "ws_inbox_bytes",
    "ws_mailbox_bytes",
    "ws_wheel_entries",
    "process_resident_memory_bytes",
];

const HISTOGRAMS: [&str; 4] = [
    "ws_heartbeat_rtt_seconds",
    "ws_fanout_latency_seconds",
    "ws_tick_lag_seconds",
    "ws_turn_duration_seconds",
];

#[test]
fn every_metric_is_there_from_the_start_with_help_type_and_unit() {
    let server = Server::start(&["--reactors", "2"]);
    let metrics = server.metrics();
    let text = metrics.text();
    let families = [("counter", &COUNTERS[..]), ("gauge", &GAUGES), ("histogram", &HISTOGRAMS)];
    for (kind, name) in families.iter().flat_map(|(k, names)| names.iter().map(move |n| (k, n))) {
        let family = name.strip_suffix("_total").unwrap_or(name);
        let has_line = |line: &str| text.lines().any(|found| found.starts_with(line));
        assert!(has_line(&format!("# HELP {family} ")), "{name} has no help");
        assert!(has_line(&format!("# TYPE {family} {kind}")), "{name} is no {kind}");
        for unit in ["seconds", "bytes"] {
            let unit_line = format!("# UNIT {family} {unit}");
            assert_eq!(family.ends_with(unit), has_line(&unit_line), "{name} and {unit_line}");
        }
        let sample = if *kind == "histogram" { format!("{name}_count") } else { name.to_string() };
        let has_sample = text.lines().any(|line| {
            line.strip_prefix(&sample).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        assert!(has_sample, "{name} has no sample");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_exposition_is_well_formed() {
    let server = Server::start(&["--reactors", "2"]);
    RawClient::open(&server, "/echo").expect_echo("something to count");
    let metrics = server.metrics();
    let mut described = BTreeSet::new();
    let mut samples = BTreeSet::new();
    for line in metrics.text().lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["#", "TYPE", family, _] => {
                assert!(described.insert(family.to_owned()), "{family} is described twice");
            }
            ["#", ..] => {}
            [sample, value] => {
                assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
                assert!(samples.insert(sample.to_owned()), "{sample} is there twice");
                let name = sample.split('{').next().expect("split gives one at least");
                let belongs = described.iter().any(|family| name.starts_with(family.as_str()));
                assert!(belongs, "{name} comes before its family");
            }
            _ => panic!("neither a comment nor a sample: {line}"),
        }
    }
}

#[test]
fn counts_match_what_clients_did() {
    let server = Server::start(&["--reactors", "2", "--ping-interval", "off"]);
    let mut peers: Vec<_> = (0..5).map(|_| RawClient::open(&server, "/echo")).collect();
    for peer in &mut peers {
        for _ in 0..3 {
            peer.expect_echo("0123456789");
        }
        peer.send(&frame::frame(frame::PONG, b"unasked"));
    }
    let mut refused = RawClient::connect(&server);
    refused.send(harness::request("/nowhere", &[]).as_bytes());
    assert_eq!(refused.response().status, 404);
    peers[0].send(&frame::close(3456, "done"));
    peers[0].expect_close(3456);
    peers[1].send(b"\x81\x03abc");
    peers[1].expect_close(1002);
    peers.drain(..2);

    let metrics = server.wait_for("the two to be gone", |m| {
        m.closed("peer_closed") == 1 && m.closed("protocol_error") == 1
    });
    let sum = |name| metrics.sum(name) as u64;
    assert_eq!(sum("ws_connections_accepted_total"), 6);
    assert_eq!(sum("ws_connections_active"), 3);
    assert_eq!(metrics.refused("not_found"), 1);
    assert_eq!((sum("ws_messages_received_total"), sum("ws_messages_sent_total")), (15, 15));
    assert_eq!(sum("ws_pongs_received_total"), 5);
    let code = |code| metrics.value("ws_close_codes_total", &[("code", code)]) as u64;
    assert_eq!((code("application"), code("1002"), code("1001")), (1, 1, 0));
    // A masked frame of ten bytes is six bytes longer than an unmasked one is two.
    let heads = 5 * harness::request("/echo", &[]).len() as u64;
    assert!(sum("ws_bytes_received_total") >= heads + 15 * 16);
    assert!(sum("ws_bytes_sent_total") >= 15 * 12);
    assert!(sum("process_resident_memory_bytes") > 100_000);
    assert!(sum("ws_descriptors_used") < sum("ws_descriptors_allowed"));
}

#[test]
fn heartbeats_are_counted_and_their_round_trip_measured() {
    let server = Server::start(&["--ping-interval", "200ms", "--pong-timeout", "200ms"]);
    let mut peer = RawClient::open(&server, "/echo");
    for _ in 0..3 {
        let ping = peer.frame();
        assert_eq!(ping.first, frame::PING);
        peer.send(&frame::frame(frame::PONG, &ping.payload));
    }
    let metrics = server.wait_for("three pongs", |m| m.sum("ws_pongs_received_total") >= 3.0);
    assert!(metrics.sum("ws_pings_sent_total") >= 3.0);
    assert!(metrics.sum("ws_heartbeat_rtt_seconds_count") >= 3.0);
    assert!(metrics.sum("ws_heartbeat_rtt_seconds_sum") < 1.0, "loopback is faster than that");
}

/// Blocks its reactor for as long as each message says, in milliseconds.
struct Sleeper;

impl Handler for Sleeper {
    type State = ();

    fn on_open(&self, _: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
        Ok(())
    }

    fn on_message(&self, connection: &mut Connection<'_>, _: &mut (), message: Message<'_>) {
        let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
        thread::sleep(ms(text.parse().expect("the message is a number")));
        connection.send(message);
    }
}

#[test]
fn health_fails_while_a_handler_blocks_a_reactor_and_comes_back() {
    let builder = pulsewheel::Server::builder().config(Embedded::config());
    let server = Embedded::run(builder.route("/sleep", Sleeper));
    let mut peer = server.open("/sleep");
    let begun = Instant::now();
    assert_eq!(server.ask("/healthz").0, 200);
    assert!(begun.elapsed() < ms(900), "sleeping reactors are woken and answer at once");

    peer.send(&frame::text("3000"));
    wait_until("the reactor to be seen stuck", || server.ask("/healthz").0 == 503);
    let (status, body) = server.ask("/readyz");
    assert_eq!(status, 503, "whoever is stuck is not ready either");
    assert!(body.contains("stuck"), "{body}");
    assert_eq!(server.ask("/metrics").0, 200, "the metrics do not wait for a reactor");
    assert_eq!(peer.data().payload, b"3000");
    wait_until("it to be well again", || server.ask("/healthz").0 == 200);
}

#[test]
fn a_pause_of_less_than_a_second_is_no_illness() {
    let builder = pulsewheel::Server::builder().config(Embedded::config());
    let server = Embedded::run(builder.route("/sleep", Sleeper));
    let mut peer = server.open("/sleep");
    peer.send(&frame::text("500"));
    let (status, body) = server.ask("/healthz");
    assert_eq!(status, 200, "{body}");
    assert_eq!(peer.data().payload, b"500");
}

#[test]
fn readiness_fails_while_the_server_is_full() {
    let server = Server::start(&["--max-connections", "2"]);
    let mut peers: Vec<_> = (0..2).map(|_| RawClient::open(&server, "/echo")).collect();
    let (status, body) = server.admin_request("GET", "/readyz", "");
    assert!(status == 503 && body.contains("full"), "{status} {body}");
    assert_eq!(server.admin_request("GET", "/healthz", "").0, 200);
    peers.pop();
    wait_until("room for one", || server.admin_request("GET", "/readyz", "").0 == 200);
}

/// A file that holds this token, and its path.
fn token_file(token: &str) -> String {
    let path = scratch_path("token");
    std::fs::write(&path, format!("{token}\n")).expect("a scratch file can be written");
    path.into_os_string().into_string().expect("the path is text")
}

#[test]
fn nothing_is_told_without_the_token_where_one_is_configured() {
    let server = Server::start(&["--admin-token-file", &token_file("open-sesame-1234567890")]);
    for target in ["/metrics", "/healthz", "/readyz", "/nowhere"] {
        let with = |line: &str| server.admin_request("GET", target, line).0;
        assert_eq!(with(""), 401, "{target}");
        assert_eq!(with("Authorization: Bearer open-sesame\r\n"), 401, "{target}");
        assert_eq!(with("Authorization: Basic open-sesame-1234567890\r\n"), 401, "{target}");
        let expected = if target == "/nowhere" { 404 } else { 200 };
        assert_eq!(with("Authorization: Bearer open-sesame-1234567890\r\n"), expected, "{target}");
    }
    assert!(!server.log().iter().any(|line| line.contains("sesame")), "the log keeps the secret");
}

#[test]
fn an_admin_port_that_others_reach_needs_a_token_to_start() {
    let listen = ["--listen", "127.0.0.1:0"];
    for open in ["0.0.0.0:0", "[::]:0"] {
        let (code, out, err) = run_to_end([&listen[..], &["--admin", open]].concat());
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{err}");
        assert!(err.contains(open) && err.contains("--admin-token-file"), "{err}");
    }
    let token = token_file("open-sesame-1234567890");
    let mut server = Server::start(&["--admin", "0.0.0.0:0", "--admin-token-file", &token]);
    server.signal("TERM");
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn the_admin_port_can_be_turned_off() {
    let mut server = Server::start(&["--admin", "off", "--drain-window", "0s"]);
    assert!(server.wait_for_log("listens on").contains("admin on off"));
    RawClient::open(&server, "/echo").expect_echo("served all the same");
    server.signal("TERM");
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn clients_that_connect_and_say_nothing_shut_nobody_out_for_long() {
    let server = Server::start(&[]);
    let silent: Vec<_> = (0..100).filter_map(|_| TcpStream::connect(server.admin()).ok()).collect();
    // Until then whoever comes is told 503 and shown the door, perhaps before the request is read.
    wait_until("the silent to be let go", || is_healthy(server.admin()).unwrap_or(false));
    drop(silent);
}

fn is_healthy(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}
