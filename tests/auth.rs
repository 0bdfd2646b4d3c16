//! Tokens before the upgrade: where they may stand, what they are refused for, what a handler gets
//! of them, and that a connection does not outlive its own.

mod harness;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::token::{Signer, in_seconds, jwk_set, write_private};
use harness::{
    Embedded, PATIENCE, RawClient, Response, Server, TICK, assert_between, frame, ms, request,
    scratch_path, wait_until,
};
use pulsewheel::gate::{Auth, Keys, Settings};
use pulsewheel::{Connection, Handler, Message, Opening, Reject};
use serde_json::json;

/// A server that asks for tokens, and who signs them.
fn guarded(flags: &[&str]) -> (Server, Signer) {
    let signer = Signer::secret();
    let file = signer.secret_file();
    let server = Server::start(&[&["--auth", "jwt", "--jwt-secret-file", &file], flags].concat());
    (server, signer)
}

fn answer(server: &Server, target: &str, lines: &[&str]) -> Response {
    let mut client = RawClient::connect(server);
    client.send(request(target, lines).as_bytes());
    client.response()
}

/// The status that a token in the header leads to.
fn status(server: &Server, token: &str) -> u16 {
    answer(server, "/echo", &[&bearer(token)]).status
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[test]
fn a_token_may_stand_in_each_of_three_places_and_none_is_401() {
    let (server, signer) = guarded(&[]);
    let token = signer.sign(&json!({"exp": in_seconds(600)}));
    let protocol = format!("Sec-WebSocket-Protocol: bearer.{token}, chat");
    assert_eq!(status(&server, &token), 101);
    assert_eq!(answer(&server, "/echo", &[&protocol]).status, 101);
    assert_eq!(answer(&server, &format!("/echo?token={token}"), &[]).status, 101);
    let refused = answer(&server, "/echo", &[]);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer realm=\"pulsewheel\""));
    assert_eq!(refused.body, "401 Unauthorized: this server asks for a bearer token\n");
    assert_eq!(server.metrics().refused("token_missing"), 1);
}

#[test]
fn token_from_narrows_the_places() {
    for (place, only) in [("header", 0), ("subprotocol", 1), ("query", 2)] {
        let (server, signer) = guarded(&["--token-from", place]);
        let token = signer.sign(&json!({"exp": in_seconds(600)}));
        let target = format!("/echo?token={token}");
        let requests = [
            ("/echo", bearer(&token)),
            ("/echo", format!("Sec-WebSocket-Protocol: chat, bearer.{token}")),
            (target.as_str(), "X: y".to_owned()),
        ];
        for (i, (target, line)) in requests.iter().enumerate() {
            let expected = if i == only { 101 } else { 401 };
            assert_eq!(answer(&server, target, &[line]).status, expected, "{place}, {line}");
        }
    }
}

/// Browsers fail when none of what they offered is selected, and the token must not be.
#[test]
fn the_subprotocol_beside_the_token_is_the_one_selected() {
    let (server, signer) = guarded(&["--route", "/free=echo"]);
    let token = signer.sign(&json!({"exp": in_seconds(600)}));
    let selected = |server: &Server, target: &str, offer: &str| {
        let response = answer(server, target, &[&format!("Sec-WebSocket-Protocol: {offer}")]);
        assert_eq!(response.status, 101, "{offer}");
        response.header("Sec-WebSocket-Protocol").map(str::to_owned)
    };
    let chat = Some("chat".to_owned());
    assert_eq!(selected(&server, "/free", &format!("bearer.{token}, chat, x")), chat);
    assert_eq!(selected(&server, "/free", &format!("chat, bearer.{token}")), chat);
    assert_eq!(selected(&server, "/free", &format!("bearer.{token}")), None);
    // Who shows the token elsewhere has not been promised an answer.
    assert_eq!(selected(&server, &format!("/free?token={token}"), "chat"), None);

    let (server, signer) = guarded(&["--route", "/chat=echo", "--subprotocol", "chat"]);
    let token = signer.sign(&json!({"exp": in_seconds(600)}));
    assert_eq!(selected(&server, "/chat", &format!("bearer.{token}, x, chat")), chat);
    assert_eq!(selected(&server, "/chat", &format!("bearer.{token}, x")), None);
}

