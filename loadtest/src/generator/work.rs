//! What each act of a script has a thread do: whom to open, who sends when, who is closed.
//! Not the answering of what comes in; that is `receive`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::{Interest, Token};

use super::bulk::BulkWork;
use super::client::{Client, Stage};
use super::dial::{self, Undialled};
use super::publish::Schedule;
use super::zombies::Zombies;
use super::{Generator, IDLE_WAIT, append_control, append_message};
use crate::error::Failure;
use crate::plan::Traffic;
use crate::script::Act;
use crate::tally::ErrorKind;
use crate::wire::frame::Opcode;
use crate::wire::payload::Payloads;

/// Connections that one turn opens, primes or closes at most, so that those already open are
/// attended to meanwhile.
const BUDGET: usize = 128;

/// Connections between connect(2) and open at most, over all threads: well below the accept queue
/// of a usual listener, which drops what it can't hold.
const PENDING: usize = 512;

/// How often connections that do not open are looked for.
const TIMEOUT_CHECK: Duration = Duration::from_millis(500);

/// Where a thread stands in the act that is on.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing to do but answer.
    Nothing,
    /// See [`Act::Mute`]: nothing to do at all.
    Mute,
    /// See [`Act::Open`].
    Opening(Opening),
    /// See [`Act::Echo`]; slots before `next` have been started.
    Echoing { next: usize },
    /// See [`Act::EchoOnce`]; slots before `next` have been asked.
    EchoingOnce { next: usize },
    /// See [`Act::Publish`].
    Publishing(Schedule),
    /// See [`Act::Bulk`].
    Bulk(BulkWork),
    /// See [`Act::Settle`].
    Settling,
    /// See [`Act::Close`]; slots before `next` have been told.
    Closing { next: usize },
}

/// Connections being opened.
#[derive(Debug)]
pub(super) struct Opening {
    begun: usize,
    pending: usize,
    since: Duration,
    next_check: Duration,
}

impl Work {
    /// A connection has opened.
    pub(super) fn opened(&mut self) {
        if let Work::Opening(opening) = self {
            opening.pending = opening.pending.saturating_sub(1);
        }
    }

    /// The connection in `slot` is gone.
    pub(super) fn forget(&mut self, slot: usize, was_open: bool) {
        match self {
            Work::Opening(opening) if !was_open => {
                opening.pending = opening.pending.saturating_sub(1);
            }
            Work::Publishing(schedule) => schedule.forget(slot),
            Work::Bulk(bulk) => bulk.forget(slot),
            _ => {}
        }
    }
}

impl Generator {
    /// Leaves the scene that was on and begins number `scene`.
    pub(super) fn enter(&mut self, scene: usize) {
        let now = self.now();
        self.leave();
        let act = self.shared.plan.script[scene].act;
        self.ledger.mute = act == Act::Mute;
        self.ledger.recording = self.shared.plan.script[scene].measured;
        self.scene = scene;
        self.work = match (act, std::mem::replace(&mut self.work, Work::Nothing)) {
            // From the warm-up into the measurement the load goes on as it is.
            (Act::Echo | Act::Resets | Act::Zombies, work @ Work::Echoing { .. }) => work,
            (Act::Publish, work @ Work::Publishing(_)) => work,
            (Act::Open, _) => {
                Work::Opening(Opening { begun: 0, pending: 0, since: now, next_check: now })
            }
            (Act::Echo | Act::Resets | Act::Zombies, _) => Work::Echoing { next: 0 },
            (Act::EchoOnce, _) => Work::EchoingOnce { next: 0 },
            (Act::Publish, _) => Work::Publishing(Schedule::new(&self.fleet, &self.shared, now)),
            (Act::Bulk, _) => {
                let bulk = BulkWork::new(&self.fleet, &self.shared.plan, self.thread);
                self.payloads = bulk.payloads();
                Work::Bulk(bulk)
            }
            (Act::Settle, _) => Work::Settling,
            (Act::Close, _) => Work::Closing { next: 0 },
            (Act::Hold, _) => Work::Nothing,
            (Act::Mute, _) => Work::Mute,
        };
        if let Some(zombies) = &mut self.zombies {
            zombies.enter(act, now);
        }
    }

