//! A bound on bytes for the whole process, charged by all reactors.
//! Not for choosing who pays: a reactor that finds it overspent sheds its own largest.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes charged against a limit that may change while it is in use.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Budget { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// Adds `bytes`; the bound is enforced after the turn, not here.
    pub fn charge(&self, bytes: usize) {
        self.used.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds `bytes` if they fit. False, and nothing added, if not.
    pub fn charge_if_it_fits(&self, bytes: usize) -> bool {
        let fits = |used: u64| used.checked_add(bytes as u64).filter(|used| *used <= self.limit());
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Gives `bytes` back.
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes charged now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound in bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the bound.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// True while more is charged than allowed.
    pub fn is_overspent(&self) -> bool {
        self.used() > self.limit()
    }
}
