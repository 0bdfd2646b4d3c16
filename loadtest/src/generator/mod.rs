//! A generator thread: one poll, one fleet of connections, one loop that plays the script's scenes.
//! Not who calls the scenes and when: that is `conductor`.
//!
//! A turn waits for readiness, receives what came and answers it, goes on with what was left over,
//! then does the scene's own work (`work`). All buffers are the thread's; a connection owns none
//! while nothing of it is half-way.

mod bulk;
mod client;
mod dial;
mod ledger;
mod publish;
mod receive;
mod work;
pub mod zombies;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::error::Failure;
use crate::plan::{Plan, Traffic};
use crate::sys::{self, Alarm};
use crate::tally::{ErrorKind, Findings, Tally};
use crate::wire::frame::{self, Opcode};
use crate::wire::payload::{Payloads, Stamp};

use client::{Client, Ended};
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

/// What all threads of a run, and the conductor, have in common.
#[derive(Debug)]
pub struct Shared {
    /// What to do.
    pub plan: Plan,
    /// The start of the run; all times count from here.
    pub epoch: Instant,
    /// Which scene of the script is on; past the last one, threads end.
    pub scene: AtomicUsize,
    /// Live counters of each thread.
    pub tallies: Vec<Tally>,
    published: Vec<AtomicU64>,
}

impl Shared {
    /// The common state of a run that has not begun.
    pub fn new(plan: Plan) -> Shared {
        let publishers = match plan.traffic {
            Traffic::Echo => 0,
            Traffic::FanOut { publishers, .. } => publishers as usize,
        };
        let mut tallies = Vec::new();
        tallies.resize_with(plan.threads, Tally::default);
        let mut published = Vec::new();
        published.resize_with(publishers * PUBLISHED_WINDOW, AtomicU64::default);
        Shared { plan, epoch: Instant::now(), scene: AtomicUsize::new(0), tallies, published }
    }

    /// When the message `stamp` of a publisher was to be sent, in nanoseconds.
    fn published_at(&self, stamp: Stamp) -> &AtomicU64 {
        let place = stamp.sequence() as usize % PUBLISHED_WINDOW;
        &self.published[stamp.connection() as usize * PUBLISHED_WINDOW + place]
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
    ledger: Ledger,
    payloads: Arc<Payloads>,
    scene: usize,
    work: Work,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
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
        let payloads = Arc::new(Payloads::new(plan.size, plan.text, plan.seed));
        let ledger = Ledger::new(Arc::clone(&shared), thread);
        let (fleet, scratch, unread) = (Slab::new(), Vec::new(), Vec::new());
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let zombies = Zombies::new(&shared, thread, poll.registry())?;
        Ok(Generator {
            shared,
            thread,
            poll,
            alarm,
            fleet,
            ledger,
            payloads,
            scene: usize::MAX,
            work: Work::Nothing,
            buffer,
            scratch,
            unread,
            zombies,
        })
    }

    /// Plays scenes until the conductor is past the last one.
    pub fn run(mut self) -> Result<Findings, Failure> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let scene = self.shared.scene.load(Ordering::Acquire);
            if scene >= self.shared.plan.script.len() {
                if let Some(zombies) = self.zombies.take() {
                    self.ledger.findings.merge(&zombies.finish());
                }
                return Ok(self.ledger.findings);
            }
            if scene != self.scene {
                self.enter(scene);
            }
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

    /// Takes a connection out, for a reason that is counted; ends the run where nobody has ever got
    /// through, since the others would only say the same.
    fn lose(&mut self, slot: usize, kind: ErrorKind, detail: &str) -> Result<(), Failure> {
        if self.ledger.mute && matches!(kind, ErrorKind::ClosedByServer | ErrorKind::Reset) {
            self.ledger.reaped(&self.fleet[slot], self.shared.epoch.elapsed());
            self.remove(slot);
            return Ok(());
        }
        let was_open = self.remove(slot);
        let target = &self.shared.plan.target;
        if !was_open && self.nobody_yet() {
            let (url, why) = (target.url.clone(), detail.to_owned());
            return Err(Failure::Unopened { url, why });
        }
        self.ledger.findings.errors.tell(kind, &detail);
        Ok(())
    }

    /// As [`Generator::lose`], for what the kernel said about the socket.
    fn end(&mut self, slot: usize, ended: Ended) -> Result<(), Failure> {
        let nobody = self.nobody_yet();
        match (ended, &self.fleet[slot].stage) {
            (_, client::Stage::Closing) => {
                self.remove(slot);
                Ok(())
            }
            (Ended::Failed(source), client::Stage::Connecting) if nobody => {
                Err(Failure::Unreachable { address: self.shared.plan.target.address, source })
            }
            (Ended::Failed(source), client::Stage::Connecting) => {
                self.lose(slot, ErrorKind::Connect, &source.to_string())
            }
            (Ended::Failed(source), _) => self.lose(slot, ErrorKind::Reset, &source.to_string()),
            (Ended::Closed, client::Stage::Open) => {
                self.lose(slot, ErrorKind::ClosedByServer, "without a close frame")
            }
            (Ended::Closed, _) => {
                self.lose(slot, ErrorKind::ClosedByServer, "the server hung up during the upgrade")
            }
        }
    }

    /// Drops a connection; tells whether it was open.
    fn remove(&mut self, slot: usize) -> bool {
        let client = self.fleet.remove(slot);
        let was_open = matches!(client.stage, client::Stage::Open | client::Stage::Closing);
        if was_open {
            self.ledger.gone(&client);
        }
        self.work.forget(slot, was_open);
        was_open
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
    let size = payloads.size();
    frame::append_frame(out, true, payloads.kind(), stamp.mask_key(seed), size, |out| {
        payloads.append(out, stamp, 0, size);
    });
}

/// Appends a control frame.
fn append_control(out: &mut Vec<u8>, opcode: Opcode, key: [u8; 4], payload: &[u8]) {
    frame::append_frame(out, true, opcode, key, payload.len(), |out| {
        out.extend_from_slice(payload);
    });
}
