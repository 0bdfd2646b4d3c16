//! Fan-out: everyone on a path, on every reactor, once and in order, from whoever publishes.

mod harness;

use std::collections::HashMap;
use std::io::Write;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::{Embedded, Event, PATIENCE, RawClient, Server, frame, ms};
use pulsewheel::handler::Broadcast;
use pulsewheel::server::PublishError;
use pulsewheel::{Connection, Handler, Message, Opening, Publisher, Reject};

/// Reads until each of `publishers` has been heard `each` times, every one in its own order.
fn hear_all(peer: &mut RawClient, publishers: usize, each: usize) {
    let mut next = HashMap::new();
    for _ in 0..publishers * each {
        let message = String::from_utf8(peer.data().payload).expect("it was sent as text");
        let words: Vec<_> = message.split(' ').collect();
        let expected = next.entry(words[0].to_owned()).or_insert(0);
        assert_eq!(words[1].parse(), Ok(*expected), "from {}", words[0]);
        *expected += 1;
    }
    assert_eq!(next.len(), publishers);
}

/// Has each of these publish while another thread reads it: nobody may wait for the other.
fn publish_and_hear(crowd: Vec<RawClient>, publishers: usize, each: usize, padding: usize) {
    let threads: Vec<JoinHandle<RawClient>> = crowd
        .into_iter()
        .enumerate()
        .map(|(number, mut peer)| {
            let mut stream = peer.stream().try_clone().expect("a socket can be shared");
            let writer = (number < publishers).then(|| {
                thread::spawn(move || {
                    for turn in 0..each {
                        let message = format!("{number} {turn} {}", "x".repeat(padding));
                        stream.write_all(&frame::text(&message)).expect("the server reads on");
                    }
                })
            });
            thread::spawn(move || {
                hear_all(&mut peer, publishers, each);
                if let Some(writer) = writer {
                    writer.join().expect("everything was written");
                }
                peer
            })
        })
        .collect();
    for thread in threads {
        let mut peer = thread.join().expect("every message came in order");
        assert_eq!(peer.next(ms(1)), Event::Nothing, "and none of them twice");
    }
}

#[test]
fn everyone_on_every_reactor_gets_each_message_once_and_in_order() {
    const CLIENTS: usize = 60;
    let mut server =
        Server::start(&["--reactors", "4", "--outbox-limit", "16MiB", "--ping-interval", "off"]);
    let mut deaf = RawClient::open(&server, "/echo");
    let crowd: Vec<_> = (0..CLIENTS).map(|_| RawClient::open(&server, "/broadcast")).collect();
    publish_and_hear(crowd, 3, 300, 0);
    assert_eq!(deaf.next(ms(1)), Event::Nothing, "other paths hear nothing of it");

    let metrics = server.metrics();
    assert_eq!(metrics.sum("ws_messages_received_total"), 900.0);
    assert_eq!(metrics.sum("ws_messages_sent_total"), 900.0 * CLIENTS as f64);
    assert_eq!(metrics.sum("ws_fanout_latency_seconds_count"), 900.0);
    server.assert_sound();
}

#[test]
fn a_full_mailbox_holds_its_publishers_up_and_loses_nothing() {
    const LIMIT: f64 = 64.0 * 1024.0;
    const PADDING: usize = 4096;
    let bounds = ["--mailbox-limit", "64KiB", "--outbox-limit", "64MiB"];
    let quiet = ["--reactors", "4", "--ping-interval", "off"];
    let mut server = Server::start(&[quiet, bounds].concat());
    let crowd: Vec<_> = (0..12).map(|_| RawClient::open(&server, "/broadcast")).collect();
    let publishing = thread::spawn(|| publish_and_hear(crowd, 4, 500, PADDING));
    // Each reactor may have had one message in hand when the mailbox filled up.
    let bound = 4.0 * (LIMIT + 4.0 * (PADDING as f64 + 64.0));
    while !publishing.is_finished() {
        let waiting = server.metric("ws_mailbox_bytes", &[]);
        assert!(waiting <= bound, "{waiting} bytes wait in four mailboxes");
        thread::sleep(ms(5));
    }
    publishing.join().expect("all of it was delivered");
    let metrics = server.metrics();
    assert!(metrics.sum("ws_mailbox_full_total") > 0.0, "the limit was reached");
    assert!(metrics.value("ws_reads_paused_total", &[("cause", "mailbox")]) > 0.0);
    assert_eq!(metrics.sum("ws_messages_sent_total"), 2000.0 * 12.0, "none was sent twice");
    assert_eq!(metrics.closed("outbox_full") + metrics.closed("write_timeout"), 0);
    server.assert_sound();
}

/// One request to publish: status and answer.
fn post(server: &Server, target: &str, content_type: &str, body: &str) -> (u16, String) {
    let head = format!("Content-Type: {content_type}\r\nContent-Length: {}", body.len());
    server.admin_request("POST", target, &format!("{head}\r\n\r\n{body}"))
}

#[test]
fn the_type_of_what_is_published_decides_the_frame() {
    let server = Server::start(&["--reactors", "4"]);
    let mut crowd: Vec<_> = (0..10).map(|_| RawClient::open(&server, "/broadcast")).collect();
    for (content_type, first) in [
        ("text/plain", frame::TEXT),
        ("text/html; charset=utf-8", frame::TEXT),
        ("application/json", frame::TEXT),
        ("Application/JSON", frame::TEXT),
        ("application/octet-stream", frame::BINARY),
    ] {
        let (status, answer) = post(&server, "/publish?path=/broadcast", content_type, "{\"a\":1}");
        assert_eq!(status, 200, "{content_type}: {answer}");
        assert!(answer.contains("\"queued\":10"), "{answer}");
        for peer in &mut crowd {
            let message = peer.data();
            assert_eq!((message.first, &message.payload[..]), (first, &b"{\"a\":1}"[..]));
        }
    }
    let (status, answer) = post(&server, "/publish?path=%2Fbroadcast", "text/plain", "escaped");
    assert_eq!((status, answer.contains("\"queued\":10")), (200, true), "{answer}");
}

