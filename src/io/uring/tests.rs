//! The kernel's ring itself, where this process may have one.
//! Not the driver over it, nor servers: those tests have a ring by a script, or whole processes.

use std::io::Write;
use std::net::TcpStream;

use super::*;
use crate::io::completion::CompletionDriver;

/// A driver over a ring that accepts at that address; `None` where io_uring can't be had.
fn ringed() -> Option<(CompletionDriver<KernelRing>, std::net::SocketAddr)> {
    let support = match support() {
        Ok(support) => support,
        Err(why) => {
            eprintln!("left out: {why}");
            return None;
        }
    };
    let settings = Settings { buffers: 1 << 16, descriptors: 64 };
    let (seed, _) = Seed::new(settings, support).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::tcp(any, Duration::from_secs(10)).unwrap();
    let address = listener.address().unwrap();
    Some((seed.open(Instant::now(), vec![listener], 8).unwrap(), address))
}

/// One more read, until there is something or the stream has ended.
fn read(ring: &mut KernelRing, file: File, buffer: &mut [u8]) -> usize {
    loop {
        match ring.receive(file, buffer) {
            Ok(length) => return length,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        std::thread::yield_now();
    }
}

#[test]
fn what_is_there_is_received_without_a_buffer_of_the_pool_and_without_waiting() {
    let Some((mut driver, address)) = ringed() else { return };
    let ring = driver.ring();
    let mut client = TcpStream::connect(address).unwrap();
    ring.push(Id::Accept(0), Op::Accept { listener: 0, waits: true });
    ring.wait(None).unwrap();
    let Some(Outcome::Accepted(file, _)) = ring.reap().map(|completion| completion.outcome) else {
        panic!("nobody was accepted");
    };
    let mut buffer = [0; 8];
    let nothing = ring.receive(file, &mut buffer).map_err(|error| error.kind());
    assert_eq!(nothing, Err(io::ErrorKind::WouldBlock));
    client.write_all(b"more than fits").unwrap();
    assert_eq!((read(ring, file, &mut buffer), &buffer), (8, b"more tha"));
    assert_eq!((read(ring, file, &mut buffer), &buffer[..6]), (6, &b"n fits"[..]));
    drop(client);
    assert_eq!(read(ring, file, &mut buffer), 0);
    assert_eq!(ring.counts().buffers_lent, 0);
}
