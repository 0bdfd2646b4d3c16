//! An encoded frame, as outboxes hold it: one connection's own, or shared by many.
//! Not for encoding: `proto` made the bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::budget::Budget;

/// Encoded bytes of one frame, cheap to clone.
#[derive(Clone, Debug)]
pub struct Frame(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Own(Bytes),
    Shared(Arc<Shared>),
}

#[derive(Debug)]
struct Shared {
    bytes: Bytes,
    /// In how many outboxes it waits, over all reactors: it is charged while in any.
    holders: AtomicUsize,
}

impl Frame {
    /// A frame for one connection.
    pub fn own(bytes: Bytes) -> Self {
        Frame(Inner::Own(bytes))
    }

    /// A frame for many connections on any reactor; budgets count it once.
    pub fn shared(bytes: Bytes) -> Self {
        Frame(Inner::Shared(Arc::new(Shared { bytes, holders: AtomicUsize::new(0) })))
    }

    /// The bytes to write.
    pub fn bytes(&self) -> &Bytes {
        match &self.0 {
            Inner::Own(bytes) => bytes,
            Inner::Shared(shared) => &shared.bytes,
        }
    }

    /// Length in bytes, header included.
    #[allow(clippy::len_without_is_empty, reason = "a frame has at least a header")]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Counts it as waiting in one more outbox.
    pub(super) fn charge(&self, budget: &Budget) {
        let is_first = match &self.0 {
            Inner::Own(_) => true,
            Inner::Shared(shared) => shared.holders.fetch_add(1, Ordering::Relaxed) == 0,
        };
        if is_first {
            budget.charge(self.len());
        }
    }

    /// Undoes one `charge`.
    pub(super) fn release(&self, budget: &Budget) {
        let is_last = match &self.0 {
            Inner::Own(_) => true,
            Inner::Shared(shared) => shared.holders.fetch_sub(1, Ordering::Relaxed) == 1,
        };
        if is_last {
            budget.release(self.len());
        }
    }
}
