//! The floor under broadcast: writes each message to every connected socket, over plain TCP on epoll.
//! Not a WebSocket server: there is no upgrade, no ping, no close, and no bound on what is unsent.
//!
//! A publisher sends masked WebSocket frames, as it would to a real server; each is unmasked, given a
//! server's header once, and written to every connection, the sender too, with one send for each.
//! Subscribers thus get the very bytes that a WebSocket server would send them.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pulsewheel_compare::{listen, raise_descriptor_limit};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 64 * 1024;

#[derive(Parser)]
struct Flags {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9102")]
    listen: SocketAddr,
}

struct Connection {
    stream: TcpStream,
    /// The part of a frame that has come.
    partial: Vec<u8>,
    /// Bytes that the kernel did not take.
    unsent: Vec<u8>,
}

fn main() -> io::Result<()> {
    let flags = Flags::parse();
    raise_descriptor_limit()?;
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::from_std(listen(flags.listen)?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; BUFFER];
    let mut outgoing = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(slot) = event.token();
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections)?;
                continue;
            }
            let Some(connection) = connections.get_mut(slot) else { continue };
            if event.is_writable() && !connection.unsent.is_empty() && resume(connection).is_err() {
                connections.remove(slot);
                continue;
            }
            if !event.is_readable() {
                continue;
            }
            let alive = receive(connection, &mut buffer, event.is_read_closed(), &mut outgoing);
            if !alive {
                connections.remove(slot);
            }
            for frame in outgoing.drain(..) {
                fan_out(&mut connections, &frame);
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                let entry = connections.vacant_entry();
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(entry.key()), interest)?;
                entry.insert(Connection { stream, partial: Vec::new(), unsent: Vec::new() });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads what has come; whole frames go to `outgoing`, as the server's. False when the peer is gone.
fn receive(
    connection: &mut Connection,
    buffer: &mut [u8],
    to_the_end: bool,
    outgoing: &mut Vec<Vec<u8>>,
) -> bool {
    loop {
        match connection.stream.read(buffer) {
            Ok(0) => return false,
            Ok(length) => {
                connection.partial.extend_from_slice(&buffer[..length]);
                while let Some((frame, taken)) = reframe(&connection.partial) {
                    connection.partial.drain(..taken);
                    outgoing.push(frame);
                }
                if connection.partial.is_empty() {
                    connection.partial = Vec::new();
                }
                if length < buffer.len() && !to_the_end {
                    return true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
    }
}

/// The first masked frame of `bytes` as a server would send it, and how many bytes it took.
fn reframe(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (length_bytes, length) = match bytes.get(1)? & 0x7f {
        126 => (2, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (8, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (0, usize::from(short)),
    };
    let key_at = 2 + length_bytes;
    let start = key_at + 4;
    let key = bytes.get(key_at..start)?;
    let payload = bytes.get(start..start.checked_add(length)?)?;
    let mut frame = Vec::with_capacity(key_at + length);
    frame.extend_from_slice(&bytes[..key_at]);
    frame[1] &= 0x7f;
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    Some((frame, start + length))
}

fn fan_out(connections: &mut Slab<Connection>, frame: &[u8]) {
    let mut dead = Vec::new();
    for (slot, connection) in connections.iter_mut() {
        if !connection.unsent.is_empty() {
            connection.unsent.extend_from_slice(frame);
            continue;
        }
        match connection.stream.write(frame) {
            Ok(sent) => connection.unsent.extend_from_slice(&frame[sent..]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.unsent.extend_from_slice(frame);
            }
            Err(_) => dead.push(slot),
        }
    }
    for slot in dead {
        connections.remove(slot);
    }
}

fn resume(connection: &mut Connection) -> io::Result<()> {
    match connection.stream.write(&connection.unsent) {
        Ok(sent) => drop(connection.unsent.drain(..sent)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    if connection.unsent.is_empty() {
        connection.unsent = Vec::new();
    }
    Ok(())
}
