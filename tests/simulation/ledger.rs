//! What is owed to whom: why a good client may lose its connection, and what must be settled when
//! the world is calm and when it is over.
//! Not what must hold between two turns; see `invariants`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pulsewheel::CloseReason;
use pulsewheel::config::{RatePolicy, SlowConsumer};

use crate::client::Client;
use crate::manner::Manner;
use crate::message::Sender;
use crate::net::{Net, Server};
use crate::rules::SECOND;
use crate::world::World;

/// What was so when the calm began.
#[derive(Debug, Default)]
pub struct Settled {
    began: u64,
    /// Of each client: the session it was in, open, and the pings it had had.
    pings: BTreeMap<u32, (u32, u32)>,
}

impl Client {
    /// Whether a good client's connection may end for this reason.
    pub fn may_end(&self, reason: CloseReason, net: &mut Net, world: &World) -> bool {
        let Some(session) = &self.session else { return true };
        let was_cut = net.socket(session.socket).was_cut;
        let limits = || world.rules.every_limits();
        let has_policy = |policy| limits().any(|limits| limits.slow_consumer == policy);
        match reason {
            CloseReason::PeerClosed => session.sent_close,
            CloseReason::PeerReset => was_cut,
            CloseReason::Refused => session.opened.is_none(),
            CloseReason::HandshakeRefused => self.manner == Manner::Whim,
            CloseReason::IdleTimeout => limits().any(|limits| limits.idle_timeout.is_some()),
            CloseReason::LifetimeReached => limits().any(|limits| limits.max_lifetime.is_some()),
            CloseReason::RateLimited => limits().any(|limits| {
                limits.message_rate.is_some() && limits.message_rate_policy == RatePolicy::Close
            }),
            CloseReason::OutboxFull => {
                has_policy(SlowConsumer::Close) && self.manner.path() != "/echo"
            }
            CloseReason::OutboxShed => world.rules.limits.outbox_budget < 1 << 30,
            CloseReason::InboxShed => world.rules.limits.inbox_budget < 1 << 30,
            CloseReason::HandlerClosed | CloseReason::HandlerPanic => session.asked_to_end,
            CloseReason::CloseTimeout => session.backlog_at_close > 0,
            CloseReason::Draining => world.drain_began.is_some(),
            CloseReason::DrainDropped => world.drain_began.is_some_and(|began| {
                // Who was there when it began is asked to go and goes.
                session.backlog_at_close > 0 || session.opened.is_none_or(|opened| opened > began)
            }),
            _ => false,
        }
    }
}

impl World {
    /// Notes what is so when the calm begins.
    pub fn begin_settling(&mut self) {
        self.settled.began = self.net.borrow().now;
        for client in &self.clients {
            if let Some(session) = client.session.as_ref().filter(|s| s.opened.is_some()) {
                self.settled.pings.insert(client.id, (client.number, session.pings));
            }
        }
    }

    fn may_drop(&self) -> bool {
        self.rules.every_limits().any(|limits| limits.slow_consumer != SlowConsumer::Close)
    }

    /// The calm is over: every good client that is still there has got what it is owed.
    pub fn is_settled(&mut self) -> Result<(), String> {
        let (mut heard_less, may_drop) = (0, self.may_drop());
        let may_wait = self.rules.has_rates() && !self.is_out_of_patience();
        for client in self.clients.iter().filter(|client| client.manner.is_good()) {
            let Some(session) = client.session.as_ref() else { continue };
            let mut net = self.net.borrow_mut();
            let backlog = net.backlog(session.socket);
            let is_open = net.socket(session.socket).server == Server::Open;
            if session.end.is_some() || session.opened.is_none() || !is_open {
                continue;
            }
            let who = || format!("client {}, {:?}", client.id, client.manner);
            if backlog > 0 {
                return Err(format!("{}: {backlog} bytes of it are not read", who()));
            }
            let socket = net.socket(session.socket);
            let is_answer_under_way = socket.fin_down && socket.is_down_due;
            if session.sent_close && !is_answer_under_way {
                return Err(format!("{}: its close frame has no answer; {socket:?}", who()));
            }
            heard_less += session.expected.len() as u64;
            // What waits for its rate is not lost yet.
            if !session.expected.is_empty() && (!may_drop || may_wait) {
                let next = session.expected.front();
                return Err(format!("{}: {next:?} has never come back", who()));
            }
        }
        self.heard_all(may_drop)?;
        self.were_pinged()?;
        self.missed += heard_less;
        Ok(())
    }

