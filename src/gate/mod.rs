//! Who may come in: asked after a request was understood and before a handler sees it.
//! Not for sockets, nor for what a request means, which `proto` says; nothing here reads a clock.

// A peer chooses every byte that is looked at here.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
    )
)]

pub mod addresses;
pub mod census;
mod claims;
pub mod pace;
pub mod users;

use std::time::Duration;

pub use self::census::{Admission, Census};
pub use self::claims::Claims;
use crate::conn::RefusedReason;
use crate::proto::{Answer, Request};

/// The rules that hold before an upgrade.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {}

/// Who was let in.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// What its token says, where one was asked for.
    pub claims: Option<Claims>,
    /// How long it may stay, where that is limited by its token.
    pub stay: Option<Duration>,
}

/// Why someone is not let in, and what it is told.
pub(crate) type Denied = (RefusedReason, Answer);

impl Gate {
    /// Judges a request for a path that exists. `clock` tells the time since 1970 began; it is
    /// read only where that matters.
    pub(crate) fn ask(
        &self,
        request: &Request<'_>,
        clock: impl FnOnce() -> Duration,
    ) -> Result<Admitted, Denied> {
        let _ = (request, clock);
        Ok(Admitted::default())
    }
}
