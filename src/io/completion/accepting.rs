//! Accepting by completions: a handful of requests wait at each listener, each with a place for the
//! address of whom it lets in.
//! Not for who may come in; the reactor decides that.
//!
//! One request that takes many connections would not tell whose they are, and to ask costs more than
//! to make the next request: see the README for the figures.

use std::collections::VecDeque;

use super::ring::{File, Id, Op, Outcome, Ring};
use crate::io::{Accepting, Counts};
use crate::mutation::{self, Mutation};
use crate::proto::Peer;

/// Connections handed out in one turn, and accepted ahead at most.
const ACCEPTS: usize = 128;

/// Requests that wait at each listener, at most, and at all of them.
const WAITING: usize = 16;

/// How many wait at each of so many listeners.
pub fn waiting(listeners: usize) -> usize {
    (ACCEPTS / listeners.max(1)).clamp(1, WAITING)
}

/// What stands before the listeners.
#[derive(Debug)]
pub struct Doors {
    /// Which requests are with the ring: so many for each listener, one listener's after another's.
    asked: Vec<bool>,
    waiting: usize,
    /// Since stopping: nobody stands at that listener any more.
    is_empty: Vec<bool>,
    arrivals: VecDeque<(File, Peer)>,
    left: usize,
    pub accepting: Accepting,
    stopping: bool,
    /// Handed out and neither adopted nor refused.
    pub accepted: Option<File>,
}

impl Doors {
    pub fn new(listeners: usize) -> Self {
        Doors {
            asked: vec![false; listeners * waiting(listeners)],
            waiting: waiting(listeners),
            is_empty: vec![false; listeners],
            arrivals: VecDeque::new(),
            left: 0,
            accepting: Accepting::On,
            stopping: false,
            accepted: None,
        }
    }

    /// True if connections wait that may be handed out.
    pub fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// A turn begins.
    pub fn begin_share(&mut self) {
        self.left = ACCEPTS;
    }

    pub fn is_left_over(&self) -> bool {
        self.left == 0 && self.has_arrivals()
    }

    /// The next connection of this turn.
    pub fn next(&mut self) -> Option<Peer> {
        let left = self.left.checked_sub(1)?;
        let (file, peer) = self.arrivals.pop_front()?;
        self.left = left;
        self.accepted = Some(file);
        Some(peer)
    }

    /// True if all that waited at some listener have let someone in, and more may be let in this turn.
    pub fn has_crowd(&self) -> bool {
        let has_all = |asked: &[bool]| asked.iter().all(|asked| !asked);
        self.left > 0
            && self.accepting == Accepting::On
            && !self.stopping
            && self.waiting > 1
            && self.asked.chunks(self.waiting).any(has_all)
    }

    /// Asks for connections at each listener, for `room` of them at most: one that came and found no
    /// room would be lost.
    pub fn ask(&mut self, ring: &mut impl Ring, room: usize, counts: &mut Counts) {
        if self.accepting != Accepting::On {
            return;
        }
        let waits = !self.stopping;
        let ahead = self.asked.iter().filter(|asked| **asked).count() + self.arrivals.len();
        let room = if mutation::is(Mutation::AskBeyondRoom) { ACCEPTS } else { room };
        let mut left = room.min(self.asked.len().max(ACCEPTS)).saturating_sub(ahead);
        let listeners = self.is_empty.len();
        // One more at each listener, then one more at each again: the last ones are not left out.
        for nth in 0..self.asked.len() {
            let listener = nth % listeners;
            let place = listener * self.waiting + nth / listeners;
            let Some(asked) = self.asked.get_mut(place).filter(|asked| !**asked) else { continue };
            if self.is_empty.get(listener) == Some(&true) {
                continue;
            }
            let Some(less) = left.checked_sub(1) else { break };
            left = less;
            *asked = true;
            ring.push(Id::Accept(place as u32), Op::Accept { listener, waits });
            counts.requests += 1;
        }
        if room == 0 && ahead == 0 {
            self.accepting = Accepting::Starved;
        }
    }

    /// An accept has been answered.
    pub fn answered(&mut self, place: u32, outcome: Outcome, counts: &mut Counts) {
        counts.requests -= 1;
        let place = place as usize;
        if let Some(asked) = self.asked.get_mut(place) {
            *asked = false;
        }
        match outcome {
            Outcome::Accepted(file, peer) => self.arrivals.push_back((file, peer)),
            Outcome::Failed(libc::EAGAIN) if self.stopping => {
                if let Some(is_empty) = self.is_empty.get_mut(place / self.waiting) {
                    *is_empty = true;
                }
            }
            Outcome::Failed(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                self.accepting = Accepting::Starved;
            }
            // It was cancelled, or the peer gave up while it waited.
            _ => {}
        }
    }

    /// Nobody is waited for any more; who stands there already is let in first.
    pub fn stop(&mut self, ring: &mut impl Ring) {
        if self.stopping || self.accepting == Accepting::Over {
            return;
        }
        self.stopping = true;
        let asked = self.asked.iter().enumerate().filter(|(_, asked)| **asked);
        for (place, _) in asked {
            ring.push(Id::Chore, Op::Cancel(Id::Accept(place as u32)));
        }
        self.finish(ring);
    }

    /// Closes the listeners once nobody stands there.
    pub fn finish(&mut self, ring: &mut impl Ring) {
        let is_done = self.asked.iter().all(|asked| !asked)
            && self.is_empty.iter().all(|is_empty| *is_empty)
            && self.arrivals.is_empty();
        if self.stopping && self.accepting == Accepting::On && is_done {
            ring.close_listeners();
            self.accepting = Accepting::Over;
        }
    }
}
