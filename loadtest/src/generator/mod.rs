//! A generator thread: one poll, one fleet of connections, one loop that plays the script's scenes.
//! Not who calls the scenes and when: that is `conductor`.
//!
//! A turn waits for readiness, receives what came and answers it, goes on with what was left over,
//! then does the scene's own work (`work`). All buffers are the thread's; a connection owns none
//! while nothing of it is half-way.

mod arrivals;
mod bulk;
mod client;
mod dial;
mod leave;
mod ledger;
mod link;
mod mixed;
mod open;
mod open_loop;
mod receive;
mod session;
mod timetable;
mod work;
pub mod zombies;

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::error::Failure;
use crate::plan::{Plan, Traffic};
use crate::script::Scene;
use crate::sys::{self, Alarm};
use crate::tally::{Findings, Latencies, Tally};
use crate::wire::frame::{self, Opcode};
use crate::wire::payload::{Payloads, Stamp};

use arrivals::Arrivals;
use client::Client;
use ledger::{Ledger, PUBLISHED_WINDOW};
use work::Work;
use zombies::Zombies;

/// Bytes received in one recv at most.
const BUFFER: usize = 64 * 1024;

/// Events taken from the kernel in one turn at most.
const EVENTS: usize = 1024;

/// How long a turn waits when nothing happens: the time in which a new scene is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(20);

/// The alarm's token; the fleet's are slots, from 0.
const ALARM: Token = Token(usize::MAX);

/// The number of the scene that is called when there is none left: threads end.
const NO_SCENE: usize = usize::MAX;

/// What all threads of a run, and the conductor, have in common.
#[derive(Debug)]
pub struct Shared {
    /// What to do.
    pub plan: Plan,
    /// The start of the run; all times count from here.
    pub epoch: Instant,
    /// Live counters of each thread.
    pub tallies: Vec<Tally>,
    /// What each thread measured and nobody has taken yet.
    pub latencies: Vec<Mutex<Latencies>>,
    /// The number of the scene that is on, and itself.
    stage: Mutex<(usize, Scene)>,
    /// The same number, for a look in passing.
    number: AtomicUsize,
    /// How many connections a broadcast is to reach.
    audience: AtomicU64,
    /// How many messages each publisher has sent.
    counts: Vec<AtomicU64>,
    /// When each of the latest messages of each publisher was due.
    published: Vec<AtomicU64>,
    /// How many have it: the low half of its number, then the count, 32 bits each.
    delivered: Vec<AtomicU64>,
}

impl Shared {
    /// The common state of a run that has not begun: nothing is on yet.
    pub fn new(plan: Plan) -> Shared {
        let publishers = match plan.traffic {
            Traffic::FanOut { publishers } => publishers as usize,
            Traffic::Echo | Traffic::Heartbeats => 0,
        };
        let places = || (0..publishers * PUBLISHED_WINDOW).map(|_| AtomicU64::new(0)).collect();
        Shared {
            epoch: Instant::now(),
            tallies: (0..plan.threads).map(|_| Tally::default()).collect(),
            latencies: (0..plan.threads).map(|_| Mutex::default()).collect(),
            stage: Mutex::new((0, Scene::nothing())),
            number: AtomicUsize::new(0),
            audience: AtomicU64::new(0),
            counts: (0..publishers).map(|_| AtomicU64::new(0)).collect(),
            published: places(),
            delivered: places(),
            plan,
        }
    }

    /// Calls the scene with this number; the first is 1.
    pub fn call(&self, number: usize, scene: Scene) {
        self.audience.store(self.sum(|tally| &tally.open), Ordering::Relaxed);
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = (number, scene);
        self.number.store(number, Ordering::Release);
    }

    /// Sends all threads home.
    pub fn dismiss(&self) {
        self.number.store(NO_SCENE, Ordering::Release);
    }

    /// The number of the scene that is on, and itself.
    fn scene(&self) -> (usize, Scene) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(stamp: Stamp) -> usize {
        let place = stamp.sequence() as usize % PUBLISHED_WINDOW;
        stamp.connection() as usize * PUBLISHED_WINDOW + place
    }

    /// The message `stamp` of a publisher is due at `at`, in nanoseconds, and goes out now.
    fn publish(&self, stamp: Stamp, at: u64) {
        let place = Shared::place(stamp);
        self.published[place].store(at, Ordering::Relaxed);
        self.delivered[place].store(stamp.sequence() << 32, Ordering::Relaxed);
        if let Some(count) = self.counts.get(stamp.connection() as usize) {
            count.store(stamp.sequence() + 1, Ordering::Relaxed);
        }
    }

