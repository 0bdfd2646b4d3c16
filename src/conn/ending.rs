//! The end of a connection: begun by either side, and what is given up at it.
//! Not for its deadlines, nor for why it ends: the reactor brings the reason.

use super::{CloseReason, Conn, Limits, Phase, Tick, flag};

impl Conn {
    /// Our close frame is queued; the peer's is awaited. What is held comes back, to be decoded
    /// before what comes next.
    #[must_use]
    pub fn begin_closing(&mut self, reason: CloseReason) -> Vec<u8> {
        self.set_reason(reason);
        self.phase = Phase::Closing;
        self.active.as_mut().map(|active| std::mem::take(&mut active.held)).unwrap_or_default()
    }

    /// The last bytes to the peer are queued; what it still sends is discarded.
    pub fn begin_lingering(&mut self, reason: CloseReason) {
        self.set_reason(reason);
        self.phase = Phase::Lingering;
        self.forget_unfinished();
    }

    /// The first reason is the one that counts.
    fn set_reason(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
    }

    /// Gives up what has come of a head, frame or message.
    pub fn forget_unfinished(&mut self) {
        if let Some(active) = &mut self.active {
            active.held = Vec::new();
            active.record = Vec::new();
            active.partial = None;
        }
    }

    /// The outbox of a closing connection has run empty: the close deadline starts.
    pub fn start_close_clock(&mut self, now: Tick, limits: &Limits) {
        if matches!(self.phase, Phase::Closing | Phase::Lingering) {
            let due = now.plus(limits.close);
            self.active.get_or_insert_default().close_due.get_or_insert(due);
        }
    }

    /// Notes the peer's FIN. True the first time.
    pub fn peer_is_done(&mut self) -> bool {
        let first = !self.has(flag::PEER_DONE);
        self.flags |= flag::PEER_DONE;
        first
    }

    /// True once the peer's FIN has come.
    pub fn is_peer_done(&self) -> bool {
        self.has(flag::PEER_DONE)
    }

    /// Notes that our side was shut. True the first time.
    pub fn shut(&mut self) -> bool {
        let first = !self.has(flag::SHUT);
        self.flags |= flag::SHUT;
        first
    }

    /// Keeps the peer's end for after what is held.
    pub fn keep_end(&mut self) {
        self.flags |= flag::END_WAITS;
    }

    /// Takes that end out. True if there was one.
    pub fn take_end(&mut self) -> bool {
        let had = self.has(flag::END_WAITS);
        self.flags &= !flag::END_WAITS;
        had
    }
}
