//! Limits of addresses and of the rate of connections, on the whole server.
//! Not for users, whose names come with tokens, nor for proxies: see `users.rs` and `proxies.rs`.

mod harness;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::client_from as from;
use harness::{Event, Metrics, PATIENCE, RawClient, Response, SLACK, Server, frame, ms, request};

/// The answer to an upgrade on this connection.
fn ask(client: &mut RawClient) -> Response {
    // One who is refused at once may find that nobody reads this any more; the answer is there.
    let _ = client.try_send(request("/echo", &[]).as_bytes());
    client.response()
}

fn status(client: &mut RawClient) -> u16 {
    ask(client).status
}

fn retry_after(response: &Response) -> u64 {
    response.header("Retry-After").expect("when to come back").parse().unwrap()
}

fn refused(metrics: &Metrics, reason: &str) -> f64 {
    metrics.refused(reason) as f64
}

#[test]
fn an_address_has_so_many_connections_and_the_next_one_is_told_so() {
    let server = Server::start(&["--max-connections-per-ip", "2", "--reactors", "2"]);
    let open = |source| from(source, server.address()).upgraded("/echo");
    let (first, mut second) = (open("127.0.0.1"), open("127.0.0.1"));
    let answer = ask(&mut from("127.0.0.1", server.address()));
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!((1..=5).contains(&retry_after(&answer)));
    assert!(answer.body.contains("this address has as many connections as it may"));
    let _other = open("127.0.0.2");
    assert_eq!(server.metric("ws_addresses", &[]), 2.0);
    // Whoever is in notices nothing.
    second.send(&frame::text("still here"));
    assert_eq!(second.data().payload, b"still here");
    drop(first);
    server.wait_for("the first one's end", |m| m.value("ws_connections_active", &[]) == 2.0);
    let _third = open("127.0.0.1");
    let metrics = server.metrics();
    assert_eq!(refused(&metrics, "address_full"), 1.0);
    assert_eq!(metrics.value("ws_connections_closed_total", &[("reason", "refused")]), 1.0);
}

#[test]
fn ipv4_and_ipv6_loopback_are_two_addresses_and_mapped_ipv4_is_ipv4() {
    let server = Server::start(&["--max-connections-per-ip", "1", "--listen", "[::]:0"]);
    let port = server.address().port();
    let at = |address: &str| SocketAddr::new(address.parse().unwrap(), port);
    // What comes to a listener on [::] over IPv4 has a mapped address.
    let _four = from("127.0.0.1", at("127.0.0.1")).upgraded("/echo");
    let _six = from("::1", at("::1")).upgraded("/echo");
    assert_eq!(status(&mut from("127.0.0.1", at("127.0.0.1"))), 429);
    assert_eq!(status(&mut from("::1", at("::1"))), 429);
    let _other = from("127.0.0.2", at("127.0.0.1")).upgraded("/echo");
    assert_eq!(server.metric("ws_addresses", &[]), 3.0);
}

#[test]
fn more_than_the_sixteen_that_are_refused_at_leisure_are_refused_at_once_and_all_politely() {
    let server = Server::start(&["--max-connections-per-ip", "1", "--reactors", "1"]);
    let _first = RawClient::open(&server, "/echo");
    // They say nothing, so that the first sixteen keep their places.
    let silent: Vec<_> = (0..40).map(|_| RawClient::connect(&server)).collect();
    server.wait_for("those who don't fit", |m| refused(m, "address_full") == 24.0);
    assert_eq!(server.metric("ws_slots_used", &[]), 17.0);
    for mut client in silent {
        assert_eq!(status(&mut client), 429);
    }
    server.wait_for("the others", |m| refused(m, "address_full") == 40.0);
}

#[test]
fn an_address_that_connects_too_fast_is_told_when_to_come_back() {
    let server = Server::start(&["--connect-rate-per-ip", "1/s:3"]);
    let begun = Instant::now();
    let open = |source| status(&mut from(source, server.address()));
    for _ in 0..3 {
        assert_eq!(open("127.0.0.1"), 101);
    }
    let answer = ask(&mut from("127.0.0.1", server.address()));
    if begun.elapsed() < ms(900) {
        assert_eq!(answer.status, 429, "{answer:?}");
        assert!((1..=2).contains(&retry_after(&answer)));
    }
    assert_eq!(open("127.0.0.2"), 101, "another address has its own");
    let begun = Instant::now();
    while open("127.0.0.1") != 101 {
        assert!(begun.elapsed() < PATIENCE, "it is never let in again");
        std::thread::sleep(ms(100));
    }
    // Nobody is connected, and within seconds the buckets are full again and forgotten.
    let metrics = server.wait_for("an empty table", |m| m.value("ws_addresses", &[]) == 0.0);
    assert!(refused(&metrics, "address_rate") >= 1.0);
    assert_eq!(metrics.value("ws_address_evictions_total", &[]), 0.0);
}

