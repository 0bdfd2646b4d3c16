//! The simulated network: both ends of every TCP stream, what is on its way, and the world's time.
//! Not the driver's rules (see `driver`), nor what clients do with their ends.
//!
//! A stream has bounded buffers at the server's end and takes time each way. What the server's
//! kernel has received may be signalled late, and a write may find no room at any time: both by the
//! seed.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use pulsewheel::io::Token;

use crate::kernel::{Key, Purpose, Watch};
use crate::port::Port;
use crate::rules::Faults;
use crate::trace::Trace;

/// Names one TCP stream; never used twice in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// Something that happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A reactor may turn.
    Turn(usize),
    /// A client does what comes next, if it is still in that session.
    Act { client: u32, session: u32 },
    /// A connection must be gone by now, if it is still that session's.
    Judge { client: u32, session: u32, lost: u64 },
    /// A SYN reaches a listener.
    Connect(SocketId),
    /// So many bytes reach the server's kernel, and perhaps a FIN.
    Up { socket: SocketId, bytes: usize, fin: bool },
    /// The client's reset reaches the server's kernel.
    Break(SocketId),
    /// The driver learns that there is something to read.
    Signal(SocketId),
    /// The driver learns that there is room to write.
    Writable(SocketId),
    /// The server's bytes reach the client's kernel.
    Down(SocketId),
    /// The server's reset, or its refusal, reaches the client.
    Broken(SocketId),
    /// The client learns that there is room to write.
    Room(SocketId),
    /// An event of a former connection reaches a reactor.
    Stale { port: usize, token: (u32, u32), kind: u8 },
    /// A request of a ring is cancelled at last.
    Cancelled { port: usize, key: Key, serial: u64 },
    /// Something happens to the server as a whole.
    Fate,
    /// The world's next stage begins.
    Stage(Stage),
}

/// The stages of a world's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everybody does what they do, and the kernel what the seed says.
    Busy,
    /// Nothing new begins: what is owed is paid.
    Calm,
    /// The server goes away.
    Drain,
    /// It must have gone.
    Gone,
    /// The last bytes have reached the clients.
    End,
}

/// What the server has done with its end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The stream waits to be accepted.
    Queued,
    /// It was accepted, and perhaps adopted.
    Open,
    /// It is closed.
    Gone,
}

/// Both ends of a TCP stream.
#[derive(Debug)]
pub struct Socket {
    pub client: u32,
    pub session: u32,
    pub port: usize,
    pub token: Option<Token>,
    pub adopted: u64,
    pub server: Server,
    /// One way, in microseconds.
    pub latency: u64,
    /// Written by the client and not yet sent for want of room.
    unsent_up: VecDeque<u8>,
    flight_up: VecDeque<u8>,
    /// In the server's receive buffer.
    pub up: VecDeque<u8>,
    up_limit: usize,
    last_up: u64,
    fin_wanted: bool,
    fin_sent: bool,
    pub fin_here: bool,
    pub broken_here: bool,
    /// A signal is on its way to the driver.
    pub is_signalled: bool,
    pub is_ready: bool,
    pub is_paused: bool,
    pub is_ended: bool,
    /// In the server's send buffer.
    pub down: VecDeque<u8>,
    pub down_limit: usize,
    pub is_down_due: bool,
    /// When the server last wrote.
    pub last_down: u64,
    pub fin_down: bool,
    pub wants_write: bool,
    pub blocked_until: u64,
    /// Nothing is told to the driver until then.
    pub quiet_until: u64,
    /// Bytes that the client's kernel has acknowledged, and when last.
    pub acknowledged: u64,
    pub acknowledged_at: u64,
    pub tells_acknowledged: bool,
    /// In the client's receive buffer.
    pub arrived: VecDeque<u8>,
    pub reads: bool,
    /// The client's host is gone: nothing comes from there and nothing arrives.
    pub is_vanished: bool,
    /// The network broke it, not the peers.
    pub was_cut: bool,
    /// Times the server's slot for it ended.
    pub graves: u32,
    /// What a ring has to do with it.
    pub watch: Watch,
}

impl Socket {
    /// A read would find something.
    pub fn has_input(&self) -> bool {
        !self.up.is_empty() || self.fin_here || self.broken_here
    }
}

/// What a client that reads finds at its end.
pub struct Arrival {
    pub bytes: Vec<u8>,
    pub is_over: bool,
}

/// The room that a client's kernel has for bytes that nobody reads.
const ARRIVED_LIMIT: usize = 8 * 1024;

