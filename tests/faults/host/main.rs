//! Faults of the host, on the real binary: bad peers in thousands, stopped processes, clocks that
//! jump, limits that bite. Each test says what must follow, and asks the kernel as well as the
//! server whether it did.
//! Not for faults of the network, which need namespaces of their own.

#[path = "../aftermath.rs"]
mod aftermath;
#[path = "../../harness/mod.rs"]
mod harness;

mod crowd;
mod healthy;
mod numbered;
mod watched;

mod descriptors;
mod drain;
mod full_minute;
mod garbage;
mod killed;
mod loris;
mod memory;
mod orphans;
mod readers;
mod signals;
mod silent;
mod stalled_log;
mod stopped;
mod wall_clock;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a deadline may be late by while thousands fall due together and other programs run.
const LATE: Duration = Duration::from_secs(2);

/// One test at a time has the machine; only the one that mostly waits runs beside others.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