#[test]
fn beyond_the_rate_of_all_connections_each_is_given_a_time_of_its_own() {
    let server = Server::start(&["--connect-rate", "20/s:20", "--reactors", "2"]);
    let mut open = Vec::new();
    let mut times = Vec::new();
    for _ in 0..100 {
        let mut client = RawClient::connect(&server);
        let answer = ask(&mut client);
        match answer.status {
            101 => open.push(client),
            503 => times.push(retry_after(&answer)),
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert!(open.len() >= 20, "{} were let in", open.len());
    // All hundred need five seconds at that rate.
    let longest = *times.iter().max().expect("some are refused");
    assert!(longest <= 6, "{times:?}");
    let asked = times.len();
    for seconds in 1..longest {
        let same = times.iter().filter(|time| **time == seconds).count();
        assert!(same <= 30, "{same} of {asked} would come back after {seconds} s: {times:?}");
    }
    // Those who are in are served as ever.
    for client in &mut open {
        client.send(&frame::text("hello"));
        assert_eq!(client.data().payload, b"hello");
    }
    assert_eq!(refused(&server.metrics(), "connect_rate"), asked as f64);
}

/// The client of a herd that does as it is told.
fn come_back_until_let_in(server: &Server) -> (Duration, u32) {
    let begun = Instant::now();
    for attempt in 1.. {
        let answer = ask(&mut RawClient::connect(server));
        if answer.status == 101 {
            return (begun.elapsed(), attempt);
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        std::thread::sleep(Duration::from_secs(retry_after(&answer)));
    }
    unreachable!("the attempts have no end")
}

#[test]
fn a_herd_that_comes_back_when_told_to_is_in_after_one_refusal_for_the_most_part() {
    let server = Server::start(&["--connect-rate", "50/s:50"]);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let herd: Vec<_> =
            (0..200).map(|_| scope.spawn(|| come_back_until_let_in(&server))).collect();
        herd.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let last = outcomes.iter().map(|(took, _)| *took).max().unwrap();
    // Three seconds at the rate, a second to round up to, and as much again for a loaded machine.
    assert!(last <= ms(8_000) + SLACK, "the last one is in after {last:?}");
    let attempts: u32 = outcomes.iter().map(|(_, attempts)| attempts).sum();
    assert!(attempts <= 600, "{attempts} attempts of 200");
}

#[test]
fn a_greedy_address_takes_no_tokens_of_the_others() {
    let server = Server::start(&["--connect-rate", "30/h:5", "--max-connections-per-ip", "1"]);
    let _held = from("127.0.0.1", server.address()).upgraded("/echo");
    for _ in 0..50 {
        assert_eq!(status(&mut from("127.0.0.1", server.address())), 429);
    }
    for source in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        assert_eq!(status(&mut from(source, server.address())), 101, "{source}");
    }
    assert_eq!(status(&mut from("127.0.0.6", server.address())), 503, "the tokens are used up");
}

#[test]
fn when_every_place_in_the_table_is_taken_a_new_address_is_not_let_in_uncounted() {
    let flags = ["--max-connections-per-ip", "2", "--max-addresses", "3"];
    let server = Server::start(&flags);
    let open = |source| from(source, server.address());
    let sources = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    let mut held: Vec<_> = sources.map(|source| open(source).upgraded("/echo")).into();
    let answer = ask(&mut open("127.0.0.4"));
    assert_eq!(answer.status, 503, "{answer:?}");
    retry_after(&answer);
    let _again = open("127.0.0.1").upgraded("/echo");
    held.pop();
    server.wait_for("a free place", |m| m.value("ws_addresses", &[]) == 2.0);
    let _fourth = open("127.0.0.4").upgraded("/echo");
    assert_eq!(refused(&server.metrics(), "address_table_full"), 1.0);
}

#[test]
fn sighup_changes_the_limits_and_counts_from_then_on() {
    let path = harness::scratch_path("toml");
    std::fs::write(&path, "max_connections_per_ip = 1\n").unwrap();
    let server = Server::start(&["--config", path.to_str().unwrap()]);
    let _first = RawClient::open(&server, "/echo");
    assert_eq!(status(&mut RawClient::connect(&server)), 429);
    std::fs::write(&path, "max_connections_per_ip = 2\n").unwrap();
    server.signal("HUP");
    server.wait_for_log("reload: max-connections-per-ip 1 -> 2");
    harness::wait_until("the new limit", || status(&mut RawClient::connect(&server)) == 101);
    std::fs::write(&path, "").unwrap();
    server.signal("HUP");
    server.wait_for_log("reload: max-connections-per-ip 2 -> off");
    harness::wait_until("no limit", || {
        let mut three = [(); 3].map(|()| RawClient::connect(&server));
        three.iter_mut().all(|client| status(client) == 101)
    });
}

/// Every way in which a connection ends gives back what it held.
#[test]
fn whatever_ends_a_connection_nothing_is_left_in_the_table() {
    let flags = ["--max-connections-per-ip", "5000", "--connect-rate-per-ip", "100000/s:100000"];
    let deadlines = ["--handshake-timeout", "1s", "--close-timeout", "1s", "--reactors", "2"];
    let mut server = Server::start(&[&flags[..], &deadlines].concat());
    let mut random = fastrand::Rng::with_seed(3);
    let mut staying = Vec::new();
    for n in 0..2_000 {
        let source = format!("127.0.{}.{}", n % 7, 1 + n % 50);
        let mut client = from(&source, server.address());
        match random.u8(0..9) {
            0 => {}
            1 => staying.push(client),
            2 => client.send(b"GET /echo HT"),
            3 => client.send(b"nonsense\r\n\r\n"),
            4 => client.send(request("/nowhere", &[]).as_bytes()),
            5 => drop(client.upgraded("/echo")),
            6 => {
                let mut client = client.upgraded("/echo");
                client.send(&frame::close(1000, ""));
                assert!(matches!(client.next(PATIENCE), Event::Frame(_)));
            }
            7 => {
                let mut client = client.upgraded("/echo");
                client.send(&[0xff; 20]);
            }
            _ => {
                client.finish();
            }
        }
    }
    let metrics = server.wait_for("the end of all", |m| m.value("ws_slots_used", &[]) == 0.0);
    assert_eq!(metrics.value("ws_connections_accepted_total", &[]), 2_000.0);
    server.wait_for("an empty table", |m| m.value("ws_addresses", &[]) == 0.0);
    server.assert_sound();
}
