//! Limits of users, who are told apart by the `sub` of their tokens.
//! Not how tokens are checked: see `auth.rs`.

mod harness;

use harness::token::{Signer, in_seconds};
use harness::{Event, PATIENCE, RawClient, Server, frame, request};
use serde_json::json;

/// A server on which each user may have so many connections, and who signs for it.
fn counting(flags: &[&str]) -> (Server, Signer) {
    let signer = Signer::secret();
    let file = signer.secret_file();
    let tokens = ["--auth", "jwt", "--jwt-secret-file", &file, "--reactors", "2"];
    (Server::start(&[&tokens, flags].concat()), signer)
}

/// A connection of that user, and the status it was answered with.
fn open(server: &Server, signer: &Signer, user: &str) -> (RawClient, u16) {
    let token = signer.sign(&json!({"exp": in_seconds(600), "sub": user}));
    let mut client = RawClient::connect(server);
    client.send(request("/echo", &[&format!("Authorization: Bearer {token}")]).as_bytes());
    let answer = client.response();
    assert_eq!(answer.status == 429, answer.header("Retry-After").is_some(), "{answer:?}");
    (client, answer.status)
}

fn expect_echo(client: &mut RawClient) {
    client.send(&frame::text("still here"));
    assert_eq!(client.data().payload, b"still here");
}

#[test]
fn a_user_has_so_many_connections_over_all_reactors_and_the_next_is_refused() {
    let (server, signer) = counting(&["--max-connections-per-user", "3"]);
    let mut ada: Vec<_> = (0..3).map(|_| open(&server, &signer, "ada")).collect();
    assert!(ada.iter().all(|(_, status)| *status == 101));
    for _ in 0..20 {
        assert_eq!(open(&server, &signer, "ada").1, 429);
    }
    let (mut eve, status) = open(&server, &signer, "eve");
    assert_eq!(status, 101);
    let metrics = server.metrics();
    assert_eq!(metrics.value("ws_users", &[]), 2.0);
    assert_eq!(metrics.refused("user_full"), 20);
    for (client, _) in &mut ada {
        expect_echo(client);
    }
    drop(ada.pop());
    harness::wait_until("the place", || open(&server, &signer, "ada").1 == 101);
    expect_echo(&mut eve);
    drop((ada, eve));
    server.wait_for("an empty table", |m| m.value("ws_users", &[]) == 0.0);
}

#[test]
fn the_oldest_gives_way_to_the_newest_whichever_reactor_it_is_on() {
    let flags = ["--max-connections-per-user", "2", "--user-limit-policy", "replace"];
    let (mut server, signer) = counting(&flags);
    let mut clients: Vec<RawClient> = Vec::new();
    let (mut eve, _) = open(&server, &signer, "eve");
    for n in 0..40 {
        let (client, status) = open(&server, &signer, "ada");
        assert_eq!(status, 101);
        clients.push(client);
        if n >= 2 {
            let mut oldest = clients.remove(0);
            let close = oldest.frame();
            assert_eq!((close.first, close.close_code()), (frame::CLOSE, Some(1008)), "{n}");
            assert_eq!(&close.payload[2..], b"another connection of this user took its place");
            oldest.send(&frame::close(1008, ""));
            assert_eq!(oldest.next(PATIENCE), Event::Finished);
        }
    }
    clients.iter_mut().for_each(expect_echo);
    expect_echo(&mut eve);
    let metrics = server.wait_for("the others' end", |m| m.closed("replaced") == 38);
    assert_eq!(metrics.value("ws_connections_active", &[]), 3.0);
    assert_eq!(metrics.refused("user_full"), 0);
    drop((clients, eve));
    server.wait_for("an empty table", |m| m.value("ws_users", &[]) == 0.0);
    server.assert_sound();
}

/// What replacing is for: a peer that is gone, and whose place the living needs at once.
#[test]
fn a_zombie_gives_way_at_once_and_is_gone_within_the_close_timeout() {
    let flags = ["--max-connections-per-user", "1", "--user-limit-policy", "replace"];
    let (server, signer) = counting(&[&flags[..], &["--close-timeout", "500ms"]].concat());
    let (zombie, _) = open(&server, &signer, "ada");
    let (mut living, status) = open(&server, &signer, "ada");
    assert_eq!(status, 101);
    expect_echo(&mut living);
    // The zombie never answers the close frame.
    server.wait_for("the zombie's end", |m| m.value("ws_slots_used", &[]) == 1.0);
    expect_echo(&mut living);
    drop(zombie);
}

#[test]
fn a_token_that_names_nobody_is_not_counted() {
    let (server, signer) = counting(&["--max-connections-per-user", "1"]);
    let token = signer.sign(&json!({"exp": in_seconds(600)}));
    let line = format!("Authorization: Bearer {token}");
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = RawClient::connect(&server);
            client.send(request("/echo", &[&line]).as_bytes());
            assert_eq!(client.response().status, 101);
            client
        })
        .collect();
    assert_eq!(server.metric("ws_users", &[]), 0.0);
    drop(clients);
}

/// Connections of many users that come and go on two reactors, and are replaced in the middle of
/// all they do: the table is empty at the end, and no close frame goes to the wrong one.
#[test]
fn whatever_ends_a_users_connections_nothing_is_left_in_the_table() {
    let flags = ["--max-connections-per-user", "3", "--user-limit-policy", "replace"];
    let (mut server, signer) = counting(&[&flags[..], &["--close-timeout", "1s"]].concat());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (server, signer) = (&server, &signer);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut held = Vec::new();
                for _ in 0..300 {
                    let user = format!("user {}", random.u8(0..5));
                    let (client, status) = open(server, signer, &user);
                    assert_eq!(status, 101);
                    held.push(client);
                    if held.len() > 4 {
                        let mut client = held.swap_remove(random.usize(0..held.len()));
                        match random.u8(0..3) {
                            0 => drop(client),
                            1 => drop(client.try_send(&frame::close(1000, ""))),
                            _ => drop(client.try_send(&[0xff; 9])),
                        }
                    }
                }
            });
        }
    });
    server.wait_for("the end of all", |m| m.value("ws_slots_used", &[]) == 0.0);
    let metrics = server.wait_for("an empty table", |m| m.value("ws_users", &[]) == 0.0);
    assert!(metrics.closed("replaced") > 0);
    server.assert_sound();
}
