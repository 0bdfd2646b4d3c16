//! Bars that are times: they hold for the release build, which `PULSEWHEEL` names, on a machine that
//! does nothing else. `tests/run bars` sees to both.

mod harness;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Herd, RawClient, Server, frame, ms};

/// One bar at a time has the machine.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    assert!(std::env::var_os("PULSEWHEEL").is_some(), "PULSEWHEEL must name the release build");
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const INTERVAL: Duration = Duration::from_secs(10);
const HERD: usize = 10_000;

/// Asserts that no second, wherever it begins, has more than twice the mean.
fn assert_flat(what: &str, pings: &[Instant], begun: Instant, lasted: Duration) {
    let mean = HERD as f64 / INTERVAL.as_secs_f64();
    let most = (0..=(lasted.as_millis() as u64).saturating_sub(1000) / 50)
        .map(|step| {
            let from = begun + ms(step * 50);
            pings.iter().filter(|at| **at >= from && **at < from + ms(1000)).count()
        })
        .max()
        .unwrap_or(0);
    eprintln!(
        "{what}: {} pings in {lasted:?}, at most {most} in a second, mean {mean}",
        pings.len()
    );
    assert!(most as f64 <= 2.0 * mean, "{what}: {most} pings in one second, the mean is {mean}");
}

fn watch(what: &str, herd: &mut Herd, lasted: Duration) {
    let begun = Instant::now();
    let pings = herd.run(lasted, true);
    assert_flat(what, &pings, begun, lasted);
}

#[test]
fn pings_are_flat_after_a_burst_and_after_all_have_spoken_at_once() {
    let _alone = alone();
    let server = Server::start(&["--ping-interval", "10s", "--pong-timeout", "10s"]);
    let mut herd = Herd::connect(&server, "/echo", HERD);
    watch("after a burst of arrivals", &mut herd, ms(22_000));
    // Again and again, at other points of the interval than before.
    for (round, until_next) in [(1, 16_000), (2, 14_000), (3, 13_000), (4, 25_000)] {
        herd.say(&frame::text("all at once"));
        watch(&format!("after all spoke at once {round} times"), &mut herd, ms(until_next));
    }
    assert_eq!(herd.gone, 0);
    let metrics = server.metrics();
    assert_eq!(metrics.closed("pong_timeout"), 0);
    assert_eq!(metrics.value("ws_connections_active", &[]), HERD as f64);
}

/// Echoes every few milliseconds until told to stop; the longest one took.
fn longest_echo(server: &Server, stop: &AtomicBool) -> Duration {
    let mut peer = RawClient::open(server, "/echo");
    let mut longest = Duration::ZERO;
    let end = Instant::now() + Duration::from_secs(30);
    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
        let begun = Instant::now();
        peer.expect_echo("tick");
        longest = longest.max(begun.elapsed());
        std::thread::sleep(ms(2));
    }
    longest
}

#[test]
fn fifteen_thousand_dead_peers_go_in_time_and_nobody_notices() {
    let _alone = alone();
    const COUNT: usize = 15_000;
    let server = Server::start(&["--ping-interval", "4s", "--pong-timeout", "2s"]);
    let mut herd = Herd::connect(&server, "/echo", COUNT);
    let stop = AtomicBool::new(false);
    // All are alive for a while, then all speak once more and die.
    herd.run(ms(5000), true);
    assert_eq!(herd.gone, 0);
    herd.say(&frame::text("last words"));
    let died = Instant::now();
    // The echoes of all these words are work, and not what is measured.
    herd.run(ms(500), true);
    let longest = std::thread::scope(|scope| {
        let echoes = scope.spawn(|| longest_echo(&server, &stop));
        while server.metrics().closed("pong_timeout") < COUNT as u64 {
            assert!(died.elapsed() <= ms(4000 + 2000 + 1000), "not all are gone in time");
            std::thread::sleep(ms(20));
        }
        eprintln!("the last of {COUNT} went after {:?}", died.elapsed());
        stop.store(true, Ordering::Relaxed);
        echoes.join().expect("echoes come back")
    });
    eprintln!("the longest echo took {longest:?}");
    assert!(longest < ms(50), "an echo took {longest:?}");
    herd.run(ms(500), false);
    assert_eq!(herd.gone, COUNT, "each has seen its end");
}
