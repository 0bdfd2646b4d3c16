//! A whole minute of SIGSTOP under the default deadlines, as a suspended machine would have it.
//! Not for all that can be under way in a stop; `stopped` has that. It mostly waits, and hence runs
//! beside other tests.

use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Reading};
use crate::harness::{Herd, frame, ms, request};
use crate::watched::Watched;
use crate::{LATE, alone};

const STOP: Duration = Duration::from_secs(62);

/// The documented defaults.
const PING: Duration = Duration::from_secs(25);
const PONG: Duration = Duration::from_secs(10);

/// The first pings fall in the second quarter of the interval, and nobody's answer is overdue yet.
const BEFORE: Duration = Duration::from_secs(8);
const BURST: Duration = Duration::from_secs(3);

const ALIVE: usize = 2_000;
const DEAD: usize = 100;

#[test]
fn after_a_minute_of_stop_two_thousand_live_on() {
    let connecting = alone();
    let server = Watched::start(&[]);
    let mut alive = Herd::connect(&server, "/echo", ALIVE);
    let upgrade = request("/echo", &[]).into_bytes();
    let mut dead = Crowd::of(&server, DEAD, Reading::All, |_| upgrade.clone());
    assert!(dead.read_until(LATE, |peers| peers.iter().all(|peer| peer.is_upgraded)));
    drop(connecting);

    // Some are asked before the stop, and answer in it: what they said lies unread in the socket.
    std::thread::sleep(BEFORE);
    server.signal("STOP");
    alive.run(STOP, true);
    server.signal("CONT");
    let going_on = Instant::now();
    // Without a new base all heartbeats would be due at once, and come in this time.
    let pings = alive.run(BURST, true).len();
    assert!(pings < ALIVE / 2, "{pings} of {ALIVE} are asked in {BURST:?}");
    while (server.metrics().closed("pong_timeout") as usize) < DEAD {
        let late = going_on.elapsed().saturating_sub(PING + PONG);
        assert!(late < LATE, "the dead are still there {late:?} after their time");
        alive.run(ms(200), true);
    }
    // All that came in the stop, and a heartbeat since, was answered.
    alive.run(PONG / 2, true);
    let metrics = server.metrics();
    assert_eq!(alive.gone, 0);
    assert_eq!(metrics.closed("pong_timeout") as usize, DEAD, "the dead and nobody else");
    assert_eq!(metrics.value("ws_connections_active", &[]) as usize, ALIVE);
    assert!(metrics.value("ws_stalls_total", &[]) >= 1.0);
    alive.say(&frame::text("still here"));
    server.wait_for("all to be heard", |m| m.sum("ws_messages_received_total") as usize >= ALIVE);
    server.assert_no_strays(LATE);
    drop((alive, dead));
    server.aftermath(alone(), PING);
}