    /// How many messages a publisher has sent.
    fn published(&self, publisher: u32) -> u64 {
        let count = self.counts.get(publisher as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// When the message `stamp` was due, in nanoseconds; `None` where it was never sent, or so long
    /// ago that its place has gone to another.
    fn published_at(&self, stamp: Stamp) -> Option<u64> {
        let place = Shared::place(stamp);
        let number = self.delivered.get(place)?.load(Ordering::Relaxed) >> 32;
        let sent = stamp.sequence() < self.published(stamp.connection());
        let same = number == stamp.sequence() & u64::from(u32::MAX);
        (sent && same).then(|| self.published[place].load(Ordering::Relaxed))
    }

    /// One more has the message `stamp`: how many have it now, and how many are to.
    fn delivered(&self, stamp: Stamp) -> (u64, u64) {
        let audience = self.audience.load(Ordering::Relaxed);
        let Some(count) = self.delivered.get(Shared::place(stamp)) else { return (0, audience) };
        if count.load(Ordering::Relaxed) >> 32 != stamp.sequence() & u64::from(u32::MAX) {
            // So late that its place has gone to another.
            return (0, audience);
        }
        let before = count.fetch_add(1, Ordering::Relaxed);
        ((before & u64::from(u32::MAX)) + 1, audience)
    }

    fn sum(&self, field: fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies.iter().map(|tally| field(tally).load(Ordering::Relaxed)).sum()
    }
}

/// One generator thread's state.
#[derive(Debug)]
pub struct Generator {
    shared: Arc<Shared>,
    thread: usize,
    poll: Poll,
    alarm: Alarm,
    fleet: Slab<Client>,
    arrivals: Arrivals,
    /// The number, among this thread's, of the next connection that was never opened.
    next_nth: usize,
    /// When connections that do not open are looked for next.
    next_check: Duration,
    ledger: Ledger,
    payloads: Arc<Payloads>,
    /// The number of the scene that is on, and itself.
    scene: (usize, Scene),
    work: Work,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
    /// Messages that are checked as a whole and have come in part, by slot.
    partial: HashMap<usize, Vec<u8>>,
    /// Slots that had more to read than one turn gives them, and whether the peer has closed its
    /// side: no event will say either again.
    unread: Vec<(usize, bool)>,
    zombies: Option<Zombies>,
}

impl Generator {
    /// Sets a thread up; call it on the thread itself, since it may take a descriptor table of its
    /// own and a core.
    pub fn new(shared: Arc<Shared>, thread: usize) -> Result<Generator, Failure> {
        let plan = &shared.plan;
        if let Some(core) = plan.pin.get(thread % plan.pin.len().max(1)) {
            sys::pin_to(&[*core]).map_err(Failure::system("cannot pin to the cores of --pin"))?;
        }
        // Before anything is opened, so that nothing of other threads stays in the copy.
        if plan.private_tables {
            sys::unshare_descriptors().map_err(Failure::Unshare)?;
        }
        let poll = Poll::new().map_err(Failure::system("cannot create a poll"))?;
        let alarm = Alarm::new().map_err(Failure::system("cannot create a timer"))?;
        let mut source = SourceFd(&alarm.as_raw_fd());
        let registered = poll.registry().register(&mut source, ALARM, Interest::READABLE);
        registered.map_err(Failure::system("cannot poll a timer"))?;
        let payloads = Arc::clone(&plan.payloads);
        let ledger = Ledger::new(Arc::clone(&shared), thread);
        let zombies = Zombies::new(&shared, thread, poll.registry())?;
        Ok(Generator {
            shared,
            thread,
            poll,
            alarm,
            fleet: Slab::new(),
            arrivals: Arrivals::default(),
            next_nth: 0,
            next_check: Duration::ZERO,
            ledger,
            payloads,
            scene: (0, Scene::nothing()),
            work: Work::Nothing,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            scratch: Vec::new(),
            partial: HashMap::new(),
            unread: Vec::new(),
            zombies,
        })
    }

    /// Plays scenes until the conductor has no more.
    pub fn run(mut self) -> Result<Findings, Failure> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let number = self.shared.number.load(Ordering::Acquire);
            if number == NO_SCENE {
                if let Some(zombies) = self.zombies.take() {
                    self.ledger.findings.merge(&zombies.finish());
                }
                self.ledger.hand_over(self.now(), true);
                return Ok(self.ledger.findings);
            }
            if number != self.scene.0 {
                let (number, scene) = self.shared.scene();
                self.enter(number, scene)?;
            }
            self.ledger.hand_over(self.now(), false);
            let wait = if self.unread.is_empty() { self.patience() } else { Duration::ZERO };
            let wait = wait.min(self.zombie_patience());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Failure::System { what: "cannot poll", source: error });
                }
                _ => {}
            }
            for (slot, to_the_end) in std::mem::take(&mut self.unread) {
                self.readable(slot, to_the_end)?;
            }
            for event in &events {
                let Token(slot) = event.token();
                if event.token() == ALARM {
                    continue;
                }
                if zombies::owns(event.token()) {
                    self.zombie_event(event);
                    continue;
                }
                if event.is_writable() {
                    self.writable(slot)?;
                }
                if event.is_readable() {
                    self.readable(slot, event.is_read_closed())?;
                }
            }
            self.zombie_turn()?;
            self.work()?;
        }
    }

    fn now(&self) -> Duration {
        self.shared.epoch.elapsed()
    }

    /// Whether no connection of the run has ever opened.
    fn nobody_yet(&self) -> bool {
        self.shared.sum(|tally| &tally.opened) == 0
    }

    /// Sends the next message of the connection in `slot`, alone in its frame.
    fn send_message(&mut self, slot: usize, now: Duration) -> Result<(), Failure> {
        self.scratch.clear();
        let client = &mut self.fleet[slot];
        let stamp = self.ledger.send(slot, client, now);
        append_message(&mut self.scratch, &self.payloads, stamp, self.shared.plan.seed);
        self.send_scratch(slot)
    }

    fn send_scratch(&mut self, slot: usize) -> Result<(), Failure> {
        match self.fleet[slot].send(&self.scratch) {
            Ok(()) => Ok(()),
            Err(ended) => self.end(slot, ended),
        }
    }
}

