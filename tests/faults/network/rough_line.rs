//! Peers that live behind a line that loses, delays, reorders, repeats, or swallows what is long.
//! Not for cuts: here something always comes through, and who lives must not be reaped.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::aftermath::aftermath;
use crate::crowd::{Crowd, next_message, tell_all};
use crate::harness::{Metrics, PATIENCE, RawClient, SLACK, frame};
use crate::site::Site;
use crate::watch::Watch;
use crate::wire::{Weather, Wire};
use crate::{GIVE_UP, PING, PONG, start};

/// Peers at the end of the line.
const PEERS: usize = 50;

/// What a pipe may lose and still be called one.
const STORMY: Weather = Weather {
    loss: 25,
    // So what stands first gets through in less than the pong timeout below, and so does a pong.
    persistence: 2,
    delay_ms: 20..150,
    repeats: 5,
    ..Weather::FAIR
};

#[test]
fn nobody_alive_is_reaped_behind_loss_delay_reordering_and_repetition() {
    let site = Site::new();
    let wire = Wire::to(&site, Weather::FAIR);
    let heartbeat = ["--ping-interval", "7s", "--pong-timeout", "7s", "--write-timeout", "15s"];
    let (mut server, baseline) = start(&heartbeat);
    let crowd = Crowd::gather(&server, wire.peers(), "/broadcast", PEERS);
    let mut talker = wire.peers().within(|| RawClient::open(&server, "/echo"));
    wire.turn(STORMY);
    let end = Instant::now() + 2 * PATIENCE;
    let mut echoes = 0;
    while server.metric("ws_pongs_received_total", &[]) < (PEERS * 2) as f64 {
        assert!(Instant::now() < end, "two pongs of each come in time");
        let message = format!("{echoes} {}", "long ".repeat(2_000));
        talker.send(&frame::text(&message));
        assert_eq!(next_message(&mut talker), message.as_bytes());
        echoes += 1;
    }
    let tally = wire.tally();
    let done = [&tally.lost, &tally.overtaken, &tally.repeated].map(|count| count.load(Relaxed));
    assert!(done.iter().all(|count| *count > 20), "the line is as bad as it should be: {tally:?}");
    assert!(echoes > 0);
    let metrics = server.metrics();
    assert_eq!(metrics.value("ws_connections_active", &[]), (PEERS + 1) as f64);
    drop(talker);
    crowd.leave_unharmed();
    // Who leaves with a ping unread leaves with a reset.
    let left = |m: &Metrics| m.closed("peer_gone") + m.closed("peer_reset");
    server.wait_for("all to leave", |m| left(m) == PEERS as u64 + 1);
    aftermath(&mut server, &baseline, Duration::from_secs(17));
}

/// Whoever finishes first has still to take what it is owed, which takes a round trip; its slot is
/// held no longer than that, though the close deadline is further off than this test waits.
#[test]
fn who_has_finished_leaves_its_slot_once_the_last_bytes_are_acknowledged() {
    let site = Site::new();
    let wire = Wire::to(&site, Weather { delay_ms: 40..60, ..Weather::FAIR });
    let quiet = ["--ping-interval", "off", "--pong-timeout", "off", "--close-timeout", "15s"];
    let (mut server, baseline) = start(&quiet);
    let mut peers: Vec<_> =
        (0..20).map(|_| wire.peers().within(|| RawClient::open(&server, "/echo"))).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        let asks = if n % 2 == 0 { frame::text("a last word") } else { frame::close(1000, "") };
        peer.send(&asks);
        peer.finish();
    }
    server.wait_for("all slots to be free", |m| m.value("ws_slots_used", &[]) == 0.0);
    assert_eq!(server.metrics().expired("close"), 0);
    drop(peers);
    aftermath(&mut server, &baseline, Duration::from_secs(17));
}

