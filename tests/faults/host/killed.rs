//! A process with a thousand connections dies by SIGKILL: its kernel says so for each of them, and
//! the server lets go of all at once, with no help from any deadline.
//! Not for hosts that vanish without a word; those are faults of the network.

use std::process::{Child, Command};
use std::time::Duration;

use socket2::SockRef;

use crate::harness::{Metrics, RawClient, frame, request};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone, numbered};

const COUNT: usize = 1_000;

/// Deadlines that can't have been what ended anybody.
const FLAGS: [&str; 6] =
    ["--ping-interval", "off", "--handshake-timeout", "60s", "--message-timeout", "60s"];
const DEADLINES: Duration = Duration::from_secs(60);

/// Connections in every state that can be had.
fn clients(server: &Watched) -> Vec<RawClient> {
    let connect = |n: usize| match n % 5 {
        // A head that is not complete.
        0 => {
            let mut client = RawClient::connect(server);
            client.send(&request("/echo", &[]).as_bytes()[..40]);
            client
        }
        // A message that is not complete.
        1 => {
            let mut client = RawClient::open(server, "/echo");
            client.send(&frame::text("never finished")[..9]);
            client
        }
        // Idle, and with nothing unread: the kernel ends it with a FIN.
        2 => RawClient::open(server, "/echo"),
        // Subscribers, who will have something unread: the kernel resets those.
        3 => RawClient::open(server, "/broadcast"),
        _ => RawClient::connect_narrow(server).upgraded("/broadcast"),
    };
    (0..COUNT).map(connect).collect()
}

/// A process that does nothing but hold them.
fn hand_over(clients: Vec<RawClient>) -> Child {
    for client in &clients {
        SockRef::from(client.stream()).set_cloexec(false).expect("a flag can be cleared");
    }
    Command::new("sleep").arg("600").spawn().expect("a process can be started")
}

#[test]
fn the_connections_of_a_killed_process_are_free_at_once() {
    let machine = alone();
    let server = Watched::start(&FLAGS);
    let healthy = Healthy::talk(&server);
    let mut holder = hand_over(clients(&server));
    let mut talker = RawClient::open(&server, "/broadcast");
    for n in 0..20 {
        // More than the kernel takes for those with a narrow buffer, so that some is unsent.
        talker.send(&numbered::message(n, 8 * 1024));
        assert_eq!(numbered::next(&mut talker), n);
    }
    let before = server.metrics();
    assert!(before.value("ws_slots_used", &[]) as usize > COUNT, "the child holds them");
    assert!(
        before.value("ws_outbox_bytes", &[]) > 0.0 && before.value("ws_inbox_bytes", &[]) > 0.0
    );
    // SIGKILL, on unix.
    holder.kill().expect("a child can be killed");
    holder.wait().expect("a child can be waited for");
    let gone = |reason: &'static str| move |m: &Metrics| m.closed(reason);
    let (finished, reset) = (gone("peer_gone"), gone("peer_reset"));
    // A head that ends in its middle is one that can be refused.
    let cut = gone("handshake_refused");
    let all = |m: &Metrics| (finished(m) + reset(m) + cut(m)) as usize;
    let metrics = server.wait_for("all to be seen", |m| all(m) >= COUNT);
    assert_eq!(cut(&metrics) as usize, COUNT / 5);
    assert!(finished(&metrics) as usize >= COUNT / 5, "{} finished", finished(&metrics));
    assert!(reset(&metrics) as usize >= COUNT / 5, "{} were reset", reset(&metrics));
    assert_eq!(metrics.sum("ws_deadlines_expired_total"), 0.0);
    server.assert_no_strays(Duration::ZERO);
    talker.send(&numbered::message(20, 100));
    assert_eq!(numbered::next(&mut talker), 20);
    drop(talker);
    healthy.assert_undisturbed(LATE);
    server.aftermath(machine, DEADLINES);
}
