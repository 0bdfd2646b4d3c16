//! What each act of a script has a thread do: who sends when, who is closed.
//! Not the answering of what comes in; that is `receive`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bulk::BulkWork;
use super::client::Client;
use super::mixed::Mixer;
use super::timetable::Timetable;
use super::zombies::Zombies;
use super::{BUFFER, Generator, IDLE_WAIT, append_message, dial};
use crate::error::Failure;
use crate::plan::Traffic;
use crate::script::{Act, Scene};
use crate::tally::ErrorKind;

/// Connections that one turn primes at most, so that the others are attended to meanwhile.
const BUDGET: usize = 128;

/// Where a thread stands in the act that is on.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing to do but answer, or in [`Act::Mute`] not even that.
    Nothing,
    /// See [`Act::Open`].
    Opening,
    /// See [`Act::Echo`]; slots before `next` have been started.
    Echoing { next: usize },
    /// See [`Act::EchoOnce`]; slots before `next` have been asked.
    EchoingOnce { next: usize },
    /// See [`Act::Rate`].
    Pacing(Timetable),
    /// See [`Act::Publish`].
    Publishing(Timetable),
    /// See [`Act::Hold`]: the probes' pings.
    Holding(Timetable),
    /// See [`Act::Bulk`].
    Bulk(BulkWork),
    /// See [`Act::Churn`].
    Churning,
    /// See [`Act::Herd`]; all dropped at `since`.
    Herding { since: Duration },
    /// See [`Act::Mixed`].
    Mixing(Mixer),
    /// See [`Act::Settle`].
    Settling,
    /// See [`Act::Close`]; slots before `next` have been told.
    Closing { next: usize },
}

impl Generator {
    /// Leaves the scene that was on and begins another.
    pub(super) fn enter(&mut self, number: usize, scene: Scene) -> Result<(), Failure> {
        let now = self.now();
        if self.scene.1.measured && !scene.measured {
            self.ledger.measure(false, now);
        }
        self.leave(scene.act)?;
        self.ledger.hand_over(now, true);
        if scene.measured {
            self.ledger.measure(true, now);
        }
        self.ledger.mute = scene.act == Act::Mute;
        self.scene = (number, scene);
        let previous = std::mem::replace(&mut self.work, Work::Nothing);
        self.work = self.begin(scene, previous, now);
        if let Some(zombies) = &mut self.zombies {
            zombies.enter(scene.act, now);
        }
        Ok(())
    }

    fn begin(&mut self, scene: Scene, previous: Work, now: Duration) -> Work {
        let all = self.shared.plan.connections;
        match (scene.act, previous) {
            // From the warm-up into the measurement the load goes on as it is.
            (Act::Echo, work @ Work::Echoing { .. })
            | (Act::Rate | Act::Resets | Act::Zombies, work @ Work::Pacing(_))
            | (Act::Publish, work @ Work::Publishing(_))
            | (Act::Churn, work @ Work::Churning)
            | (Act::Mixed, work @ Work::Mixing(_)) => work,
            (Act::Open, _) => {
                self.populate(scene.connections.unwrap_or(all));
                Work::Opening
            }
            (Act::Echo, _) => Work::Echoing { next: 0 },
            (Act::EchoOnce, _) => Work::EchoingOnce { next: 0 },
            (Act::Rate | Act::Resets | Act::Zombies, _) => {
                let open = self.shared.sum(|tally| &tally.open) as u32;
                Work::Pacing(Timetable::new(self, open, scene.rate, now))
            }
            (Act::Publish, _) => {
                let publishers = match self.shared.plan.traffic {
                    Traffic::FanOut { publishers } => publishers,
                    _ => 0,
                };
                Work::Publishing(Timetable::new(self, publishers, scene.rate, now))
            }
            (Act::Hold, _) => {
                let probes = self.shared.plan.probes as u32;
                // Each pings once a second.
                Work::Holding(Timetable::new(self, probes, f64::from(probes), now))
            }
            (Act::Bulk, _) => {
                let bulk = BulkWork::new(&self.fleet, &self.shared.plan, self.thread);
                self.payloads = bulk.payloads();
                Work::Bulk(bulk)
            }
            (Act::Churn, _) => {
                let own = self.shared.plan.share(all, self.thread);
                self.arrivals.begin(0..own, true, now);
                Work::Churning
            }
            (Act::Herd, _) => {
                self.arrivals.begin(0..0, true, now);
                self.arrivals.rushing = true;
                self.drop_all();
                Work::Herding { since: now }
            }
            (Act::Mixed, _) => {
                self.arrivals.begin(0..0, true, now);
                let mut mixer = Mixer::default();
                for (slot, client) in self.fleet.iter().filter(|(_, client)| client.is_open()) {
                    mixer.opened(slot, client.id, now, &self.shared.plan);
                }
                Work::Mixing(mixer)
            }
            (Act::Settle, _) => Work::Settling,
            (Act::Close, _) => Work::Closing { next: 0 },
            (Act::Mute | Act::Judge, _) => Work::Nothing,
        }
    }

