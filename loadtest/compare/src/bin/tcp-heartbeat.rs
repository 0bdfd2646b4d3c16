//! The floor under held connections: plain TCP on epoll that sends a ping's bytes and reads a pong's.
//! Not a WebSocket server: no upgrade, no frames, and nobody is ever hung up on for silence.
//!
//! It sends the bytes that the server sends, at the times at which the server sends them: to each
//! connection first at a random time within the last three quarters of an interval, then one
//! interval after the last byte that came from it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{process, thread};

use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pulsewheel_compare::buckets::{TICK_MILLIS, TickBuckets};
use pulsewheel_compare::{listen, raise_descriptor_limit, unshare_descriptors};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 4 * 1024;

/// An empty ping of a server, RFC 6455 section 5.5.2.
const PING: [u8; 2] = [0x89, 0];

#[derive(Clone, Parser)]
struct Flags {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9104")]
    listen: SocketAddr,
    /// Reactor threads, each with its own listener and poll
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Give each thread a descriptor table of its own
    #[arg(long)]
    private_descriptors: bool,
    /// From the last byte received to a ping: 25s, 500ms
    #[arg(long, default_value = "25s", value_parser = ticks)]
    interval: u32,
}

/// Reads a duration as a number of ticks, at least one.
fn ticks(text: &str) -> Result<u32, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let ticks = duration.as_millis() / u128::from(TICK_MILLIS);
    u32::try_from(ticks)
        .ok()
        .filter(|ticks| (1..=8_640_000).contains(ticks))
        .ok_or_else(|| format!("`{text}` is not between {TICK_MILLIS} ms and a day"))
}

struct Connection {
    stream: TcpStream,
    /// The tick of its entry in the buckets; none while a ping is unanswered.
    entry: Option<u32>,
    /// When its next ping is due, as its last byte has it.
    due: u32,
}

struct Reactor {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    buckets: TickBuckets,
    interval: u32,
    started: Instant,
    buffer: Vec<u8>,
}

fn main() -> io::Result<()> {
    let flags = Flags::parse();
    raise_descriptor_limit()?;
    let mut threads = Vec::new();
    for _ in 0..flags.threads {
        let flags = flags.clone();
        threads.push(thread::spawn(move || {
            // One reactor alone would leave its share of the connections hanging: all end.
            if let Err(error) = Reactor::new(&flags).and_then(|mut reactor| reactor.run()) {
                eprintln!("tcp-heartbeat: {error}");
                process::exit(1);
            }
        }));
    }
    for thread in threads {
        thread.join().expect("a reactor panicked");
    }
    Ok(())
}

impl Reactor {
    fn new(flags: &Flags) -> io::Result<Reactor> {
        if flags.private_descriptors {
            unshare_descriptors()?;
        }
        let poll = Poll::new()?;
        let mut listener = TcpListener::from_std(listen(flags.listen)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Reactor {
            poll,
            listener,
            connections: Slab::new(),
            buckets: TickBuckets::new(flags.interval),
            interval: flags.interval,
            started: Instant::now(),
            buffer: vec![0; BUFFER],
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut due = Vec::new();
        loop {
            self.poll.poll(&mut events, self.patience())?;
            let now = (self.started.elapsed().as_millis() / u128::from(TICK_MILLIS)) as u32;
            // First, so that the buckets stand at `now` when new deadlines are counted from it.
            self.ping_due(now, &mut due);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(now)?,
                    Token(slot) => self.receive(slot, event.is_read_closed(), now),
                }
            }
        }
    }

    /// How long until the next tick with anything due.
    fn patience(&self) -> Option<Duration> {
        let tick = self.buckets.next_due()?;
        let at = Duration::from_millis(u64::from(tick) * u64::from(TICK_MILLIS));
        Some(at.saturating_sub(self.started.elapsed()))
    }

    fn ping_due(&mut self, now: u32, due: &mut Vec<u32>) {
        while let Some(tick) = self.buckets.pop_due(now, due) {
            for slot in due.drain(..) {
                let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
                // The entry of one that has left, whose slot another has now.
                if connection.entry != Some(tick) {
                    continue;
                }
                connection.entry = None;
                if connection.due > tick {
                    connection.entry = Some(self.buckets.insert(slot, connection.due));
                } else if connection.stream.write(&PING).is_err_and(|error| is_final(&error)) {
                    self.connections.remove(slot as usize);
                }
            }
        }
    }

    fn accept(&mut self, now: u32) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let entry = self.connections.vacant_entry();
                    let slot = entry.key();
                    self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE)?;
                    let due = now + fastrand::u32(self.interval / 4..=self.interval);
                    let tick = self.buckets.insert(slot as u32, due);
                    entry.insert(Connection { stream, entry: Some(tick), due });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what has come, whatever it is; a short read means drained.
    fn receive(&mut self, slot: usize, to_the_end: bool, now: u32) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        loop {
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(length) => {
                    connection.due = now + self.interval;
                    if connection.entry.is_none() {
                        let tick = self.buckets.insert(slot as u32, connection.due);
                        connection.entry = Some(tick);
                    }
                    if length < self.buffer.len() && !to_the_end {
                        return;
                    }
                }
                Err(error) if is_final(&error) => break,
                Err(_) => return,
            }
        }
        self.connections.remove(slot);
    }
}

/// Whether a socket is of no more use.
fn is_final(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
