//! Messages between reactors, and from application threads to reactors.
//! Not for bytes: a fan-out's frame travels as a pointer, whoever it goes to.
//!
//! A mailbox is bounded in bytes. What is already being published when it fills up still goes in,
//! so nothing is lost and order holds; then its publishers are read no further until it has
//! drained. So it holds at most its limit and one message more from each reactor. An application
//! thread is told that it is full instead.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::config;
use crate::conn::Frame;
use crate::gate::{Admission, Gate};
use crate::io::{Token, Waker};
use crate::mutation::{self, Mutation};
use crate::proto::deflate::WINDOWS;

/// What a fan-out takes besides its bytes: itself, its places in mailboxes, and allocations. A
/// message of two bytes is mostly that.
const BOOKKEEPING: usize = 256;

/// One thing for a reactor to do.
#[derive(Debug)]
pub enum Mail {
    /// Send a frame to every open connection of a route.
    Publish(Arc<Fanout>),
    /// Live under these limits from now on.
    Reload(Arc<config::Limits>),
    /// Count arrivals by these rules from now on.
    Admit(Arc<Admission>),
    /// Close a connection whose user has opened another one in its place.
    Replace(Token),
    /// Reset a connection that is closing and whose user has too many of such.
    Cut(Token),
    /// Let in only whom this gate admits from now on.
    Gate(Arc<Gate>),
    /// Take no more connections and close those there are, evenly over this long.
    Drain(Duration),
    /// End at once.
    Stop,
}

/// A frame on its way to all connections of a route, on all reactors.
#[derive(Debug)]
pub struct Fanout {
    /// Which route.
    pub route: u16,
    /// The encoded frame, shared by all.
    pub frame: Frame,
    /// The same compressed, by window, each made by whichever reactor needs it first; `None` where it
    /// would not be smaller.
    small: OnceLock<Box<[OnceLock<Option<Frame>>; WINDOWS]>>,
    /// When its message came, in microseconds since the epoch.
    pub received: u64,
    /// Reactors that have not delivered it yet.
    left: AtomicUsize,
    /// Connections it was queued for.
    queued: AtomicU64,
    done: Mutex<bool>,
    signal: Condvar,
}

impl Fanout {
    /// A fan-out that `reactors` reactors will deliver.
    pub fn new(route: u16, frame: Frame, received: u64, reactors: usize) -> Arc<Self> {
        Arc::new(Fanout {
            route,
            frame,
            small: OnceLock::new(),
            received,
            left: AtomicUsize::new(reactors),
            queued: AtomicU64::new(0),
            done: Mutex::new(false),
            signal: Condvar::new(),
        })
    }

    /// The frame compressed for that window. A reactor that needs it while another is at it waits:
    /// it would take as long to make its own.
    pub fn small(&self, window: usize, make: impl FnOnce() -> Option<Frame>) -> Option<Frame> {
        let forms = self.small.get_or_init(Box::default);
        forms.get(window)?.get_or_init(make).clone()
    }

    /// What it counts for in a mailbox.
    fn weight(&self) -> usize {
        self.frame.len() + BOOKKEEPING
    }

    /// A reactor has queued it for that many of its connections.
    pub fn queued(&self, connections: u64) {
        self.queued.fetch_add(connections, Ordering::Relaxed);
    }