/// All streams, all ports, and what is to come.
pub struct Net {
    pub now: u64,
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    pub random: fastrand::Rng,
    pub faults: Faults,
    pub sockets: Vec<Socket>,
    pub ports: Vec<Port>,
    /// Clients live in so many.
    pub households: u32,
    pub trace: Trace,
    /// Reactors that have something to do.
    pub to_wake: Vec<usize>,
    /// Rules of the driver's seam that a reactor has broken.
    pub breaches: Vec<String>,
}

/// The network, shared by the drivers and the world.
pub type SharedNet = Rc<RefCell<Net>>;

impl Net {
    pub fn new(now: u64, seed: u64, faults: Faults, ports: usize, trace: Trace) -> Self {
        Net {
            now,
            heap: BinaryHeap::new(),
            sequence: 0,
            random: fastrand::Rng::with_seed(seed),
            faults,
            sockets: Vec::new(),
            ports: (0..ports).map(|_| Port::new(now)).collect(),
            households: 1,
            trace,
            to_wake: Vec::new(),
            breaches: Vec::new(),
        }
    }

    /// Has something happen so many microseconds from now.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    pub fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.heap.push(Reverse((time.max(self.now), self.sequence, event)));
    }

    /// The next thing that happens, at its time.
    pub fn pop(&mut self) -> Option<Event> {
        let Reverse((time, _, event)) = self.heap.pop()?;
        self.now = time;
        Some(event)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.f64() < probability
    }

    pub fn socket(&mut self, id: SocketId) -> &mut Socket {
        &mut self.sockets[id.0 as usize]
    }

    /// A client begins to connect.
    pub fn connect(
        &mut self,
        client: u32,
        session: u32,
        port: usize,
        buffers: Buffers,
    ) -> SocketId {
        let id = SocketId(self.sockets.len() as u32);
        let latency = self.random.u64(self.faults.latency.clone());
        let tells_acknowledged = !self.chance(0.2);
        self.sockets.push(Socket {
            client,
            session,
            port,
            token: None,
            adopted: 0,
            server: Server::Queued,
            latency,
            unsent_up: VecDeque::new(),
            flight_up: VecDeque::new(),
            up: VecDeque::new(),
            up_limit: buffers.up,
            last_up: 0,
            fin_wanted: false,
            fin_sent: false,
            fin_here: false,
            broken_here: false,
            is_signalled: false,
            is_ready: false,
            is_paused: false,
            is_ended: false,
            down: VecDeque::new(),
            down_limit: buffers.down,
            is_down_due: false,
            last_down: 0,
            fin_down: false,
            wants_write: false,
            blocked_until: 0,
            quiet_until: 0,
            acknowledged: 0,
            acknowledged_at: self.now,
            tells_acknowledged,
            arrived: VecDeque::new(),
            reads: true,
            is_vanished: false,
            was_cut: false,
            graves: 0,
            watch: Watch::default(),
        });
        self.after(latency, Event::Connect(id));
        id
    }

    /// The client writes; what finds no room waits at its end.
    pub fn write(&mut self, id: SocketId, bytes: &[u8]) {
        let socket = self.socket(id);
        if !socket.is_vanished && !socket.fin_wanted {
            socket.unsent_up.extend(bytes);
            self.pump(id);
        }
    }

    /// Bytes that the client has written and that wait for room.
    pub fn backlog(&mut self, id: SocketId) -> usize {
        self.socket(id).unsent_up.len()
    }

    /// The client shuts its side.
    pub fn finish(&mut self, id: SocketId) {
        let socket = self.socket(id);
        if !socket.is_vanished && !socket.fin_wanted {
            socket.fin_wanted = true;
            self.pump(id);
        }
    }

    /// The client resets the stream.
    pub fn reset(&mut self, id: SocketId) {
        let (now, socket) = (self.now, self.socket(id));
        if socket.is_vanished {
            return;
        }
        socket.unsent_up.clear();
        socket.fin_wanted = true;
        socket.fin_sent = true;
        let at = socket.last_up.max(now + socket.latency);
        socket.last_up = at;
        self.at(at, Event::Break(id));
    }

    /// The client's host goes without a word.
    pub fn vanish(&mut self, id: SocketId) {
        self.socket(id).is_vanished = true;
    }

    /// Puts on its way what there is room for.
    pub fn pump(&mut self, id: SocketId) {
        loop {
            let now = self.now;
            let cut = self.random.usize(1..4096);
            let socket = self.socket(id);
            let taken = socket.up.len() + socket.flight_up.len();
            let room = socket.up_limit.saturating_sub(taken).min(cut);
            let bytes = room.min(socket.unsent_up.len());
            let fin = bytes == socket.unsent_up.len() && socket.fin_wanted && !socket.fin_sent;
            if (bytes == 0 && !fin) || socket.is_vanished {
                return;
            }
            socket.flight_up.extend(socket.unsent_up.drain(..bytes));
            socket.fin_sent |= fin;
            let at = socket.last_up.max(now + socket.latency);
            socket.last_up = at;
            self.at(at, Event::Up { socket: id, bytes, fin });
        }
    }

    /// Bytes reach the server's kernel.
    pub fn arrive(&mut self, id: SocketId, bytes: usize, fin: bool) {
        let socket = self.socket(id);
        let bytes = bytes.min(socket.flight_up.len());
        let arrived: Vec<u8> = socket.flight_up.drain(..bytes).collect();
        if socket.server == Server::Gone {
            // Nobody is there to read it: the kernel answers with a reset.
            let latency = socket.latency;
            if bytes > 0 {
                self.after(latency, Event::Broken(id));
            }
            return;
        }
        socket.up.extend(arrived);
        socket.fin_here |= fin;
        self.signal(id);
    }

    /// Has the driver learn that there is something to read, perhaps late.
    pub fn signal(&mut self, id: SocketId) {
        let delay = self.faults.late_signal(&mut self.random);
        let now = self.now;
        let socket = self.socket(id);
        let is_watched = socket.token.is_some() || socket.watch.is_armed();
        if !is_watched || socket.is_signalled {
            return;
        }
        let delay = delay.max(socket.quiet_until.saturating_sub(now));
        socket.is_signalled = true;
        self.after(delay, Event::Signal(id));
    }

    /// Has the server's bytes go on their way.
    pub fn push_down(&mut self, id: SocketId) {
        let socket = self.socket(id);
        if !socket.is_down_due && !socket.is_vanished {
            socket.is_down_due = true;
            let latency = socket.latency;
            self.after(latency, Event::Down(id));
        }
    }

    /// The server's bytes reach the client's kernel, and the client if it reads.
    pub fn deliver(&mut self, id: SocketId) -> Option<Arrival> {
        let now = self.now;
        let socket = self.socket(id);
        socket.is_down_due = false;
        if socket.is_vanished {
            return None;
        }
        let room = if socket.reads { usize::MAX } else { ARRIVED_LIMIT - socket.arrived.len() };
        let bytes = room.min(socket.down.len());
        socket.arrived.extend(socket.down.drain(..bytes));
        if bytes > 0 {
            socket.acknowledged += bytes as u64;
            socket.acknowledged_at = now;
        }
        let is_shut = socket.fin_down && socket.down.is_empty();
        if is_shut {
            self.notice(id, &[Purpose::End]);
        }
        let socket = self.socket(id);
        if is_shut && socket.is_ended {
            // Both sides are shut, which the driver tells as the end once more.
            socket.is_ended = false;
            self.signal(id);
        }
        let socket = self.socket(id);
        let wants_write = socket.wants_write && bytes > 0 && socket.blocked_until <= now;
        if wants_write {
            self.at(now, Event::Writable(id));
        }
        let socket = self.socket(id);
        if !socket.reads {
            return None;
        }
        let is_over = socket.fin_down && socket.down.is_empty();
        Some(Arrival { bytes: socket.arrived.drain(..).collect(), is_over })
    }

    /// A client that reads slowly takes so many bytes; the server's kernel may send on.
    pub fn take_arrived(&mut self, id: SocketId, most: usize) -> Vec<u8> {
        let socket = self.socket(id);
        let bytes = most.min(socket.arrived.len());
        let taken = socket.arrived.drain(..bytes).collect();
        self.push_down(id);
        taken
    }

    /// Some streams take nothing from the server for a while, and what comes then is told late.
    pub fn block_some(&mut self, longest: Duration) {
        let longest = longest.as_micros() as u64;
        for index in 0..self.sockets.len() as u32 {
            if self.socket(SocketId(index)).server == Server::Open && self.random.u8(0..4) == 0 {
                let until = self.now + self.random.u64(0..=longest);
                self.socket(SocketId(index)).blocked_until = until;
                self.socket(SocketId(index)).quiet_until = until + longest;
                self.at(until, Event::Writable(SocketId(index)));
            }
        }
    }

    /// Wakes a reactor.
    pub fn wake(&mut self, port: usize) {
        self.to_wake.push(port);
    }
}

/// The buffers of a stream at the server's end, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    pub up: usize,
    pub down: usize,
}