    /// Accounts for what the scene leaves undone, `next` being what follows it.
    fn leave(&mut self, next: Act) -> Result<(), Failure> {
        let now = self.now();
        match &self.work {
            Work::Pacing(_) | Work::Publishing(_) if !next.goes_by_the_clock() => {
                self.finish_turns(now)?;
            }
            Work::Holding(_) if next != Act::Hold => self.ledger.give_up_probes(now),
            Work::EchoingOnce { .. } | Work::Settling => self.give_up(now),
            Work::Bulk(_) => {
                self.give_up(now);
                self.payloads = Arc::clone(&self.shared.plan.payloads);
            }
            Work::Herding { .. } => {
                let own = self.shared.plan.share(self.shared.plan.connections, self.thread);
                let open = self.fleet.iter().filter(|(_, client)| client.is_open()).count();
                self.ledger.fault(ErrorKind::NotBack, own.saturating_sub(open) as u64);
                self.arrivals.end();
            }
            Work::Churning | Work::Mixing(_) if !matches!(next, Act::Churn | Act::Mixed) => {
                self.finish_walking(now)?;
                self.arrivals.persistent = false;
                self.arrivals.end();
            }
            Work::Closing { .. } => self.reset_all(),
            _ => {}
        }
        Ok(())
    }

    /// What is still awaited will not be waited for any longer.
    fn give_up(&mut self, now: Duration) {
        let missing = self.missing();
        if let Traffic::FanOut { .. } = self.shared.plan.traffic {
            return self.ledger.fault(ErrorKind::Unanswered, missing);
        }
        if missing == 0 {
            return;
        }
        let mut behind = Vec::new();
        for (slot, client) in self.fleet.iter().filter(|(_, client)| client.is_open()) {
            if self.ledger.give_up(slot, client, now) {
                behind.push(slot);
            }
        }
        if self.shared.plan.quest.is_some() {
            // Its late answers would be counted in the next step.
            for slot in behind {
                dial::reset_on_drop(self.fleet[slot].stream());
                self.remove(slot, None);
            }
        }
    }

    /// Messages that this thread's connections still wait for.
    fn missing(&self) -> u64 {
        match self.shared.plan.traffic {
            Traffic::Echo | Traffic::Heartbeats => self.ledger.awaited,
            Traffic::FanOut { .. } => {
                let open = self.fleet.iter().filter(|(_, client)| client.is_open());
                open.map(|(slot, client)| self.ledger.undelivered(slot, client)).sum()
            }
        }
    }

