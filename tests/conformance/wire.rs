//! Many clients in lockstep: each writes its next piece, the server reads them all, and so on.
//! Not for what a case is: a client here writes bytes and judges bytes.
//!
//! The server has one reactor, and between two rounds a further connection, the pacer, has an
//! echo made. Its message is the last to become readable, so that by the time the echo is there
//! the reactor has read every client's piece: pieces arrive apart without any pause.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::harness::{RawClient, Server, frame, request};

/// What one client does and how what it got is judged.
pub struct Plan {
    /// What it is called when it fails.
    pub name: String,
    /// Whether the connection is upgraded before it begins.
    pub is_upgraded: bool,
    /// Its writes.
    pub rounds: Vec<Round>,
    /// Whether the client shuts its side behind the last write; otherwise the server does first.
    pub finishes: bool,
    /// Judges every byte that came until the server ended the stream in good order.
    pub judge: Judge,
}

/// Says what is wrong with the bytes that came.
pub type Judge = Box<dyn Fn(&[u8]) -> Result<(), String>>;

/// One write.
pub struct Round {
    /// Bytes that must have come before it.
    pub after: usize,
    /// What is written.
    pub write: Vec<u8>,
}

/// So many clients at most are connected at once.
const TOGETHER: usize = 300;

/// How long all of them together may wait in a round: they run beside other tests.
const TOGETHER_PATIENCE: Duration = Duration::from_secs(60);

/// A server with one reactor that lets clients take their time, and its pacer.
pub struct Stage {
    /// The server.
    pub server: Server,
    pacer: RawClient,
}

impl Stage {
    /// Starts a server for messages of up to so many bytes.
    pub fn new(message_limit: usize) -> Self {
        let limit = message_limit.to_string();
        let server = Server::start(&[
            "--reactors",
            "1",
            "--max-message-size",
            &limit,
            "--outbox-limit",
            "64MiB",
            "--handshake-timeout",
            "120s",
            "--message-timeout",
            "120s",
            "--write-timeout",
            "120s",
            "--close-timeout",
            "120s",
            "--ping-interval",
            "off",
        ]);
        let pacer = RawClient::open(&server, "/echo");
        Stage { server, pacer }
    }

    /// Plays all plans, some hundred at a time; panics with those that failed among the first in
    /// which any did.
    pub fn play(&mut self, plans: impl IntoIterator<Item = Plan>) {
        let mut plans = plans.into_iter().peekable();
        let (mut played, mut failures) = (0, Vec::new());
        while plans.peek().is_some() && failures.is_empty() {
            let batch: Vec<Plan> = plans.by_ref().take(TOGETHER).collect();
            played += batch.len();
            failures.extend(self.play_together(&batch));
        }
        assert!(played > 0, "nothing was played");
        let shown = failures.iter().take(20).map(|failure| format!("\n{failure}"));
        let shown: String = shown.collect();
        assert!(failures.is_empty(), "{} of {played} failed:{shown}", failures.len());
        self.server.assert_sound();
    }

    fn play_together(&mut self, plans: &[Plan]) -> Vec<String> {
        let mut actors: Vec<Actor> = plans.iter().map(|plan| self.actor(plan)).collect();
        for actor in &mut actors {
            actor.read_answer();
        }
        let rounds = plans.iter().map(|plan| plan.rounds.len()).max().unwrap_or(0);
        for n in 0..rounds {
            let deadline = Instant::now() + TOGETHER_PATIENCE;
            for actor in &mut actors {
                actor.deadline = deadline;
                actor.write(n);
            }
            self.pace();
        }
        let deadline = Instant::now() + TOGETHER_PATIENCE;
        actors.into_iter().filter_map(|actor| actor.end(deadline).err()).collect()
    }

    fn actor<'a>(&self, plan: &'a Plan) -> Actor<'a> {
        let mut client = RawClient::connect(&self.server);
        if plan.is_upgraded {
            client.send(request("/echo", &[]).as_bytes());
        }
        Actor { plan, client, received: Vec::new(), failure: None, deadline: Instant::now() }
    }

    fn pace(&mut self) {
        self.pacer.send(&frame::text("tick"));
        assert_eq!(self.pacer.frame().payload, b"tick");
    }
}

/// One client at its plan.
struct Actor<'a> {
    plan: &'a Plan,
    client: RawClient,
    received: Vec<u8>,
    failure: Option<String>,
    /// It waits no longer.
    deadline: Instant,
}

impl Actor<'_> {
    /// The 101 answer; nothing stands behind it, since nothing was asked yet.
    fn read_answer(&mut self) {
        if self.plan.is_upgraded {
            assert_eq!(self.client.response().status, 101);
        }
    }

    /// The write of round `n`, if it has come so far.
    fn write(&mut self, n: usize) {
        let Some(round) = self.plan.rounds.get(n) else { return };
        if self.failure.is_none() {
            let outcome = self.read_up_to(round.after).and_then(|()| self.write_all(&round.write));
            self.failure = outcome.err();
        }
        if n + 1 == self.plan.rounds.len() && self.plan.finishes {
            // It fails only where the connection has been reset, which the reading then tells.
            let _ = self.client.stream().shutdown(Shutdown::Write);
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut stream = self.client.stream();
        stream.write_all(bytes).map_err(|error| format!("writing failed: {error}"))
    }

    /// Reads until so many bytes have come.
    fn read_up_to(&mut self, count: usize) -> Result<(), String> {
        while self.received.len() < count {
            if !self.read()? {
                return Err("the stream ended early".to_owned());
            }
        }
        Ok(())
    }

    /// Reads once; false at the end of the stream.
    fn read(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 64 * 1024];
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = Some(left.max(Duration::from_millis(1)));
        self.client.stream().set_read_timeout(left).expect("a timeout can be set");
        match self.client.stream().read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.received.extend_from_slice(&buffer[..n]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err("reset".to_owned()),
            Err(error) => Err(format!("the server does not end the stream: {error}")),
        }
    }

    /// Reads to the end, which must be in good order, and has all of it judged.
    fn end(mut self, deadline: Instant) -> Result<(), String> {
        self.deadline = deadline;
        let mut outcome = self.failure.take().map_or(Ok(()), Err);
        while outcome.is_ok() {
            match self.read() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => outcome = Err(error),
            }
        }
        outcome.and_then(|()| (self.plan.judge)(&self.received)).map_err(|why| {
            let received = crate::case::shown(&self.received);
            format!("{}: {why}; received {received}", self.plan.name)
        })
    }
}
