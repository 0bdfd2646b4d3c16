//! The wall clock jumps, forward and back by days: no deadline moves with it, and the log's
//! timestamps do.
//! Not for a clock that really changes, which would be everyone's on this machine: libfaketime
//! tells the server another time, and leaves the monotonic clock alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Reading};
use crate::harness::server::binary;
use crate::harness::{Herd, PATIENCE, RawClient, Server, TICK, ms, request, scratch_path};
use crate::watched::Watched;
use crate::{LATE, alone};

const FLAGS: [&str; 12] = [
    "--ping-interval",
    "3s",
    "--pong-timeout",
    "2s",
    "--handshake-timeout",
    "4s",
    "--drain-window",
    "3s",
    "--close-timeout",
    "1s",
    "--log-level",
    "debug",
];
const HANDSHAKE: Duration = Duration::from_secs(4);
const LONGEST_SILENCE: Duration = Duration::from_secs(3 + 2);
const DRAIN: Duration = Duration::from_secs(3);

const ALIVE: usize = 200;
const EACH: usize = 100;

/// The library, wherever this Debian keeps it.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("there are libraries");
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists())
        .expect("libfaketime is installed: it is in Debian's package of that name")
}

/// A server whose wall clock is as far from the true one as a file says.
struct Shifted {
    server: Watched,
    file: PathBuf,
}

impl Shifted {
    fn start() -> Self {
        let file = scratch_path("faketime");
        shift(&file, 0);
        let mut command = Command::new(binary());
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let server = Watched::over(Server::spawn(command, &FLAGS));
        Shifted { server, file }
    }

    /// Sets the clock, and sees in the log that the server's has changed.
    fn set(&self, days: i64) {
        shift(&self.file, days);
        let seen = self.server.log().len();
        // Its end is logged.
        drop(RawClient::open(&self.server, "/echo"));
        let before = date(days);
        let begun = Instant::now();
        loop {
            // Midnight may come between.
            let expected = [&before, &date(days)];
            let log = self.server.log().split_off(seen);
            if log.iter().any(|line| expected.iter().any(|date| line.starts_with(*date))) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no line of {expected:?} in {log:#?}");
            std::thread::sleep(ms(20));
        }
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn shift(file: &Path, days: i64) {
    // Written beside and renamed, so that the server never reads half of it.
    let beside = file.with_extension("new");
    fs::write(&beside, format!("{days:+}d\n")).expect("a scratch file can be written");
    fs::rename(&beside, file).expect("it can be renamed");
}

/// The date so many days from now, as the log writes it.
fn date(days: i64) -> String {
    let day = format!("{days} days");
    let output = Command::new("date").args(["-u", "-d", &day, "+%F"]).output();
    let text = output.expect("date can be run").stdout;
    String::from_utf8(text).expect("a date is text").trim().to_owned()
}

#[test]
fn no_deadline_moves_with_the_wall_clock() {
    let _alone = alone();
    let shifted = Shifted::start();
    let server = &shifted.server;
    let mut alive = Herd::connect(server, "/echo", ALIVE);
    let upgrade = request("/echo", &[]).into_bytes();
    for days in [10, -10, 1, 0] {
        let mut dead = Crowd::of(server, EACH, Reading::All, |_| upgrade.clone());
        let mut mute = Crowd::of(server, EACH, Reading::All, |_| Vec::new());
        let before = server.metrics();
        shifted.set(days);
        while dead.ended() + mute.ended() < 2 * EACH {
            let late = mute.last_begun().elapsed().saturating_sub(LONGEST_SILENCE);
            assert!(
                late < LATE,
                "{days} days: {} and {} are gone {late:?} too late\n{}\n{:#?}",
                dead.ended(),
                mute.ended(),
                server.metrics().text(),
                server.log().split_off(server.log().len() - 20)
            );
            alive.run(ms(50), true);
            dead.read_for(Duration::ZERO);
            mute.read_for(Duration::ZERO);
        }
        for peer in &mute.peers {
            assert_eq!(peer.status(), Some(408));
            let after = peer.answered.expect("it was told") - peer.begun;
            assert!(after + TICK >= HANDSHAKE && after < HANDSHAKE + LATE, "{days}: {after:?}");
        }
        let metrics = server.metrics();
        let silent = metrics.closed("pong_timeout") - before.closed("pong_timeout");
        assert_eq!(silent as usize, EACH, "{days} days: the dead and nobody else");
        assert_eq!(alive.gone, 0, "{days} days");
        assert_took_for_no_stall(server);
    }
    drop(alive);
    drains_in_time(shifted);
}

/// A jump by days would be a stall of days to whoever asks that clock; a busy machine makes short
/// ones.
fn assert_took_for_no_stall(server: &Server) {
    for line in server.log() {
        let Some((_, moved)) = line.split_once("deadlines were moved by ") else { continue };
        let millis = moved.strip_suffix(" ms").and_then(|millis| millis.parse::<u64>().ok());
        assert!(millis.is_some_and(|millis| millis < 60_000), "{line}");
    }
}

/// A clock that jumps in the middle of a drain neither shortens nor lengthens it.
fn drains_in_time(mut shifted: Shifted) {
    let alive = Herd::connect(&shifted.server, "/echo", ALIVE);
    let begun = Instant::now();
    shifted.server.signal("TERM");
    shifted.server.wait_for_log("drain");
    shift(&shifted.file, 30);
    std::thread::sleep(ms(500));
    shift(&shifted.file, -30);
    let status = shifted.server.wait_exit(DRAIN + Duration::from_secs(1) + LATE);
    assert!(status.success(), "{status:?}");
    assert!(begun.elapsed() + TICK >= DRAIN, "the window was kept: {:?}", begun.elapsed());
    drop(alive);
}
