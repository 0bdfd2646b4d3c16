//! Random bytes from thousands at once, before the upgrade and after it: everyone is answered or
//! ended by a deadline, and nobody else notices.
//! Not for bytes that are nearly right; `tests/robustness.rs` and the fuzz targets have those.

use std::time::Duration;

use fastrand::Rng;

use crate::crowd::{Crowd, Peer, Reading};
use crate::harness::request;
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone};

/// So many before the upgrade, and as many after it.
const EACH: usize = 2_000;

const FLAGS: [&str; 10] = [
    "--handshake-timeout",
    "2s",
    "--message-timeout",
    "2s",
    "--ping-interval",
    "2s",
    "--pong-timeout",
    "1s",
    "--close-timeout",
    "500ms",
];

/// The longest that anyone can stay: upgraded and silent from the last moment on.
const LONGEST: Duration = Duration::from_millis(2000 + 2000 + 1000 + 500);

fn noise(random: &mut Rng) -> Vec<u8> {
    let length = random.usize(1..4000);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn is_over(peers: &[Peer]) -> bool {
    peers.iter().all(|peer| peer.ended.is_some())
}

#[test]
fn noise_from_thousands_is_answered_and_leaves_nothing() {
    let machine = alone();
    let seed = fastrand::u64(..);
    eprintln!("the seed is {seed}");
    let mut random = Rng::with_seed(seed);
    let server = Watched::start(&FLAGS);
    let healthy = Healthy::talk(&server);
    let upgrade = request("/echo", &[]);
    let mut crowd = Crowd::of(&server, 2 * EACH, Reading::All, |n| {
        let head = if n % 2 == 0 { &[] } else { upgrade.as_bytes() };
        [head, &noise(&mut random)].concat()
    });
    assert!(crowd.read_until(LONGEST + LATE, is_over), "seed {seed}: somebody is kept");
    for (n, peer) in crowd.peers.iter().enumerate() {
        if n % 2 == 0 {
            // 400, 431, or 408 where no line ended.
            let status = peer.status();
            assert!(matches!(status, Some(400..=499)), "seed {seed}: {status:?} {:?}", peer.ended);
        } else {
            assert!(peer.is_upgraded, "seed {seed}: the request was a good one");
        }
    }
    let refused = crowd.peers.iter().filter(|peer| peer.close_code() == Some(1002)).count();
    assert!(refused > EACH / 2, "seed {seed}: only {refused} were told 1002");
    // They are told before they are gone, since their own ends stay open.
    let metrics = server.wait_for("all to be gone", |m| m.value("ws_slots_used", &[]) <= 8.0);
    let told = metrics.closed("handshake_refused") + metrics.closed("handshake_timeout");
    assert_eq!(told as usize, EACH, "seed {seed}");
    assert!(metrics.closed("protocol_error") as usize >= refused, "seed {seed}");
    server.assert_no_strays(LATE);
    healthy.assert_undisturbed(LATE);
    drop(crowd);
    server.aftermath(machine, LONGEST);
}