#[test]
fn bad_tokens_are_told_why_and_counted_by_kind() {
    let (server, signer) = guarded(&["--jwt-audience", "chat", "--jwt-issuer", "me"]);
    let exp = in_seconds(600);
    let good = json!({"exp": exp, "aud": "chat", "iss": "me"});
    assert_eq!(status(&server, &signer.sign(&good)), 101);
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signer.sign(&claims)
    };
    let mut tampered = signer.sign(&good);
    tampered.insert(tampered.len() - 3, 'x');
    for (token, why) in [
        (with("exp", json!(in_seconds(0) - 1)), "the token has expired"),
        (with("nbf", json!(in_seconds(60))), "the token is not valid yet"),
        (with("aud", json!("other")), "the token is for another audience"),
        (with("iss", json!("you")), "the token is from another issuer"),
        (with("exp", json!("soon")), "the token has no exp, or no number in it"),
        (Signer::secret().sign(&good), "the signature of the token is wrong"),
        (Signer::p256().sign(&good), "the token is signed with an algorithm that is not"),
        ("none".to_owned(), "the token is malformed"),
        (tampered, "the "),
    ] {
        let refused = answer(&server, "/echo", &[&bearer(&token)]);
        assert_eq!(refused.status, 401, "{why}");
        let header = refused.header("WWW-Authenticate").expect("a 401 has one");
        let start = "Bearer realm=\"pulsewheel\", error=\"invalid_token\", error_description=\"";
        assert!(header.starts_with(&format!("{start}{why}")), "{header}");
        assert!(!refused.head.contains(&token) && !refused.body.contains(&token));
    }
    let metrics = server.metrics();
    assert_eq!(metrics.refused("token_expired"), 1);
    assert_eq!(metrics.refused("token_refused"), 8);
}

#[test]
fn a_token_that_does_not_fit_into_the_head_is_431_and_one_that_does_is_read() {
    let (server, signer) = guarded(&[]);
    let sized =
        |bytes: usize| signer.sign(&json!({"exp": in_seconds(600), "more": "x".repeat(bytes)}));
    assert_eq!(status(&server, &sized(4 * 1024)), 101);
    assert_eq!(status(&server, &sized(16 * 1024)), 431);
    assert_eq!(status(&server, &"a.b.".repeat(1500)), 401);
}

#[test]
fn two_different_tokens_are_400_and_the_same_twice_is_one() {
    let (server, signer) = guarded(&[]);
    let token = signer.sign(&json!({"exp": in_seconds(600)}));
    let other = signer.sign(&json!({"exp": in_seconds(601)}));
    let line = bearer(&token);
    assert_eq!(answer(&server, &format!("/echo?token={other}"), &[&line]).status, 400);
    assert_eq!(answer(&server, &format!("/echo?token={token}"), &[&line]).status, 101);
}

#[test]
fn a_path_may_require_a_claim() {
    let flags = ["--require-claim", "/broadcast=role=admin", "--require-claim", "/broadcast=sub"];
    let (server, signer) = guarded(&flags);
    let exp = in_seconds(600);
    let admin = signer.sign(&json!({"exp": exp, "role": ["user", "admin"], "sub": "ada"}));
    let user = signer.sign(&json!({"exp": exp, "role": ["user"], "sub": "bob"}));
    let on = |path: &str, token: &str| answer(&server, path, &[&bearer(token)]);
    assert_eq!(on("/broadcast", &admin).status, 101);
    assert_eq!(on("/echo", &user).status, 101);
    let refused = on("/broadcast", &user);
    assert_eq!(refused.status, 403);
    let header = refused.header("WWW-Authenticate").expect("it says what is missing");
    assert!(header.contains("error=\"insufficient_scope\""), "{header}");
    assert_eq!(on("/broadcast", "x").status, 401, "a bad token is bad before it lacks anything");
    assert_eq!(server.metrics().refused("claim_missing"), 1);
}

