//! A log that nobody takes: a full pipe, a full disk, a reader that has died. Serving goes on, the
//! lines that don't fit are dropped and counted, and the end is not held up either.
//! Not for the queue itself; the unit tests of `logging` have that.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Reading};
use crate::harness::server::binary;
use crate::harness::{Metrics, PATIENCE, RawClient, request, sockets, wait_until};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone};

/// At debug level each connection writes a line when it ends, of some 200 bytes. The pipe and the
/// queue hold about a megabyte of them, twice for the part that is being written.
const LINES: usize = 24_000;
const AT_ONCE: usize = 2_000;

/// The documented default.
const PING: Duration = Duration::from_secs(25);

const FLAGS: [&str; 6] = [
    "--log-level",
    "info,pulsewheel::reactor=debug",
    "--drain-window",
    "0s",
    "--close-timeout",
    "500ms",
];

/// Has so many connections come and go.
fn come_and_go(server: &Watched, count: usize) {
    let upgrade = request("/echo", &[]).into_bytes();
    for _ in 0..count / AT_ONCE {
        let before = closed(&server.metrics()) as usize;
        drop(Crowd::of(server, AT_ONCE, Reading::All, |_| upgrade.clone()));
        let are_gone = |m: &Metrics| closed(m) as usize >= before + AT_ONCE;
        server.wait_for("all to have come and gone", are_gone);
    }
}

fn closed(metrics: &Metrics) -> f64 {
    metrics.sum("ws_connections_closed_total")
}

fn dropped_lines(line: &str) -> Option<usize> {
    let (before, _) = line.split_once(" log lines were dropped")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_full_pipe_costs_log_lines_and_nothing_else() {
    let machine = alone();
    let server = Watched::start(&FLAGS).expecting_errors("log lines were dropped");
    let gate = server.log_gate();
    let healthy = Healthy::talk(&server);
    let shut = gate.lock().expect("nobody panics with it");
    come_and_go(&server, LINES);
    let resident = server.resident();
    come_and_go(&server, LINES / 2);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 8 << 20, "{grown} bytes more while lines pile up");
    assert_eq!(server.admin_request("GET", "/healthz", "").0, 200);
    healthy.assert_undisturbed(LATE);
    let written = server.log().len();
    drop(shut);
    // What waited comes out, and how many lines did not is said once there is room.
    server.wait_for_log(" log lines were dropped: standard error was too slow");
    RawClient::open(&server, "/echo").expect_echo("one more to be logged");
    wait_until("every line to be written or counted", || {
        let log = server.log();
        let dropped: usize = log.iter().filter_map(|line| dropped_lines(line)).sum();
        let kept = log.iter().filter(|line| line.contains("closed peer=")).count();
        let ended = closed(&server.metrics()) as usize;
        dropped > LINES / 4 && log.len() > written && kept + dropped == ended
    });
    server.aftermath(machine, PING);
}

#[test]
fn a_full_pipe_does_not_hold_up_the_end() {
    let _alone = alone();
    let mut server = Watched::start(&FLAGS);
    let gate = server.log_gate();
    let shut = gate.lock().expect("nobody panics with it");
    come_and_go(&server, LINES);
    let peer = RawClient::open(&server, "/echo");
    let begun = Instant::now();
    server.signal("TERM");
    // The close timeout, and the second that the log's last lines are given.
    let limit = Duration::from_millis(500) + Duration::from_secs(1) + LATE;
    let status = server.wait_exit(limit);
    assert!(status.success(), "{status:?} after {:?}", begun.elapsed());
    drop((peer, shut));
}

/// A server whose start line nobody sees; the kernel knows its addresses.
struct Unseen {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

/// Addresses by which the two ports can be told apart.
const LISTEN: [u8; 4] = [127, 0, 0, 21];
const ADMIN: [u8; 4] = [127, 0, 0, 22];

impl Unseen {
    fn start(stderr: Stdio) -> Self {
        let child = Command::new(binary())
            .args(["--listen", "127.0.0.21:0", "--admin", "127.0.0.22:0"])
            .args(FLAGS)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the server can be run");
        let mut found = (None, None);
        wait_until("it to listen", || {
            found = (listening(LISTEN), listening(ADMIN));
            found.0.is_some() && found.1.is_some()
        });
        let (Some(address), Some(admin)) = found else { panic!("it was waited for") };
        Unseen { child, address, admin }
    }

    /// Serves hundreds of connections, each of which is logged, then ends on demand.
    fn serves_and_ends(mut self) {
        let healthy = Healthy::talk_to(self.address);
        for _ in 0..500 {
            drop(RawClient::try_connect(self.address).expect("it listens").upgraded("/echo"));
        }
        let (status, body) = crate::harness::ask(self.admin, "GET", "/metrics", "");
        assert_eq!(status, 200);
        assert_eq!(Metrics::new(body).value("ws_handler_panics_total", &[]), 0.0);
        healthy.assert_undisturbed(LATE);
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status:?}");
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // It fails only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening(ip: [u8; 4]) -> Option<SocketAddr> {
    sockets::listeners_here().into_iter().find(|address| address.ip() == IpAddr::from(ip))
}

#[test]
fn a_full_disk_under_the_log_is_no_reason_to_stop() {
    let _alone = alone();
    // Each write to it fails for want of space.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    Unseen::start(full.into()).serves_and_ends();
}

#[test]
fn a_log_reader_that_died_is_no_reason_to_stop() {
    let _alone = alone();
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    Unseen::start(writer.into()).serves_and_ends();
}
