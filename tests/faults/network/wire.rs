//! A bad line to a host: every packet passes through this process, which loses, delays, reorders
//! and repeats as it is told. Not for clean cuts; routers do those (`site`).
//!
//! Two TUN devices, one at each end, and a thread between them. `tc netem` would do the same where
//! the kernel has it; many have not, and a seed repeats what it does here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::harness::ms;
use crate::netns::Namespace;
use crate::site::{SERVER, Site};

/// What the line does to packets, the same in both directions.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Of a hundred packets so many are lost.
    pub loss: u32,
    /// No segment is lost more often than that, sent again and again.
    pub persistence: u32,
    /// How long a packet is on its way, drawn anew for each, so that they overtake each other.
    pub delay_ms: Range<u64>,
    /// Of a hundred packets so many arrive twice.
    pub repeats: u32,
    /// Longer packets vanish, and nobody says so.
    pub longest: usize,
    /// Bytes a second towards the host.
    pub rate: Option<u64>,
}

impl Weather {
    /// A line that does no harm.
    pub const FAIR: Self = Weather {
        loss: 0,
        persistence: 0,
        delay_ms: 0..1,
        repeats: 0,
        longest: usize::MAX,
        rate: None,
    };
}

/// What a line has done so far.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "each is what its name says, in packets")]
pub struct Tally {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub overtaken: AtomicU64,
    pub repeated: AtomicU64,
    pub too_long: AtomicU64,
}

/// A host at the other end of a bad line, and the thread that is the line.
pub struct Wire {
    peers: Namespace,
    weather: Arc<Mutex<Weather>>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// A host behind a line with this weather.
    pub fn to(site: &Site, weather: Weather) -> Self {
        let server = site.namespace();
        let peers = Namespace::new("far");
        let ends = [server.within(|| tun("wire")), peers.within(|| tun("wire"))];
        for (namespace, address) in [(server, "10.79.0.1/24"), (&peers, "10.79.0.2/24")] {
            namespace.ip(&format!("addr add {address} dev wire"));
            namespace.ip("link set wire up");
        }
        peers.ip(&format!("route add {SERVER} dev wire"));
        let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let weather = Arc::new(Mutex::new(weather));
        let line = Line {
            ends,
            weather: Arc::clone(&weather),
            tally: Arc::clone(&tally),
            random: fastrand::Rng::with_seed(4),
            losses: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            sequence: 0,
            begun: Instant::now(),
            free_from: Duration::ZERO,
            newest: [0; 2],
        };
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || line.run(&seen));
        Wire { peers, weather, tally, stop, thread: Some(thread) }
    }

    /// The namespace of the peers.
    pub fn peers(&self) -> &Namespace {
        &self.peers
    }

    /// The weather changes.
    pub fn turn(&self, weather: Weather) {
        *self.weather.lock().expect("the line does not panic") = weather;
    }

    /// What it has done so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let outcome = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(outcome, Some(Ok(()))), "the line ends well");
        }
    }
}

/// A packet on its way: due when, its number, to which end, its bytes.
type Packet = Reverse<(Duration, u64, usize, Vec<u8>)>;

struct Line {
    ends: [File; 2],
    weather: Arc<Mutex<Weather>>,
    tally: Arc<Tally>,
    random: fastrand::Rng,
    /// How often each segment was lost, by direction, port of the peer and sequence number.
    losses: BTreeMap<(usize, u16, u32), u32>,
    under_way: BinaryHeap<Packet>,
    sequence: u64,
    begun: Instant,
    /// When the last bit that was sent towards the host is on the line.
    free_from: Duration,
    /// The highest number that has arrived, for each direction.
    newest: [u64; 2],
}

