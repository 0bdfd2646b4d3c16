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
