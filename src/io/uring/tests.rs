//! The kernel's ring itself, where this process may have one.
//! Not the driver over it, nor servers: those tests have a ring by a script, or whole processes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::*;
use crate::io::Part;
use crate::io::completion::CompletionDriver;

/// A driver over a ring that accepts at that address; `None` where io_uring can't be had.
fn ringed() -> Option<(CompletionDriver<KernelRing>, SocketAddr)> {
    let support = match support() {
        Ok(support) => support,
        Err(why) => {
            eprintln!("left out: {why}");
            return None;
        }
    };
    let settings = Settings { buffers: 1 << 16, descriptors: 64 };
    let (seed, _) = Seed::new(settings, support).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
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

/// Somebody who has connected, and the ring's end.
fn connect(ring: &mut KernelRing, address: SocketAddr) -> (TcpStream, File) {
    let client = TcpStream::connect(address).unwrap();
    ring.push(Id::Accept(0), Op::Accept { listener: 0, waits: true });
    ring.wait(None).unwrap();
    match ring.reap().map(|completion| completion.outcome) {
        Some(Outcome::Accepted(file, _)) => (client, file),
        other => panic!("nobody was accepted: {other:?}"),
    }
}

#[test]
fn more_sends_than_the_completion_queue_holds_are_all_told_that_were_not_taken() {
    const SENDS: u32 = 20_000;
    let Some((mut driver, address)) = ringed() else { return };
    let ring = driver.ring();
    let (_client, file) = connect(ring, address);
    let much = bytes::Bytes::from(vec![0; 1 << 16]);
    while ring.send(file, &[IoSlice::new(&much)]).is_ok() {}
    for ticket in 0..SENDS {
        ring.push(Id::Send(ticket), Op::Send(file, Part::new(&much[..1], Some(&much))));
    }
    ring.submit();
    let told: Vec<_> = std::iter::from_fn(|| ring.reap()).map(|completion| completion.id).collect();
    let expected: Vec<_> = (0..SENDS).map(Id::Send).collect();
    assert!(told == expected, "{} of {SENDS} told, or not in order", told.len());
}

#[test]
fn a_send_that_fills_the_submission_queue_keeps_its_bytes_for_the_next_one() {
    let Some((mut driver, address)) = ringed() else { return };
    let ring = driver.ring();
    let (mut client, file) = connect(ring, address);
    // The queue is full before the one in the middle.
    let sends = [vec![b"few".as_slice(); 1024], vec![b"one"], vec![&[b'x'; 100]; 60]].concat();
    for (ticket, bytes) in (0..).zip(&sends) {
        // The ring alone keeps it.
        let owner = bytes::Bytes::copy_from_slice(bytes);
        ring.push(Id::Send(ticket), Op::Send(file, Part::new(&owner, Some(&owner))));
    }
    ring.submit();
    assert!(ring.reap().is_none(), "all of it was taken");
    let expected = sends.concat();
    let mut received = vec![0; expected.len()];
    client.read_exact(&mut received).unwrap();
    assert!(received == expected, "other bytes have come");
    assert_eq!(ring.counts().queue_full, 1);
}

#[test]
fn what_is_there_is_received_without_a_buffer_of_the_pool_and_without_waiting() {
    let Some((mut driver, address)) = ringed() else { return };
    let ring = driver.ring();
    let (mut client, file) = connect(ring, address);
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

/// Else the reactor would sleep on its mail: who has woken it once does not do so again before it has
/// read it.
#[test]
fn who_wakes_a_reactor_during_a_look_has_woken_it_from_its_next_wait() {
    let Some((mut driver, _)) = ringed() else { return };
    let ring = driver.ring();
    let waker = ring.waker.clone();
    ring.wait(Some(Duration::ZERO)).unwrap();
    assert!(ring.reap().is_none() && !ring.is_woken);
    waker.wake_by_eventfd();
    ring.look();
    assert!(ring.reap().is_none() && ring.is_woken, "nothing but the wake was there");
    ring.wait(None).unwrap();
    assert!(ring.reap().is_none() && !ring.is_woken, "it did not wait, and waits the next time");
    ring.waker.wake();
    ring.wait(None).unwrap();
    assert!(ring.reap().is_none() && !ring.is_woken, "nor where it has woken itself");
}
