//! A connection whose handshake is over: its two keys, and what may come besides data.
//! Not for the handshake, nor for holding bytes: those that are not a whole record yet are the
//! caller's.

use std::ops::Range;

use super::Failure;
use super::failure::{CLOSE_NOTIFY, alert};
use super::keys::Half;
use super::record::{ALERT, DATA, HANDSHAKE, Opener, Sealer, Version, record_length};
use super::session::End;

/// Records without data that may come in a row: key updates, alerts that mean nothing, empty ones.
pub(super) const BARREN_LIMIT: u8 = 32;

/// From here on a connection is to be closed in good order: enough is left for what is queued, and for
/// what may come to be sent until the peer is heard of again.
pub(super) const TLS12_ENOUGH: u64 = TLS12_RECORDS / 16 * 15;

/// New keys that a peer may have of its own, beside one for each [`BYTES_PER_UPDATE`] that it sends. A
/// key update costs the server as much as some messages, and is none: who replaces keys in good faith
/// does so after millions of records.
pub(super) const UPDATES: u32 = 32;

/// Bytes of data that allow one key more.
pub(super) const BYTES_PER_UPDATE: u32 = 1 << 20;

/// An AES-GCM key is replaced before it has sealed so many records. RFC 8446 section 5.5 gives 24.5
/// million full ones; this leaves the same margin as others do.
pub(super) const RECORDS_PER_KEY: u64 = 1 << 23;

/// What can't be replaced, under TLS 1.2, may seal so many; a connection that has is closed.
pub(super) const TLS12_RECORDS: u64 = 1 << 24;

/// What is allowed from the beginning, and never exceeded.
const ALLOWANCE: u32 = UPDATES * BYTES_PER_UPDATE;

/// A message that says that the sender's next record has a new key, without the byte that asks for
/// the same (RFC 8446 section 4.6.3).
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];

/// Two keys and little else: what an idle connection keeps.
pub(super) struct Traffic {
    pub read: Half,
    pub write: Half,
    version: Version,
    /// Records without data that came in a row.
    barren: u8,
    /// What a peer may still spend on new keys, in bytes of data.
    allowance: u32,
    /// The peer asks for a new key of ours; it gets it before the next record.
    owes_update: bool,
    /// Data has been sealed.
    pub has_spoken: bool,
}

/// What a run of records came to.
pub(super) struct Run {
    /// Bytes of data, at the front of what was given.
    pub plain: usize,
    /// Bytes of whole records; what is behind them is not a whole record yet.
    pub taken: usize,
    pub end: Option<End>,
}

impl Traffic {
    pub fn new(version: Version, read: Half, write: Half) -> Self {
        let allowance = ALLOWANCE;
        Traffic {
            read,
            write,
            version,
            barren: 0,
            allowance,
            owes_update: false,
            has_spoken: false,
        }
    }

    /// Opens the whole records in `bytes` and moves their data to the front.
    pub fn open(&mut self, bytes: &mut [u8]) -> Run {
        let mut run = Run { plain: 0, taken: 0, end: None };
        if let Err(failure) = self.open_all(bytes, &mut run) {
            run.end = Some(End::Failed(failure));
        }
        run
    }

    fn open_all(&mut self, bytes: &mut [u8], run: &mut Run) -> Result<(), Failure> {
        if whole_record(bytes, 0)?.is_none() {
            return Ok(());
        }
        let mut opener = Opener::new(&mut self.read, self.version)?;
        while let Some(record) = whole_record(bytes, run.taken)? {
            run.taken = record.end;
            let (kind, length) = opener.open(bytes, record, run.plain)?;
            if kind == DATA && length > 0 {
                run.plain = run.plain.saturating_add(length);
                self.barren = 0;
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                self.allowance = self.allowance.saturating_add(length).min(ALLOWANCE);
                continue;
            }
            self.barren = self.barren.saturating_add(1);
            if self.barren > BARREN_LIMIT {
                return Err(Failure::Barren);
            }
            let carried = run.plain..run.plain.saturating_add(length);
            match (kind, bytes.get(carried).unwrap_or_default()) {
                (DATA, _) => {}
                (ALERT, &[_, alert::CLOSE_NOTIFY]) => {
                    run.end = Some(End::Closed);
                    return Ok(());
                }
                (ALERT, &[_, alert::USER_CANCELED]) => {}
                // Under TLS 1.2 those of the level of a warning may be passed over.
                (ALERT, &[1, _]) if self.version == Version::Tls12 => {}
                (ALERT, &[_, number]) => return Err(Failure::PeerAlert(number)),
                (ALERT, _) => return Err(Failure::Malformed),
                (HANDSHAKE, _) if self.version == Version::Tls12 => {
                    return Err(Failure::Renegotiation);
                }
                // It must end its record, since the next one has another key, and is too short to
                // come in pieces.
                (HANDSHAKE, &[24, 0, 0, 1, asks @ (0 | 1)]) => {
                    let left = self.allowance.checked_sub(BYTES_PER_UPDATE);
                    self.allowance = left.ok_or(Failure::TooManyUpdates)?;
                    opener.update()?;
                    self.owes_update |= asks == 1;
                }
                (HANDSHAKE, &[24, ..]) => return Err(Failure::Malformed),
                _ => return Err(Failure::UnexpectedMessage),
            }
        }
        Ok(())
    }

    /// True if the key that seals can't be replaced and will soon be used up.
    pub fn is_nearly_exhausted(&self) -> bool {
        self.version == Version::Tls12
            && self.write.cipher().wears_out()
            && self.write.sequence >= TLS12_ENOUGH
    }

    #[cfg(test)]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Seals data behind what `out` holds.
    ///
    /// # Errors
    /// The key is used up.
    pub fn seal<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        self.has_spoken = true;
        let mut sealer = self.sealer(out)?;
        for part in parts {
            sealer.push(part)?;
        }
        sealer.finish()
    }

    /// Seals an alert, level and number, behind what `out` holds.
    pub fn seal_alert(&mut self, alert: [u8; 2], out: &mut Vec<u8>) -> Result<(), Failure> {
        Sealer::new(&mut self.write, self.version, out)?.message(ALERT, &alert)
    }

    /// Seals the alert that says that nothing more will come.
    pub fn seal_close_notify(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.seal_alert(CLOSE_NOTIFY, out)
    }

    /// What seals the next burst, with a new key where the old one is worn or the peer asks so.
    fn sealer<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Result<Sealer<'a>, Failure> {
        let is_worn = |limit| self.write.cipher().wears_out() && self.write.sequence >= limit;
        match self.version {
            Version::Tls12 if is_worn(TLS12_RECORDS) => return Err(Failure::Exhausted),
            Version::Tls13 if self.owes_update || is_worn(RECORDS_PER_KEY) => {
                let [kind, a, b, c] = KEY_UPDATE;
                let message = [kind, a, b, c, 0];
                Sealer::new(&mut self.write, self.version, out)?.message(HANDSHAKE, &message)?;
                self.write.update()?;
                self.owes_update = false;
            }
            _ => {}
        }
        Sealer::new(&mut self.write, self.version, out)
    }
}

/// Where the record that begins `at` ends, once all of it is there.
fn whole_record(bytes: &[u8], at: usize) -> Result<Option<Range<usize>>, Failure> {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = record_length(rest)?.filter(|length| *length <= rest.len());
    Ok(length.map(|length| at..at.saturating_add(length)))
}