    /// How long the next turn may wait for events.
    pub(super) fn patience(&self) -> Duration {
        let busy = match &self.work {
            Work::Opening | Work::Churning | Work::Herding { .. } | Work::Mixing(_) => {
                let patience = self.arrivals.patience(&self.shared.plan, self.now());
                return patience.map_or(IDLE_WAIT, |wait| wait.min(IDLE_WAIT));
            }
            Work::Echoing { next } | Work::EchoingOnce { next } | Work::Closing { next } => {
                *next < self.fleet.capacity() && !self.fleet.is_empty()
            }
            Work::Bulk(bulk) => bulk.can_send(&self.fleet),
            Work::Nothing
            | Work::Pacing(_)
            | Work::Publishing(_)
            | Work::Holding(_)
            | Work::Settling => false,
        };
        if busy { Duration::ZERO } else { IDLE_WAIT }
    }

    /// The scene's own part of a turn.
    pub(super) fn work(&mut self) -> Result<(), Failure> {
        let done = match &mut self.work {
            Work::Nothing => true,
            Work::Opening | Work::Herding { .. } => self.admit()?,
            Work::Churning => {
                self.admit()?;
                true
            }
            Work::Mixing(_) => {
                self.admit()?;
                self.walk()?;
                true
            }
            Work::Echoing { .. } => {
                self.prime(|generator, slot| generator.proceed(slot, generator.now()))?;
                true
            }
            Work::EchoingOnce { .. } => {
                let all =
                    self.prime(|generator, slot| match generator.fleet[slot].in_flight() {
                        0 => generator.send_message(slot, generator.now()),
                        _ => Ok(()),
                    })?;
                all && self.ledger.awaited == 0
            }
            Work::Pacing(_) => self.take_turns(Generator::pace).map(|()| true)?,
            Work::Publishing(_) => self.take_turns(Generator::publish).map(|()| true)?,
            Work::Holding(_) => self.take_turns(Generator::probe).map(|()| true)?,
            Work::Bulk(_) => self.send_fragments()?,
            Work::Settling => self.missing() == 0 && self.arrivals.is_over(),
            Work::Closing { .. } => self.close_some()?,
        };
        if done && self.zombies.as_ref().is_none_or(Zombies::is_done) {
            self.ledger.tally().scenes_done.store(self.scene.0, Ordering::Release);
        }
        Ok(())
    }

    /// Does `first` for some of the open connections whose turn has not come yet; tells whether
    /// it has for all.
    fn prime(
        &mut self,
        first: fn(&mut Generator, usize) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let (Work::Echoing { next } | Work::EchoingOnce { next }) = &mut self.work else {
            return Ok(true);
        };
        let from = *next;
        *next = self.fleet.capacity().min(from + BUDGET);
        let to = *next;
        for slot in from..to {
            if self.fleet.get(slot).is_some_and(Client::is_open) {
                first(self, slot)?;
            }
        }
        Ok(to == self.fleet.capacity())
    }

    /// The connection in `slot` is open and not blocked, or something has come for it: goes on with
    /// what its loop wants sent.
    pub(super) fn proceed(&mut self, slot: usize, now: Duration) -> Result<(), Failure> {
        let Some(client) = self.fleet.get_mut(slot).filter(|client| client.is_open()) else {
            return Ok(());
        };
        match self.work {
            Work::Echoing { .. } => {}
            Work::Pacing(_) | Work::Mixing(_) => return self.send_owed(slot),
            Work::Settling if self.shared.plan.is_open_loop() => return self.send_owed(slot),
            Work::Churning if client.sent == 0 => return self.send_message(slot, now),
            Work::Churning if client.in_flight() == 0 => return self.close(slot),
            _ => return Ok(()),
        }
        if client.is_blocked() {
            return Ok(());
        }
        self.scratch.clear();
        let pipeline = u64::from(self.shared.plan.pipeline);
        while client.in_flight() < pipeline && self.scratch.len() < BUFFER {
            let stamp = self.ledger.send(slot, client, now);
            append_message(&mut self.scratch, &self.payloads, stamp, self.shared.plan.seed);
        }
        if self.scratch.is_empty() { Ok(()) } else { self.send_scratch(slot) }
    }
}
