//! Fan-out: a frame is encoded once and queued for every member of a route, on every reactor.
//! Not for deciding who receives: whoever is open on the route does.

use std::sync::Arc;

use super::Reactor;
use super::core::Core;
use super::drain::Drain;
use super::mailbox::{Fanout, Mail};
use super::shard::Phase as BudgetedPhase;
use crate::config;
use crate::conn::{Bucket, CloseReason, Frame, Limits, NOWHERE, Pause};
use crate::io::Token;
use crate::mutation::{self, Mutation};
use crate::proto::{Kind, encode_into, frame_length};

/// Deliveries in one turn, after which mail waits for the next one. A single fan-out is never cut.
/// What costs time is writing, once for each connection whatever it gets, so taking in several
/// fan-outs before it is what lets a busy server keep up.
const DELIVERIES: usize = 64 * 1024;

/// Pieces of mail taken in one turn.
const MAILS: usize = 1024;

impl Core {
    /// Sends a message to all members of a route, on every reactor, this one too: its turn comes
    /// in the mailbox phase, as everywhere.
    pub fn publish(&mut self, route: u16, kind: Kind, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(frame_length(payload.len()));
        encode_into(&mut bytes, kind, payload);
        let frame = Frame::shared(bytes.into());
        let reactors = self.shared.mailboxes.reactors();
        let fanout = Fanout::new(route, frame, self.now.real, reactors);
        if let Some(publishes) = self.publishes.get_mut(usize::from(route)) {
            *publishes = true;
        }
        if self.shared.mailboxes.publish(&fanout) {
            self.shard.mailbox_full.increment();
        }
    }

    /// True if a connection's messages would go to a mailbox that is full.
    #[inline]
    pub fn must_wait_for_mail(&self, route: u16) -> bool {
        self.shared.mailboxes.any_is_full()
            && self.publishes.get(usize::from(route)).is_some_and(|publishes| *publishes)
    }

    /// True if a route's handler publishes when a connection opens and a mailbox is full: opening
    /// can't be paused as reading can, so a flood of openings is turned away.
    pub fn must_not_greet(&self, route: Option<usize>) -> bool {
        self.shared.mailboxes.any_is_full()
            && route.and_then(|route| self.greets.get(route)).is_some_and(|greets| *greets)
    }

    /// Lives under new limits. Deadlines may have come closer, so every connection is looked at;
    /// heartbeats and lifetimes are spread anew where they have changed.
    fn reload(&mut self, limits: &config::Limits) {
        let (ping, lifetime) = (self.limits.ping, self.limits.lifetime);
        let rate = self.limits.rate;
        self.limits = Limits::from(limits);
        self.tools.set_message_limit(self.limits.message_size);
        for index in 0..self.slots.end() {
            let Core { slots, limits, spread, now, expiries, .. } = self;
            let Some(conn) = slots.at(index) else { continue };
            if limits.ping != ping {
                conn.spread_heartbeat(now.tick, limits, spread);
            }
            if limits.lifetime != lifetime {
                conn.spread_lifetime(now.tick, limits, spread);
                if let Some(expiry) = expiries.get(index, now) {
                    conn.expires_at(expiry);
                }
            }
            if limits.rate != rate {
                *conn.bucket() = Bucket::default();
            }
            if conn.is_paused_for(Pause::Rate) {
                // How long it was to wait, for its own tokens or those of all, is as old.
                conn.resume_at(now.tick);
            }
            let token = slots.token(index);
            self.arm(token);
        }
    }

    /// Queues a fan-out for this reactor's members; how many were looked at.
    fn deliver(&mut self, fanout: Arc<Fanout>) -> usize {
        let route = usize::from(fanout.route);
        let members = self.members.get_mut(route).map(std::mem::take).unwrap_or_default();
        let number = self.output.share(fanout.frame.clone());
        let mut queued = 0;
        if let Some(mut forms) = self.forms(&fanout, number) {
            queued = self.queue_forms(&members, &mut forms);
        } else {
            for &index in &members {
                queued += u64::from(self.queue_shared(index, number, &fanout.frame));
            }
        }
        let looked_at = members.len();
        if let Some(place) = self.members.get_mut(route) {
            *place = members;
        }
        fanout.queued(queued);
        self.fanouts.push(fanout);
        looked_at
    }

