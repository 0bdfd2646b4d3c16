//! The heartbeat floor as a process: what it sends, to whom, and that an answer brings the next.
//! Not its schedule, tick by tick; that is proven where the buckets are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const PING: [u8; 2] = [0x89, 0];
const PONG: [u8; 6] = [0x8a, 0x80, 1, 2, 3, 4];

/// A generous bound for what takes milliseconds.
const LONG: Duration = Duration::from_secs(20);

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(more: &[&str]) -> Server {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
        let address = free.expect("a free port");
        let process = Command::new(env!("CARGO_BIN_EXE_tcp-heartbeat"))
            .args(["--listen", &address.to_string(), "--interval", "80ms"])
            .args(more)
            .spawn()
            .expect("the floor starts");
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        let begun = Instant::now();
        loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(LONG)).expect("a timeout");
                    return stream;
                }
                Err(error) if begun.elapsed() > LONG => panic!("it does not listen: {error}"),
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn expect_ping(stream: &mut TcpStream) {
    let mut bytes = [0; 2];
    stream.read_exact(&mut bytes).expect("a ping comes");
    assert_eq!(bytes, PING);
}

#[test]
fn every_answer_brings_the_next_ping_on_every_thread() {
    let server = Server::start(&["--threads", "2", "--private-descriptors"]);
    let mut streams: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for _ in 0..4 {
        for stream in &mut streams {
            expect_ping(stream);
            stream.write_all(&PONG).expect("it reads");
        }
    }
}

#[test]
fn who_does_not_answer_is_pinged_once_and_kept() {
    let server = Server::start(&[]);
    let (mut silent, mut other) = (server.connect(), server.connect());
    for _ in 0..5 {
        expect_ping(&mut other);
        other.write_all(&PONG).expect("it reads");
    }
    expect_ping(&mut silent);
    silent.set_nonblocking(true).expect("non-blocking");
    let nothing = silent.read(&mut [0; 2]).expect_err("no second ping");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_slot_that_changes_hands_keeps_nothing_of_the_one_before() {
    let server = Server::start(&[]);
    for _ in 0..200 {
        drop(server.connect());
    }
    let mut last = server.connect();
    expect_ping(&mut last);
    last.write_all(&PONG).expect("it reads");
    expect_ping(&mut last);
}
