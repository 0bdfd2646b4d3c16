//! What the simulated kernel keeps of a ring: its sizes, its queues, its files, the requests that are
//! under way and their names.
//! Not what becomes of requests (see `requests`), nor the calls that a driver makes (see `ring`).
//!
//! A socket lives for as long as a request is left on it, whoever has closed it before: its peer is
//! told of the end when the last one has ended.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use pulsewheel::io::Token;
use pulsewheel::io::completion::{Completion, File, Id, Outcome, RingCounts};

use crate::net::SocketId;
use crate::ring::Asked;

/// Names a request while it is under way: what it is for, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub Purpose, u32, u32);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Accept,
    Receive,
    Room,
    End,
}

impl Key {
    /// The name of what is asked for under that, if it is kept.
    pub fn of(id: Id) -> Option<Self> {
        let of = |purpose, token: Token| Some(Key(purpose, token.generation, token.index));
        match id {
            Id::Accept(place) => Some(Key(Purpose::Accept, 0, place)),
            Id::Receive(token) => of(Purpose::Receive, token),
            Id::Room(token) => of(Purpose::Room, token),
            Id::End(token) => of(Purpose::End, token),
            Id::Send(_) | Id::Chore => None,
        }
    }

    /// As its answer bears it.
    pub fn id(self) -> Id {
        let token = Token { generation: self.1, index: self.2 };
        match self.0 {
            Purpose::Accept => Id::Accept(self.2),
            Purpose::Receive => Id::Receive(token),
            Purpose::Room => Id::Room(token),
            Purpose::End => Id::End(token),
        }
    }
}

/// One that is under way.
pub struct Request {
    pub serial: u64,
    pub socket: Option<SocketId>,
    /// Bytes that it may still receive.
    pub left: usize,
    pub is_due: bool,
    pub is_being_cancelled: bool,
}

/// What a ring has to do with one socket.
#[derive(Debug, Default)]
pub struct Watch {
    receive: Option<Key>,
    room: Option<Key>,
    end: Option<Key>,
    pub is_aborted: bool,
    pub is_closed: bool,
}

impl Watch {
    /// True if a receive is under way.
    pub fn is_armed(&self) -> bool {
        self.receive.is_some()
    }

    /// Where the name of a request on it stands.
    pub fn place(&mut self, purpose: Purpose) -> Option<&mut Option<Key>> {
        match purpose {
            Purpose::Accept => None,
            Purpose::Receive => Some(&mut self.receive),
            Purpose::Room => Some(&mut self.room),
            Purpose::End => Some(&mut self.end),
        }
    }

    /// True once it is closed and no request is left.
    pub fn is_over(&self) -> bool {
        self.is_closed && self.receive.is_none() && self.room.is_none() && self.end.is_none()
    }
}

/// The sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub submissions: usize,
    pub completions: usize,
    pub buffers: usize,
    pub buffer_size: usize,
    /// Bytes that one receive takes in all.
    pub share: usize,
    /// Sockets that its table has room for.
    pub files: usize,
}

impl Shape {
    pub fn draw(random: &mut Rng, is_large: bool) -> Self {
        let generous = Shape {
            submissions: 1024,
            completions: 8192,
            buffers: 256,
            buffer_size: 65_536,
            share: 65_536,
            files: usize::MAX,
        };
        if is_large {
            return generous;
        }
        Shape {
            submissions: [1, 4, 16, 64, 1024][random.usize(0..5)],
            completions: [2, 8, 32, 8192][random.usize(0..4)],
            buffers: [2, 5, 16, 256][random.usize(0..4)],
            buffer_size: [512, 2_048, 16_384, 65_536][random.usize(0..4)],
            share: [1, 2_000, 65_536][random.usize(0..3)],
            files: [8, 30, usize::MAX, usize::MAX][random.usize(0..4)],
        }
    }
}

/// When the driver calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A wait is over, or a turn is under way.
    Turn,
    /// A wait begins: nothing is answered before it is over.
    WaitBegins,
    /// Somebody must be heard now.
    Look,
}

