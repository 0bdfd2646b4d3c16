//! Peers that behave well for as long as the network lets them.
//! Not for what becomes of them; each test says that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::harness::{Event, Frame, Herd, PATIENCE, RawClient, Server, frame, ms};
use crate::netns::Namespace;

/// Upgraded peers of one host. A thread reads what comes and answers each ping at once.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Herd>>,
}

impl Crowd {
    /// So many peers on a host, on `path`.
    pub fn gather(server: &Server, host: &Namespace, path: &str, count: usize) -> Self {
        let mut herd = host.within(|| Herd::connect(server, path, count));
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !seen.load(Relaxed) {
                herd.run(ms(20), true);
            }
            herd
        });
        Crowd { stop, thread: Some(thread) }
    }

    /// Has them stop answering, their sockets still open: how many saw their connection end, and
    /// the peers.
    pub fn halt(mut self) -> (usize, Herd) {
        let herd = self.join().expect("it was not halted before");
        (herd.gone, herd)
    }

    /// All of them leave; asserts that none had its connection ended before.
    pub fn leave_unharmed(self) {
        let (gone, herd) = self.halt();
        assert_eq!(gone, 0, "nobody alive is reaped");
        drop(herd);
    }

    fn join(&mut self) -> Option<Herd> {
        self.stop.store(true, Relaxed);
        let herd = self.thread.take()?.join();
        Some(herd.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.join();
        }
        self.stop.store(true, Relaxed);
    }
}

/// One peer that talks without a pause and waits for each echo.
pub struct Talker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Talker {
    /// A talker on a host.
    pub fn start(server: &Server, host: &Namespace) -> Self {
        let mut peer = host.within(|| RawClient::open(server, "/echo"));
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut echoes = 0;
            while !seen.load(Relaxed) {
                peer.send(&frame::text("all is well"));
                assert_eq!(next_message(&mut peer), b"all is well");
                echoes += 1;
                std::thread::sleep(ms(5));
            }
            echoes
        });
        Talker { stop, thread }
    }

    /// Has it leave: how often it was answered. Panics if it ever was not.
    pub fn leave(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The next message, however long it takes, while each ping is answered.
pub fn next_message(peer: &mut RawClient) -> Vec<u8> {
    let end = Instant::now() + 2 * PATIENCE;
    loop {
        match peer.next(ms(200)) {
            Event::Frame(Frame { first: frame::PING, payload }) => {
                peer.send(&frame::frame(frame::PONG, &payload));
            }
            Event::Frame(frame) => return frame.payload,
            Event::Nothing => assert!(Instant::now() < end, "no message came"),
            other => panic!("who lives is not reaped: {other:?}"),
        }
    }
}

/// Sends everyone on `/broadcast` so many messages of that many bytes, from the server's own host.
pub fn tell_all(server: &Server, messages: usize, size: usize) {
    let mut peer = RawClient::open(server, "/broadcast");
    for _ in 0..messages {
        peer.send(&frame::binary(&vec![7; size]));
        next_message(&mut peer);
    }
    peer.send(&frame::close(1000, ""));
    peer.expect_close(1000);
}
