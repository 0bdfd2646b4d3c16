//! What the driver has gathered of a turn's output: taken for sent, and put right where it was not.
//! Not for what is sent in one call, whose outcome is known at once: see `flush`.
//!
//! Only a connection that has nothing else going on is gathered: all that follows from its bytes
//! having left is that they are counted.

use super::core::Core;
use super::output::{Output, Touched};
use super::shard::Shard;
use crate::conn::{CloseReason, NOWHERE};
use crate::io::{Driver, Part, Sending, Token, Unsent};
use crate::mutation::{self, Mutation};

/// The gathered output of one flush, and what was counted before it was true.
#[derive(Default)]
pub(super) struct Gathered {
    /// Kept as it was flushed; tickets are places in it.
    output: Output,
    count: usize,
    /// Counted as sent and not sent: the next that are sent are not counted again, since a counter
    /// never falls.
    bytes_ahead: u64,
    messages_ahead: u64,
}

impl Gathered {
    /// Gives one piece to the driver to gather.
    #[inline]
    pub fn gather(
        &mut self,
        driver: &mut dyn Driver,
        place: usize,
        token: Token,
        part: Part<'_>,
    ) -> Sending {
        let outcome = driver.gather(place as u32, token, part);
        self.count += usize::from(outcome == Sending::Gathered);
        outcome
    }

    /// Counts what was sent.
    #[inline]
    pub fn count(&mut self, shard: &Shard, bytes: usize, messages: u32) {
        shard.bytes_sent.add(settle_debt(&mut self.bytes_ahead, bytes as u64));
        shard.messages_sent.add(settle_debt(&mut self.messages_ahead, u64::from(messages)));
    }
}

/// What is left of `amount` once it has paid for what was counted ahead.
#[inline]
fn settle_debt(ahead: &mut u64, amount: u64) -> u64 {
    if *ahead == 0 {
        return amount;
    }
    let paid = amount.min(*ahead);
    *ahead -= paid;
    amount - paid
}

impl Core {
    /// The flush of a whole turn: where the driver gathers, the outcome is known after the next wait.
    pub fn flush_turn(&mut self) {
        self.output.seal();
        for place in 0..self.output.len() {
            if let Some(token) = self.output.token(place)
                && let Some(conn) = self.slots.get(token)
            {
                conn.output = NOWHERE;
                self.flush_place(place, true);
            }
        }
        if self.gathered.count > 0 {
            std::mem::swap(&mut self.output, &mut self.gathered.output);
        } else {
            self.output.clear();
        }
    }

    /// Flushes in the middle of a turn, to make room for more: the outcome is known at once.
    pub fn flush(&mut self) {
        self.flush_turn();
        self.driver.submit();
        self.settle_gathered();
    }

    /// What was gathered is decided: what the kernel did not take goes to the outboxes.
    pub fn settle_gathered(&mut self) {
        if self.gathered.count == 0 {
            return;
        }
        while let Some(unsent) = self.driver.unsent() {
            self.take_back(unsent);
        }
        self.gathered.count = 0;
        self.gathered.output.clear();
    }

    fn take_back(&mut self, unsent: Unsent) {
        let Some(chain) = self.gathered.output.chain(unsent.ticket as usize) else { return };
        let taken = match unsent.taken {
            Ok(taken) => taken.min(chain.bytes),
            Err(_) => {
                self.count_ahead(&chain, 0, chain.messages);
                return self.doom(chain.token, CloseReason::PeerReset);
            }
        };
        std::mem::swap(&mut self.output, &mut self.gathered.output);
        let is_answered = taken > 0 || self.has_answered(chain.token);
        let kept = self.keep_rest(&chain, taken, is_answered);
        std::mem::swap(&mut self.output, &mut self.gathered.output);
        self.count_ahead(&chain, taken, kept);
        // The next flush may be another turn's.
        self.account(chain.token);
        self.arm(chain.token);
        let Some(conn) = self.slots.get(chain.token) else { return };
        if mutation::is(Mutation::LetUnsentRest) {
            return;
        }
        debug_assert!(conn.output == NOWHERE, "something was queued before the flush was settled");
        self.output.mark(chain.token, &mut conn.output);
    }

    /// A chain was counted as sent but for its first `taken` bytes; `kept` of its messages are not.
    fn count_ahead(&mut self, chain: &Touched, taken: usize, kept: u32) {
        let bytes = chain.bytes - taken;
        self.gathered.bytes_ahead += bytes as u64;
        self.gathered.messages_ahead += u64::from(kept);
        if let Some(conn) = self.slots.get(chain.token) {
            conn.took_back(bytes, kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_too_early_is_not_counted_twice() {
        let shard = Shard::new();
        let mut gathered = Gathered { bytes_ahead: 5, messages_ahead: 1, ..Gathered::default() };
        gathered.count(&shard, 3, 0);
        assert_eq!((shard.bytes_sent.get(), shard.messages_sent.get()), (0, 0));
        gathered.count(&shard, 4, 2);
        assert_eq!((shard.bytes_sent.get(), shard.messages_sent.get()), (2, 1));
    }
}
