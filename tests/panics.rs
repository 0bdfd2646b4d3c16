//! Panics in handlers: one connection pays, the log tells, everybody else goes on.

mod harness;

use std::sync::{Mutex, Once};

use harness::{Embedded, Event, PATIENCE, RawClient, frame, request, wait_until};
use pulsewheel::{CloseReason, Connection, Handler, Message, Opening, Peer, Reject, Server};

/// What was logged at the level of errors by any server of this process.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Memory;

impl log::Log for Memory {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            ERRORS.lock().expect("no logger panics").push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Panics where a client asks for it.
struct Fragile;

impl Handler for Fragile {
    type State = String;

    fn on_open(&self, _: &mut Connection<'_>, opening: &Opening<'_>) -> Result<String, Reject> {
        let query = opening.query().unwrap_or_default().to_owned();
        assert_ne!(query, "open", "a client asked on_open for a panic");
        Ok(query)
    }

    fn on_message(&self, connection: &mut Connection<'_>, _: &mut String, message: Message<'_>) {
        assert_ne!(message.as_bytes(), b"boom", "a client asked on_message for a panic");
        connection.send(message);
    }

    fn on_close(&self, _: Peer, state: String, _: CloseReason) {
        assert_ne!(state, "close", "a client asked on_close for a panic");
    }
}

/// One reactor, so that whoever else is connected shares it with the one that panics.
fn server() -> Embedded {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_boxed_logger(Box::new(Memory)).expect("this is the only logger");
        log::set_max_level(log::LevelFilter::Error);
    });
    let mut config = Embedded::config();
    config.reactors = 1;
    Embedded::run(Server::builder().config(config).route("/fragile", Fragile))
}

fn panics(server: &Embedded) -> u64 {
    server.metrics().sum("ws_handler_panics_total") as u64
}

/// Asserts that the log tells of this panic: what, where in the code, and by which way there.
fn assert_logged(message: &str) {
    let logged = || {
        let errors = ERRORS.lock().expect("no logger panics");
        errors.iter().find(|error| error.contains(message)).cloned()
    };
    wait_until("the panic to be logged", || logged().is_some());
    let error = logged().expect("it was just there");
    assert!(error.contains("reactor-0") && error.contains("tests/panics.rs:"), "{error}");
    let frames = ["Fragile", "pulsewheel::reactor"];
    assert!(frames.iter().all(|frame| error.contains(frame)), "no backtrace: {error}");
}

#[test]
fn a_panic_over_a_message_closes_that_connection_with_1011_and_no_other() {
    let server = server();
    let mut others: Vec<_> = (0..20).map(|_| server.open("/fragile")).collect();
    for round in 1..=3 {
        let mut peer = server.open("/fragile");
        peer.expect_echo("all is well");
        peer.send(&[frame::text("boom"), frame::text("never heard")].concat());
        let close = peer.data();
        assert_eq!(close.close_code(), Some(1011), "{close:?}");
        let text = String::from_utf8_lossy(&close.payload[2..]).into_owned();
        assert!(!text.contains("asked"), "what broke is not the client's business: {text}");
        peer.send(&frame::close(1011, ""));
        assert_eq!(peer.next(PATIENCE), Event::Finished);
        drop(peer);
        assert_eq!(panics(&server), round);
    }
    for peer in &mut others {
        peer.expect_echo("still here");
    }
    wait_until("the closes to be counted", || server.metrics().closed("handler_panic") == 3);
    assert_logged("asked on_message");
}

#[test]
fn a_panic_at_the_opening_refuses_that_connection_with_500_and_no_other() {
    let server = server();
    let mut before = server.open("/fragile");
    let mut refused: RawClient = server.connect();
    refused.send(request("/fragile?open", &[]).as_bytes());
    let response = refused.response();
    assert_eq!(response.status, 500, "{response:?}");
    assert_eq!(refused.next(PATIENCE), Event::Finished);
    before.expect_echo("still here");
    server.open("/fragile").expect_echo("and others may come");
    assert_eq!(panics(&server), 1);
    assert_logged("asked on_open");
}

#[test]
fn a_panic_over_a_close_is_counted_and_leaves_nothing_behind() {
    let server = server();
    let mut other = server.open("/fragile");
    for _ in 0..3 {
        let mut peer = server.open("/fragile?close");
        peer.expect_echo("all is well");
        peer.send(&frame::close(1000, ""));
        peer.expect_close(1000);
    }
    wait_until("three panics", || panics(&server) == 3);
    other.expect_echo("still here");
    let metrics = server.metrics();
    assert_eq!(metrics.sum("ws_connections_active"), 1.0);
    assert_eq!(metrics.sum("ws_slots_used"), 1.0);
    assert_logged("asked on_close");
}
