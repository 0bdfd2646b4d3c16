//! The chat of `examples/chat.rs`, driven by a client that is not ours.

use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pulsewheel::Server;
use pulsewheel::config::{Config, ListenAddress};
use pulsewheel::server::{Drainer, Ended};
use tungstenite::{Error, Message, WebSocket};

#[path = "../examples/chat.rs"]
#[allow(dead_code, reason = "its main function runs in the example only")]
mod chat;
#[path = "harness/driver.rs"]
mod driver;

/// Far longer than an answer on loopback takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Room {
    address: SocketAddr,
    drainer: Drainer,
    thread: JoinHandle<Ended>,
}

impl Room {
    /// The example's handler on a free port, on two reactors.
    fn open() -> Room {
        let mut config = Config { admin: None, reactors: 2, ..Config::default() };
        config.driver = driver::settings();
        config.drain.window = Duration::ZERO;
        let server = Server::builder().config(config).listen([([127, 0, 0, 1], 0).into()]);
        let running = server.route("/chat", chat::Chat).start().unwrap();
        let [ListenAddress::Tcp(address)] = *running.addresses() else { panic!() };
        let drainer = running.drainer();
        Room { address, drainer, thread: thread::spawn(|| running.run().unwrap()) }
    }

    fn enter(&self, query: &str) -> Result<Guest, Box<Error>> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{}/chat{query}", self.address);
        match tungstenite::client(url, stream) {
            Ok((socket, _)) => Ok(Guest(socket)),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
            Err(interrupted) => panic!("{interrupted}"),
        }
    }

    fn close(self) {
        self.drainer.drain();
        assert_eq!(self.thread.join().unwrap(), Ended::Drained);
    }
}

struct Guest(WebSocket<TcpStream>);

impl Guest {
    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    fn hear(&mut self) -> String {
        self.0.read().unwrap().into_text().unwrap().to_string()
    }
}

#[test]
fn everyone_hears_who_joins_and_what_is_said() {
    let room = Room::open();
    let mut ann = room.enter("?name=ann").unwrap();
    assert_eq!(ann.hear(), "ann has joined");
    let mut bob = room.enter("?name=bob").unwrap();
    assert_eq!((ann.hear(), bob.hear()), ("bob has joined".into(), "bob has joined".into()));
    ann.say("hello");
    assert_eq!((ann.hear(), bob.hear()), ("ann: hello".into(), "ann: hello".into()));
    bob.say("good morning");
    assert_eq!((ann.hear(), bob.hear()), ("bob: good morning".into(), "bob: good morning".into()));
    drop((ann, bob));
    room.close();
}

#[test]
fn who_gives_no_name_stays_outside() {
    let room = Room::open();
    let Err(refusal) = room.enter("") else { panic!("let in without a name") };
    let Error::Http(answer) = *refusal else { panic!("{refusal}") };
    assert_eq!(answer.status(), 400);
    room.close();
}

#[test]
fn binary_messages_are_not_for_this_room() {
    let room = Room::open();
    let mut ann = room.enter("?name=ann").unwrap();
    assert_eq!(ann.hear(), "ann has joined");
    ann.0.send(Message::binary(vec![1, 2, 3])).unwrap();
    let Message::Close(Some(close)) = ann.0.read().unwrap() else { panic!() };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1003, "this room speaks text"));
    drop(ann);
    room.close();
}
