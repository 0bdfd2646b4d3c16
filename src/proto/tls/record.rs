//! Records: their headers, and opening and sealing them (RFC 8446 section 5, RFC 5246 section 6).
//! Not for what stands in them, nor for connections: a burst of records, one direction.

use std::ops::Range;

use ring::aead::{Aad, LessSafeKey, MAX_TAG_LEN, Nonce};

use super::Failure;
use super::keys::{Cipher, Half};

/// A record's header: kind, version, length.
pub(super) const HEADER: usize = 5;

/// What every record of these versions says it is (RFC 8446 section 5.1).
pub(super) const VERSION: [u8; 2] = [3, 3];

/// The most that a record may carry, in bytes.
pub(super) const FRAGMENT: usize = 1 << 14;

/// The most that may stand behind a header (RFC 8446 section 5.2). RFC 5246 would let it be 1,792
/// more, which no cipher here needs.
pub(super) const PAYLOAD: usize = FRAGMENT + 256;

/// What a short message's record takes besides the message, at most, in bytes.
pub const RECORD_OVERHEAD: u64 = (HEADER + EXPLICIT + MAX_TAG_LEN + 1) as u64;

/// The part of the nonce that TLS 1.2 AES-GCM has in the record (RFC 5288).
const EXPLICIT: usize = 8;

/// Kinds of records.
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const DATA: u8 = 23;

/// Which rules records go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Tls12,
    Tls13,
}

/// The length of the record that begins `bytes`, header included; `None` if not enough has come to
/// tell.
///
/// # Errors
/// It says that it is longer than records may be.
pub(super) fn record_length(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let payload = usize::from(u16::from_be_bytes([high, low]));
    if payload > PAYLOAD {
        return Err(Failure::RecordOverflow);
    }
    Ok(Some(payload.saturating_add(HEADER)))
}

fn has_explicit_nonce(version: Version, cipher: Cipher) -> bool {
    version == Version::Tls12 && cipher != Cipher::Chacha20Poly1305
}

/// The data that is authenticated with a TLS 1.2 record (RFC 5246 section 6.2.3.3).
fn tls12_data(sequence: u64, kind: u8, length: usize) -> [u8; 13] {
    let mut data = [0; 13];
    if let Some(place) = data.first_chunk_mut() {
        *place = sequence.to_be_bytes();
    }
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = data.last_chunk_mut() {
        *place = [kind, VERSION[0], VERSION[1], length[0], length[1]];
    }
    data
}

/// Opens a burst of records of one connection.
pub(super) struct Opener<'a> {
    half: &'a mut Half,
    key: LessSafeKey,
    version: Version,
}

impl<'a> Opener<'a> {
    pub fn new(half: &'a mut Half, version: Version) -> Result<Self, Failure> {
        let key = half.ready()?;
        Ok(Opener { half, key, version })
    }

    /// The keys have been updated.
    pub fn update(&mut self) -> Result<(), Failure> {
        self.half.update()?;
        self.key = self.half.ready()?;
        Ok(())
    }

    /// Opens the record that stands in `buffer` at `record`; what it carries is moved to `to`, in
    /// front of it or at its own place. The record's kind and how many bytes it carried.
    pub fn open(
        &mut self,
        buffer: &mut [u8],
        record: Range<usize>,
        to: usize,
    ) -> Result<(u8, usize), Failure> {
        let whole = buffer.get_mut(to..record.end).ok_or(Failure::Malformed)?;
        let at = record.start.saturating_sub(to);
        let header = whole.get(at..).and_then(|record| record.first_chunk::<HEADER>().copied());
        let header = header.ok_or(Failure::Malformed)?;
        let body = at.saturating_add(HEADER);
        let sealed = whole.len().saturating_sub(body);
        let opened = match self.version {
            Version::Tls13 if header[0] != DATA => return Err(Failure::UnexpectedMessage),
            Version::Tls13 => {
                let nonce = Nonce::assume_unique_for_key(self.half.nonce());
                self.key.open_within(nonce, Aad::from(header), whole, body..)
            }
            Version::Tls12 => {
                let (nonce, body) = if has_explicit_nonce(self.version, self.half.cipher()) {
                    let explicit = whole.get(body..).and_then(|body| body.first_chunk().copied());
                    let explicit = explicit.ok_or(Failure::BadRecordMac)?;
                    (self.half.nonce_with(explicit), body.saturating_add(EXPLICIT))
                } else {
                    (Nonce::assume_unique_for_key(self.half.nonce()), body)
                };
                let length = whole.len().saturating_sub(body).saturating_sub(MAX_TAG_LEN);
                let data = tls12_data(self.half.sequence, header[0], length);
                self.key.open_within(nonce, Aad::from(data), whole, body..)
            }
        };
        let opened = opened.map_err(|_| Failure::BadRecordMac)?;
        debug_assert!(opened.len() < sealed);
        self.half.sequence = self.half.sequence.checked_add(1).ok_or(Failure::Exhausted)?;
        let (kind, length) = match self.version {
            Version::Tls12 => (header[0], opened.len()),
            // What is carried, its kind, and zeros as many as the sender liked.
            Version::Tls13 => {
                let last = opened.iter().rposition(|byte| *byte != 0);
                let kind = last.and_then(|last| opened.get(last).map(|kind| (last, *kind)));
                let (length, kind) = kind.ok_or(Failure::UnexpectedMessage)?;
                if opened.len() > FRAGMENT.saturating_add(1) {
                    return Err(Failure::RecordOverflow);
                }
                (kind, length)
            }
        };
        if length > FRAGMENT {
            return Err(Failure::RecordOverflow);
        }
        Ok((kind, length))
    }
}