    /// After the flush: what was delivered in this turn has been written.
    pub fn complete_fanouts(&mut self) {
        if self.fanouts.is_empty() {
            return;
        }
        self.driver.submit();
        self.settle_gathered();
        let now = self.driver.now();
        for fanout in self.fanouts.drain(..) {
            if fanout.written() {
                self.shard.fanout_latency.observe_micros(now.saturating_sub(fanout.received));
            }
        }
    }

    /// Adds an open connection to its route's members.
    pub fn join(&mut self, token: Token, route: u16) {
        let Some(members) = self.members.get_mut(usize::from(route)) else { return };
        if let Some(conn) = self.slots.get(token) {
            conn.member = members.len() as u32;
            members.push(token.index);
        }
    }

    /// Takes the member at that place out; the last one moves there.
    pub fn leave(&mut self, route: u16, place: u32) {
        let Some(members) = self.members.get_mut(usize::from(route)) else { return };
        if place == NOWHERE || place as usize >= members.len() {
            return;
        }
        members.swap_remove(place as usize);
        if let Some(&moved) = members.get(place as usize)
            && let Some(conn) = self.slots.at(moved)
        {
            conn.member = place;
        }
    }
}

impl Reactor {
    /// The mailbox phase.
    pub(super) fn read_mail(&mut self) {
        let mut deliveries = 0;
        self.core.has_mail = true;
        self.core.compression.work.begin_mail();
        for _ in 0..MAILS {
            let core = &mut self.core;
            let Some(mail) = core.shared.mailboxes.take(core.id) else {
                core.has_mail = false;
                return;
            };
            core.shard.mailbox_messages.increment();
            match mail {
                Mail::Publish(fanout) => {
                    if mutation::is(Mutation::DeliverTwice) {
                        core.deliver(Arc::clone(&fanout));
                    }
                    deliveries += core.deliver(fanout);
                }
                Mail::Gate(gate) => self.core.gate = gate,
                Mail::Reload(limits) => {
                    core.reload(&limits);
                }
                Mail::Admit(rules) => core.admission = rules,
                Mail::Replace(token) => core.close(token, CloseReason::Replaced, None),
                Mail::Cut(token) => core.cut(token),
                Mail::Drain(window) => self.drain = Some(Drain::begin(&mut self.core, window)),
                Mail::Stop => self.is_stopped = true,
            }
            // What has been compressed is as much work as those are.
            if deliveries >= DELIVERIES || self.core.compression.work.has_compressed_enough() {
                break;
            }
            if self.core.output.is_full() {
                self.core.flush();
            }
        }
        self.core.carry_over_if(true, BudgetedPhase::Mailbox);
    }

    /// Publishers go on once no mailbox is full any more, and readers once theirs have drained.
    pub(super) fn resume_waiting(&mut self) {
        for token in std::mem::take(&mut self.core.drained_outboxes) {
            self.resume(token, Pause::Outbox);
        }
        // Each of them once: whoever has had its share again, or finds that all is spent, waits on.
        for _ in 0..self.core.breathless.len() {
            if self.core.compression.work.has_inflated_enough() {
                break;
            }
            let Some(token) = self.core.breathless.pop_front() else { break };
            self.resume(token, Pause::Turn);
            if self.core.output.is_full() {
                self.core.flush();
            }
        }
        let mut waiting = std::mem::take(&mut self.core.waiting).into_iter();
        while !self.core.shared.mailboxes.any_is_full()
            && let Some(token) = waiting.next()
        {
            self.resume(token, Pause::Mailbox);
        }
        // Whoever has had a turn stands behind those who have not.
        let paused_again = std::mem::replace(&mut self.core.waiting, waiting.collect());
        self.core.waiting.extend(paused_again);
    }
}
