//! The floor under the load generator: a closed loop over plain TCP on epoll, and nothing else.
//! Not a load generator: it times no message, checks no byte, and speaks to a plain TCP echo only.
//!
//! Each connection has one message in flight. A message is one send and, in general, one recv.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use pulsewheel_compare::{own_cpu_time, raise_descriptor_limit};

const BUFFER: usize = 64 * 1024;

/// A turn that hears of nothing ends after so long, to look at the clock.
const QUIET: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Flags {
    /// The plain TCP echo to speak to
    #[arg(long)]
    connect: SocketAddr,
    /// How many connections
    #[arg(long, short = 'c', default_value_t = 64)]
    connections: usize,
    /// Bytes of a message; a masked WebSocket frame of 20 bytes has 26
    #[arg(long, default_value_t = 26)]
    size: usize,
    /// Time before the measurement, under the same load
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// Length of the measurement
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    duration: Duration,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the message in flight that have not come back.
    missing: usize,
}

struct Client {
    poll: Poll,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
    messages: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    if flags.size == 0 || flags.size > BUFFER {
        return Err(format!("--size must be from 1 to {BUFFER}").into());
    }
    raise_descriptor_limit()?;
    let mut client = Client::open(&flags)?;
    client.run_until(Instant::now() + flags.warmup)?;
    let (begun, cpu, messages) = (Instant::now(), own_cpu_time()?, client.messages);
    client.run_until(begun + flags.duration)?;
    let cpu = (own_cpu_time()? - cpu).as_secs_f64();
    let (seconds, messages) = (begun.elapsed().as_secs_f64(), client.messages - messages);
    println!(
        "{{\"connections\": {}, \"message_bytes\": {}, \"duration_seconds\": {seconds}, \
         \"messages_total\": {messages}, \"messages_per_second\": {}, \"cpu_seconds\": {cpu}, \
         \"cpu_us_per_message\": {}}}",
        flags.connections,
        flags.size,
        messages as f64 / seconds,
        cpu * 1e6 / messages.max(1) as f64,
    );
    Ok(())
}

impl Client {
    /// Connects all, one after another, and has each send its first message.
    fn open(flags: &Flags) -> io::Result<Client> {
        let poll = Poll::new()?;
        let message = vec![b'x'; flags.size];
        let mut connections = Vec::with_capacity(flags.connections);
        for number in 0..flags.connections {
            let stream = std::net::TcpStream::connect(flags.connect)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number), interest)?;
            connections.push(Connection { stream, missing: 0 });
        }
        let mut client =
            Client { poll, connections, message, buffer: vec![0; BUFFER], messages: 0 };
        for number in 0..flags.connections {
            client.send(number)?;
        }
        Ok(client)
    }

    fn run_until(&mut self, end: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while Instant::now() < end {
            self.poll.poll(&mut events, Some(QUIET))?;
            for event in &events {
                if event.is_readable() {
                    self.receive(event.token().0)?;
                }
            }
        }
        Ok(())
    }

    /// One recv; when the message is whole, the next is sent.
    fn receive(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        let length = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Err(io::Error::other("the server hung up")),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(missing) = connection.missing.checked_sub(length) else {
            return Err(io::Error::other("more came back than was sent"));
        };
        connection.missing = missing;
        if missing > 0 {
            return Ok(());
        }
        self.messages += 1;
        self.send(number)
    }

    fn send(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.missing = self.message.len();
        // One message in flight can't fill a socket's buffer.
        match connection.stream.write(&self.message)? == self.message.len() {
            true => Ok(()),
            false => Err(io::Error::other("the kernel took only a part of a message")),
        }
    }
}