    /// What is not settled by now will never be, however low the rates.
    pub fn is_out_of_patience(&self) -> bool {
        let patience = if self.rules.has_rates() { 4 * 3600 * SECOND } else { 60 * SECOND };
        self.net.borrow().now > self.settled.began + self.rules.calm + patience
    }

    /// Subscribers have heard all that was published while they were there.
    fn heard_all(&self, may_drop: bool) -> Result<(), String> {
        let speaks = |client: &&Client| client.manner == Manner::Publisher;
        for publisher in self.clients.iter().filter(speaks) {
            let Some(said) = publisher.session.as_ref() else { continue };
            if said.end.is_some() || said.sent_close || said.sent == 0 || may_drop {
                continue;
            }
            let sender = Sender { client: publisher.id, session: publisher.number };
            for listener in self.clients.iter().filter(|client| client.manner.is_good()) {
                let Some(session) = listener.session.as_ref() else { continue };
                let is_there = listener.manner.path() == "/broadcast"
                    && session.end.is_none()
                    && session.opened.is_some_and(|opened| opened < said.last_sent);
                let heard = session.heard.get(&sender);
                if is_there && heard != Some(&(said.sent - 1)) {
                    return Err(format!(
                        "client {} has heard {heard:?} of {sender:?}, who has said {}",
                        listener.id, said.sent
                    ));
                }
            }
        }
        Ok(())
    }

    /// Heartbeats have gone out to those who said nothing.
    fn were_pinged(&self) -> Result<(), String> {
        let calm = self.net.borrow().now - self.settled.began;
        let longest = self.rules.every_limits().map(|limits| limits.ping_interval);
        let Some(longest) = longest.collect::<Option<Vec<_>>>() else { return Ok(()) };
        let longest = longest.into_iter().max().unwrap_or_default().as_micros() as u64;
        if calm < 2 * longest + 5 * SECOND {
            return Ok(());
        }
        for (id, (number, pings)) in &self.settled.pings {
            let client = &self.clients[*id as usize];
            let is_quiet = matches!(client.manner, Manner::Idle | Manner::Echo | Manner::Fragments);
            let Some(session) = client.session.as_ref() else { continue };
            let is_open = session.end.is_none() && !session.sent_close;
            if is_quiet && client.number == *number && is_open && session.pings == *pings {
                return Err(format!("client {id} was not pinged in {} s", calm / SECOND));
            }
        }
        Ok(())
    }

    /// The server is gone: nothing is left of anybody.
    pub fn at_the_end(&mut self) -> Result<(), String> {
        let mut net = self.net.borrow_mut();
        for id in 0..net.sockets.len() {
            let socket = &net.sockets[id];
            if socket.server == Server::Open {
                return Err(format!("the socket of client {} is still open", socket.client));
            }
        }
        if let Some(breach) = net.breaches.pop() {
            return Err(breach);
        }
        let sum = |of: &dyn Fn(&pulsewheel::reactor::shard::Shard) -> u64| -> u64 {
            self.shared.shards.iter().map(|shard| of(shard)).sum()
        };
        let closed = sum(&|shard| shard.closed.iter().map(|counter| counter.get()).sum());
        if closed != self.graves {
            return Err(format!("{} connections ended, {closed} reasons are counted", self.graves));
        }
        let accepted = sum(&|shard| shard.accepted.get());
        let turned_away: u64 = net.ports.iter().map(|port| port.refused).sum();
        if accepted != closed + turned_away {
            return Err(format!("{accepted} accepted, {closed} closed, {turned_away} turned away"));
        }
        let budgets = (self.shared.outbox_budget.used(), self.shared.inbox_budget.used());
        if budgets != (0, 0) || self.shared.connections() != 0 {
            let left = self.shared.connections();
            return Err(format!("at the end {budgets:?} bytes are charged, {left} are counted"));
        }
        let active = sum(&|shard| shard.connections_active.get());
        let (opened, ended) = (&self.visits.opened, &self.visits.closed);
        let visits = (opened.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
        if active != 0 || visits.0 != visits.1 {
            return Err(format!("{active} are active; of visits {visits:?} began and ended"));
        }
        let dropped =
            sum(&|shard| shard.frames_dropped_oldest.get() + shard.frames_dropped_newest.get());
        if self.missed > dropped {
            return Err(format!("{} messages are missing, {dropped} were dropped", self.missed));
        }
        let late = self.published.iter().find(|(_, sent)| sent.wait(Duration::ZERO).is_none());
        match late {
            Some((at, _)) => Err(format!("what was published at {at} was never written")),
            None => Ok(()),
        }
    }
}
