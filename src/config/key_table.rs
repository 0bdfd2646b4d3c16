//! The table of keys, put together of its parts in the order in which help and `default-config` show
//! them.
//! Not for logic: what a row's parts mean, and what derives from them, stands in `keys`.

mod admission;
mod connections;
mod gate;
mod routes;
mod server;

use super::keys::Spec;

/// The parts, in the order of [`Key`](super::keys::Key).
const PARTS: [&[Spec]; 5] =
    [server::ROWS, connections::ROWS, admission::ROWS, gate::ROWS, routes::ROWS];

/// Every key, each at the index of its [`Key`](super::keys::Key).
pub(super) const KEYS: &[Spec] = &joined::<{ count() }>();

const fn count() -> usize {
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
}

/// The rows of all parts. Worked out by the compiler, which stops at a slip.
const fn joined<const N: usize>() -> [Spec; N] {
    let mut rows = [server::ROWS[0]; N];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            rows[at] = PARTS[part][row];
            (at, row) = (at + 1, row + 1);
        }
        part += 1;
    }
    rows
}