#[test]
fn what_cannot_be_published_is_refused_and_reaches_nobody() {
    let server = Server::start(&["--max-message-size", "1KiB"]);
    let mut peer = RawClient::open(&server, "/broadcast");
    let target = "/publish?path=/broadcast";
    let too_long = "x".repeat(1025);
    for (target, content_type, body, expected) in [
        (target, "image/png", "x", 415),
        (target, "", "x", 415),
        ("/publish?path=/nowhere", "text/plain", "x", 404),
        (target, "text/plain", too_long.as_str(), 413),
        ("/publish", "text/plain", "x", 400),
    ] {
        let (status, answer) = post(&server, target, content_type, body);
        assert_eq!(status, expected, "{target} {content_type}: {answer}");
    }
    assert_eq!(server.admin_request("GET", target, "").0, 405);
    let (status, _) = post(&server, target, "text/plain", &"x".repeat(1024));
    assert_eq!(status, 200, "the longest legal message");
    assert_eq!(peer.data().payload.len(), 1024, "is the first that anyone hears of");
}

#[test]
fn the_count_is_of_those_it_was_queued_for() {
    let server = Server::start(&["--reactors", "4"]);
    let target = "/publish?path=/broadcast";
    let (status, answer) = post(&server, target, "text/plain", "to nobody");
    assert!(status == 200 && answer.contains("\"queued\":0"), "{answer}");
    let mut crowd: Vec<_> = (0..7).map(|_| RawClient::open(&server, "/broadcast")).collect();
    let _echo = RawClient::open(&server, "/echo");
    let (_, answer) = post(&server, target, "text/plain", "to seven");
    assert!(answer.contains("\"queued\":7"), "{answer}");
    crowd.truncate(2);
    server.wait_for("five to leave", |m| m.sum("ws_connections_active") == 3.0);
    let (_, answer) = post(&server, target, "text/plain", "to two");
    assert!(answer.contains("\"queued\":2"), "{answer}");
}

#[test]
fn a_thread_of_the_application_publishes_to_all_connections_of_a_path() {
    let builder = pulsewheel::Server::builder().config(Embedded::config());
    let server = Embedded::run(builder.route("/feed", Broadcast).route("/other", Broadcast));
    let mut crowd: Vec<_> = (0..20).map(|_| server.open("/feed")).collect();
    let mut other = server.open("/other");

    let publisher = server.publisher();
    let feeding = thread::spawn(move || feed(&publisher));
    for peer in &mut crowd {
        for number in 0..100 {
            assert_eq!(peer.data().payload, format!("tick {number}").into_bytes());
        }
    }
    feeding.join().expect("everything could be published");

    let publisher = server.publisher();
    publisher.publish("/other", Message::Text("for others")).expect("there is room");
    assert_eq!(other.data().payload, b"for others", "is the first that they hear of");
    let unknown = publisher.publish("/nowhere", Message::Text("x")).map(|_| ());
    assert_eq!(unknown, Err(PublishError::UnknownPath));
    let long = vec![0; 1024 * 1024 + 1];
    let too_big = publisher.publish("/feed", Message::Binary(&long)).map(|_| ());
    assert_eq!(too_big, Err(PublishError::TooBig));
}

fn feed(publisher: &Publisher) {
    for number in 0..100 {
        let message = format!("tick {number}");
        let receipt = publisher.publish("/feed", Message::Text(&message)).expect("there is room");
        assert_eq!(receipt.wait(PATIENCE), Some(20), "it says how many get it");
    }
}

/// Publishes every message three times, and then closes.
struct Echoes;

impl Handler for Echoes {
    type State = u32;

    fn on_open(&self, connection: &mut Connection<'_>, _: &Opening<'_>) -> Result<u32, Reject> {
        connection.send_text("welcome");
        Ok(0)
    }

    fn on_message(&self, connection: &mut Connection<'_>, heard: &mut u32, message: Message<'_>) {
        *heard += 1;
        for _ in 0..3 {
            connection.publish(message);
        }
        if *heard == 2 {
            connection.close(3000, "that was all");
        }
    }
}

#[test]
fn a_handler_publishes_keeps_state_and_closes_with_a_code_of_its_own() {
    let builder = pulsewheel::Server::builder().config(Embedded::config());
    let server = Embedded::run(builder.route("/three", Echoes));
    let (mut speaker, mut listener) = (server.open("/three"), server.open("/three"));
    assert_eq!(speaker.data().payload, b"welcome");
    assert_eq!(listener.data().payload, b"welcome");
    for message in ["first", "second"] {
        speaker.send(&frame::text(message));
        for _ in 0..3 {
            assert_eq!(listener.data().payload, message.as_bytes());
        }
    }
    let (frames, _) = speaker.drain(Duration::from_millis(500));
    let close = frames.last().expect("a close frame comes at least");
    assert_eq!(close.close_code(), Some(3000));
    assert_eq!(close.payload[2..], *b"that was all");
    assert_eq!(listener.next(ms(1)), Event::Nothing);
}