    /// Accounts for what the scene leaves undone.
    fn leave(&mut self) {
        match &self.work {
            Work::EchoingOnce { .. } | Work::Settling => {
                let missing = self.missing();
                self.ledger.findings.errors.add(ErrorKind::Unanswered, missing);
            }
            Work::Bulk(_) => {
                let missing = self.missing();
                self.ledger.findings.errors.add(ErrorKind::Unanswered, missing);
                let plan = &self.shared.plan;
                self.payloads = Arc::new(Payloads::new(plan.size, plan.text, plan.seed));
            }
            Work::Closing { .. } => {
                let left: Vec<usize> = self.fleet.iter().map(|(slot, _)| slot).collect();
                for slot in left {
                    dial::reset_on_drop(self.fleet[slot].stream());
                    self.remove(slot);
                }
            }
            _ => {}
        }
    }

    /// Messages that this thread's connections still wait for.
    fn missing(&self) -> u64 {
        match self.shared.plan.traffic {
            Traffic::Echo => self.ledger.in_flight,
            Traffic::FanOut { .. } => {
                let sent = self.shared.sum(|tally| &tally.sent);
                let received = self.ledger.tally().received.load(Ordering::Relaxed);
                (sent * self.fleet.len() as u64).saturating_sub(received)
            }
        }
    }

    /// How long the next turn may wait for events.
    pub(super) fn patience(&self) -> Duration {
        let busy = match &self.work {
            Work::Opening(opening) => {
                return match self.may_open(opening, self.now()) {
                    0 if opening.begun < self.shared.plan.share(self.thread) => {
                        Duration::from_millis(1)
                    }
                    0 => IDLE_WAIT,
                    _ => Duration::ZERO,
                };
            }
            Work::Echoing { next } | Work::EchoingOnce { next } | Work::Closing { next } => {
                *next < self.fleet.capacity() && !self.fleet.is_empty()
            }
            Work::Bulk(bulk) => bulk.can_send(&self.fleet),
            Work::Nothing | Work::Mute | Work::Publishing(_) | Work::Settling => false,
        };
        if busy { Duration::ZERO } else { IDLE_WAIT }
    }

    /// The scene's own part of a turn.
    pub(super) fn work(&mut self) -> Result<(), Failure> {
        let done = match &mut self.work {
            Work::Nothing | Work::Mute => true,
            Work::Opening(_) => self.open_some()?,
            Work::Echoing { next } => {
                let from = *next;
                *next = self.fleet.capacity().min(from + BUDGET);
                let to = *next;
                for slot in from..to {
                    if self.fleet.get(slot).is_some_and(Client::is_open) {
                        self.proceed(slot, self.now())?;
                    }
                }
                true
            }
            Work::EchoingOnce { next } => {
                let from = *next;
                *next = self.fleet.capacity().min(from + BUDGET);
                let to = *next;
                for slot in from..to {
                    let ready = |client: &Client| client.is_open() && client.in_flight() == 0;
                    if self.fleet.get(slot).is_some_and(ready) {
                        self.send_message(slot, self.now())?;
                    }
                }
                to == self.fleet.capacity() && self.ledger.in_flight == 0
            }
            Work::Publishing(_) => {
                self.publish_due()?;
                true
            }
            Work::Bulk(_) => self.send_fragments()?,
            Work::Settling => self.missing() == 0,
            Work::Closing { .. } => self.close_some()?,
        };
        if done && self.zombies.as_ref().is_none_or(Zombies::is_done) {
            self.ledger.tally().scenes_done.store(self.scene + 1, Ordering::Release);
        }
        Ok(())
    }

    /// The connection in `slot` is open and not blocked, or something has come for it: goes on with
    /// the closed loop where that is on.
    pub(super) fn proceed(&mut self, slot: usize, now: Duration) -> Result<(), Failure> {
        let Work::Echoing { .. } = self.work else { return Ok(()) };
        let Some(client) = self.fleet.get_mut(slot) else { return Ok(()) };
        if client.is_blocked() {
            return Ok(());
        }
        self.scratch.clear();
        let pipeline = u64::from(self.shared.plan.pipeline);
        while client.in_flight() < pipeline && self.scratch.len() < super::BUFFER {
            let stamp = self.ledger.send(slot, client, now);
            append_message(&mut self.scratch, &self.payloads, stamp, self.shared.plan.seed);
        }
        if self.scratch.is_empty() { Ok(()) } else { self.send_scratch(slot) }
    }

