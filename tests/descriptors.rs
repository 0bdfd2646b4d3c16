//! Descriptors run out: who comes then is told so, nothing spins, and what is freed is used again.

mod harness;

use std::process::Command;

use harness::{Event, RawClient, Server, ms, request, sockets};

/// How many connections the start line allows.
fn allowed(server: &Server) -> usize {
    let line = server.wait_for_log("connections: at most ");
    let (_, number) = line.rsplit_once(' ').expect("the line ends in a number");
    number.parse().expect("the line ends in a number")
}

fn open_many(server: &Server, count: usize) -> Vec<RawClient> {
    (0..count).map(|_| RawClient::open(server, "/echo")).collect()
}

/// Asserts that the server does next to nothing for a while.
fn assert_at_rest(server: &Server) {
    std::thread::sleep(ms(300));
    let (cpu, turns) = (server.cpu(), server.metric("ws_turns_total", &[]));
    std::thread::sleep(ms(2000));
    let (cpu, turns) = (server.cpu() - cpu, server.metric("ws_turns_total", &[]) - turns);
    assert!(cpu < ms(150) && turns < 500.0, "{cpu:?} and {turns} turns in two seconds of rest");
}

#[test]
fn beyond_a_full_table_clients_get_503_and_room_is_used_again() {
    let server = Server::start_with_descriptors(200, &["--reactors", "1"]);
    let room = allowed(&server);
    assert!((20..200).contains(&room), "{room} connections in a table of 200");
    server.wait_for_log("raise the limit");
    let mut within = open_many(&server, room);
    for _ in 0..60 {
        let mut peer = RawClient::connect(&server);
        peer.send(request("/echo", &[]).as_bytes());
        assert_eq!(peer.response().status, 503);
    }
    assert_at_rest(&server);
    for peer in &mut within {
        peer.expect_echo("not disturbed");
    }
    drop(within);
    server.wait_for("room", |m| m.value("ws_slots_used", &[]) == 0.0);
    let mut again = open_many(&server, room);
    again[room - 1].expect_echo("served");
    let metrics = server.metrics();
    assert!(
        metrics.value("ws_descriptors_used", &[]) <= metrics.value("ws_descriptors_allowed", &[])
    );
}

#[test]
fn a_herd_beyond_a_full_table_is_answered_to_the_last() {
    let flags = ["--reactors", "1", "--handshake-timeout", "1s", "--close-timeout", "500ms"];
    let server = Server::start_with_descriptors(200, &flags);
    let mut within = open_many(&server, allowed(&server));
    let mut herd: Vec<_> = (0..400).map(|_| RawClient::connect(&server)).collect();
    // Those that say nothing are told 503 on accept, or 408 when their time is up.
    for peer in &mut herd {
        let status = peer.response().status;
        assert!(status == 503 || status == 408, "{status}");
    }
    drop(herd);
    assert_at_rest(&server);
    within[0].expect_echo("not disturbed");
}

/// Sets the soft limit of a running process.
fn set_limit(server: &Server, soft: u32) {
    let nofile = format!("--nofile={soft}:");
    let status =
        Command::new("prlimit").args(["--pid", &server.pid().to_string(), &nofile]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit is there and may do so");
}

#[test]
fn when_the_kernel_has_no_descriptor_accepting_pauses_and_resumes() {
    // Only one kind of driver needs a descriptor for each.
    let flags = ["--reactors", "1", "--shared-descriptors", "--driver", "epoll"];
    let server = Server::start_with_descriptors(300, &flags);
    let mut within = open_many(&server, 50);
    // Fewer than are open: the next accept fails, whatever the server thinks it may hold.
    set_limit(&server, 40);
    let mut waiting: Vec<_> = (0..5).map(|_| RawClient::connect(&server)).collect();
    for peer in &mut waiting {
        peer.send(request("/echo", &[]).as_bytes());
    }
    server.wait_for_log("no descriptors left");
    // The admin port shares the table, so that the processor time alone can tell.
    let cpu = server.cpu();
    std::thread::sleep(ms(2000));
    assert!(server.cpu() - cpu < ms(150), "{:?} in two seconds", server.cpu() - cpu);
    within[0].expect_echo("still served");
    assert_eq!(waiting[0].next(ms(10)), Event::Nothing);
    set_limit(&server, 300);
    for peer in &mut waiting {
        assert_eq!(peer.response().status, 101, "served after the pause");
    }
    let warnings = server.log().iter().filter(|line| line.contains("no descriptors left")).count();
    assert_eq!(warnings, 1, "said once");
    let metrics = server.metrics();
    assert!(metrics.value("ws_accept_pauses_total", &[]) >= 1.0);
    assert_eq!(metrics.value("ws_accept_paused", &[]), 0.0);
}

#[test]
fn each_reactor_has_a_table_of_its_own() {
    let server = Server::start_with_descriptors(300, &["--reactors", "4"]);
    assert!(allowed(&server) > 600, "{} connections in 4 tables of 300", allowed(&server));
    let mut peers = open_many(&server, 480);
    for peer in &mut peers {
        peer.expect_echo("held");
    }
    let tables = sockets::descriptors(server.pid());
    assert!(tables.values().all(|held| *held < 300), "{tables:?}");
    let rings = sockets::rings(server.pid());
    assert!(tables.values().sum::<usize>() + rings.sockets > peers.len(), "{tables:?} {rings:?}");
}

#[test]
fn shared_descriptors_are_one_table() {
    let server = Server::start_with_descriptors(200, &["--reactors", "4", "--shared-descriptors"]);
    let room = allowed(&server);
    assert!(room < 200, "{room} connections in one table of 200");
    let peers = open_many(&server, room.min(100));
    // A thread of the admin port that just ends may show nothing any more.
    let main = sockets::descriptors(server.pid())[&server.pid()];
    let rings = sockets::rings(server.pid());
    assert!(main + rings.sockets > peers.len(), "one place shows them all");
}

#[test]
fn descriptors_of_those_who_left_are_given_back() {
    let server = Server::start_with_descriptors(200, &["--reactors", "1"]);
    let room = allowed(&server);
    for round in 0..10 {
        let mut peers = open_many(&server, room);
        if round % 2 == 0 {
            // Half of the rounds leave in good order, the others all at once.
            for peer in &mut peers {
                peer.send(&harness::frame::close(1000, ""));
                peer.expect_close(1000);
            }
        }
        drop(peers);
        server.wait_for("all to leave", |m| m.value("ws_slots_used", &[]) == 0.0);
    }
    assert_eq!(server.metric("ws_accept_pauses_total", &[]), 0.0);
}
