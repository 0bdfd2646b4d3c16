//! Peers that go wrong, beside the connections that behave: begun, watched, and counted.
//! Not the healthy traffic, which `work` goes on with meanwhile.
//!
//! A generator thread calls [`Zombies::enter`] at each scene, [`Zombies::event`] for each event
//! whose token [`owns`] says is a zombie's, and [`Zombies::turn`] once in each turn. They have a slab,
//! tokens and alarms of their own and share only the poll.

mod bytes;
mod crowd;
mod kind;
mod mix;
mod observed;
mod peer;
mod resets;
mod socket;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Registry, Token};
use slab::Slab;

pub use crowd::{Crowd, Flags, without_duration};
pub use kind::Kind;
pub use observed::{Observed, Seen};

use super::dial::{self, Undialled};
use super::{Generator, Shared};
use crate::error::Failure;
use crate::plan::share;
use crate::script::Act;
use crate::sys;
use crate::tables::Tables;
use crate::tally::{ErrorKind, Findings};

use observed::Sign;
use peer::{Left, Over, Peer, Props, Readiness};
use resets::{Cue, Resets};
use socket::Socket;

/// Set in every zombie's token and in no slot of the fleet.
const MARK: usize = 1 << (usize::BITS - 2);

/// Above [`MARK`]: tokens that are neither a slot nor a zombie.
const BEYOND: usize = 1 << (usize::BITS - 1);

/// Zombies that one turn begins, and alarms that it hears, at most.
const BUDGET: usize = 64;

/// Whether an event with this token is a zombie's.
pub fn owns(token: Token) -> bool {
    token.0 & (BEYOND | MARK) == MARK
}

/// One thread's zombies.
#[derive(Debug)]
pub struct Zombies {
    shared: Arc<Shared>,
    thread: usize,
    registry: Registry,
    peers: Slab<Peer>,
    /// One entry counts for each zombie: the one at its `alarm`. Others are stale.
    alarms: BinaryHeap<Reverse<(Duration, usize, u64)>>,
    /// Slots and serials of those that had more to read or write than one turn gives them.
    busy: Vec<(usize, u64)>,
    /// Those that this thread is still to begin: number in the line, kind.
    line: VecDeque<(usize, Kind)>,
    since: Duration,
    resets: Option<Resets>,
    next_cue: Duration,
    echo: Vec<u8>,
    begun: u64,
    findings: Findings,
}

impl Zombies {
    /// The zombies of thread `thread`; `None` where the plan has none.
    pub fn new(
        shared: &Arc<Shared>,
        thread: usize,
        registry: &Registry,
    ) -> Result<Option<Zombies>, Failure> {
        if shared.plan.zombies.is_none() {
            return Ok(None);
        }
        let registry = registry.try_clone().map_err(Failure::system("cannot share a poll"))?;
        Ok(Some(Zombies {
            shared: Arc::clone(shared),
            thread,
            registry,
            peers: Slab::new(),
            alarms: BinaryHeap::new(),
            busy: Vec::new(),
            line: VecDeque::new(),
            since: Duration::ZERO,
            resets: None,
            next_cue: Duration::MAX,
            echo: bytes::echo(shared.plan.seed),
            begun: 0,
            findings: Findings::default(),
        }))
    }

    fn crowd(&self) -> &Crowd {
        self.shared.plan.zombies.as_ref().expect("zombies exist only where the plan has some")
    }

    /// The scene changes.
    pub fn enter(&mut self, act: Act, now: Duration) {
        self.abandon(now);
        self.since = now;
        let plan = &self.shared.plan;
        match act {
            // A server's descriptors are one account: one thread plays this scene.
            Act::Resets if self.thread == 0 => {
                let tables = plan.server_pid.map(Tables::of);
                let at_a_time = share(self.crowd().count, plan.threads, 0);
                self.resets = Some(Resets::new(self.crowd().resets(), at_a_time, tables));
                self.next_cue = now;
            }
            Act::Zombies => {
                let crowd = self.crowd();
                let line = crowd.mix.line(crowd.count).into_iter().enumerate();
                self.line = line.skip(self.thread).step_by(plan.threads).collect();
            }
            _ => {}
        }
    }