/// Seals a burst of records of one connection, behind what the buffer holds.
pub(super) struct Sealer<'a> {
    half: &'a mut Half,
    key: LessSafeKey,
    version: Version,
    out: &'a mut Vec<u8>,
    /// Where the record begins that has room left.
    begun: Option<usize>,
}

impl<'a> Sealer<'a> {
    pub fn new(
        half: &'a mut Half,
        version: Version,
        out: &'a mut Vec<u8>,
    ) -> Result<Self, Failure> {
        let key = half.ready()?;
        Ok(Sealer { half, key, version, out, begun: None })
    }

    /// Where what a record carries begins, from its own beginning.
    fn body(&self) -> usize {
        let is_explicit = has_explicit_nonce(self.version, self.half.cipher());
        if is_explicit { HEADER.saturating_add(EXPLICIT) } else { HEADER }
    }

    /// Adds data to the stream.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let begun = *self.begun.get_or_insert(self.out.len());
            let body = begun.saturating_add(self.body());
            if self.out.len() < body {
                self.out.resize(body, 0);
            }
            let room = FRAGMENT.saturating_sub(self.out.len().saturating_sub(body));
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.out.extend_from_slice(now);
            bytes = later;
            if now.len() == room {
                self.close(DATA)?;
            }
        }
        Ok(())
    }

    /// A record of another kind.
    pub fn message(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Failure> {
        self.finish()?;
        self.push(bytes)?;
        self.close(kind)
    }

    /// Seals what has been added.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.close(DATA)
    }

    /// A record that carries nothing, which the server never sends.
    #[cfg(test)]
    pub fn empty(&mut self, kind: u8) -> Result<(), Failure> {
        self.begun = Some(self.out.len());
        let length = self.out.len().saturating_add(self.body());
        self.out.resize(length, 0);
        self.close(kind)
    }

    fn close(&mut self, kind: u8) -> Result<(), Failure> {
        let Some(begun) = self.begun.take() else { return Ok(()) };
        let body = begun.saturating_add(self.body());
        let carried = self.out.len().saturating_sub(body);
        let outer = match self.version {
            Version::Tls12 => kind,
            Version::Tls13 => {
                self.out.push(kind);
                DATA
            }
        };
        let payload = self.out.len().saturating_sub(begun.saturating_add(HEADER));
        let payload = u16::try_from(payload.saturating_add(MAX_TAG_LEN)).unwrap_or(u16::MAX);
        let [high, low] = payload.to_be_bytes();
        let header = [outer, VERSION[0], VERSION[1], high, low];
        let nonce = self.half.nonce();
        let record = self.out.get_mut(begun..).unwrap_or_default();
        if let Some(place) = record.first_chunk_mut() {
            *place = header;
        }
        if let (true, Some(explicit)) =
            (body.saturating_sub(begun) > HEADER, nonce.last_chunk::<EXPLICIT>())
            && let Some(place) = record.get_mut(HEADER..).and_then(<[u8]>::first_chunk_mut)
        {
            *place = *explicit;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = self.out.get_mut(body..).unwrap_or_default();
        let tag = match self.version {
            Version::Tls13 => self.key.seal_in_place_separate_tag(nonce, Aad::from(header), plain),
            Version::Tls12 => {
                let data = tls12_data(self.half.sequence, kind, carried);
                self.key.seal_in_place_separate_tag(nonce, Aad::from(data), plain)
            }
        };
        let tag = tag.map_err(|_| Failure::Internal("a record that can't be sealed"))?;
        self.out.extend_from_slice(tag.as_ref());
        self.half.sequence = self.half.sequence.checked_add(1).ok_or(Failure::Exhausted)?;
        Ok(())
    }
}
