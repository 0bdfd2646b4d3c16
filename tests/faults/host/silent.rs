//! 15,000 peers that fall silent at once, as the kernel sees it: each is reset, and not one socket
//! stays behind although the peers' own ends stay open.
//! Not for how fast that goes or who notices: the bar in `tests/bars.rs` measures that.

use std::time::Duration;

use crate::crowd::{Crowd, Ending, Reading};
use crate::harness::{TICK, ms, request};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone};

const COUNT: usize = 15_000;
const PING: Duration = Duration::from_secs(4);
const PONG: Duration = Duration::from_secs(2);

/// The documented default.
const HANDSHAKE: Duration = Duration::from_secs(10);

#[test]
fn the_kernel_keeps_nothing_of_fifteen_thousand_silent_peers() {
    let machine = alone();
    let server = Watched::start(&["--ping-interval", "4s", "--pong-timeout", "2s"]);
    let healthy = Healthy::talk(&server);
    let upgrade = request("/echo", &[]).into_bytes();
    let mut crowd = Crowd::of(&server, COUNT, Reading::All, |_| upgrade.clone());
    let last = crowd.last_begun();
    while (server.metrics().closed("pong_timeout") as usize) < COUNT {
        let late = last.elapsed().saturating_sub(PING + PONG);
        assert!(late < LATE, "not all are gone {late:?} after the last was due");
        crowd.read_for(ms(100));
    }
    server.assert_no_strays(LATE);
    assert!(crowd.read_until(LATE, |peers| peers.iter().all(|peer| peer.ended.is_some())));
    for peer in &crowd.peers {
        let (ending, at) = peer.ended.expect("all have ended");
        assert_eq!(ending, Ending::Reset, "a FIN would wait for an answer");
        // The first ping may come in the second quarter of the interval.
        assert!(at - peer.begun + TICK >= PING / 4 + PONG, "after {:?}", at - peer.begun);
    }
    healthy.assert_undisturbed(LATE);
    drop(crowd);
    server.aftermath(machine, HANDSHAKE);
}
