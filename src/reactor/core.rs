//! What a reactor has besides its services, so that a service can be called with all of it.
//! Not for phases: those are in the files named after them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::clock::Now;
use super::compression::Compression;
use super::drain;
use super::expiries::Expiries;
use super::gather::Gathered;
use super::guests::Guests;
use super::mailbox::Fanout;
use super::output::Output;
use super::ranks::Ranks;
use super::shard::{Phase as BudgetedPhase, Shard};
use super::shared::Shared;
use super::slots::Slots;
use super::tls::Sessions;
use super::wheel::Wheel;
use crate::conn::{CloseReason, Conn, Limits, Spread, Tick};
use crate::gate::{Admission, Gate};
use crate::io::{Driver, Token};
use crate::mutation::{self, Mutation};
use crate::proto::Tools;

/// A connection that this turn ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doomed {
    pub token: Token,
    pub reason: CloseReason,
    pub reset: bool,
}

/// The reactor's own state.
pub(super) struct Core {
    pub id: usize,
    pub driver: Box<dyn Driver>,
    pub slots: Slots,
    pub wheel: Wheel,
    pub output: Output,
    /// What the driver has gathered of it, until its outcome is known.
    pub gathered: Gathered,
    pub tools: Tools,
    pub compression: Compression,
    pub limits: Limits,
    pub gate: Arc<Gate>,
    pub admission: Arc<Admission>,
    /// What connections have to do with it.
    pub guests: Guests,
    /// The TLS of connections.
    pub tls: Sessions,
    /// When the tokens of connections expire.
    pub expiries: Expiries,
    pub shared: Arc<Shared>,
    pub shard: Arc<Shard>,
    pub now: Now,
    pub spread: Spread,
    /// Open connections of each route.
    pub members: Vec<Vec<u32>>,
    /// Routes whose handlers have been seen to publish.
    pub publishes: Vec<bool>,
    /// Those among them that publish while a connection opens.
    pub greets: Vec<bool>,
    /// Ends with this turn.
    pub doomed: Vec<Doomed>,
    /// Delivered in this turn, to be timed once written.
    pub fanouts: Vec<Arc<Fanout>>,
    /// Publishers that wait for a mailbox to drain.
    pub waiting: Vec<Token>,
    /// Were not read further until their outboxes drained, which they have.
    pub drained_outboxes: Vec<Token>,
    /// Have had their share of a turn, and go on in the next.
    pub breathless: VecDeque<Token>,
    /// Mail was left for the next turn.
    pub has_mail: bool,
    /// Unsent bytes of all connections.
    pub unsent: u64,
    /// Unsent backlogs and unfinished messages, by the memory they hold.
    pub outboxes: Ranks,
    pub inboxes: Ranks,
    /// Connections that the descriptor table has room for.
    pub capacity: usize,
    /// Connections beyond the limit that are being told so.
    pub surplus: usize,
    /// When the log was last told that descriptors ran out.
    pub starved: Option<Tick>,
    /// A drain's window is over: who comes now is told to go elsewhere.
    pub is_past_drain: bool,
    /// Set while a drain is on: how its connections have ended.
    pub drained: Option<drain::Tally>,
    /// Who has left, for the simulator.
    #[cfg(feature = "simulation")]
    pub graves: Vec<super::audit::Grave>,
}

impl Core {
    pub fn new(
        id: usize,
        mut driver: Box<dyn Driver>,
        shared: Arc<Shared>,
        capacity: usize,
        seed: u64,
    ) -> Self {
        let real = driver.now();
        let now = Now { tick: Tick::from_micros(real), micros: real, real };
        let shard = shared.shards.get(id).map_or_else(Shard::new, Arc::clone);
        let limits = Limits::from(&shared.limits);
        let routes = shared.routes.len();
        Core {
            id,
            driver,
            slots: Slots::new(capacity + super::accept::SURPLUS),
            wheel: Wheel::new(now.tick),
            output: Output::new(),
            gathered: Gathered::default(),
            tools: Tools::new(limits.message_size),
            compression: Compression::new(&shared.compression),
            limits,
            gate: Arc::clone(&shared.gate),
            admission: Arc::clone(&shared.admission),
            guests: Guests::default(),
            tls: Sessions::default(),
            expiries: Expiries::default(),
            shared,
            shard,
            now,
            spread: Spread::new(seed),
            members: vec![Vec::new(); routes],
            publishes: vec![false; routes],
            greets: vec![false; routes],
            doomed: Vec::new(),
            fanouts: Vec::new(),
            waiting: Vec::new(),
            drained_outboxes: Vec::new(),
            breathless: VecDeque::new(),
            has_mail: false,
            unsent: 0,
            outboxes: Ranks::default(),
            inboxes: Ranks::default(),
            capacity,
            surplus: 0,
            starved: None,
            is_past_drain: false,
            drained: None,
            #[cfg(feature = "simulation")]
            graves: Vec::new(),
        }
    }

