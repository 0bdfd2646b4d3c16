//! One reactor's tokens and listener, as the simulated kernel keeps them.
//! Not the calls on them: those are the driver's.

use std::collections::VecDeque;

use pulsewheel::io::{Accepting, Done, Token};

use crate::kernel::Kernel;
use crate::net::SocketId;

/// A listener, the sockets under their tokens, and the lists that a readiness driver keeps.
pub struct Port {
    /// What `now` says: the world's time as of the last wait, and what the turn took since.
    pub clock: u64,
    /// Streams that wait to be accepted.
    pub queue: VecDeque<SocketId>,
    pub accepting: Accepting,
    pub stopping: bool,
    /// Just accepted, neither adopted nor refused.
    pub pending: Option<SocketId>,
    table: Vec<Option<(u32, SocketId)>>,
    /// Tokens whose adoption failed and that will be closed all the same.
    pub stillborn: Vec<Token>,
    pub open: usize,
    /// Descriptors that there are, and until when there are none.
    pub descriptors: usize,
    pub starved_until: u64,
    pub ready: VecDeque<SocketId>,
    pub ready_left: usize,
    pub accepts_left: usize,
    pub writable: VecDeque<Token>,
    pub stale: VecDeque<Done>,
    /// Things done and bytes sent, ever: a turn without any had nothing to do.
    pub progress: u64,
    /// Since when somebody waits who could be accepted.
    pub kept_waiting: Option<u64>,
    /// Turned away on accept.
    pub refused: u64,
    /// The wait that the reactor asked for.
    pub asked: Option<u64>,
    /// What there is for a ring, if the reactor has one.
    pub kernel: Option<Box<Kernel>>,
}

impl Port {
    pub fn new(now: u64) -> Self {
        Port {
            clock: now,
            queue: VecDeque::new(),
            accepting: Accepting::On,
            stopping: false,
            pending: None,
            table: Vec::new(),
            stillborn: Vec::new(),
            open: 0,
            descriptors: usize::MAX,
            starved_until: 0,
            ready: VecDeque::new(),
            ready_left: 0,
            accepts_left: 0,
            writable: VecDeque::new(),
            stale: VecDeque::new(),
            progress: 0,
            kept_waiting: None,
            refused: 0,
            asked: None,
            kernel: None,
        }
    }

    /// The socket of that token.
    pub fn find(&self, token: Token) -> Option<SocketId> {
        let (generation, socket) = (*self.table.get(token.index as usize)?)?;
        (generation == token.generation).then_some(socket)
    }

    /// Puts a socket under a token. False if the slot has one already.
    pub fn insert(&mut self, token: Token, socket: SocketId) -> bool {
        let index = token.index as usize;
        if self.table.len() <= index {
            self.table.resize(index + 1, None);
        }
        self.table[index].replace((token.generation, socket)).is_none()
    }

    /// Takes a socket out.
    pub fn remove(&mut self, token: Token) -> Option<SocketId> {
        let socket = self.find(token)?;
        self.table[token.index as usize] = None;
        Some(socket)
    }

    /// Sockets under tokens.
    pub fn sockets(&self) -> impl Iterator<Item = SocketId> {
        self.table.iter().flatten().map(|(_, socket)| *socket)
    }

    /// True if a wait would not wait.
    pub fn is_busy(&self) -> bool {
        if let Some(kernel) = &self.kernel {
            return kernel.is_busy();
        }
        let can_accept = !self.queue.is_empty() && self.accepting == Accepting::On;
        !self.ready.is_empty() || !self.writable.is_empty() || !self.stale.is_empty() || can_accept
    }

    /// How long somebody has waited who could have been accepted, in microseconds.
    pub fn keeps_waiting(&mut self, now: u64) -> u64 {
        let has_room = self.open < self.descriptors && self.starved_until <= now;
        if self.queue.is_empty() || !has_room {
            self.kept_waiting = None;
            return 0;
        }
        now - *self.kept_waiting.get_or_insert(now)
    }

    /// Closes the listener once its queue is empty.
    pub fn finish_listening(&mut self) {
        if self.stopping && self.queue.is_empty() && self.accepting == Accepting::On {
            self.accepting = Accepting::Over;
        }
    }
}
