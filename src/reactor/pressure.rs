//! The process-wide budgets: while one is overspent, the largest gives way first.
//! Not for the bound of a single connection; that is looked at when something is queued for it.
//!
//! Each reactor answers for its own share: while the whole process is over, a reactor sheds until
//! it is below the share, or the process below the budget. Since what reactors hold is never less
//! than what is charged, one of them is always above its share while the budget is overspent.

use super::core::Core;
use crate::conn::{Budget, CloseReason, Phase, RefusedReason};
use crate::mutation::{self, Mutation};

impl Core {
    /// True while a budget of the process is overspent.
    #[inline]
    pub fn is_overspent(&self) -> bool {
        self.shared.outbox_budget.is_overspent() || self.shared.inbox_budget.is_overspent()
    }

    /// After the turn's flush, when what the kernel would take is gone: sheds if memory is short,
    /// and where that is not enough has the others look, who may hold what is too much and sleep.
    pub fn relieve(&mut self) {
        if self.is_overspent() {
            self.shed();
            if self.is_overspent() {
                self.shared.mailboxes.wake_all();
            }
        }
    }

    /// Sheds what is too much here. To be called after a flush.
    pub fn shed(&mut self) {
        if mutation::is(Mutation::ShedNothing) {
            return;
        }
        self.shed_outboxes();
        self.shed_inboxes();
    }

    /// What this reactor may hold while the budget is overspent.
    fn share(&self, budget: &Budget) -> u64 {
        budget.limit() / self.shared.mailboxes.reactors().max(1) as u64
    }

    fn shed_outboxes(&mut self) {
        let share = self.share(&self.shared.outbox_budget);
        while self.shared.outbox_budget.is_overspent() && self.outboxes.bytes() > share {
            let Some(index) = self.outboxes.largest() else { break };
            let token = self.slots.token(index);
            self.forget_held(index);
            self.shard.outbox_sheds.increment();
            self.doom_now(token, CloseReason::OutboxShed);
        }
    }

    fn shed_inboxes(&mut self) {
        let share = self.share(&self.shared.inbox_budget);
        while self.shared.inbox_budget.is_overspent() && self.inboxes.bytes() > share {
            let Some(index) = self.inboxes.largest() else { break };
            let token = self.slots.token(index);
            self.shard.inbox_sheds.increment();
            let reason = CloseReason::InboxShed;
            match self.slots.at(index).map(|conn| conn.phase()) {
                Some(Phase::Handshake) => {
                    let answer = self.unavailable(reason.text());
                    self.refuse(token, RefusedReason::Full, &answer, false);
                }
                // What is given up may be the first bytes of the close frame that is awaited.
                Some(Phase::Closing) => self.linger_for(token, reason),
                _ => self.fail(token, reason, reason.text()),
            }
            self.give_up_input(index);
        }
    }

    /// Gives the unsent bytes of a doomed connection back at once.
    fn forget_held(&mut self, index: u32) {
        let Some(conn) = self.slots.at(index) else { return };
        let Some(active) = conn.active() else { return };
        active.outbox.clear(&self.shared.outbox_budget);
        self.unsent -= std::mem::take(&mut active.unsent_counted) as u64;
        let [rank, _] = &mut active.ranks;
        self.outboxes.change(index, rank, active.outbox_counted, 0);
        active.outbox_counted = 0;
    }

    /// Gives the unfinished input of a failed connection back at once.
    fn give_up_input(&mut self, index: u32) {
        let token = self.slots.token(index);
        let Some(conn) = self.slots.at(index) else { return };
        conn.forget_unfinished();
        self.account(token);
        self.flush_one(token);
    }
}