/// What the kernel knows of one ring.
pub struct Kernel {
    pub shape: Shape,
    pub asked: VecDeque<(Id, Asked)>,
    pub files: Vec<Option<SocketId>>,
    next_file: usize,
    pub requests: BTreeMap<Key, Request>,
    pub serial: u64,
    /// What can be answered, or go on.
    pub due: Vec<Key>,
    /// Somebody stands at the listener.
    pub is_knocked: bool,
    done: VecDeque<Completion>,
    aside: VecDeque<Completion>,
    /// Of these, the last of their requests.
    last_ones: usize,
    pub lent: usize,
    /// Where the bytes are that came without a buffer.
    pub unpooled: Option<usize>,
    pub moment: Moment,
    /// The last wait was not to wait.
    pub is_urgent: bool,
    /// Since it was last asked, nobody stood at the listener.
    pub has_said_empty: bool,
    pub counts: RingCounts,
    /// Gathered sends that were not taken whole, until the driver says so.
    pub undecided: BTreeMap<u32, SocketId>,
}

impl Kernel {
    pub fn new(shape: Shape) -> Self {
        Kernel {
            shape,
            asked: VecDeque::new(),
            files: Vec::new(),
            next_file: 0,
            requests: BTreeMap::new(),
            serial: 0,
            due: Vec::new(),
            is_knocked: false,
            done: VecDeque::new(),
            aside: VecDeque::new(),
            last_ones: 0,
            lent: 0,
            unpooled: None,
            moment: Moment::Turn,
            is_urgent: false,
            has_said_empty: false,
            counts: RingCounts::default(),
            undecided: BTreeMap::new(),
        }
    }

    /// Answers wait to be reaped.
    pub fn has_answers(&self) -> bool {
        !self.done.is_empty() || !self.aside.is_empty()
    }

    /// A wait would not wait.
    pub fn is_busy(&self) -> bool {
        self.has_answers() || !self.due.is_empty() || self.is_knocked || self.is_urgent
    }

    /// Requests whose last answer has not been reaped.
    pub fn under_way(&self) -> usize {
        self.requests.len() + self.last_ones
    }

    /// Of these, other than accepts.
    pub fn under_way_on_sockets(&self) -> usize {
        self.requests.keys().filter(|key| key.0 != Purpose::Accept).count() + self.last_ones
    }

    /// The next answer.
    pub fn reap(&mut self) -> Option<Completion> {
        if self.moment == Moment::WaitBegins {
            return None;
        }
        let completion = self.done.pop_front()?;
        self.last_ones -= usize::from(is_last(&completion));
        Some(completion)
    }

    /// An answer.
    pub fn post(&mut self, id: Id, outcome: Outcome, has_more: bool) {
        let completion = Completion { id, outcome, has_more };
        self.last_ones += usize::from(is_last(&completion));
        let has_room = self.moment == Moment::Look
            || (self.aside.is_empty() && self.done.len() < self.shape.completions);
        // What became of a send is told in time whatever else is.
        if has_room || matches!(id, Id::Send(_)) {
            self.done.push_back(completion);
        } else {
            self.aside.push_back(completion);
        }
    }

    /// Puts what was kept aside where there is room by now.
    pub fn refill(&mut self) {
        self.counts.overflows += u64::from(!self.aside.is_empty());
        while (self.moment == Moment::Look || self.done.len() < self.shape.completions)
            && let Some(completion) = self.aside.pop_front()
        {
            self.done.push_back(completion);
        }
    }

    /// Where a new socket stands.
    pub fn open_file(&mut self, socket: SocketId) -> File {
        let is_free = |at: &usize| self.files.get(*at).is_none_or(Option::is_none);
        let (first, end) = (self.next_file, self.files.len());
        let at = (first..end).chain(0..first.min(end)).find(is_free).unwrap_or(end);
        if at == self.files.len() {
            self.files.push(None);
        }
        self.files[at] = Some(socket);
        self.next_file = at + 1;
        File(at as u32)
    }

    /// The socket that stands there.
    pub fn file(&self, File(at): File) -> Option<SocketId> {
        *self.files.get(at as usize)?
    }
}

fn is_last(completion: &Completion) -> bool {
    !completion.has_more && Key::of(completion.id).is_some()
}
