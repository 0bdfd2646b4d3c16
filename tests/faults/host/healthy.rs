//! Good peers that talk while others misbehave: they must not notice.
//! Not for load; a few that talk all the time show enough.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{RawClient, Server, ms};

/// How many talk.
const PEERS: usize = 8;

/// Peers that each have a message echoed, again and again, in a thread of their own.
pub struct Healthy {
    stop: Arc<AtomicBool>,
    talk: JoinHandle<Talk>,
}

/// How it went.
#[derive(Clone, Copy, Debug)]
struct Talk {
    echoes: u64,
    longest: Duration,
}

impl Healthy {
    /// Peers that begin to talk now.
    pub fn talk(server: &Server) -> Self {
        Self::talk_to(server.address())
    }

    /// As [`talk`](Self::talk), where only the address is known.
    pub fn talk_to(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let peers: Vec<_> = (0..PEERS)
            .map(|_| RawClient::try_connect(address).expect("it listens").upgraded("/echo"))
            .collect();
        let until = Arc::clone(&stop);
        Healthy { stop, talk: std::thread::spawn(move || talk(peers, &until)) }
    }

    /// Ends the talk. Asserts that every echo came, there were some, and none took longer than
    /// `limit`.
    pub fn assert_undisturbed(self, limit: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let talk = self.talk.join().expect("every echo comes back in order");
        eprintln!("{} echoes beside it, the longest took {:?}", talk.echoes, talk.longest);
        assert!(talk.echoes > PEERS as u64, "only {} echoes came", talk.echoes);
        assert!(talk.longest < limit, "an echo took {:?}", talk.longest);
    }
}

fn talk(mut peers: Vec<RawClient>, stop: &AtomicBool) -> Talk {
    let mut talk = Talk { echoes: 0, longest: Duration::ZERO };
    while !stop.load(Ordering::Relaxed) {
        for peer in &mut peers {
            let begun = Instant::now();
            peer.expect_echo(&format!("echo {}", talk.echoes));
            talk.longest = talk.longest.max(begun.elapsed());
            talk.echoes += 1;
        }
        std::thread::sleep(ms(20));
    }
    talk
}
