//! One connection's TLS: ciphertext in, plaintext out, and the other way round.
//! Not for sockets or queues, nor for time: the caller has those, and holds what is not a whole
//! record yet.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use rustls::ServerConfig;

use super::Failure;
use super::record::{HANDSHAKE, HEADER, record_length};
use super::shaking::{Handshake, Shaking, Step};
use super::traffic::Traffic;

/// Where a connection's TLS is in its life.
#[derive(Default)]
pub struct Session(Stage);

enum Stage {
    /// No whole record has come; perhaps a part of one.
    Fresh {
        has_heard: bool,
    },
    Shaking(Box<Shaking>),
    Open(Box<Traffic>),
    /// Nothing more is sealed or opened: all is said, or it has failed.
    Over {
        was_open: bool,
    },
}

impl Default for Stage {
    fn default() -> Self {
        Stage::Fresh { has_heard: false }
    }
}

/// What ends the stream of what a peer sends.
#[derive(Debug, PartialEq)]
pub enum End {
    /// It has said that nothing more will come.
    Closed,
    /// It speaks HTTP and no TLS.
    PlainHttp,
    /// It has failed; the alert that says so is among what is to be sent.
    Failed(Failure),
}

/// What received bytes came to.
#[derive(Debug, Default)]
pub struct Unsealed {
    /// Plaintext of records that had begun to come before.
    pub first: Vec<u8>,
    /// Where the plaintext behind it stands in the bytes that were given.
    pub plain: Range<usize>,
    /// To be sent, ahead of anything that is sealed from now on.
    pub wire: Vec<u8>,
    /// What is held began with these bytes.
    pub has_begun: bool,
    /// A record of a handshake is whole and was not looked at, since it was not its turn. All that
    /// came is held.
    pub is_postponed: bool,
    /// The handshake is done.
    pub handshake: Option<Handshake>,
    /// Nothing more will come; what is behind it was not looked at.
    pub end: Option<End>,
}

impl Session {
    /// True until the handshake is done or has failed: nothing can be sealed yet.
    pub fn is_shaking(&self) -> bool {
        matches!(self.0, Stage::Fresh { .. } | Stage::Shaking(_))
    }

    /// True until a whole record has come and been looked at.
    pub fn is_fresh(&self) -> bool {
        matches!(self.0, Stage::Fresh { .. })
    }

    /// True if data can be sealed.
    pub fn is_open(&self) -> bool {
        matches!(self.0, Stage::Open(_))
    }

    /// True if a handshake was begun and has not been done, however that came.
    pub fn came_to_nothing(&self) -> bool {
        let has_heard = !matches!(self.0, Stage::Fresh { has_heard: false });
        has_heard && !self.is_open() && !matches!(self.0, Stage::Over { was_open: true })
    }

    fn end(&mut self) {
        let was_open = matches!(self.0, Stage::Open(_) | Stage::Over { was_open: true });
        self.0 = Stage::Over { was_open };
    }

    /// True if it is time to close, since soon nothing more can be sealed.
    pub fn is_nearly_exhausted(&self) -> bool {
        matches!(&self.0, Stage::Open(traffic) if traffic.is_nearly_exhausted())
    }

    /// True once data has been sealed.
    pub fn has_spoken(&self) -> bool {
        matches!(&self.0, Stage::Open(traffic) if traffic.has_spoken)
    }

    /// Takes in ciphertext. Plaintext stands where it came from; what is not a whole record is moved
    /// to `held` and is to be given again. `config` is asked for when the handshake begins, and
    /// `may_go_on` before each of its records, since any may cost a signature.
    pub fn unseal(
        &mut self,
        held: &mut Vec<u8>,
        bytes: &mut [u8],
        config: impl Fn() -> Arc<ServerConfig>,
        mut may_go_on: impl FnMut() -> bool,
    ) -> Unsealed {
        let mut out = Unsealed::default();
        let mut at = 0;
        if let Stage::Fresh { has_heard } = &mut self.0 {
            *has_heard |= !bytes.is_empty();
        }
        while self.is_shaking() && out.end.is_none() {
            match self.shake(held, bytes, &mut at, &mut out, (&config, &mut may_go_on)) {
                Ok(true) => {}
                Ok(false) => return out,
                Err(failure) => {
                    if !matches!(failure, Failure::Handshake(_)) {
                        out.wire.extend(failure.plain_alert());
                    }
                    out.end = Some(End::Failed(failure));
                }
            }
        }
        if let Stage::Open(traffic) = &mut self.0 {
            if let Err(failure) = open(traffic, held, bytes, at, &mut out) {
                out.end = Some(End::Failed(failure));
            }
            if let Some(End::Failed(failure)) = &out.end
                && let Some(alert) = failure.alert()
            {
                // Without it the peer is told nothing, and sees the connection end all the same.
                let _ = traffic.seal_alert(alert, &mut out.wire);
            }
        }
        if matches!(out.end, Some(End::Failed(_) | End::PlainHttp)) {
            self.end();
        }
        if out.end.is_some() || held.is_empty() {
            // Its room too: an idle connection has none.
            *held = Vec::new();
        }
        out
    }

