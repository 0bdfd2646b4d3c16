//! When reactors turn, and what must hold once they have.
//! Not what a single reactor must keep to; see `invariants`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pulsewheel::reactor::Reactor;

use crate::invariants::{Inspection, Tenants};
use crate::net::{Event, Net};
use crate::ringed::RingedDriver;
use crate::rules::SECOND;
use crate::world::World;

/// Turns in a row that may have nothing to do and not wait either.
const IDLE_TURNS: u32 = 64;

/// A reactor and when it turns.
pub struct Station {
    pub reactor: Option<Reactor>,
    /// Its driver, if that is over a ring.
    pub ring: Option<RingedDriver>,
    pub wake: Arc<AtomicBool>,
    pub turn_at: Option<u64>,
    pub stalled_until: u64,
    /// The next turn takes so much longer.
    pub long_turn: u64,
    pub idle_turns: u32,
    pub turns_unseen: usize,
    pub tenants: Tenants,
    pub sums: (u64, u64, u64),
    pub slots: usize,
    pub surplus: usize,
    pub mail_since: Option<u64>,
}

impl Station {
    pub fn new(reactor: Reactor, ring: Option<RingedDriver>, wake: Arc<AtomicBool>) -> Self {
        Station {
            reactor: Some(reactor),
            ring,
            wake,
            turn_at: None,
            stalled_until: 0,
            long_turn: 0,
            idle_turns: 0,
            turns_unseen: 0,
            tenants: Tenants::default(),
            sums: (0, 0, 0),
            slots: 0,
            surplus: 0,
            mail_since: None,
        }
    }

    /// It is kept from running.
    pub fn stall(&mut self, until: u64) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// It turns after `delay`, if it would not turn sooner.
    pub fn schedule(&mut self, net: &mut Net, id: usize, delay: u64) {
        let at = net.now + delay;
        self.schedule_at(net, id, at);
    }

    fn schedule_at(&mut self, net: &mut Net, id: usize, at: u64) {
        let at = at.max(net.ports[id].clock).max(self.stalled_until);
        if self.reactor.is_some() && self.turn_at.is_none_or(|turn_at| at < turn_at) {
            self.turn_at = Some(at);
            net.at(at, Event::Turn(id));
            net.trace.say(net.now, || format!("reactor {id} will turn at {}", at as f64 / 1e6));
        }
    }
}

impl World {
    /// A reactor's time to turn may have come.
    pub fn turn(&mut self, id: usize) -> Result<(), String> {
        let now = self.net.borrow().now;
        let station = &mut self.stations[id];
        if station.turn_at != Some(now) {
            return Ok(());
        }
        station.turn_at = None;
        if station.stalled_until > now {
            station.schedule(&mut self.net.borrow_mut(), id, 0);
            return Ok(());
        }
        let Some(reactor) = &mut station.reactor else { return Ok(()) };
        let before = self.net.borrow().ports[id].progress;
        let goes_on = reactor.turn().map_err(|error| format!("the turn failed: {error}"))?;
        let graves = reactor.audit().take_graves();
        let spent = {
            let mut net = self.net.borrow_mut();
            let long = std::mem::take(&mut station.long_turn);
            let spent = net.random.u64(1..=self.rules.turn) + long;
            if long > 0 {
                self.disturbed_until = self.disturbed_until.max(now + spent);
            }
            net.ports[id].clock += spent;
            let digest = net.ports[id].progress ^ (now << 8) ^ id as u64;
            net.trace.mix(digest);
            spent
        };
        for grave in graves {
            self.bury(id, grave)?;
        }
        self.inspect(id, spent, before)?;
        if !goes_on {
            self.stations[id].reactor = None;
            self.stations[id].ring.take().map_or(Ok(()), |ring| ring.end())?;
        }
        Ok(())
    }

