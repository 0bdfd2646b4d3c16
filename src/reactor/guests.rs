//! What a connection has to do with limits and proxies, beside its slot: whose it still has to say,
//! and what it holds in the tables of addresses and users.
//! Not for judging; and empty for as long as nothing is limited and no proxy trusted.

use crate::conn::RefusedReason;
use crate::gate::users::User;

/// What a connection must say before it is known whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Introduction {
    /// Nothing: its socket's address is the client's, or it has said all.
    #[default]
    Done,
    /// Its proxy's PROXY header.
    Header,
    /// The request head with the proxy's line in it.
    Head,
}

/// A refusal that its connection has not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub reason: RefusedReason,
    /// Seconds until it should be tried again; `None` for some time soon.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// As many connections are open as may be.
    pub const FULL: Refusal = Refusal { reason: RefusedReason::Full, retry_after: None };
}

/// One connection's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Guest {
    pub introduction: Introduction,
    /// A trusted proxy brought it.
    pub is_proxied: bool,
    /// It is counted among its address's connections.
    pub holds_address: bool,
    /// The user among whose connections it is counted.
    pub user: Option<User>,
    /// It is there only to be told this.
    pub turned_away: Option<Refusal>,
}

impl Guest {
    /// One that is there only to be told this, perhaps after its proxy's header. What most are told
    /// takes no place here.
    pub fn to_be_told(refusal: Refusal, introduction: Introduction) -> Self {
        let turned_away = Some(refusal).filter(|refusal| *refusal != Refusal::FULL);
        Guest { introduction, turned_away, ..Guest::default() }
    }
}

/// Those of all connections, by slot.
#[derive(Debug, Default)]
pub(super) struct Guests {
    guests: Vec<Guest>,
}

impl Guests {
    /// The one in that slot.
    pub fn get(&self, index: u32) -> Guest {
        self.guests.get(index as usize).copied().unwrap_or_default()
    }

    /// That slot's, to be changed.
    pub fn at(&mut self, index: u32) -> &mut Guest {
        let index = index as usize;
        if self.guests.len() <= index {
            self.guests.resize(index + 1, Guest::default());
        }
        #[expect(clippy::indexing_slicing, reason = "it has just been made long enough")]
        &mut self.guests[index]
    }

    /// Notes a new connection's, where there is anything to note.
    pub fn seat(&mut self, index: u32, guest: Guest) {
        if guest != Guest::default() {
            *self.at(index) = guest;
        }
    }

    /// Takes a connection's out, as it goes.
    pub fn take(&mut self, index: u32) -> Guest {
        self.guests.get_mut(index as usize).map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a server that limits nothing each connection would pay for having been full once.
    #[test]
    fn those_who_are_refused_by_a_full_server_take_no_place() {
        let mut guests = Guests::default();
        guests.seat(1_000_000, Guest::to_be_told(Refusal::FULL, Introduction::Done));
        assert_eq!(guests.guests.capacity(), 0);
        assert_eq!(guests.get(1_000_000).turned_away, None);
        let told = Refusal { reason: RefusedReason::AddressFull, retry_after: Some(3) };
        guests.seat(7, Guest::to_be_told(told, Introduction::Done));
        assert_eq!(guests.take(7).turned_away, Some(told));
    }
}