impl Line {
    fn run(mut self, stop: &AtomicBool) {
        let mut poll = Poll::new().expect("a poll can be made");
        for (n, end) in self.ends.iter().enumerate() {
            let fd = end.as_raw_fd();
            let registry = poll.registry();
            registry.register(&mut SourceFd(&fd), Token(n), Interest::READABLE).expect("a TUN");
        }
        let mut events = Events::with_capacity(2);
        let mut buffer = vec![0; 65_536];
        while !stop.load(Relaxed) {
            let due = self.under_way.peek().map(|Reverse((due, ..))| *due);
            let wait = due.map_or(ms(50), |due| due.saturating_sub(self.begun.elapsed()));
            // It fails only where a signal came; both ends are read all the same.
            let _ = poll.poll(&mut events, Some(wait.min(ms(50))));
            // Both, whatever the events say: it costs one call more.
            for from in 0..2 {
                while let Some(length) = read(&self.ends[from], &mut buffer) {
                    self.take(from, &buffer[..length]);
                }
            }
            self.deliver();
        }
    }

    /// A packet came out of one end.
    fn take(&mut self, from: usize, packet: &[u8]) {
        // Of IPv6 there is only the kernel's own talk here.
        if packet.first().is_none_or(|first| first >> 4 != 4) || packet.len() < 24 {
            return;
        }
        let weather = self.weather.lock().expect("who changes it does not panic").clone();
        if packet.len() > weather.longest {
            self.tally.too_long.fetch_add(1, Relaxed);
            return;
        }
        if self.loses(&weather, from, packet) {
            self.tally.lost.fetch_add(1, Relaxed);
            return;
        }
        let copies = if self.random.u32(0..100) < weather.repeats { 2 } else { 1 };
        self.tally.repeated.fetch_add(copies - 1, Relaxed);
        for _ in 0..copies {
            let due = self.arrival(&weather, from, packet.len());
            self.sequence += 1;
            self.under_way.push(Reverse((due, self.sequence, 1 - from, packet.to_vec())));
        }
    }

    fn loses(&mut self, weather: &Weather, from: usize, packet: &[u8]) -> bool {
        // Both ports stand first in the TCP header, the sequence number next.
        let header = packet.get(usize::from(packet[0] & 15) * 4..).unwrap_or_default();
        let &[a, b, c, d, e, f, g, h, ..] = header else { return false };
        let port = u16::from_be_bytes(if from == 0 { [c, d] } else { [a, b] });
        let key = (from, port, u32::from_be_bytes([e, f, g, h]));
        let so_far = self.losses.get(&key).copied().unwrap_or_default();
        let loses = so_far < weather.persistence && self.random.u32(0..100) < weather.loss;
        if loses {
            self.losses.insert(key, so_far + 1);
        }
        loses
    }

    fn arrival(&mut self, weather: &Weather, from: usize, length: usize) -> Duration {
        let mut sent = self.begun.elapsed();
        if let (Some(rate), 0) = (weather.rate, from) {
            let takes = Duration::from_micros(length as u64 * 1_000_000 / rate);
            self.free_from = self.free_from.max(sent) + takes;
            sent = self.free_from;
        }
        sent + ms(self.random.u64(weather.delay_ms.clone()))
    }

    fn deliver(&mut self) {
        let now = self.begun.elapsed();
        while self.under_way.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Some(Reverse((_, number, to, packet))) = self.under_way.pop() else { return };
            if number < self.newest[to] {
                self.tally.overtaken.fetch_add(1, Relaxed);
            }
            self.newest[to] = self.newest[to].max(number);
            // It fails where the device is gone or its queue is full; then the packet is lost.
            if (&self.ends[to]).write_all(&packet).is_ok() {
                self.tally.passed.fetch_add(1, Relaxed);
            }
        }
    }
}

fn read(mut end: &File, buffer: &mut [u8]) -> Option<usize> {
    match end.read(buffer) {
        Ok(length) => Some(length),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        // The device was taken away with its namespace.
        Err(_) => None,
    }
}

/// A TUN device in the calling thread's namespace: what is written to the file arrives there as a
/// packet, and packets routed to the device are read from the file.
fn tun(name: &str) -> File {
    let path = "/dev/net/tun";
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let file =
        options.open(path).unwrap_or_else(|error| panic!("a bad line needs {path}: {error}"));
    // SAFETY: an ifreq is plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, and `request` is one.
    let failed = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0;
    assert!(!failed, "no TUN device can be made: {}", std::io::Error::last_os_error());
    file
}