    /// Looks at a reactor after its turn, and has it sleep.
    fn inspect(&mut self, id: usize, spent: u64, before: u64) -> Result<(), String> {
        let station = &mut self.stations[id];
        let Some(reactor) = &mut station.reactor else { return Ok(()) };
        let announced = reactor.announce();
        if let Some(ring) = &station.ring {
            ring.begin_wait(announced).map_err(|what| format!("reactor {id}: {what}"))?;
        }
        let mut net = self.net.borrow_mut();
        let wait = if net.ports[id].is_busy() { Some(0) } else { announced };
        let clock = net.ports[id].clock;
        let audit = reactor.audit();
        self.lost[id] = audit.lost();
        station.sums = audit.sums();
        station.slots = audit.len();
        station.surplus = audit.surplus();
        let has_worked = net.ports[id].progress != before || audit.has_fired();
        station.idle_turns = if has_worked || wait != Some(0) { 0 } else { station.idle_turns + 1 };
        if station.idle_turns > IDLE_TURNS {
            return Err(format!("reactor {id} turns and turns with nothing to do"));
        }
        station.turns_unseen += 1;
        let is_due = station.turns_unseen * 24 >= audit.len();
        let (shared, rules) = (&*self.shared, &self.rules);
        let mut inspection = Inspection { audit, shared, net: &mut net, rules, id, wait, spent };
        let mut found = inspection.quick();
        if found.is_ok() && is_due {
            station.turns_unseen = 0;
            found = inspection.full(&mut station.tenants);
        }
        found.map_err(|what| format!("reactor {id}: {what}"))?;
        if let Some(wait) = wait {
            let late = net.random.u64(0..100);
            station.schedule_at(&mut net, id, clock + wait + late);
        }
        drop(net);
        if is_due {
            self.are_addresses_counted()?;
        }
        self.between_turns()
    }

    /// What holds for all reactors together whenever none of them is in a turn.
    fn between_turns(&mut self) -> Result<(), String> {
        let now = self.net.borrow().now;
        let open: usize = self.stations.iter().map(|station| station.slots - station.surplus).sum();
        if self.shared.connections() != open {
            let counted = self.shared.connections();
            return Err(format!("{counted} connections are counted and {open} are open"));
        }
        let sum = |of: fn(&(u64, u64, u64)) -> u64| -> u64 {
            self.stations.iter().map(|station| of(&station.sums)).sum()
        };
        let (held, inbox) = (sum(|sums| sums.1), sum(|sums| sums.2));
        let (outboxes, inboxes) = (&self.shared.outbox_budget, &self.shared.inbox_budget);
        if inboxes.used() != inbox {
            return Err(format!("{} bytes of inboxes are charged, {inbox} held", inboxes.used()));
        }
        if outboxes.used() > held {
            return Err(format!("{} bytes of outboxes are charged, {held} held", outboxes.used()));
        }
        let is_overspent = outboxes.is_overspent() || inboxes.is_overspent();
        let stall = self.disturbed_until;
        let since = *self.overspent_since.get_or_insert(now);
        if !is_overspent {
            self.overspent_since = None;
        } else if now > since.max(stall) + self.rules.mail_delay + SECOND {
            return Err(format!("a budget has been overspent since {since}"));
        }
        for (id, port) in self.net.borrow_mut().ports.iter_mut().enumerate() {
            let waited = port.keeps_waiting(now);
            let stalled = stall.saturating_sub(port.kept_waiting.unwrap_or(stall));
            if waited > stalled + self.rules.mail_delay + SECOND
                && self.stations[id].reactor.is_some()
            {
                return Err(format!("reactor {id} lets somebody wait who could be accepted"));
            }
        }
        for (id, station) in self.stations.iter_mut().enumerate() {
            let bytes = self.shared.mailboxes.bytes(id);
            if bytes == 0 || station.reactor.is_none() {
                station.mail_since = None;
                continue;
            }
            let since = (*station.mail_since.get_or_insert(now)).max(stall);
            if now > since + self.rules.mail_delay + SECOND {
                return Err(format!("reactor {id} has left {bytes} bytes of mail"));
            }
        }
        Ok(())
    }

    /// Gives those their turn that have been woken.
    pub fn wake_all(&mut self) {
        let mut net = self.net.borrow_mut();
        for id in std::mem::take(&mut net.to_wake) {
            let delay = net.random.u64(0..100);
            self.stations[id].schedule(&mut net, id, delay);
        }
        for (id, station) in self.stations.iter_mut().enumerate() {
            if station.wake.swap(false, Ordering::Relaxed) {
                let delay = net.random.u64(0..=self.rules.mail_delay);
                station.schedule(&mut net, id, delay);
            }
        }
    }
}