/// It answers pings and talks, and is closed all the same.
#[test]
fn a_connection_ends_when_its_token_does() {
    let (server, signer) = guarded(&["--ping-interval", "off"]);
    // Up to a second is lost to the fraction that `exp` does not have.
    let opened = Instant::now();
    let exp = in_seconds(3);
    let mut client = RawClient::connect(&server);
    let token = signer.sign(&json!({"exp": exp}));
    client.send(request("/echo", &[&bearer(&token)]).as_bytes());
    assert_eq!(client.response().status, 101);
    client.expect_echo("while it is good");
    let close = client.data();
    assert_eq!(close.close_code(), Some(1008), "{close:?}");
    assert!(String::from_utf8_lossy(&close.payload).ends_with("the token has expired"));
    assert_between(opened.elapsed(), ms(2000), ms(3000));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    assert!(now + TICK >= Duration::from_secs(exp), "it was closed before its time");
    client.send(&frame::close(1008, ""));
    let metrics = server.wait_for("it to be counted", |m| m.closed("token_expired") == 1);
    assert_eq!((metrics.expired("lifetime"), metrics.closed("lifetime_reached")), (1, 0));
}

#[test]
fn a_new_lifetime_and_its_end_leave_the_tokens_end_as_it_is() {
    let signer = Signer::secret();
    let base = format!(
        "ping_interval = \"off\"\nauth = \"jwt\"\njwt_secret_file = \"{}\"\n",
        signer.secret_file()
    );
    let path = scratch_path("toml");
    std::fs::write(&path, &base).expect("a scratch file can be written");
    let server = Server::start(&["--config", path.to_str().expect("the path is text")]);
    let mut client = RawClient::connect(&server);
    let token = signer.sign(&json!({"exp": in_seconds(6)}));
    client.send(request("/echo", &[&bearer(&token)]).as_bytes());
    assert_eq!(client.response().status, 101);
    for (more, line) in [("max_lifetime = \"1h\"\n", "off -> 1h"), ("", "1h -> off")] {
        std::fs::write(&path, format!("{base}{more}")).expect("it can be written");
        server.signal("HUP");
        server.wait_for_log(&format!("max-lifetime {line}"));
    }
    client.next_close(1008);
}

#[test]
fn a_lifetime_that_ends_before_the_token_says_so() {
    let (server, signer) = guarded(&["--ping-interval", "off", "--max-lifetime", "1s"]);
    let mut client = RawClient::connect(&server);
    let token = signer.sign(&json!({"exp": u64::MAX}));
    client.send(request("/echo", &[&bearer(&token)]).as_bytes());
    assert_eq!(client.response().status, 101);
    client.next_close(1001);
}

#[test]
fn a_set_of_keys_is_read_again_on_sighup_and_a_broken_one_leaves_the_old_in_use() {
    let (first, second) = (Signer::p256(), Signer::ed25519());
    let path = scratch_path("json");
    let file = write_private(&path, jwk_set(&[first.jwk("one")]).as_bytes());
    let server = Server::start(&["--auth", "jwt", "--jwt-jwks-file", &file]);
    let claims = json!({"exp": in_seconds(600)});
    let one = first.sign_with(",\"kid\":\"one\"", &claims);
    let two = second.sign_with(",\"kid\":\"two\"", &claims);
    assert_eq!((status(&server, &one), status(&server, &two)), (101, 401));
    let mut old = RawClient::connect(&server);
    old.send(request("/echo", &[&bearer(&one)]).as_bytes());
    assert_eq!(old.response().status, 101);

    write_private(&path, b"{\"keys\": [");
    server.signal("HUP");
    server.wait_for_log("everything stays as it was");
    assert!(server.wait_for_log("it is no JWK set").contains("jwt-jwks-file"));
    assert_eq!((status(&server, &one), status(&server, &two)), (101, 401));

    let both = [first.jwk("one"), second.jwk("two"), "{\"kty\":\"x\",\"kid\":\"odd\"}".to_owned()];
    write_private(&path, jwk_set(&both).as_bytes());
    server.signal("HUP");
    server.wait_for_log("jwt-jwks-file one (ES256) -> one (ES256), two (EdDSA)");
    server.wait_for_log("(kid \"odd\") is not used");
    wait_until("the new key", || status(&server, &two) == 101);
    assert_eq!(status(&server, &one), 101);

    write_private(&path, jwk_set(&[second.jwk("two")]).as_bytes());
    server.signal("HUP");
    wait_until("the old key to be gone", || status(&server, &one) == 401);
    old.expect_echo("let in with a key that is gone");
}

