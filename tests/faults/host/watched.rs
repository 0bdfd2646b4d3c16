//! A server whose state before any fault is known, and what must be true of it after: it is as it
//! was, and the kernel keeps nothing for it.
//! Not for what a fault itself must lead to; each test says that.

use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use crate::aftermath::{Baseline, nothing_is_due, nothing_is_left};
use crate::harness::sockets::{self, Socket, State};
use crate::harness::{PATIENCE, Server, ms};

/// A server that is watched from its start on.
#[derive(Debug)]
pub struct Watched {
    server: Server,
    baseline: Baseline,
}

impl Watched {
    /// A server with these flags, on one address and ports of the kernel's choice.
    pub fn start(flags: &[&str]) -> Self {
        Self::over(Server::start(flags))
    }

    /// A server that was just started.
    pub fn over(server: Server) -> Self {
        let baseline = Baseline::of(&server);
        Watched { server, baseline }
    }

    /// Has errors that contain this text in the log be as they should.
    pub fn expecting_errors(mut self, text: &'static str) -> Self {
        self.baseline.expected_error = Some(text);
        self
    }

    /// Asserts, after all peers have let go, that nothing is left of them and that it serves.
    /// `longest` is the longest deadline that any of them had: the wheel has no entry after it.
    /// Other tests may have the machine while that is waited for.
    pub fn aftermath(mut self, machine: MutexGuard<'_, ()>, longest: Duration) {
        nothing_is_left(&self.server, &self.baseline, PATIENCE);
        drop(machine);
        nothing_is_due(&mut self.server, &self.baseline, longest);
    }

    /// Asserts that within `limit` no socket of the server's port is in CLOSE_WAIT, has been left to
    /// the kernel with something unsent, or belongs to nobody. To be asked while the peers still
    /// hold their ends, since their going away would tidy up after the server.
    pub fn assert_no_strays(&self, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            let strays: Vec<_> = self.sockets().into_iter().filter(is_stray).collect();
            if strays.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{} strays, such as {:?}", strays.len(), strays[0]);
            std::thread::sleep(ms(50));
        }
    }

    /// What the kernel has of its connections, after its end too.
    pub fn sockets(&self) -> Vec<Socket> {
        sockets::connections_here(&[self.server.address().port()])
    }
}

/// A socket that keeps unsent data or waits for the program or the peer for as long as they please:
/// the server has forgotten it, or let the kernel have it.
fn is_stray(socket: &Socket) -> bool {
    match socket.state {
        State::FinWait1 | State::CloseWait | State::LastAck | State::Closing => true,
        State::Established => !socket.is_owned,
        _ => false,
    }
}

impl Deref for Watched {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
