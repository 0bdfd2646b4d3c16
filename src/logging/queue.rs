//! A queue of log lines between many threads that never wait and one that writes.
//! Not for anything that must arrive: when it is full, lines are dropped.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long to let be when the output would block although it was written to without a limit: some
/// other process that shares it has made it non-blocking.
const BLOCKED_PAUSE: Duration = Duration::from_millis(10);

/// A buffer that a burst has grown beyond this is given back once it is written out.
const KEPT_BYTES: usize = 64 * 1024;

/// Lines on their way to the output, bounded in bytes.
#[derive(Debug)]
pub(super) struct Queue {
    limit: usize,
    lines: Mutex<Lines>,
    /// Signalled when there is something to write, or the queue is closed.
    filled: Condvar,
    /// Signalled when something was written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    /// Whole lines, at most `limit` bytes.
    waiting: Vec<u8>,
    /// How many bytes were ever queued.
    queued: u64,
    /// How many of those were written, or given up by an output that failed.
    written: u64,
    /// How many lines were ever dropped.
    dropped: u64,
    /// How many of those were told of.
    told: u64,
    closed: bool,
}

impl Queue {
    /// An empty queue that holds at most so many bytes, and as many again while they are written.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, lines: Mutex::default(), filled: Condvar::new(), written: Condvar::new() }
    }

    /// Adds a line, or drops and counts it when it does not fit. Waits for nothing but other
    /// threads' copying of a line.
    pub(super) fn push(&self, line: &[u8]) {
        let mut lines = self.lock();
        if line.len() > self.limit - lines.waiting.len() {
            lines.dropped += 1;
            return;
        }
        lines.waiting.extend_from_slice(line);
        lines.queued += line.len() as u64;
        drop(lines);
        self.filled.notify_one();
    }

    /// How many lines were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until what is queued now is written, for `within` at most; tells whether it was.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let lines = self.lock();
        let target = lines.queued;
        let until = Instant::now() + within;
        let mut lines = lines;
        while lines.written < target {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            lines = match self.written.wait_timeout(lines, left) {
                Ok((lines, _)) => lines,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }

    /// Lets the writing thread end once the queue is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Writes lines out as they come, until the queue is closed; runs on a thread of its own.
    ///
    /// `tell` is called, with the queue open, when lines were dropped since it was called last.
    pub(super) fn write_out(&self, mut output: impl Write, tell: impl Fn(u64)) {
        let mut taken = Vec::new();
        while let Some(dropped) = self.take(&mut taken) {
            write_patiently(&mut output, &taken);
            let mut lines = self.lock();
            lines.written += taken.len() as u64;
            drop(lines);
            self.written.notify_all();
            taken.clear();
            taken.shrink_to(KEPT_BYTES);
            if dropped > 0 {
                tell(dropped);
            }
        }
    }

    /// Waits for lines and swaps them into `taken`, which is empty. Returns how many more lines
    /// were dropped since the last call, or `None` when the queue is closed and empty.
    fn take(&self, taken: &mut Vec<u8>) -> Option<u64> {
        let mut lines = self.lock();
        while lines.waiting.is_empty() && !lines.closed {
            lines = self.filled.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        if lines.waiting.is_empty() {
            return None;
        }
        std::mem::swap(&mut lines.waiting, taken);
        let dropped = lines.dropped - lines.told;
        lines.told = lines.dropped;
        Some(dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it, however long that takes; gives up where the output has failed for good, since
/// there is nobody left to tell.
fn write_patiently(output: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return,
            Ok(count) => bytes = &bytes[count..],
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => thread::sleep(BLOCKED_PAUSE),
                _ => return,
            },
        }
    }
    let _ = output.flush();
}
