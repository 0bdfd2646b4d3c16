//! A server that was stopped for longer than its deadlines: nobody alive is reaped when it goes
//! on, whatever was said meanwhile is heard, and the dead still go in time.
//! Not for the defaults; `full_minute` stops a server that has those.

use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Reading};
use crate::harness::{Herd, Metrics, TICK, frame, ms, request};
use crate::watched::Watched;
use crate::{LATE, alone};

const STOP: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(3);
const PONG: Duration = Duration::from_secs(2);
const HANDSHAKE: Duration = Duration::from_secs(4);

/// As much of a stop may count as time that passed.
const COUNTED: Duration = Duration::from_millis(500);

const FLAGS: [&str; 10] = [
    "--ping-interval",
    "3s",
    "--pong-timeout",
    "2s",
    "--handshake-timeout",
    "4s",
    "--message-timeout",
    "4s",
    "--close-timeout",
    "1s",
];

const ALIVE: usize = 3_000;
const DEAD: usize = 300;
const UNFINISHED: usize = 200;

#[test]
fn after_a_long_stop_the_living_stay_and_the_dead_go_in_time() {
    let machine = alone();
    let server = Watched::start(&FLAGS);
    let mut alive = Herd::connect(&server, "/echo", ALIVE);
    let upgrade = request("/echo", &[]);
    let message = frame::text("begun before the stop, finished in it");
    let (begin, rest) = message.split_at(10);
    let mut dead = Crowd::of(&server, DEAD, Reading::All, |_| upgrade.clone().into_bytes());
    let half_head = &upgrade.as_bytes()[..50];
    let mut heads = Crowd::of(&server, UNFINISHED, Reading::All, |_| half_head.to_vec());
    let mut messages =
        Crowd::of(&server, UNFINISHED, Reading::All, |_| [upgrade.as_bytes(), begin].concat());
    let all = (ALIVE + DEAD + 2 * UNFINISHED) as f64;
    server.wait_for("all to be in", |m| {
        m.value("ws_slots_used", &[]) == all && m.sum("ws_inbox_bytes") > 0.0
    });

    server.signal("STOP");
    alive.run(STOP / 2, true);
    messages.send(|_| rest.to_vec());
    alive.say(&frame::text("is anybody there?"));
    alive.run(STOP / 2, true);
    let echoed = server_goes_on(&server);

    let gone = |reason: &'static str| move |m: &Metrics| m.closed(reason) as usize;
    // Those who finish their message are heard, and die of not answering a ping later.
    let (silent, late_heads) = (gone("pong_timeout"), gone("handshake_timeout"));
    loop {
        let metrics = server.metrics();
        let passed = echoed.elapsed();
        if silent(&metrics) == DEAD + UNFINISHED && late_heads(&metrics) == UNFINISHED {
            break;
        }
        assert!(passed < PING + PONG + LATE, "{} silent after {passed:?}", silent(&metrics));
        alive.run(ms(50), true);
        heads.read_for(Duration::ZERO);
    }
    // Another round of heartbeats for those who live.
    alive.run(PING + PONG, true);
    for crowd in [&mut dead, &mut heads, &mut messages] {
        assert!(crowd.read_until(LATE, |peers| peers.iter().all(|peer| peer.ended.is_some())));
    }
    assert_eq!(alive.gone, 0, "nobody alive is reaped");
    judge(&heads, &messages, echoed);
    server.assert_no_strays(LATE);
    drop((alive, dead, heads, messages));
    server.aftermath(machine, HANDSHAKE);
}

/// Lets it go on, and sees that it knows of the stop; when that was.
fn server_goes_on(server: &Watched) -> Instant {
    server.signal("CONT");
    let going_on = Instant::now();
    server.wait_for("the stalls to be counted", |m| {
        m.value("ws_stalls_total", &[]) >= 1.0
            && m.sum("ws_messages_received_total") >= (ALIVE + UNFINISHED) as f64
    });
    server.wait_for_log("was kept from running; its deadlines were moved by");
    assert_eq!(server.metrics().closed("pong_timeout"), 0, "nobody is reaped for our own pause");
    going_on
}

fn judge(heads: &Crowd, messages: &Crowd, going_on: Instant) {
    for peer in &heads.peers {
        assert_eq!(peer.status(), Some(408));
        let at = peer.answered.expect("it was told");
        let lived = (at - peer.begun).saturating_sub(STOP) + COUNTED;
        assert!(lived + TICK >= HANDSHAKE, "the stop counted as their time: {lived:?}");
        assert!(at - going_on < HANDSHAKE + LATE, "{:?}", at - going_on);
    }
    for peer in &messages.peers {
        let echo = frame::TEXT;
        assert_eq!(peer.received.first(), Some(&echo), "what came in the stop is heard");
    }
}