    /// A reactor has written it. True for the last one.
    pub fn written(&self) -> bool {
        if self.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return false;
        }
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.signal.notify_all();
        true
    }

    /// Waits until all reactors have written it: how many connections it was queued for, or
    /// `None` if that takes longer than `limit`.
    pub fn wait(&self, limit: Duration) -> Option<u64> {
        let end = Instant::now() + limit;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        while !*done {
            let left = end.checked_duration_since(Instant::now())?;
            done = self.signal.wait_timeout(done, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(self.queued.load(Ordering::Relaxed))
    }
}

/// One reactor's mailbox.
#[derive(Debug)]
pub struct Mailbox {
    queue: Mutex<Queue>,
    bytes: AtomicUsize,
    limit: usize,
    is_full: AtomicBool,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Queue {
    mail: VecDeque<Mail>,
    /// The reactor was woken and has not emptied the queue since.
    is_notified: bool,
}

/// All mailboxes of a server.
#[derive(Debug)]
pub struct Mailboxes {
    boxes: Vec<Mailbox>,
    /// How many of them are full: publishers look at this one number.
    full: AtomicUsize,
}

impl Mailboxes {
    /// A mailbox of `limit` bytes for each waker.
    pub fn new(wakers: Vec<Waker>, limit: usize) -> Self {
        let boxes = wakers
            .into_iter()
            .map(|waker| Mailbox {
                queue: Mutex::default(),
                bytes: AtomicUsize::new(0),
                limit,
                is_full: AtomicBool::new(false),
                waker,
            })
            .collect();
        Mailboxes { boxes, full: AtomicUsize::new(0) }
    }

    /// How many there are.
    pub fn reactors(&self) -> usize {
        self.boxes.len()
    }

    /// True while any is full, so that publishers had better wait.
    #[inline]
    pub fn any_is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed) > 0
    }

    /// Puts a fan-out into every mailbox. True if one of them is full now.
    pub fn publish(&self, fanout: &Arc<Fanout>) -> bool {
        let weight = fanout.weight();
        let mut full = false;
        for mailbox in &self.boxes {
            full |= self.put(mailbox, Mail::Publish(Arc::clone(fanout)), weight);
        }
        full
    }

    /// Tells every reactor something that is not counted against its limit.
    pub fn tell_all(&self, mail: impl Fn() -> Mail) {
        for mailbox in &self.boxes {
            self.put(mailbox, mail(), 0);
        }
    }

    /// Tells one reactor something that is not counted against its limit.
    pub fn tell(&self, reactor: usize, mail: Mail) {
        if let Some(mailbox) = self.boxes.get(reactor) {
            self.put(mailbox, mail, 0);
        }
    }

    /// Wakes a reactor without telling it anything.
    pub fn wake(&self, reactor: usize) {
        if let Some(mailbox) = self.boxes.get(reactor) {
            mailbox.waker.wake();
        }
    }

    /// Wakes all reactors.
    pub fn wake_all(&self) {
        for mailbox in &self.boxes {
            mailbox.waker.wake();
        }
    }

    fn put(&self, mailbox: &Mailbox, mail: Mail, weight: usize) -> bool {
        let mut queue = mailbox.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.mail.push_back(mail);
        let bytes = mailbox.bytes.fetch_add(weight, Ordering::Relaxed) + weight;
        let is_full = bytes > mailbox.limit;
        if is_full && !mailbox.is_full.swap(true, Ordering::Relaxed) {
            self.full.fetch_add(1, Ordering::Relaxed);
        }
        let was_notified = std::mem::replace(&mut queue.is_notified, true);
        drop(queue);
        if !was_notified && !mutation::is(Mutation::LoseMailWakeUp) {
            mailbox.waker.wake();
        }
        is_full
    }

    /// Takes the oldest mail of a reactor.
    pub fn take(&self, reactor: usize) -> Option<Mail> {
        let mailbox = self.boxes.get(reactor)?;
        let mut queue = mailbox.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stack = mutation::is(Mutation::DeliverOutOfOrder);
        let next = if is_stack { queue.mail.pop_back() } else { queue.mail.pop_front() };
        let Some(mail) = next else {
            queue.is_notified = false;
            // What a burst needed is not kept.
            queue.mail.shrink_to(64);
            return None;
        };
        let Mail::Publish(fanout) = &mail else { return Some(mail) };
        let before = mailbox.bytes.fetch_sub(fanout.weight(), Ordering::Relaxed);
        let is_low = before - fanout.weight() <= mailbox.limit / 2;
        if is_low && mailbox.is_full.swap(false, Ordering::Relaxed) {
            self.full.fetch_sub(1, Ordering::Relaxed);
            drop(queue);
            // Publishers may be waiting on any reactor.
            self.wake_all();
        }
        Some(mail)
    }

    /// Bytes in a reactor's mailbox, bookkeeping included.
    pub fn bytes(&self, reactor: usize) -> usize {
        self.boxes.get(reactor).map_or(0, |mailbox| mailbox.bytes.load(Ordering::Relaxed))
    }
}
