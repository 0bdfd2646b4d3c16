//! What must hold between any two turns of a reactor, whatever has happened.
//! Not what clients are owed, which they check themselves, nor what holds at a world's end.

use pulsewheel::conn::{Phase, Tick, Ticks};
use pulsewheel::gate::addresses::SHARDS;
use pulsewheel::reactor::Shared;
use pulsewheel::reactor::audit::{Audit, Slot};

use crate::households::socket_of;
use crate::net::{Net, Server};
use crate::rules::Rules;

/// Entries of its own that a connection has outstanding at most (`conn::Armed`).
const ARMED: usize = 7;

/// An entry lies less than this many ticks ahead (`conn::Armed`).
const HORIZON: Ticks = Ticks(60_000);

/// Bytes of control frames, close frames and HTTP answers that stand beside data.
const BESIDE_DATA: usize = 4 * 127 + 2 + 127 + 1_024;

/// Former tenants of one slot, by when they were last seen.
#[derive(Default)]
pub struct Tenants {
    slots: Vec<(u32, Vec<Tick>)>,
}

impl Tenants {
    /// How many connections may still have entries in the wheel for this slot, the present included.
    fn count(&mut self, index: u32, generation: u32, now: Tick) -> usize {
        let at = index as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, (0, Vec::new()));
        }
        let (last, left) = &mut self.slots[at];
        let moved = generation.saturating_sub(*last).min(200);
        left.extend(std::iter::repeat_n(now, moved as usize));
        *last = generation;
        left.retain(|seen| now.since(*seen) <= HORIZON);
        left.len() + 1
    }
}

/// One look at one reactor.
pub struct Inspection<'a, 'b> {
    pub audit: Audit<'b>,
    pub shared: &'a Shared,
    pub net: &'a mut Net,
    pub rules: &'a Rules,
    pub id: usize,
    /// Microseconds of the wait that comes.
    pub wait: Option<u64>,
    /// Microseconds since the turn began.
    pub spent: u64,
}