    /// How many connections may be begun at `now`.
    fn may_open(&self, opening: &Opening, now: Duration) -> usize {
        let plan = &self.shared.plan;
        let left = plan.share(self.thread) - opening.begun;
        let pending = (PENDING / plan.threads).max(8).saturating_sub(opening.pending);
        let by_rate = match plan.connect_rate {
            None => usize::MAX,
            Some(rate) => {
                let elapsed = (now - opening.since).as_secs_f64();
                let due = (elapsed * rate / plan.threads as f64) as usize + 1;
                due.saturating_sub(opening.begun)
            }
        };
        left.min(pending).min(by_rate).min(BUDGET)
    }

    fn open_some(&mut self) -> Result<bool, Failure> {
        let now = self.now();
        let Work::Opening(opening) = &self.work else { return Ok(true) };
        let count = self.may_open(opening, now);
        let check = opening.next_check <= now;
        for _ in 0..count {
            self.open_one(now)?;
        }
        if check {
            self.give_up_on_late_ones(now)?;
        }
        let Work::Opening(opening) = &mut self.work else { return Ok(true) };
        if check {
            opening.next_check = now + TIMEOUT_CHECK;
        }
        Ok(opening.begun == self.shared.plan.share(self.thread) && opening.pending == 0)
    }

    fn open_one(&mut self, now: Duration) -> Result<(), Failure> {
        let plan = &self.shared.plan;
        let Work::Opening(opening) = &mut self.work else { return Ok(()) };
        let id = (self.thread + opening.begun * plan.threads) as u32;
        let nth = opening.begun;
        opening.begun += 1;
        match dial::dial(plan, id, nth) {
            Ok(mut stream) => {
                let entry = self.fleet.vacant_entry();
                let interest = Interest::READABLE | Interest::WRITABLE;
                let token = Token(entry.key());
                let registered = self.poll.registry().register(&mut stream, token, interest);
                registered.map_err(Failure::system("cannot poll a socket"))?;
                entry.insert(Client::new(stream, id, now, plan.masked_answers()));
                opening.pending += 1;
                Ok(())
            }
            Err(Undialled::Limit(failure)) => Err(failure),
            Err(Undialled::Connect(source)) if self.nobody_yet() => {
                Err(Failure::Unreachable { address: self.shared.plan.target.address, source })
            }
            Err(Undialled::Connect(source)) => {
                self.ledger.findings.errors.tell(ErrorKind::Connect, &source);
                Ok(())
            }
        }
    }

    fn give_up_on_late_ones(&mut self, now: Duration) -> Result<(), Failure> {
        let timeout = self.shared.plan.connect_timeout;
        let late = |client: &Client| {
            matches!(client.stage, Stage::Connecting | Stage::Upgrading(_))
                && now.saturating_sub(client.spoke) > timeout
        };
        let slots = self.fleet.iter().filter(|(_, client)| late(client)).map(|(slot, _)| slot);
        for slot in slots.collect::<Vec<_>>() {
            self.lose(slot, ErrorKind::ConnectTimeout, "it did not open in time")?;
        }
        Ok(())
    }

    fn close_some(&mut self) -> Result<bool, Failure> {
        let Work::Closing { next } = &mut self.work else { return Ok(true) };
        let from = *next;
        *next = self.fleet.capacity().min(from + BUDGET);
        let to = *next;
        for slot in from..to {
            let Some(client) = self.fleet.get_mut(slot) else { continue };
            let websocket = !self.shared.plan.is_plain_tcp();
            if websocket && client.is_open() && !client.is_blocked() {
                client.stage = Stage::Closing;
                self.scratch.clear();
                append_control(&mut self.scratch, Opcode::Close, [0; 4], &1000u16.to_be_bytes());
                self.send_scratch(slot)?;
            } else {
                dial::reset_on_drop(client.stream());
                self.remove(slot);
            }
        }
        Ok(self.fleet.is_empty())
    }
}