/// The ping stands behind data that takes longer than the pong timeout. As long as that moves, the
/// peer is slow and not dead.
#[test]
fn a_peer_on_a_slow_line_is_slow_and_not_dead() {
    let site = Site::new();
    let wire = Wire::to(&site, Weather { rate: Some(60_000), ..Weather::FAIR });
    let (mut server, baseline) = start(&["--write-timeout", "15s"]);
    let mut peer = wire.peers().within(|| RawClient::open(&server, "/broadcast"));
    let size = 400_000;
    tell_all(&server, 1, size);
    let begun = Instant::now();
    assert_eq!(next_message(&mut peer).len(), size, "it reads as fast as the line lets it");
    assert!(begun.elapsed() > 2 * (PING + PONG), "it took longer than a heartbeat allows");
    assert_eq!(server.metrics().closed("pong_timeout"), 0);
    peer.send(&frame::close(1000, ""));
    peer.next_close(1000);
    drop(peer);
    aftermath(&mut server, &baseline, Duration::from_secs(17));
}

/// A path whose packets may be this long, and whose routers do not say so (RFC 2923, section 2.1).
const SHORT_PACKETS: Weather = Weather { longest: 1_200, ..Weather::FAIR };

#[test]
fn a_long_message_into_a_path_that_swallows_long_packets_ends_by_the_pong_deadline() {
    let site = Site::new();
    let wire = Wire::to(&site, SHORT_PACKETS);
    let (mut server, baseline) = start(&[]);
    let mut peer = wire.peers().within(|| RawClient::open(&server, "/broadcast"));
    peer.expect_echo("short messages pass");
    tell_all(&server, 1, 5_000);
    let watch = Watch::start(&server);
    let (frames, _) = peer.answer_pings(PING + PONG + 2 * SLACK);
    assert!(frames.is_empty(), "the message can't arrive: {}", frames.len());
    assert!(wire.tally().too_long.load(Relaxed) > 0);
    server.wait_for("the verdict", |m| m.closed("pong_timeout") == 1);
    watch.assert_within(&server, PING + PONG);
    drop(peer);
    aftermath(&mut server, &baseline, GIVE_UP);
}

/// What it says after its long message stands behind it in its kernel, the pongs as well.
#[test]
fn a_long_message_from_a_path_that_swallows_long_packets_ends_by_the_pong_deadline() {
    let site = Site::new();
    let wire = Wire::to(&site, SHORT_PACKETS);
    let (mut server, baseline) = start(&[]);
    let mut peer = wire.peers().within(|| RawClient::open(&server, "/echo"));
    peer.send(&frame::binary(&[7; 5_000]));
    let watch = Watch::start(&server);
    let (frames, _) = peer.answer_pings(PING + PONG + 2 * SLACK);
    assert!(frames.is_empty(), "the message can't arrive: {}", frames.len());
    server.wait_for("the verdict", |m| m.closed("pong_timeout") == 1);
    watch.assert_within(&server, PING + PONG);
    drop(peer);
    aftermath(&mut server, &baseline, GIVE_UP);
}

/// With `net.ipv4.tcp_mtu_probing=1` the kernel finds out, given a second or two.
#[test]
fn a_kernel_that_probes_the_path_gets_long_messages_through() {
    let site = Site::new();
    site.namespace().sysctl("ipv4/tcp_mtu_probing", "1");
    let wire = Wire::to(&site, SHORT_PACKETS);
    let heartbeat = ["--ping-interval", "10s", "--pong-timeout", "10s", "--write-timeout", "15s"];
    let (mut server, baseline) = start(&heartbeat);
    let mut peer = wire.peers().within(|| RawClient::open(&server, "/broadcast"));
    tell_all(&server, 1, 5_000);
    assert_eq!(next_message(&mut peer).len(), 5_000);
    assert!(wire.tally().too_long.load(Relaxed) > 0, "the line swallowed some");
    drop(peer);
    aftermath(&mut server, &baseline, Duration::from_secs(21));
}
