//! What a completion driver counts, for its metrics.
//! Not for what connections do; the reactor counts that.

/// Counts since the start, and two levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Gathered sends that were not taken whole.
    pub short_sends: u64,
    /// Receives that ended because there was no buffer.
    pub no_buffer: u64,
    /// Receives that were cancelled to hold a peer back.
    pub cancelled: u64,
    /// Completions for a connection that had gone.
    pub late: u64,
    /// Requests were handed over early because the submission queue was full.
    pub queue_full: u64,
    /// The completion queue was full, and the kernel kept completions aside.
    pub overflows: u64,
    /// Requests that are with the kernel now.
    pub requests: u64,
    /// Receive buffers that are with the reactor now.
    pub buffers_lent: u64,
}

impl Counts {
    /// What metrics call the events, in the order of [`events`](Self::events).
    pub const EVENTS: [&'static str; 6] = [
        "short_send",
        "no_buffer",
        "receive_cancelled",
        "late_completion",
        "queue_full",
        "completion_overflow",
    ];

    /// How often each event has happened.
    pub fn events(&self) -> [u64; Self::EVENTS.len()] {
        let Counts { short_sends, no_buffer, cancelled, late, queue_full, overflows, .. } = *self;
        [short_sends, no_buffer, cancelled, late, queue_full, overflows]
    }
}
