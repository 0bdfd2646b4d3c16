//! Connections that end while the kernel still holds bytes that the peer won't take: a close
//! leaves those as an orphan, which must not outlive its deadline.
//! Not for what waits in the server itself; the write deadline judges that.

use std::time::Duration;

use crate::crowd::{Crowd, Reading};
use crate::harness::{Metrics, frame, request};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone};

const COUNT: usize = 500;

const FLAGS: [&str; 8] = [
    "--write-timeout",
    "2s",
    "--close-timeout",
    "1s",
    "--ping-interval",
    "12s",
    "--pong-timeout",
    "1s",
];
/// Long enough for none to come before all have ended.
const PING: Duration = Duration::from_secs(12);
const CLOSE: Duration = Duration::from_secs(1);

/// More than the peer's receive buffer takes, and less than the kernel takes from the server: when
/// all has been handed over, most of it is still on this side.
const UNREAD: usize = 12 * 1024;

/// Has peers ask for an echo that they don't read, and then end the connection in their way; each
/// must end for that reason, and the kernel have nothing of them left.
fn leave_nothing(reason: &str, last_words: &[u8], then: fn(&Crowd)) {
    let machine = alone();
    let server = Watched::start(&FLAGS);
    let before = server.metrics().closed(reason) as usize;
    let healthy = Healthy::talk(&server);
    let opening =
        [request("/echo", &[]).as_bytes(), &frame::binary(&[7; UNREAD]), last_words].concat();
    let crowd = Crowd::of(&server, COUNT, Reading::Nothing, |_| opening.clone());
    then(&crowd);
    let last = crowd.last_begun();
    let ended = |m: &Metrics| m.closed(reason) as usize;
    let metrics = server.wait_for("all to end", |m| m.value("ws_slots_used", &[]) <= 8.0);
    assert_eq!(ended(&metrics) - before, COUNT);
    assert!(last.elapsed() < CLOSE + LATE, "after {:?}", last.elapsed());
    // Their ends are still open, so that nothing but the server makes the kernel let go.
    server.assert_no_strays(LATE);
    healthy.assert_undisturbed(LATE);
    drop(crowd);
    server.aftermath(machine, PING);
}

#[test]
fn who_closes_and_never_reads_leaves_no_orphan() {
    leave_nothing("peer_closed", &frame::close(1000, ""), |_| {});
}

#[test]
fn who_breaks_the_protocol_and_never_reads_leaves_no_orphan() {
    leave_nothing("protocol_error", &frame::frame(0x83, b"reserved"), |_| {});
}

#[test]
fn who_ends_its_stream_and_never_reads_leaves_no_orphan() {
    leave_nothing("peer_gone", b"", Crowd::finish);
}
