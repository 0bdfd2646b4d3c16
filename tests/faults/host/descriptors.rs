//! A herd that comes again and again to a server short of descriptors: those beyond its room get
//! 503, those within notice nothing, and every descriptor comes back.
//! Not for what happens at the kernel's own limit; `tests/descriptors.rs` has that.

use std::time::Duration;

use crate::crowd::{Crowd, Reading};
use crate::harness::{PATIENCE, RawClient, Server, request, sockets};
use crate::healthy::Healthy;
use crate::watched::Watched;
use crate::{LATE, alone};

/// Descriptors of each of the two tables.
const TABLE: u32 = 250;
const HERD: usize = 2_000;
const ROUNDS: usize = 4;

/// The documented default.
const PING: Duration = Duration::from_secs(25);

#[test]
fn a_herd_beyond_the_descriptors_is_refused_and_all_of_them_come_back() {
    let machine = alone();
    let flags = ["--reactors", "2", "--handshake-timeout", "20s", "--close-timeout", "500ms"];
    let server = Watched::over(Server::start_with_descriptors(TABLE, &flags));
    let healthy = Healthy::talk(&server);
    let upgrade = request("/echo", &[]).into_bytes();
    for round in 1..=ROUNDS {
        let mut herd = Crowd::of(&server, HERD, Reading::All, |_| upgrade.clone());
        let is_settled = herd.read_until(PATIENCE, |peers| {
            peers.iter().all(|peer| peer.is_upgraded || peer.ended.is_some())
        });
        assert!(is_settled, "round {round}: somebody hangs");
        let (within, beyond): (Vec<_>, Vec<_>) =
            herd.peers.iter().partition(|peer| peer.is_upgraded);
        assert!(within.len() > TABLE as usize, "round {round}: {} are in", within.len());
        assert!(within.len() < 2 * TABLE as usize, "round {round}: {} are in", within.len());
        assert!(within.iter().all(|peer| peer.ended.is_none()), "who is in stays in");
        for peer in beyond {
            assert_eq!(peer.status(), Some(503), "round {round}: {:?}", peer.ended);
            let head = String::from_utf8_lossy(&peer.received);
            assert!(head.contains("Retry-After: "), "round {round}: {head}");
        }
        for tables in sockets::descriptors(server.pid()).values() {
            assert!(*tables <= TABLE as usize, "round {round}: {tables} in one table");
        }
        server.assert_no_strays(LATE);
        drop(herd);
        server.wait_for("the herd to leave", |m| {
            // Only those who talk.
            m.value("ws_slots_used", &[]) <= 8.0
        });
        RawClient::open(&server, "/echo").expect_echo("there is room again");
    }
    assert!(server.metrics().refused("full") as usize > ROUNDS * HERD / 2);
    let complaints =
        server.log().iter().filter(|line| line.contains("no descriptors left")).count();
    assert_eq!(complaints, 0, "the reserve was enough to refuse with");
    healthy.assert_undisturbed(LATE);
    server.aftermath(machine, PING);
}