    /// Lets go of those that a scene leaves behind: it was ended early, or a server took bytes
    /// until it was over.
    fn abandon(&mut self, now: Duration) {
        self.resets = None;
        self.line.clear();
        let Some(crowd) = &self.shared.plan.zombies else { return };
        for peer in self.peers.drain() {
            let seen = self.findings.zombies.of_mut(peer.kind);
            if sys::interrupted() || !peer.is_undead() || !peer.is_overdue(crowd, now) {
                seen.unjudged += 1;
            } else {
                seen.unnoticed += 1;
            }
        }
        self.alarms.clear();
        self.busy.clear();
    }

    /// Whether the scene's part of this thread is played.
    pub fn is_done(&self) -> bool {
        let over = self.resets.as_ref().is_none_or(Resets::is_over);
        self.line.is_empty() && self.peers.is_empty() && over
    }

    /// How long the next turn may wait for events.
    pub fn patience(&self, now: Duration) -> Duration {
        if !self.busy.is_empty() {
            return Duration::ZERO;
        }
        let crowd = self.crowd();
        let rate = self.shared.plan.connect_rate;
        let begin = self.line.front().map(|(nth, _)| self.since + crowd.begins(*nth, rate));
        let alarm = self.alarms.peek().map(|Reverse((at, ..))| *at);
        let cue = self.resets.as_ref().filter(|resets| !resets.is_over()).map(|_| self.next_cue);
        let next = [begin, alarm, cue].into_iter().flatten().min();
        next.map_or(Duration::MAX, |next| next.saturating_sub(now))
    }

    /// Something happened to a zombie's socket; `buffer` is for what has come.
    pub fn event(&mut self, event: &Event, buffer: &mut [u8], now: Duration) {
        let slot = event.token().0 & !MARK;
        let readiness = Readiness {
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed(),
            failed: event.is_error(),
        };
        self.step(slot, buffer, now, |peer, props| peer.advance(readiness, props));
    }

