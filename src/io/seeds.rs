//! The drivers of all reactors before they are used: of the kind that is wanted and can be had.
//! Not for one of them; see `seed`.

use std::io;
use std::time::Instant;

use super::{DriverChoice, DriverKind, Needs, Original, Seed, Unsupported, Waker};

/// What is made for all drivers before any thread takes its own descriptor table.
pub struct Seeds {
    /// Which driver it is.
    pub kind: DriverKind,
    /// Why it is not the other one, if that was wished for.
    pub instead: Option<Unsupported>,
    /// One for each reactor.
    pub seeds: Vec<Seed>,
    /// What wakes each.
    pub wakers: Vec<Waker>,
    /// To be dropped once each thread has its table.
    pub originals: Vec<Original>,
}

impl Seeds {
    /// Drivers for so many reactors.
    ///
    /// # Errors
    /// The one that must be can't be had, and why.
    pub fn new(
        choice: DriverChoice,
        reactors: usize,
        needs: Needs,
        epoch: Instant,
    ) -> Result<Self, NoDriver> {
        let (kind, instead) = choice.settle()?;
        match Self::of(kind, instead, reactors, needs, epoch) {
            // A ring can be had, and not as many.
            Err(error) if choice == DriverChoice::Auto && !matches!(kind, DriverKind::Epoll) => {
                let why = Some(Unsupported::Wanting(error));
                Ok(Self::of(DriverKind::Epoll, why, reactors, needs, epoch)?)
            }
            Err(error) if choice == DriverChoice::IoUring => {
                Err(Unsupported::Wanting(error).into())
            }
            made => Ok(made?),
        }
    }

    fn of(
        kind: DriverKind,
        instead: Option<Unsupported>,
        reactors: usize,
        needs: Needs,
        epoch: Instant,
    ) -> io::Result<Self> {
        let (seeds, wakers, originals) = (Vec::new(), Vec::new(), Vec::new());
        let mut all = Seeds { kind, instead, seeds, wakers, originals };
        for _ in 0..reactors {
            let (seed, waker, original) = Seed::new(kind, needs, epoch)?;
            all.seeds.push(seed);
            all.wakers.push(waker);
            all.originals.push(original);
        }
        Ok(all)
    }
}

/// Why there are no drivers.
#[derive(Debug, thiserror::Error)]
pub enum NoDriver {
    /// The one that was asked for can't be had.
    #[error("--driver io_uring can't be had: {0}; or give --driver auto, which takes epoll then")]
    Unsupported(#[from] Unsupported),
    /// The system would not give an epoll instance.
    #[error("cannot start a reactor: {0}")]
    System(#[from] io::Error),
}