/// Appends the message `stamp`, in one masked frame.
fn append_message(out: &mut Vec<u8>, payloads: &Payloads, stamp: Stamp, seed: u64) {
    let key = stamp.mask_key(seed);
    if payloads.is_templated() {
        let mut message = Vec::new();
        payloads.append_whole(&mut message, stamp);
        return frame::append_frame(out, true, payloads.kind(), key, message.len(), |out| {
            out.extend_from_slice(&message);
        });
    }
    let size = payloads.size_of(stamp);
    frame::append_frame(out, true, payloads.kind(), key, size, |out| {
        payloads.append(out, stamp, 0, size);
    });
}

/// Appends a text message of the operator's, in one masked frame.
fn append_text(out: &mut Vec<u8>, text: &str) {
    frame::append_frame(out, true, Opcode::Text, [0; 4], text.len(), |out| {
        out.extend_from_slice(text.as_bytes());
    });
}

/// Appends a control frame.
fn append_control(out: &mut Vec<u8>, opcode: Opcode, key: [u8; 4], payload: &[u8]) {
    frame::append_frame(out, true, opcode, key, payload.len(), |out| {
        out.extend_from_slice(payload);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CommandLine;
    use clap::Parser;

    /// The plan of a command line without its URL.
    pub(super) fn plan(flags: &str) -> Plan {
        let line = format!("x {flags} --url ws://127.0.0.1:1/");
        let line = CommandLine::try_parse_from(line.split_whitespace()).expect("well-formed");
        Plan::resolve(line).expect("good")
    }

    #[test]
    fn deliveries_are_counted_for_each_message_and_late_ones_for_none() {
        let shared = Shared::new(plan("broadcast"));
        let first = Stamp::new(0, 5);
        shared.publish(first, 100);
        assert_eq!((shared.delivered(first).0, shared.delivered(first).0), (1, 2));
        let next_in_place = Stamp::new(0, 5 + PUBLISHED_WINDOW as u64);
        shared.publish(next_in_place, 200);
        assert_eq!(shared.delivered(first).0, 0);
        assert_eq!(shared.delivered(next_in_place).0, 1);
        assert_eq!(shared.published_at(next_in_place), Some(200));
        assert_eq!(shared.published_at(first), None);
    }
}
