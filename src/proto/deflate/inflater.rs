//! A compressed message made whole again, never beyond the limit (RFC 7692 section 7.2.2).
//! Not for gathering its frames: it is given all of them.

use zlib_rs::{Inflate, InflateFlush, Status};

use super::super::{Kind, Violation};
use super::{LARGEST_WINDOW, TAIL};

/// Bytes that an inflater takes at most: zlib-rs has the largest window whatever is agreed on, and
/// tables and trees of some 14.5 KiB; and the rest of a page.
pub(crate) const INFLATER_MEMORY: usize = 32 * 1024 + 15 * 1024 + 4096;

/// Output grows by this much at first, in bytes; then it doubles.
const FIRST: usize = 16 * 1024;

/// Streams that may end within a message. One is what some platforms make of a message; each has
/// tables to be set up, which a message full of ends would be a cheap way to ask for.
const ENDS: u32 = 16;

/// An inflater.
pub(crate) struct Inflater {
    inflate: Inflate,
}

/// Where a message stands while it is inflated.
struct Progress {
    /// Bytes of output.
    length: usize,
    /// Those among them that are known to be UTF-8.
    checked: usize,
    ends: u32,
    /// The present stream has ended, and no other has begun.
    is_at_end: bool,
}

impl Inflater {
    /// It takes every window: the client's may be as large as there is.
    pub(crate) fn new() -> Self {
        Inflate::new(false, LARGEST_WINDOW).into()
    }

    /// Inflates a message into `out`, whose content is overwritten: how many bytes that are.
    /// `out` is never made longer than `limit` bytes for it.
    ///
    /// # Errors
    /// [`Violation::TooBig`] when there is a byte beyond the limit, before it is kept;
    /// [`Violation::Utf8`] at the first piece of a text that is none; [`Violation::Deflate`].
    pub(crate) fn inflate(
        &mut self,
        kind: Kind,
        payload: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Violation> {
        let mut progress = Progress { length: 0, checked: 0, ends: 0, is_at_end: false };
        self.feed(kind, payload, limit, out, &mut progress)?;
        if progress.is_at_end {
            self.forget();
        } else {
            self.feed(kind, &TAIL, limit, out, &mut progress)?;
        }
        if kind == Kind::Text && progress.checked != progress.length {
            return Err(Violation::Utf8);
        }
        Ok(progress.length)
    }

    /// Forgets what came before.
    pub(crate) fn forget(&mut self) {
        self.inflate.reset(false);
    }

    fn feed(
        &mut self,
        kind: Kind,
        mut input: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
        progress: &mut Progress,
    ) -> Result<(), Violation> {
        loop {
            if progress.is_at_end && !input.is_empty() {
                progress.is_at_end = false;
                progress.ends = progress.ends.saturating_add(1);
                if progress.ends > ENDS {
                    return Err(Violation::Deflate);
                }
                self.forget();
            }
            if progress.length == out.len() && out.len() < limit {
                let wanted = out.len().saturating_mul(2).max(FIRST).min(limit);
                out.reserve_exact(wanted.saturating_sub(out.len()));
                out.resize(wanted, 0);
            }
            let mut beyond = [0];
            let end = limit.min(out.len());
            let space = out.get_mut(progress.length..end).unwrap_or_default();
            let is_full = space.is_empty();
            let space = if is_full { &mut beyond[..] } else { space };
            let room = space.len();
            let (read, written, is_over) = self.step(input, space)?;
            input = input.get(read..).unwrap_or_default();
            progress.is_at_end = is_over;
            if is_full && written > 0 {
                return Err(Violation::TooBig);
            }
            progress.length = progress.length.saturating_add(written);
            if kind == Kind::Text {
                progress.check(out)?;
            }
            // With room left, what came has given all it has.
            let is_done = written < room && (input.is_empty() || read == 0);
            if is_done && !is_over {
                return if input.is_empty() { Ok(()) } else { Err(Violation::Deflate) };
            }
            if is_over && input.is_empty() {
                return Ok(());
            }
        }
    }

    /// One call of zlib's: bytes read, bytes written, whether the stream has ended.
    fn step(&mut self, input: &[u8], space: &mut [u8]) -> Result<(usize, usize, bool), Violation> {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let outcome = self.inflate.decompress(input, space, InflateFlush::SyncFlush);
        let read = self.inflate.total_in().saturating_sub(read);
        let written = self.inflate.total_out().saturating_sub(written);
        let count = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        match outcome {
            Ok(Status::Ok | Status::BufError) => Ok((count(read), count(written), false)),
            Ok(Status::StreamEnd) => Ok((count(read), count(written), true)),
            Err(_) => Err(Violation::Deflate),
        }
    }
}

impl From<Inflate> for Inflater {
    fn from(inflate: Inflate) -> Self {
        Inflater { inflate }
    }
}

impl Progress {
    /// Checks what has come of a text since; a character that is cut off may be completed yet.
    fn check(&mut self, out: &[u8]) -> Result<(), Violation> {
        let unchecked = out.get(self.checked..self.length).unwrap_or_default();
        let valid = match std::str::from_utf8(unchecked) {
            Ok(_) => unchecked.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(Violation::Utf8),
        };
        self.checked = self.checked.saturating_add(valid);
        Ok(())
    }
}
