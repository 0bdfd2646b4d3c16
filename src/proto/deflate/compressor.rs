//! A message made smaller, with or without the ones before it in mind (RFC 7692 section 7.2.1).
//! Not for deciding which messages are worth it.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::TAIL;

/// Symbols are gathered in blocks of `2^(memory level + 6)`. As many as the window has bytes, or
/// half of that, are enough: with zlib's usual 16,384 a state would be two thirds larger.
fn memory_level(window: u8) -> u8 {
    window.saturating_sub(7).clamp(1, 8)
}

/// Bytes that a compressor takes at most: its window twice, a chain and a hash table of 16 bits an
/// entry, seven bytes for each symbol of a block, zlib's own state, and the rest of a page.
pub(crate) fn compressor_memory(window: u8) -> usize {
    let places = 1_usize.checked_shl(u32::from(window)).unwrap_or(0);
    let symbols = 64_usize.checked_shl(u32::from(memory_level(window))).unwrap_or(0);
    let window = places.saturating_mul(2);
    let chain = places.saturating_mul(size_of::<u16>());
    let blocks = symbols.saturating_mul(7);
    window.saturating_add(chain).saturating_add(blocks).saturating_add(HASH_TABLE + STATE + PAGE)
}

/// zlib-rs has 65,536 entries whatever the window is.
const HASH_TABLE: usize = 65_536 * size_of::<u16>();

/// Trees and counters, rounded up.
const STATE: usize = 6 * 1024;

/// So large a block has pages of its own.
const PAGE: usize = 4096;

/// What a message of `length` bytes may come to at worst: nine bits for each of eight where codes
/// are fixed, or five bytes for each block that is only stored; and as much again to be sure. It is
/// never given less, though more than `length` is of no use: zlib-rs's fastest level panics where
/// its output is cut off and what it has gathered fills up.
fn room_to_grow(length: usize) -> usize {
    length.saturating_add(length / 4).saturating_add(64)
}

/// A compressor.
pub(crate) struct Compressor {
    deflate: Deflate,
    /// It remembers something.
    is_used: bool,
}

impl Compressor {
    /// A window of `window` bits, 9 to 15, and a level of 1 to 9.
    pub(crate) fn new(window: u8, level: u8) -> Self {
        let config = DeflateConfig {
            // Negative: no header and no checksum around it.
            window_bits: i32::from(window.clamp(super::SMALLEST_WINDOW, super::LARGEST_WINDOW))
                .saturating_neg(),
            mem_level: i32::from(memory_level(window)),
            ..DeflateConfig::new(i32::from(level.clamp(1, 9)))
        };
        Compressor { deflate: Deflate::new_with_config(config), is_used: false }
    }

    /// Compresses a message into `out`, whose content is overwritten; how many bytes that are, or
    /// `None` if they would not be fewer. Then it has forgotten all: a peer could not follow what
    /// refers to a message that it got uncompressed.
    pub(crate) fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let room = room_to_grow(payload.len());
        if out.len() < room {
            out.resize(room, 0);
        }
        let before = self.deflate.total_out();
        self.is_used = true;
        let outcome = self.deflate.compress(payload, out, DeflateFlush::SyncFlush);
        let written = self.deflate.total_out().saturating_sub(before);
        let written = usize::try_from(written).unwrap_or(usize::MAX);
        let length = written.saturating_sub(TAIL.len());
        let ends_well = out.get(length..written) == Some(&TAIL);
        if outcome == Ok(Status::Ok) && ends_well && length < payload.len() {
            return Some(length);
        }
        self.forget();
        None
    }

    /// Forgets what came before, so that what follows refers to none of it.
    pub(crate) fn forget(&mut self) {
        // It costs the clearing of the whole hash table.
        if std::mem::take(&mut self.is_used) {
            self.deflate.reset();
        }
    }
}