    /// True if the next turn must not wait.
    pub fn has_work(&self) -> bool {
        self.has_mail
            || self.output.len() > 0
            || self.tls.has_waiting()
            || !self.drained_outboxes.is_empty()
            || !self.breathless.is_empty()
            || (!self.waiting.is_empty() && !self.shared.mailboxes.any_is_full())
    }

    /// Counts that a phase had more to do than its share of the turn.
    pub fn carry_over_if(&self, has_more: bool, phase: BudgetedPhase) {
        if has_more && let Some(counter) = self.shard.phase_carried_over.get(phase.index()) {
            counter.increment();
        }
    }

    /// Has the wheel look at a connection when its earliest deadline comes.
    pub fn arm(&mut self, token: Token) {
        let Some(conn) = self.slots.get(token) else { return };
        let Some(tick) = conn.look_due(self.now.tick, &self.limits) else { return };
        if let Some(tick) = conn.armed.want(self.now.tick, tick) {
            self.wheel.insert(token.index, tick);
        } else if mutation::is(Mutation::LeaveWheelEntry) {
            self.wheel.insert(token.index, tick);
        }
    }

    /// A ping was answered, so the entry that waited for the answer would come up for nothing.
    pub fn disarm_early(&mut self, token: Token) {
        let Core { slots, wheel, limits, now, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        let Some((deadline, _)) = conn.deadline(limits) else { return };
        if !wheel.can_pass_over(token.index) {
            return;
        }
        let Some(early) = conn.armed.give_up(now.tick, deadline) else { return };
        // Where that is not to be had it comes up all the same, and nobody knows it.
        wheel.pass_over(token.index, early);
        self.arm(token);
    }

    /// Has a connection end with this turn; the first reason counts.
    pub fn doom(&mut self, token: Token, reason: CloseReason) {
        self.doomed.push(Doomed { token, reason, reset: reason.resets() });
    }

    /// As [`doom`](Self::doom), for one whose time is up: what its peer's kernel has not taken by
    /// now is given up too. A mere close would leave it with ours, as an orphan that no deadline of
    /// ours and no limit of connections sees any more.
    pub fn doom_overdue(&mut self, token: Token, reason: CloseReason) {
        let is_orphan = self.has_undelivered(token) && !mutation::is(Mutation::LeaveOrphan);
        let reset = reason.resets() || is_orphan;
        self.doomed.push(Doomed { token, reason, reset });
    }

    /// Whether bytes that our kernel took are still to be taken by the peer's.
    pub fn has_undelivered(&mut self, token: Token) -> bool {
        let Some(conn) = self.slots.get(token) else { return false };
        let sent = conn.totals().bytes_sent;
        self.driver.acknowledged(token).is_some_and(|acknowledged| acknowledged.bytes < sent)
    }

    /// Brings the totals up to date with what a connection holds, and lets it rest if it may.
    pub fn account(&mut self, token: Token) {
        let Some(conn) = self.slots.get(token) else { return };
        let inbox = conn.inbox_bytes();
        let Some(active) = conn.active() else { return };
        let unsent = active.outbox.bytes();
        self.unsent = self.unsent + unsent as u64 - active.unsent_counted as u64;
        active.unsent_counted = unsent;
        let outbox = active.outbox.held();
        if outbox != active.outbox_counted {
            let [rank, _] = &mut active.ranks;
            self.outboxes.change(token.index, rank, active.outbox_counted, outbox);
            active.outbox_counted = outbox;
        }
        if inbox != active.inbox_charged {
            let [_, rank] = &mut active.ranks;
            self.inboxes.change(token.index, rank, active.inbox_charged, inbox);
            self.shared.inbox_budget.charge(inbox);
            self.shared.inbox_budget.release(active.inbox_charged);
            active.inbox_charged = inbox;
        }
        conn.rest();
    }

    /// Takes a connection out of all totals, as it is about to go.
    pub fn unaccount(&mut self, index: u32, conn: &mut Conn) {
        let Some(active) = conn.active() else { return };
        self.unsent -= active.unsent_counted as u64;
        let [outbox, inbox] = &mut active.ranks;
        self.outboxes.change(index, outbox, active.outbox_counted, 0);
        self.inboxes.change(index, inbox, active.inbox_charged, 0);
        if !mutation::is(Mutation::KeepInboxBudget) {
            self.shared.inbox_budget.release(active.inbox_charged);
        }
        if !mutation::is(Mutation::KeepOutboxBudget) {
            active.outbox.clear(&self.shared.outbox_budget);
        }
    }
}
