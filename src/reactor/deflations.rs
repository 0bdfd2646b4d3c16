//! What one reactor counts of compression: messages, their bytes, and contexts of connections.
//! Not the compressing itself.

use super::meters::{Counter, Gauge};

/// One reactor's counts. Bytes are those of payloads, without frame headers.
#[derive(Debug)]
pub struct Deflations {
    /// Connections that agreed on compression.
    pub agreed: Counter,
    /// Those among them that were given shared parameters, since memory for contexts was spent.
    pub fallbacks: Counter,
    /// Messages compressed to be sent; a broadcast counts once for each set of parameters.
    pub compressed: Counter,
    /// Messages that would not have become smaller, and stayed as they were.
    pub incompressible: Counter,
    /// Messages that stayed as they were because a turn had compressed enough.
    pub left_plain: Counter,
    /// Bytes of compressed messages before.
    pub compressed_from: Counter,
    /// Bytes of compressed messages after.
    pub compressed_to: Counter,
    /// Messages received compressed, and inflated.
    pub inflated: Counter,
    /// Bytes of inflated messages as they came.
    pub inflated_from: Counter,
    /// Bytes of inflated messages after.
    pub inflated_to: Counter,
    /// Connections that have, or may come to have, contexts of their own.
    pub contexts: Gauge,
    /// Bytes that these contexts are charged with.
    pub context_bytes: Gauge,
}

impl Deflations {
    pub(super) const fn new() -> Self {
        Deflations {
            agreed: Counter::new(),
            fallbacks: Counter::new(),
            compressed: Counter::new(),
            incompressible: Counter::new(),
            left_plain: Counter::new(),
            compressed_from: Counter::new(),
            compressed_to: Counter::new(),
            inflated: Counter::new(),
            inflated_from: Counter::new(),
            inflated_to: Counter::new(),
            contexts: Gauge::new(),
            context_bytes: Gauge::new(),
        }
    }
}