/// A condition of its own line: what is broken, and with which numbers.
macro_rules! must {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

impl Inspection<'_, '_> {
    /// Cheap enough for each turn.
    pub fn quick(&mut self) -> Result<(), String> {
        must!(self.audit.doomed() == 0, "{} doomed after the sweep", self.audit.doomed());
        let open = self.net.ports[self.id].sockets().count();
        let slots = self.audit.len();
        must!(open == slots, "{slots} slots and {open} sockets");
        if let Some(breach) = self.net.breaches.pop() {
            return Err(breach);
        }
        Ok(())
    }

    /// Every connection, every sum.
    pub fn full(&mut self, tenants: &mut Tenants) -> Result<(), String> {
        let now = self.audit.now();
        let mut sums = (0, 0, 0);
        let mut members = vec![0; self.shared.routes.len()];
        let (mut surplus, mut entries, mut earliest) = (0, 0, None::<Ticks>);
        for index in 0..self.audit.end() {
            let ticks = self.audit.entries(index);
            entries += ticks.len() as u64;
            if let Some(next) = ticks.iter().map(|tick| tick.since(now)).min() {
                earliest = Some(earliest.map_or(next, |earliest| earliest.min(next)));
            }
            let Some(slot) = self.audit.slot(index) else { continue };
            let living = tenants.count(index, slot.token.generation, now);
            let who = |broken: String| {
                format!("{broken}\n    {slot:?}\n    entries {ticks:?} now {now:?}")
            };
            self.entries(&slot, &ticks, living, now).map_err(who)?;
            self.bounds(&slot).map_err(who)?;
            self.socket(&slot).map_err(who)?;
            self.member(&slot, &mut members).map_err(who)?;
            sums.0 += slot.unsent as u64;
            sums.1 += slot.outbox_held as u64;
            sums.2 += slot.inbox as u64;
            surplus += usize::from(slot.is_surplus);
        }
        let found = self.audit.sums();
        must!(
            sums == found,
            "the sums of unsent, outboxes and inboxes are {sums:?}, not {found:?}"
        );
        let counted = self.audit.surplus();
        must!(surplus == counted, "{surplus} connections are surplus, {counted} counted");
        for (route, expected) in members.iter().enumerate() {
            let found = self.audit.members(route).len();
            must!(*expected == found, "route {route} has {found} members and {expected} are open");
        }
        let voids = self.audit.wheel_entries().saturating_sub(entries);
        must!(
            voids <= u64::from(self.audit.end() + SHARDS),
            "{voids} entries are to be passed over"
        );
        self.sleep(earliest)
    }

    /// Exactly one live entry for each live connection, and few others.
    fn entries(&self, slot: &Slot, ticks: &[Tick], living: usize, now: Tick) -> Result<(), String> {
        must!(slot.armed.len() <= ARMED, "{} entries of its own", slot.armed.len());
        let bound = (ARMED + 1) * living;
        must!(ticks.len() <= bound, "{} entries for {living} tenants of its slot", ticks.len());
        let mut unmatched: Vec<u16> = ticks.iter().map(|tick| tick.0 as u16).collect();
        for low in &slot.armed {
            let at = unmatched.iter().position(|tick| tick == low);
            must!(at.is_some(), "it counts on an entry that the wheel does not have: {low}");
            at.map(|at| unmatched.swap_remove(at));
        }
        let Some((due, deadline)) = slot.deadline else { return Ok(()) };
        let Some(low) = slot.armed.last() else {
            return Err(format!("it is due for {deadline} and has no entry"));
        };
        let ahead = u32::from(low.wrapping_sub(now.0 as u16));
        let look = if ahead > HORIZON.0 { Ticks(0) } else { Ticks(ahead) };
        // What has fired and was not reached in this turn is looked at in the next.
        must!(look.0 > 0 || self.audit.has_fired(), "its entry has passed and was not acted upon");
        let wanted = due.since(now).clamp(Ticks(1), HORIZON);
        // A tick late is the promise.
        must!(look.0 <= wanted.0 + 1, "due for {deadline} in {wanted:?}, looked at in {look:?}");
        Ok(())
    }

    /// No outbox past its bound, nothing counted that is not there.
    fn bounds(&self, slot: &Slot) -> Result<(), String> {
        let largest = self.rules.limits.max_message_size.max(1_000) + 14;
        let limit = self.rules.limits.outbox_limit;
        let bound = limit.max(limit / 2 + largest) + BESIDE_DATA;
        must!(slot.unsent <= bound, "{} bytes unsent, bound {bound}", slot.unsent);
        must!(slot.unsent == slot.unsent_counted, "unsent bytes are counted wrong");
        must!(slot.outbox_held == slot.outbox_counted, "its outbox is counted wrong");
        must!(slot.inbox == slot.inbox_charged, "its inbox is charged wrong");
        let is_silent = slot.phase == Phase::Open || slot.phase == Phase::Handshake;
        must!(is_silent || !slot.is_paused, "it closes and is not read");
        Ok(())
    }

    /// The slot's socket is there, under the same token.
    fn socket(&mut self, slot: &Slot) -> Result<(), String> {
        let socket = self.net.ports[self.id].find(slot.token);
        must!(socket.is_some(), "it has no socket");
        must!(socket == socket_of(slot.peer), "it has the socket of another peer: {socket:?}");
        let Some(socket) = socket else { return Ok(()) };
        let socket = self.net.socket(socket);
        must!(socket.server == Server::Open, "its socket is {:?}", socket.server);
        must!(socket.is_paused == slot.is_paused, "receiving is on: {}", !socket.is_paused);
        Ok(())
    }

    fn member(&self, slot: &Slot, members: &mut [usize]) -> Result<(), String> {
        if !slot.has_state {
            return Ok(());
        }
        let route = usize::from(slot.route);
        members[route] += 1;
        let found = self.audit.members(route).get(slot.member as usize);
        must!(found == Some(&slot.token.index), "in its place as a member stands {found:?}");
        Ok(())
    }

    /// It wakes when the next entry comes up.
    fn sleep(&self, earliest: Option<Ticks>) -> Result<(), String> {
        let Some(earliest) = earliest else { return Ok(()) };
        let Some(wait) = self.wait else {
            return Err(format!("it sleeps without end, with an entry in {earliest:?}"));
        };
        let now = self.audit.micros();
        let until = Tick::from_micros(now + self.spent + wait).since(self.audit.now());
        let begun = Tick::from_micros(now + self.spent).since(self.audit.now());
        let latest = earliest.0.max(begun.0) + 1;
        must!(until.0 <= latest, "it sleeps for {until:?}, with an entry in {earliest:?}");
        Ok(())
    }
}
