//! SIGTERM in the midst of everything at once: slow-loris of all kinds, peers that don't read,
//! noise, dead ones and good ones. The server ends within its time, with exit code 0, and leaves
//! nothing behind in the kernel, though all its peers still hold their ends.
//! Not for a drain among good peers; `tests/drain.rs` has that.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::crowd::{Crowd, Reading};
use crate::harness::sockets::{Socket, State};
use crate::harness::{Herd, frame, ms, request};
use crate::watched::Watched;
use crate::{LATE, alone};

/// Of each kind.
const EACH: usize = 500;
const WINDOW: Duration = Duration::from_secs(2);
const CLOSE: Duration = Duration::from_secs(1);

const FLAGS: [&str; 8] = [
    "--drain-window",
    "2s",
    "--close-timeout",
    "1s",
    "--outbox-limit",
    "64KiB",
    "--write-timeout",
    "60s",
];

/// What peers send that are not good ones, kind by kind, and whether they read what comes.
fn openings() -> [(Vec<u8>, Reading); 8] {
    let upgrade = request("/echo", &[]);
    let after = |bytes: &[u8]| [upgrade.as_bytes(), bytes].concat();
    [
        (Vec::new(), Reading::All),
        (upgrade.as_bytes()[..60].to_vec(), Reading::All),
        (after(&[frame::BINARY]), Reading::All),
        (after(&frame::binary(&[7; 1000])[..20]), Reading::All),
        (after(&frame::frame(0x01, b"x")), Reading::All),
        (after(&frame::header(frame::BINARY, 1 << 20)), Reading::All),
        // The echoes of these fill what the kernel takes and half of the outbox.
        (after(&frame::binary(&[7; 8192]).repeat(20)), Reading::Nothing),
        (after(b""), Reading::Nothing),
    ]
}

#[test]
fn in_the_midst_of_it_all_the_end_comes_in_time_and_leaves_nothing() {
    let _alone = alone();
    let mut server = Watched::start(&FLAGS);
    let mut random = Rng::with_seed(7);
    let mut good = Herd::connect(&server, "/broadcast", EACH);
    let mut crowds: Vec<Crowd> = openings()
        .iter()
        .map(|(opening, reading)| Crowd::of(&server, EACH, *reading, |_| opening.clone()))
        .collect();
    let noise = |_: usize| std::iter::repeat_with(|| random.u8(..)).take(100).collect();
    crowds.push(Crowd::of(&server, EACH, Reading::All, noise));
    server.wait_for("unread and unfinished bytes", |m| {
        m.value("ws_outbox_bytes", &[]) > 0.0 && m.value("ws_inbox_bytes", &[]) > 0.0
    });
    good.say(&frame::text("to all"));

    let begun = Instant::now();
    server.signal("TERM");
    // Those who drip go on; the good ones answer what they are asked.
    while begun.elapsed() < WINDOW / 2 {
        for crowd in &mut crowds {
            crowd.send(|_| vec![0]);
            crowd.read_for(Duration::ZERO);
        }
        good.run(ms(50), true);
    }
    let status = server.wait_exit(WINDOW + CLOSE + LATE);
    assert!(begun.elapsed() >= WINDOW, "the window was kept");
    assert_eq!(status.code(), Some(0));
    server.wait_for_log("drained: ");
    server.assert_no_strays(LATE);
    let left = server.sockets();
    let is_over = |socket: &Socket| matches!(socket.state, State::TimeWait | State::FinWait2);
    assert!(left.iter().all(is_over), "{left:?}");

    good.run(ms(200), false);
    assert_eq!(good.gone, EACH, "each good one has seen its end");
    for (kind, crowd) in crowds.iter_mut().enumerate() {
        crowd.begin_reading();
        let all = crowd.read_until(LATE, |peers| peers.iter().all(|peer| peer.ended.is_some()));
        assert!(all, "kind {kind}: {} of {EACH} have seen their end", crowd.ended());
    }
    assert!(!server.log().iter().any(|line| line.contains("panicked")));
}