    /// Begins those that are due, hears alarms, and goes on with what was left over.
    ///
    /// Fails where this machine has no descriptor or port left.
    pub fn turn(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), Failure> {
        for (slot, serial) in std::mem::take(&mut self.busy) {
            if self.peers.get(slot).is_some_and(|peer| peer.serial == serial) {
                self.step(slot, buffer, now, Peer::go_on);
            }
        }
        for _ in 0..BUDGET {
            let Some(Reverse((at, slot, serial))) = self.alarms.peek().copied() else { break };
            if at > now {
                break;
            }
            self.alarms.pop();
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            if peer.serial == serial && peer.alarm == Some(at) {
                peer.alarm = None;
                let expire = |peer: &mut Peer, props: &mut Props<'_>| {
                    peer.expire(props).map(|()| Left::Nothing)
                };
                self.step(slot, buffer, now, expire);
            }
        }
        for _ in 0..BUDGET {
            let Some((nth, kind)) = self.line.front().copied() else { break };
            let begins = self.crowd().begins(nth, self.shared.plan.connect_rate);
            if self.since + begins > now {
                break;
            }
            self.line.pop_front();
            self.begin(kind, nth, now)?;
        }
        self.reset_some(now)
    }

    fn reset_some(&mut self, now: Duration) -> Result<(), Failure> {
        while self.next_cue <= now {
            let Some(resets) = &mut self.resets else { return Ok(()) };
            let ready = self.peers.iter().filter(|(_, peer)| peer.is_undead()).count();
            let crowd = self.shared.plan.zombies.as_ref().expect("as in `crowd`");
            let standing = (self.peers.len() - ready, ready);
            match resets.next(standing, crowd, &mut self.findings.zombies, now) {
                Cue::Begin(count) => {
                    for nth in 0..count {
                        self.begin(Kind::Reset, nth, now)?;
                    }
                }
                Cue::Reset => {
                    self.peers.clear();
                    // That took a while: what the next look sees is of the next turn's time.
                    self.next_cue = now + Duration::from_micros(1);
                }
                Cue::Wait(until) => self.next_cue = until.max(now + Duration::from_micros(1)),
                Cue::Over => return Ok(()),
            }
        }
        Ok(())
    }

    fn begin(&mut self, kind: Kind, nth: usize, now: Duration) -> Result<(), Failure> {
        let plan = &self.shared.plan;
        let id = (plan.connections + nth) as u32;
        self.findings.zombies.of_mut(kind).begun += 1;
        let stream = match dial::dial(plan, id, plan.connections + nth) {
            Ok(stream) => stream,
            Err(Undialled::Limit(failure)) => return Err(failure),
            Err(Undialled::Connect(error)) => {
                self.unopened(kind, &error.to_string());
                return Ok(());
            }
        };
        self.begun += 1;
        let seed = plan.seed ^ u64::from(id) << 16;
        let entry = self.peers.vacant_entry();
        let slot = entry.key();
        let mut socket = Socket::new(stream);
        let registered = socket.register(&self.registry, Token(MARK | slot));
        registered.map_err(Failure::system("cannot poll a socket"))?;
        entry.insert(Peer::new(socket, kind, seed, self.begun, now));
        self.arm(slot);
        Ok(())
    }

    /// Lets the zombie in `slot` do something, and draws the consequences.
    fn step(
        &mut self,
        slot: usize,
        buffer: &mut [u8],
        now: Duration,
        act: impl FnOnce(&mut Peer, &mut Props<'_>) -> Result<Left, Over>,
    ) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let plan = &self.shared.plan;
        let crowd = plan.zombies.as_ref().expect("as in `crowd`");
        let mut props = Props { target: &plan.target, crowd, echo: &self.echo, buffer, now };
        match act(peer, &mut props) {
            Ok(left) => {
                if left == Left::More {
                    self.busy.push((slot, peer.serial));
                }
                self.arm(slot);
            }
            Err(over) => self.bury(slot, over, now),
        }
    }

    fn arm(&mut self, slot: usize) {
        let plan = &self.shared.plan;
        let crowd = plan.zombies.as_ref().expect("as in `crowd`");
        let peer = &mut self.peers[slot];
        let wake = peer.wake(crowd, plan.connect_timeout);
        // A later one is found out when the alarm goes off.
        if wake < peer.alarm.unwrap_or(Duration::MAX) {
            peer.alarm = Some(wake);
            self.alarms.push(Reverse((wake, slot, peer.serial)));
        }
    }

    fn bury(&mut self, slot: usize, over: Over, now: Duration) {
        let peer = self.peers.remove(slot);
        match over {
            Over::Noticed(sign) if peer.kind == Kind::Reset => {
                self.unopened(Kind::Reset, &format!("the server ended it before: {sign}"));
            }
            Over::Noticed(sign) => {
                let after = peer.astray(now);
                let claims = &self.crowd().claims;
                let due = claims.deadline(peer.kind, peer.sent()) + claims.grace;
                // Gone at the time of asking, which comes a little after the last moment.
                let late = after > due && sign != Sign::Gone;
                let after = if sign == Sign::Gone { due } else { after };
                self.findings.zombies.of_mut(peer.kind).notice(after, sign, late);
            }
            Over::Unopened(why) => self.unopened(peer.kind, &why),
            Over::Unnoticed => self.findings.zombies.of_mut(peer.kind).unnoticed += 1,
        }
    }

    fn unopened(&mut self, kind: Kind, why: &str) {
        self.findings.zombies.of_mut(kind).unopened += 1;
        self.findings.errors.tell(ErrorKind::ZombieUnopened, &format!("{kind}: {why}"));
    }

    /// What this thread found, with an error for each zombie that was not noticed in time.
    pub fn finish(mut self) -> Findings {
        self.abandon(self.shared.epoch.elapsed());
        for kind in Kind::ALL {
            let seen = self.findings.zombies.of(kind);
            for (error, count) in
                [(ErrorKind::ZombieLate, seen.late), (ErrorKind::ZombieUnnoticed, seen.unnoticed)]
            {
                self.findings.errors.add(error, count);
            }
        }
        self.findings
    }
}

impl Generator {
    /// How long a turn may wait as far as the zombies are concerned.
    pub(super) fn zombie_patience(&self) -> Duration {
        self.zombies.as_ref().map_or(Duration::MAX, |zombies| zombies.patience(self.now()))
    }

    /// An event is a zombie's.
    pub(super) fn zombie_event(&mut self, event: &Event) {
        let now = self.now();
        if let Some(zombies) = &mut self.zombies {
            zombies.event(event, &mut self.buffer, now);
        }
    }

    /// The zombies' part of a turn.
    pub(super) fn zombie_turn(&mut self) -> Result<(), Failure> {
        let now = self.now();
        self.zombies.as_mut().map_or(Ok(()), |zombies| zombies.turn(&mut self.buffer, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_zombies_meet_no_others() {
        assert!(owns(Token(MARK)) && owns(Token(MARK | 12_345)));
        assert!(!owns(Token(0)) && !owns(Token(1 << 24)) && !owns(super::super::ALARM));
    }
}