    /// Gives rustls one record more. False if it has not all come, or must wait.
    fn shake(
        &mut self,
        held: &mut Vec<u8>,
        bytes: &[u8],
        at: &mut usize,
        out: &mut Unsealed,
        (config, may_go_on): (impl Fn() -> Arc<ServerConfig>, impl FnOnce() -> bool),
    ) -> Result<bool, Failure> {
        let begin = match &self.0 {
            Stage::Shaking(shaking) => shaking.seen(),
            _ => match held.first().or(bytes.first()) {
                None => return Ok(false),
                Some(&HANDSHAKE) => 0,
                Some(first) if first.is_ascii_uppercase() => {
                    out.end = Some(End::PlainHttp);
                    return Ok(true);
                }
                Some(_) => return Err(Failure::NotTls),
            },
        };
        let Some(end) = complete(held, begin, bytes, at)? else { return Ok(false) };
        if !may_go_on() {
            let rest = bytes.get(*at..).unwrap_or_default();
            held.reserve_exact(rest.len());
            held.extend_from_slice(rest);
            *at = bytes.len();
            (out.is_postponed, out.has_begun) = (true, true);
            return Ok(false);
        }
        let shaking = match mem::take(&mut self.0) {
            Stage::Shaking(shaking) => shaking,
            _ => Box::new(Shaking::new(config())?),
        };
        let (rest, step) = shaking.step(held, end, &mut out.wire)?;
        match step {
            Step::Waiting => self.0 = rest.map_or(Stage::Over { was_open: false }, Stage::Shaking),
            Step::Closed => {
                self.0 = Stage::Over { was_open: false };
                out.end = Some(End::Closed);
            }
            Step::Done(traffic, handshake) => {
                self.0 = Stage::Open(traffic);
                out.handshake = Some(handshake);
            }
        }
        Ok(true)
    }

    /// Seals data behind what `out` holds, as records that must be sent in this order.
    ///
    /// # Errors
    /// The key is used up, or there is none.
    pub fn seal<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        match &mut self.0 {
            Stage::Open(traffic) => traffic.seal(parts, out),
            _ => Err(Failure::Internal("no key to seal with")),
        }
    }

    /// Says that nothing more will come, behind what `out` holds; then nothing more does. The keys
    /// are let go.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Stage::Open(traffic) = &mut self.0 {
            // Where it can't be sealed the peer sees the end of the stream alone.
            let _ = traffic.seal_close_notify(out);
        }
        self.end();
    }

    /// Tells the peer of a failure of ours, behind what `out` holds; then nothing more.
    pub fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        if let (Stage::Open(traffic), Some(alert)) = (&mut self.0, failure.alert()) {
            let _ = traffic.seal_alert(alert, out);
        }
        self.end();
    }

    #[cfg(test)]
    pub(super) fn traffic(&mut self) -> &mut Traffic {
        match &mut self.0 {
            Stage::Open(traffic) => traffic,
            _ => panic!("the handshake is not done"),
        }
    }
}

/// Moves bytes from `bytes` to `held` until the record that begins there at `begin` is whole; where
/// it ends then.
fn complete(
    held: &mut Vec<u8>,
    begin: usize,
    bytes: &[u8],
    at: &mut usize,
) -> Result<Option<usize>, Failure> {
    loop {
        let length = record_length(held.get(begin..).unwrap_or_default())?;
        let end = begin.saturating_add(length.unwrap_or(HEADER));
        let missing = end.saturating_sub(held.len());
        if length.is_some() && missing == 0 {
            return Ok(Some(end));
        }
        let rest = bytes.get(*at..).unwrap_or_default();
        let now = rest.get(..missing).unwrap_or(rest);
        if now.is_empty() {
            return Ok(None);
        }
        held.extend_from_slice(now);
        *at = at.saturating_add(now.len());
    }
}

/// Opens what is held and, once the record that ended it is whole, what came behind it.
fn open(
    traffic: &mut Traffic,
    held: &mut Vec<u8>,
    bytes: &mut [u8],
    mut at: usize,
    out: &mut Unsealed,
) -> Result<(), Failure> {
    if !held.is_empty() {
        let mut begin = 0;
        while begin < held.len() {
            match complete(held, begin, bytes, &mut at)? {
                Some(end) => begin = end,
                None => break,
            }
        }
        let run = traffic.open(held);
        out.has_begun = run.taken > 0;
        let rest = held.split_off(run.taken.min(held.len()));
        out.first = mem::replace(held, rest);
        out.first.truncate(run.plain);
        out.end = run.end;
        if out.end.is_some() {
            return Ok(());
        }
    }
    let rest = bytes.get_mut(at..).unwrap_or_default();
    let run = traffic.open(rest);
    out.plain = at..at.saturating_add(run.plain);
    out.end = run.end;
    let unfinished = rest.get(run.taken..).unwrap_or_default();
    if !unfinished.is_empty() {
        out.has_begun |= held.is_empty();
        held.reserve_exact(unfinished.len());
        held.extend_from_slice(unfinished);
    }
    Ok(())
}