/// Not one of these must be found in the log at its most talkative, or in what is told of errors.
#[test]
fn no_token_and_no_secret_reaches_the_log_or_the_metrics() {
    let (server, signer) = guarded(&["--log-level", "trace"]);
    let Signer::Secret(secret) = &signer else { panic!("it has a secret") };
    let secret = String::from_utf8(secret.clone()).expect("it is of letters");
    let good = signer.sign(&json!({"exp": in_seconds(600), "sub": "ada-lovelace"}));
    let bad = Signer::secret().sign(&json!({"exp": in_seconds(600), "sub": "ada-lovelace"}));
    for token in [&good, &bad] {
        let target = format!("/echo?token={token}");
        let protocol = format!("Sec-WebSocket-Protocol: bearer.{token}, chat");
        answer(&server, "/echo", &[&bearer(token)]);
        answer(&server, "/echo", &[&protocol]);
        answer(&server, &target, &[]);
        answer(&server, &target.replace("echo", "nowhere"), &[&bearer(token), &protocol]);
    }
    // Seven that did not upgrade are logged as closed once their last byte is answered.
    server.wait_for("the refusals", |m| m.closed("handshake_refused") >= 5);
    server.wait_for_log("closed peer=");
    let told = [server.log().join("\n"), server.metrics().text().to_owned()].concat();
    for secret in [good.as_str(), &bad, &secret, "ada-lovelace", &good[good.len() - 20..]] {
        assert!(!told.contains(secret), "{secret} is told");
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", server.pid())).expect("it runs");
    assert!(!String::from_utf8_lossy(&arguments).contains(&secret), "the process list tells it");
}

#[test]
fn the_secret_may_come_by_the_environment() {
    let signer = Signer::secret();
    let Signer::Secret(secret) = &signer else { panic!("it has a secret") };
    let mut command = std::process::Command::new(harness::server::binary());
    command.env("PULSEWHEEL_JWT_SECRET", String::from_utf8_lossy(secret).as_ref());
    let server = Server::spawn(command, &["--auth", "jwt"]);
    assert_eq!(status(&server, &signer.sign(&json!({"exp": in_seconds(600)}))), 101);
    assert_eq!(status(&server, "x"), 401);
}

/// Greets by name, and tells when the token expires.
struct Greeter;

impl Handler for Greeter {
    type State = String;

    fn on_open(&self, _: &mut Connection<'_>, opening: &Opening<'_>) -> Result<String, Reject> {
        let claims = opening.claims().ok_or_else(|| Reject::new(500, "no claims"))?;
        let subject = claims.subject().unwrap_or("nobody");
        let room = claims.get("room").map(ToString::to_string).unwrap_or_default();
        Ok(format!("{subject} {room} {}", claims.expires().as_secs()))
    }

    fn on_message(&self, connection: &mut Connection<'_>, who: &mut String, _: Message<'_>) {
        connection.send_text(who);
    }
}

#[test]
fn a_handler_gets_the_claims() {
    let signer = Signer::secret();
    let Signer::Secret(secret) = &signer else { panic!("it has a secret") };
    let mut config = Embedded::config();
    config.gate = Settings {
        auth: Auth::Jwt,
        keys: Some(Keys::secret(secret).expect("it is long enough")),
        ..Settings::default()
    };
    let server = pulsewheel::Server::builder().config(config).route("/greet", Greeter);
    let server = Embedded::run(server);
    let exp = in_seconds(600);
    let token = signer.sign(&json!({"exp": exp, "sub": "ada", "room": {"n": 7}}));
    let mut client = server.connect();
    client.send(request("/greet", &[&bearer(&token)]).as_bytes());
    assert_eq!(client.response().status, 101);
    client.send(&frame::text("who am I?"));
    let expected = format!("ada {{\"n\":7}} {exp}");
    assert_eq!(client.data().payload, expected.as_bytes());
}

#[test]
fn an_embedded_server_without_a_key_or_with_a_claim_on_no_path_does_not_start() {
    let start = |gate: Settings| {
        let config = pulsewheel::config::Config { gate, ..Embedded::config() };
        let server = pulsewheel::Server::builder().config(config).route("/greet", Greeter);
        server.start().err().expect("it starts").to_string()
    };
    let jwt = Settings { auth: Auth::Jwt, ..Settings::default() };
    assert!(start(jwt.clone()).starts_with("jwt is asked for without a key"));
    let keys = Some(Keys::secret(&[b'x'; 32]).expect("it is a secret"));
    let required_claims = vec!["/gret=role".parse().expect("it is a claim")];
    let error = start(Settings { keys, required_claims, ..jwt });
    assert!(error.contains("/gret, which no route serves"), "{error}");
}

/// A token is checked once, before the upgrade; what it costs does not come back.
#[test]
fn many_connections_with_tokens_end_together_and_leave_nothing_behind() {
    let (server, signer) = guarded(&["--ping-interval", "off", "--close-timeout", "1s"]);
    let token = signer.sign(&json!({"exp": in_seconds(5)}));
    let mut clients: Vec<RawClient> = (0..30)
        .map(|_| {
            let mut client = RawClient::connect(&server);
            client.send(request("/echo", &[&bearer(&token)]).as_bytes());
            assert_eq!(client.response().status, 101);
            client
        })
        .collect();
    for client in &mut clients {
        let (frames, _) = client.drain(PATIENCE);
        assert_eq!(frames.last().and_then(|frame| frame.close_code()), Some(1008));
    }
    // They do not answer the close frame, so the close deadline drops them.
    server.wait_for("all to be gone", |m| m.sum("ws_connections_active") == 0.0);
    assert_eq!(status(&server, &signer.sign(&json!({"exp": in_seconds(600)}))), 101);
}

#[test]
fn a_token_of_every_algorithm_is_checked_with_its_key_file() {
    let secret = [b's'; 64];
    let [hs384, hs512] = ["HS384", "HS512"].map(|name| Signer::hmac(name, &secret));
    for signer in [hs384, hs512, Signer::rsa(), Signer::p256(), Signer::ed25519()] {
        let algorithm = signer.algorithm();
        let is_secret = matches!(signer, Signer::Hmac(..));
        let (flag, key) = if is_secret {
            ("--jwt-secret-file", secret.to_vec())
        } else {
            ("--jwt-public-key-file", signer.public_pem().into_bytes())
        };
        let file = write_private(&scratch_path("key"), &key);
        let mut flags = vec!["--auth", "jwt", flag, &file];
        if is_secret {
            // A secret is for HS256 unless it is said.
            flags.extend(["--jwt-algorithm", algorithm]);
        }
        let server = Server::start(&flags);
        let token = signer.sign(&json!({"exp": in_seconds(600)}));
        assert_eq!(status(&server, &token), 101, "{algorithm}");
        let (rest, last) = token.split_at(token.len() - 9);
        let changed: String = last.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
        assert_eq!(status(&server, &format!("{rest}{changed}")), 401, "{algorithm}");
    }
}

/// The wheel's clock stands still while the process does; a token's does not.
#[test]
fn a_token_does_not_outlive_its_exp_by_a_stall() {
    let (server, signer) = guarded(&["--ping-interval", "off"]);
    let open = |seconds| {
        let mut client = RawClient::connect(&server);
        let token = signer.sign(&json!({"exp": in_seconds(seconds)}));
        client.send(request("/echo", &[&bearer(&token)]).as_bytes());
        assert_eq!(client.response().status, 101);
        client
    };
    let (mut expired, mut silent, mut lasting) = (open(2), open(2), open(600));
    server.signal("STOP");
    let end = in_seconds(3);
    wait_until("the end of the token", || in_seconds(0) >= end);
    for client in [&mut expired, &mut lasting] {
        client.send(&frame::text("after the stall"));
    }
    server.signal("CONT");
    // What came too late is not delivered; who said nothing goes as soon.
    expired.next_close(1008);
    silent.next_close(1008);
    assert_eq!(lasting.data().payload, b"after the stall");
    let metrics = server.wait_for("the count", |m| m.expired("lifetime") == 2);
    assert_eq!(metrics.sum("ws_messages_received_total"), 1.0);
    assert!(metrics.sum("ws_stalls_total") > 0.0);
}
