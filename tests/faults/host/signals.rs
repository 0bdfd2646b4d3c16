//! Signals in moments that nobody plans: hundreds of SIGHUP under load, with configurations that
//! are now good and now bad; an end that is asked for while stopped, and while being reloaded.
//! Not for what a reload changes; `tests/reload.rs` has that.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::{Herd, Metrics, Server, frame, ms, scratch_path};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone};

const STORM: usize = 300;
const HERD: usize = 1_000;

/// The longest deadlines below. The storm is over before anyone's has come.
const LONGEST: Duration = Duration::from_secs(90);

const GOOD: [&str; 3] = [
    "ping_interval = \"4s\"\npong_timeout = \"4s\"\n",
    "ping_interval = \"5s\"\npong_timeout = \"3s\"\nidle_timeout = \"90s\"\nlog_level = \"debug\"\n",
    "ping_interval = \"3s\"\npong_timeout = \"3s\"\nmax_lifetime = \"90s\"\n",
];
const BAD: [&str; 2] = ["ping_interval = \"soon\"\n", "ping_interval = \"1s\"\n[["];

/// A file that is removed in the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

struct Configured {
    server: Watched,
    file: Scratch,
}

impl Configured {
    fn start() -> Self {
        let path = scratch_path("toml");
        fs::write(&path, GOOD[0]).expect("a scratch file can be written");
        let flags = [
            "--config",
            path.to_str().expect("the path is text"),
            "--drain-window",
            "1s",
            "--close-timeout",
            "1s",
        ];
        let server = Watched::over(Server::start(&flags)).expecting_errors("reload: ");
        Configured { server, file: Scratch(path) }
    }

    /// Writes a configuration anew and has it read, good and bad ones by turns.
    fn reload(&self, n: usize) {
        let text = if n % 4 == 3 { BAD[n / 4 % 2] } else { GOOD[n % 3] };
        fs::write(&self.file.0, text).expect("a scratch file can be written");
        self.server.signal("HUP");
    }
}

fn received(metrics: &Metrics) -> usize {
    metrics.sum("ws_messages_received_total") as usize
}

#[test]
fn a_storm_of_reloads_disturbs_nobody() {
    let machine = alone();
    let configured = Configured::start();
    let server = &configured.server;
    let healthy = Healthy::talk(server);
    let mut herd = Herd::connect(server, "/echo", HERD);
    let before = received(&server.metrics());
    for n in 0..STORM {
        configured.reload(n);
        if n % 10 == 0 {
            herd.say(&frame::text("under reload"));
        }
        // What can't mean anything to it either.
        server.signal(["PIPE", "CONT", "URG", "WINCH"][n % 4]);
        herd.run(ms(5), true);
    }
    // All that was said is read, and a heartbeat of each has come.
    herd.run(Duration::from_secs(9), true);
    assert_eq!(herd.gone, 0);
    let expected = before + STORM / 10 * HERD;
    server.wait_for("all that was said", |m| received(m) >= expected);
    let rejected = server.log().iter().filter(|line| line.contains("soon")).count();
    assert!(rejected > 0, "bad ones were read too");
    let metrics = server.metrics();
    for deadline in ["handshake", "pong", "idle", "message", "write", "lifetime"] {
        assert_eq!(metrics.expired(deadline), 0, "{deadline}");
    }
    server.assert_no_strays(LATE);
    healthy.assert_undisturbed(LATE);
    drop(herd);
    configured.server.aftermath(machine, LONGEST);
}

#[test]
fn an_end_that_is_asked_for_while_stopped_comes_after() {
    let _alone = alone();
    let mut server = Watched::start(&["--drain-window", "1s", "--close-timeout", "1s"]);
    let herd = Herd::connect(&server, "/echo", HERD);
    server.signal("STOP");
    server.signal("HUP");
    server.signal("TERM");
    std::thread::sleep(ms(1500));
    let going_on = Instant::now();
    server.signal("CONT");
    let status = server.wait_exit(Duration::from_secs(2) + LATE);
    assert!(status.success(), "{status:?} after {:?}", going_on.elapsed());
    server.wait_for_log("drained: ");
    drop(herd);
}

#[test]
fn an_end_in_a_storm_of_reloads_is_in_good_order() {
    let _alone = alone();
    let mut configured = Configured::start();
    let mut herd = Herd::connect(&configured.server, "/echo", HERD);
    for n in 0..20 {
        configured.reload(n);
    }
    configured.server.signal("TERM");
    for n in 0..5 {
        configured.reload(n);
    }
    let status = configured.server.wait_exit(Duration::from_secs(2) + LATE);
    assert!(status.success(), "{status:?}");
    herd.run(ms(500), false);
    assert_eq!(herd.gone, HERD, "each has seen its end");
}
