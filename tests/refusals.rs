//! A handler that will not have a connection: it gets the handler's answer and never a 101.

mod harness;

use harness::{Embedded, Event, PATIENCE, request};
use pulsewheel::{Connection, Handler, Message, Opening, Reject, Server};

/// Greets everyone, then lets nobody in.
struct Closed;

impl Handler for Closed {
    type State = ();

    fn on_open(&self, connection: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
        connection.send_text("for members only");
        Err(Reject::new(401, "a token is needed"))
    }

    fn on_message(&self, _: &mut Connection<'_>, _: &mut (), _: Message<'_>) {}
}

/// Says goodbye to everyone at once.
struct Brief;

impl Handler for Brief {
    type State = ();

    fn on_open(&self, connection: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
        connection.close(4000, "come again");
        Ok(())
    }

    fn on_message(&self, _: &mut Connection<'_>, _: &mut (), _: Message<'_>) {}
}

#[test]
fn a_rejected_client_sees_the_answer_and_no_101_wherever_its_head_is_cut() {
    let server = Embedded::run(Server::builder().config(Embedded::config()).route("/", Closed));
    let head = request("/", &[]);
    for cut in [0, 1, head.len() / 2, head.len() - 1] {
        let mut peer = server.connect();
        let (first, rest) = head.as_bytes().split_at(cut);
        if !first.is_empty() {
            peer.send(first);
            harness::wait_until("the first part to be held", || {
                server.metrics().value("ws_inbox_bytes", &[]) > 0.0
            });
        }
        peer.send(rest);
        let (answer, end) = peer.drain_bytes(PATIENCE);
        let answer = String::from_utf8(answer).expect("an answer is text");
        assert!(answer.starts_with("HTTP/1.1 401 "), "cut at {cut}: {answer:?}");
        assert!(answer.ends_with("a token is needed\n"), "cut at {cut}: {answer:?}");
        assert_eq!(end, Event::Finished);
    }
    assert_eq!(server.metrics().value("ws_connections_active", &[]), 0.0);
}

#[test]
fn a_close_frame_that_came_with_the_head_is_seen_by_who_closes_at_the_opening() {
    let mut config = Embedded::config();
    config.limits.close_timeout = PATIENCE * 10;
    let server = Embedded::run(Server::builder().config(config).route("/", Brief));
    let mut peer = server.connect();
    let mut bytes = request("/", &[]).into_bytes();
    bytes.extend(harness::frame::text("hello"));
    bytes.extend(harness::frame::close(1000, ""));
    peer.send(&bytes);
    assert_eq!(peer.response().status, 101);
    peer.expect_close(4000);
}
