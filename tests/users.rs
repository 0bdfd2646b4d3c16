//! Limits of users, who are told apart by the `sub` of their tokens.
//! Not how tokens are checked: see `auth.rs`.

mod harness;

use harness::token::{Signer, in_seconds};
use harness::{Embedded, Event, PATIENCE, RawClient, Server, frame, request};
use pulsewheel::config::{Config, UserPolicy};
use pulsewheel::gate::{Auth, Keys, Settings};
use pulsewheel::{Connection, Handler, Message, Opening, Reject};
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

/// Closes as a client does that waits for the server's FIN and keeps its own end open.
fn close_and_stay(client: &mut RawClient) {
    client.send(&frame::close(1000, ""));
    assert_eq!(client.data().close_code(), Some(1000));
    assert_eq!(client.next(PATIENCE), Event::Finished);
}

#[test]
fn one_that_has_closed_is_not_counted_against_the_next_one() {
    let stay = ["--max-connections-per-user", "1", "--close-timeout", "60s"];
    let (server, signer) = counting(&stay);
    let (mut first, _) = open(&server, &signer, "ada");
    close_and_stay(&mut first);
    let (second, status) = open(&server, &signer, "ada");
    assert_eq!(status, 101, "the first one is closing");
    drop(second);
    // The server's own 1008, which the client does not answer, is an end too.
    let mut expiring = RawClient::connect(&server);
    let token = signer.sign(&json!({"exp": in_seconds(1), "sub": "eve"}));
    expiring.send(request("/echo", &[&format!("Authorization: Bearer {token}")]).as_bytes());
    assert_eq!(expiring.response().status, 101);
    expiring.next_close(1008);
    assert_eq!(open(&server, &signer, "eve").1, 101);
    assert_eq!(server.metrics().refused("user_full"), 0);

    let replace = ["--max-connections-per-user", "2", "--user-limit-policy", "replace"];
    let (server, signer) = counting(&[&replace[..], &["--close-timeout", "60s"]].concat());
    let (mut living, _) = open(&server, &signer, "ada");
    let (mut closed, _) = open(&server, &signer, "ada");
    close_and_stay(&mut closed);
    let (mut next, _) = open(&server, &signer, "ada");
    expect_echo(&mut next);
    expect_echo(&mut living);
    assert_eq!(server.metrics().closed("replaced"), 0);
}

/// Whoever will not go is made to, as soon as there are as many of them as may be connected.
#[test]
fn those_who_were_told_to_go_and_stay_are_no_more_than_may_be_connected() {
    let flags = ["--max-connections-per-user", "2", "--user-limit-policy", "replace"];
    let (mut server, signer) = counting(&[&flags[..], &["--close-timeout", "60s"]].concat());
    let mut stubborn: Vec<RawClient> = Vec::new();
    for _ in 0..50 {
        let (client, status) = open(&server, &signer, "ada");
        assert_eq!(status, 101);
        stubborn.push(client);
    }
    server.wait_for("all but four to go", |m| m.value("ws_slots_used", &[]) == 4.0);
    let metrics = server.metrics();
    assert_eq!((metrics.closed("replaced"), metrics.value("ws_users", &[])), (46, 1.0));
    let mut newest = stubborn.split_off(48);
    newest.iter_mut().for_each(expect_echo);
    // The two between them and the newest are closing.
    for client in &mut stubborn[..46] {
        assert_eq!(client.drain(PATIENCE).1, Event::Reset);
    }
    drop((stubborn, newest));
    server.wait_for("an empty table", |m| m.value("ws_users", &[]) == 0.0);
    server.assert_sound();
}

/// Refuses who asks for it, closes as it opens who asks for that, echoes to the others.
struct Choosy;

impl Handler for Choosy {
    type State = ();

    fn on_open(&self, conn: &mut Connection<'_>, opening: &Opening<'_>) -> Result<(), Reject> {
        match opening.query() {
            Some("refuse") => return Err(Reject::new(403, "not you")),
            Some("close") => conn.close(4001, "not now"),
            _ => {}
        }
        Ok(())
    }

    fn on_message(&self, conn: &mut Connection<'_>, (): &mut (), message: Message<'_>) {
        conn.send(message);
    }
}

#[test]
fn nobody_goes_for_one_that_the_handler_refuses_and_it_holds_no_place() {
    for policy in [UserPolicy::Refuse, UserPolicy::Replace] {
        let signer = Signer::secret();
        let Signer::Secret(secret) = &signer else { unreachable!() };
        let keys = Some(Keys::secret(secret).expect("it is a secret"));
        let gate = Settings { auth: Auth::Jwt, keys, ..Settings::default() };
        let mut config = Config { gate, ..Embedded::config() };
        config.admission.max_connections_per_user = Some(1);
        config.admission.user_limit_policy = policy;
        config.limits.close_timeout = PATIENCE;
        let server = pulsewheel::Server::builder().config(config).route("/choosy", Choosy);
        let server = Embedded::run(server);
        let token = signer.sign(&json!({"exp": in_seconds(600), "sub": "ada"}));
        let ask = |query: &str| {
            let mut client = server.connect();
            let line = format!("Authorization: Bearer {token}");
            client.send(request(&format!("/choosy{query}"), &[&line]).as_bytes());
            let status = client.response().status;
            (client, status)
        };
        // They stay in the handshake's last phase, since they do not shut their side.
        let _refused: Vec<_> = (0..3).map(|_| ask("?refuse")).collect();
        let (mut living, status) = ask("");
        assert_eq!(status, 101, "{policy:?}");
        if policy == UserPolicy::Replace {
            assert_eq!(ask("?refuse").1, 403);
            let (mut closed, _) = ask("?close");
            closed.next_close(4001);
        } else {
            assert_eq!(ask("?refuse").1, 429, "the handler is not asked");
        }
        expect_echo(&mut living);
        assert_eq!(server.metrics().closed("replaced"), 0);
    }
}

#[test]
fn users_are_those_of_their_issuer_and_a_number_names_one_too() {
    let (server, signer) = counting(&["--max-connections-per-user", "1"]);
    let mut held = Vec::new();
    let mut ask = |mut claims: serde_json::Value| {
        claims["exp"] = json!(in_seconds(600));
        let line = format!("Authorization: Bearer {}", signer.sign(&claims));
        let mut client = RawClient::connect(&server);
        client.send(request("/echo", &[&line]).as_bytes());
        let status = client.response().status;
        held.push(client);
        status
    };
    assert_eq!(ask(json!({"iss": "a", "sub": "ada"})), 101);
    assert_eq!(ask(json!({"iss": "b", "sub": "ada"})), 101);
    assert_eq!(ask(json!({"sub": "ada"})), 101);
    assert_eq!(ask(json!({"iss": "b", "sub": "ada"})), 429);
    assert_eq!(ask(json!({"iss": "b", "sub": 42})), 101);
    assert_eq!(ask(json!({"iss": "b", "sub": 42})), 429);
    assert_eq!(server.metric("ws_users", &[]), 4.0);
}
