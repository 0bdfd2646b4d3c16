//! A door for the simulator: what a reactor holds, to be compared between its turns.
//! Not for servers: it exists only with the feature `simulation`, and changes nothing.

use super::Reactor;
use super::core::Core;
use crate::conn::{CloseReason, Deadline, Limits, Pause, Phase, Tick};
use crate::gate::addresses::AddressBlock;
use crate::io::Token;
use crate::proto::Peer;

/// A connection that has left its slot.
#[derive(Clone, Copy, Debug)]
pub struct Grave {
    /// Its token.
    pub token: Token,
    /// Who it was.
    pub peer: Peer,
    /// Why it ended.
    pub reason: CloseReason,
}

/// One connection, as its slot has it.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is what the field or method of that name is in `conn`")]
pub struct Slot {
    pub token: Token,
    pub peer: Peer,
    pub phase: Phase,
    pub is_surplus: bool,
    pub is_paused: bool,
    pub is_paused_for_outbox: bool,
    pub deadline: Option<(Tick, Deadline)>,
    /// The low halves of the ticks of its wheel entries, the latest first.
    pub armed: Vec<u16>,
    pub route: u16,
    pub member: u32,
    pub has_state: bool,
    pub unsent: usize,
    pub unsent_counted: usize,
    pub outbox_held: usize,
    pub outbox_counted: usize,
    pub inbox: usize,
    pub inbox_charged: usize,
    pub is_resting: bool,
}

/// A reactor between two turns.
pub struct Audit<'a> {
    core: &'a mut Core,
    lost: u64,
}

impl Reactor {
    /// The wait of the next turn: microseconds from the end of the last one, `None` without end.
    ///
    /// The turn takes the same, so whoever simulates can let that time pass before it.
    pub fn announce(&mut self) -> Option<u64> {
        let wait = self.timeout();
        self.announced = Some(wait);
        wait
    }

    /// Looks inside.
    pub fn audit(&mut self) -> Audit<'_> {
        let lost = self.clock.lost();
        Audit { core: &mut self.core, lost }
    }
}

impl Audit<'_> {
    /// The tick of the last turn.
    pub fn now(&self) -> Tick {
        self.core.now.tick
    }

    /// Microseconds on the reactor's clock at its last turn.
    pub fn micros(&self) -> u64 {
        self.core.now.micros
    }

    /// Microseconds that stalls have taken out of the reactor's clock.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The limits it lives under.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// Connections in slots.
    pub fn len(&self) -> usize {
        self.core.slots.len()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One past the highest slot that was ever used.
    pub fn end(&self) -> u32 {
        self.core.slots.end()
    }

    /// The connection in that slot.
    pub fn slot(&mut self, index: u32) -> Option<Slot> {
        let Core { slots, limits, .. } = &mut *self.core;
        let token = slots.token(index);
        let conn = slots.at(index)?;
        let (deadline, inbox) = (conn.deadline(limits), conn.inbox_bytes());
        let mut slot = Slot {
            token,
            peer: conn.peer(),
            phase: conn.phase(),
            is_surplus: conn.is_surplus(),
            is_paused: conn.is_paused(),
            is_paused_for_outbox: conn.is_paused_for(Pause::Outbox),
            deadline,
            armed: conn.armed.ticks().to_vec(),
            route: conn.route,
            member: conn.member,
            has_state: conn.state != crate::conn::NOWHERE,
            unsent: 0,
            unsent_counted: 0,
            outbox_held: 0,
            outbox_counted: 0,
            inbox,
            inbox_charged: 0,
            is_resting: conn.is_resting(),
        };
        if let Some(active) = conn.active() {
            slot.unsent = active.outbox.bytes();
            slot.unsent_counted = active.unsent_counted;
            slot.outbox_held = active.outbox.held();
            slot.outbox_counted = active.outbox_counted;
            slot.inbox_charged = active.inbox_charged;
        }
        Some(slot)
    }

    /// Ticks of the wheel's entries for a slot, without one that is to be passed over.
    pub fn entries(&self, index: u32) -> Vec<Tick> {
        self.core.wheel.entries_of(index)
    }

    /// Entries in the wheel, for whichever slot.
    pub fn wheel_entries(&self) -> u64 {
        self.core.wheel.entries()
    }

    /// Some entries have fired and wait for the next turn.
    pub fn has_fired(&self) -> bool {
        !self.core.wheel.ahead(1).is_empty()
    }

    /// The slots of a route's members.
    pub fn members(&self, route: usize) -> &[u32] {
        self.core.members.get(route).map_or(&[], Vec::as_slice)
    }

    /// The reactor's sums: unsent bytes, memory of outboxes, memory of inboxes.
    pub fn sums(&self) -> (u64, u64, u64) {
        (self.core.unsent, self.core.outboxes.bytes(), self.core.inboxes.bytes())
    }

    /// Connections beyond the limit that are being told so.
    pub fn surplus(&self) -> usize {
        self.core.surplus
    }

    /// The address of each connection that is counted among its address's.
    pub fn addresses(&mut self) -> Vec<AddressBlock> {
        let Core { slots, guests, .. } = &mut *self.core;
        let counted = (0..slots.end()).filter(|index| guests.get(*index).holds_address);
        let peer = |index| slots.at(index).map(|conn| conn.peer());
        counted.filter_map(peer).filter_map(|peer| Some(peer.address()?.ip().into())).collect()
    }

    /// Connections that are to end and have not.
    pub fn doomed(&self) -> usize {
        self.core.doomed.len()
    }

    /// Output that was not written.
    pub fn unflushed(&self) -> usize {
        self.core.output.len()
    }

    /// Who has left since the last call.
    pub fn take_graves(&mut self) -> Vec<Grave> {
        std::mem::take(&mut self.core.graves)
    }
}
