//! The floor under echo: returns the bytes it receives, over plain TCP on epoll, and does nothing else.
//! Not a WebSocket server. One recv and one send for each message; a short read means drained.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;

use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pulsewheel_compare::{listen, raise_descriptor_limit, unshare_descriptors};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 64 * 1024;

#[derive(Clone, Parser)]
struct Flags {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9101")]
    listen: SocketAddr,
    /// Reactor threads, each with its own listener and poll
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Give each thread a descriptor table of its own
    #[arg(long)]
    private_descriptors: bool,
}

struct Connection {
    stream: TcpStream,
    /// Bytes that the kernel did not take; nothing more is read until it has.
    unsent: Vec<u8>,
}

enum After {
    Keep,
    Drop,
}

fn main() -> io::Result<()> {
    let flags = Flags::parse();
    raise_descriptor_limit()?;
    let mut threads = Vec::new();
    for _ in 0..flags.threads {
        let flags = flags.clone();
        threads.push(thread::spawn(move || reactor(&flags)));
    }
    for thread in threads {
        thread.join().expect("a reactor panicked")?;
    }
    Ok(())
}

fn reactor(flags: &Flags) -> io::Result<()> {
    if flags.private_descriptors {
        unshare_descriptors()?;
    }
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::from_std(listen(flags.listen)?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections)?;
                continue;
            }
            let Token(slot) = event.token();
            let Some(connection) = connections.get_mut(slot) else { continue };
            let after = if connection.unsent.is_empty() {
                echo(connection, &mut buffer, event.is_read_closed())
            } else {
                resume(connection, &mut buffer)
            };
            if let After::Drop = after {
                connections.remove(slot);
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
                entry.insert(Connection { stream, unsent: Vec::new() });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

fn echo(connection: &mut Connection, buffer: &mut [u8], to_the_end: bool) -> After {
    loop {
        let length = match connection.stream.read(buffer) {
            Ok(0) => return After::Drop,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return After::Keep,
            Err(_) => return After::Drop,
        };
        let sent = match connection.stream.write(&buffer[..length]) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return After::Drop,
        };
        if sent < length {
            connection.unsent.extend_from_slice(&buffer[sent..length]);
            return After::Keep;
        }
        if length < buffer.len() && !to_the_end {
            return After::Keep;
        }
    }
}

fn resume(connection: &mut Connection, buffer: &mut [u8]) -> After {
    match connection.stream.write(&connection.unsent) {
        Ok(sent) => drop(connection.unsent.drain(..sent)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return After::Keep,
        Err(_) => return After::Drop,
    }
    if connection.unsent.is_empty() {
        connection.unsent = Vec::new();
        // What came meanwhile was announced already and will not be again.
        return echo(connection, buffer, true);
    }
    After::Keep
}
