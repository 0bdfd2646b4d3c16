//! The seats of users: taken when one of their connections opens, given back when it closes.
//! Not for who a user is, nor for the counting: `gate` does both, for all reactors.

use super::admission::FREES_UP_IN;
use super::core::{Core, Doomed};
use super::guests::Refusal;
use super::mailbox::Mail;
use crate::config::UserPolicy;
use crate::conn::{CloseReason, RefusedReason};
use crate::gate::users::{Displaced, Seat, User};
use crate::io::Token;

impl Core {
    /// Before the handler is asked: a user who may have no more is refused here. Where the policy is
    /// to replace, nobody has to go for one that the handler may yet refuse; see
    /// [`seat_opened`](Self::seat_opened). `None` is nobody, and not counted.
    pub fn seat_newcomer(&mut self, token: Token, user: Option<User>) -> Result<(), Refusal> {
        match (self.admission.users, user) {
            (Some((most, UserPolicy::Refuse)), Some(user)) => {
                self.enter(token, user, most, UserPolicy::Refuse)
            }
            _ => Ok(()),
        }
    }

    /// The handler has taken it, so that an older one may have to go for it; but for none that is
    /// closed as it opens.
    pub fn seat_opened(&mut self, token: Token, user: Option<User>, is_closing: bool) {
        match (self.admission.users, user) {
            // It is counted as it closes.
            (Some((_, UserPolicy::Replace)), Some(user)) if is_closing => {
                self.guests.at(token.index).user = Some(user);
            }
            (Some((most, UserPolicy::Replace)), Some(user)) => {
                // Nobody is refused under this policy.
                let _ = self.enter(token, user, most, UserPolicy::Replace);
            }
            _ => {}
        }
    }

    /// The handler has refused it: it was never one of its user's.
    pub fn give_seat_back(&mut self, token: Token) {
        if self.guests.get(token.index).user.is_some()
            && let Some(user) = self.guests.at(token.index).user.take()
        {
            self.leave_seat(token, user);
        }
    }

    /// A connection closes: its user may have another one from here on, however long this one takes
    /// to go.
    pub fn vacate_seat(&mut self, token: Token) {
        let Some(user) = self.guests.get(token.index).user else { return };
        let most = self.admission.users.map_or(usize::MAX, |(most, _)| most);
        let displaced = self.shared.census.users.close(user, self.seat_of(token), most);
        self.displace(&displaced);
    }

    /// A connection of that user is gone.
    pub fn leave_seat(&mut self, token: Token, user: User) {
        let is_last = self.shared.census.users.leave(user, self.seat_of(token));
        self.shard.arrivals.users_removed.add(u64::from(is_last));
    }

    fn enter(
        &mut self,
        token: Token,
        user: User,
        most: usize,
        policy: UserPolicy,
    ) -> Result<(), Refusal> {
        let Some(displaced) =
            self.shared.census.users.enter(user, self.seat_of(token), most, policy)
        else {
            let seconds = self.spread.random.u64(FREES_UP_IN);
            return Err(Refusal { reason: RefusedReason::UserFull, retry_after: Some(seconds) });
        };
        self.guests.at(token.index).user = Some(user);
        self.displace(&displaced);
        Ok(())
    }

    /// Tells those who make room, on whichever reactors they are.
    fn displace(&mut self, displaced: &Displaced) {
        self.shard.arrivals.users_added.add(u64::from(displaced.is_new));
        let token = |seat: &Seat| Token { index: seat.index, generation: seat.generation };
        for seat in &displaced.replaced {
            self.shared.mailboxes.tell(seat.reactor, Mail::Replace(token(seat)));
        }
        for seat in &displaced.cut {
            self.shared.mailboxes.tell(seat.reactor, Mail::Cut(token(seat)));
        }
    }

    /// Resets one that has been told to go and takes too long: others are waiting to.
    pub fn cut(&mut self, token: Token) {
        let Some(conn) = self.slots.get(token) else { return };
        let reason = conn.reason().unwrap_or(CloseReason::Replaced);
        conn.begin_lingering(reason);
        self.doomed.push(Doomed { token, reason, reset: true });
    }

    fn seat_of(&self, token: Token) -> Seat {
        Seat { reactor: self.id, index: token.index, generation: token.generation }
    }
}
