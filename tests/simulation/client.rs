//! A client: its sessions one after the other, what it sends in them and what it must get.
//! Not the order of the world's events; the world calls it when its time or its bytes have come.

use std::collections::{BTreeMap, VecDeque};

use pulsewheel::CloseReason;

use crate::manner::Manner;
use crate::message::{Numbered, Sender};
use crate::net::{Arrival, Buffers, Event, Net, Server, SocketId};
use crate::rules::{Rules, SECOND};
use crate::wire::{self, Reader, Said};

/// What clients know of the world while they act.
pub struct Scene<'a> {
    pub net: &'a mut Net,
    pub rules: &'a Rules,
    /// Nothing new is begun any more.
    pub is_calm: bool,
    /// What stalls have taken from each reactor's clock.
    pub lost: &'a [u64],
    /// Messages that a drop policy has taken, as clients miss them.
    pub missed: &'a mut u64,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    pub id: u32,
    pub manner: Manner,
    pub number: u32,
    pub session: Option<Session>,
    /// Sessions still to come.
    pub returns: u32,
}

/// One connection of a client.
#[derive(Debug)]
pub struct Session {
    pub socket: SocketId,
    pub reader: Reader,
    pub began: u64,
    pub opened: Option<u64>,
    pub refused: Option<u16>,
    pub acts_left: u32,
    pub sent_close: bool,
    pub got_close: Option<Option<u16>>,
    pub backlog_at_close: usize,
    /// The client has seen the end, and whether it was a reset.
    pub end: Option<End>,
    pub grave: Option<CloseReason>,
    /// Sent, and not come back yet.
    pub expected: VecDeque<Numbered>,
    pub sent: u32,
    pub last_sent: u64,
    pub heard: BTreeMap<Sender, u32>,
    /// The handler was asked to end it.
    pub asked_to_end: bool,
    pub pings: u32,
}

/// How a stream ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

impl Client {
    pub fn new(id: u32, manner: Manner, returns: u32) -> Self {
        Client { id, manner, number: 0, session: None, returns }
    }

    fn sender(&self) -> Sender {
        Sender { client: self.id, session: self.number }
    }

    /// Its next act comes so much later.
    fn act_in(&self, scene: &mut Scene<'_>, delay: u64) {
        scene.net.after(delay, Event::Act { client: self.id, session: self.number });
    }

    /// The server must be rid of it so much later.
    pub fn judge_in(&self, scene: &mut Scene<'_>, delay: Option<u64>) {
        let Some(session) = &self.session else { return };
        let lost = scene.lost[scene.net.socket(session.socket).port];
        if let Some(delay) = delay {
            scene.net.after(delay, Event::Judge { client: self.id, session: self.number, lost });
        }
    }

    /// Its time has come.
    pub fn act(&mut self, scene: &mut Scene<'_>) -> Result<(), String> {
        let is_over = self.session.as_ref().is_none_or(|session| session.end.is_some());
        if is_over {
            if !scene.is_calm && self.returns > 0 {
                self.returns -= 1;
                self.connect(scene);
            }
            return Ok(());
        }
        self.behave(scene);
        Ok(())
    }

    fn connect(&mut self, scene: &mut Scene<'_>) {
        let limits = &scene.rules.limits;
        let reactors = scene.rules.reactors;
        let (up, down) = (limits.max_message_size / 4, limits.outbox_limit / 4);
        let is_late = scene.rules.faults.late_by > SECOND;
        let random = &mut scene.net.random;
        let buffers = Buffers {
            up: random.usize(2_048..16_384).max(up).max(if is_late { 65_536 } else { 0 }),
            down: random.usize(1_024..16_384).max(down),
        };
        let (port, acts_left) = (random.usize(0..reactors), random.u32(0..40));
        self.number += 1;
        let socket = scene.net.connect(self.id, self.number, port, buffers);
        self.session = Some(Session {
            socket,
            reader: Reader::default(),
            began: scene.net.now,
            opened: None,
            refused: None,
            acts_left,
            sent_close: false,
            got_close: None,
            backlog_at_close: 0,
            end: None,
            grave: None,
            expected: VecDeque::new(),
            sent: 0,
            last_sent: 0,
            heard: BTreeMap::new(),
            asked_to_end: false,
            pings: 0,
        });
        self.ask(scene, socket);
    }

    /// Sends the request, in the client's manner.
    fn ask(&mut self, scene: &mut Scene<'_>, socket: SocketId) {
        let mut request = wire::upgrade(self.manner.path());
        match self.manner {
            Manner::SlowHandshake => return self.act_in(scene, 1),
            Manner::Http => {
                let odd: [&[u8]; 5] = [
                    b"GET / HTTP/1.1\r\nHost: world\r\n\r\n",
                    b"GET /nowhere HTTP/1.1\r\nHost: world\r\n\r\n",
                    b"POST /echo HTTP/1.1\r\nHost: world\r\n\r\n",
                    b"GET /echo HTTP/1.1\r\nHost: world\r\n\r\n",
                    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                ];
                request = odd[scene.net.random.usize(0..odd.len())].to_vec();
            }
            Manner::Whim if scene.net.random.u8(0..4) == 0 => {
                request = wire::upgrade("/whim?no");
            }
            _ => {}
        }
        scene.net.write(socket, &request);
        if self.manner == Manner::Http {
            let limit = scene.rules.bound(&[Bound::Handshake, Bound::Close, Bound::Write]);
            self.judge_in(scene, limit);
        }
    }

    /// Bytes, or the end, have come.
    pub fn receive(&mut self, scene: &mut Scene<'_>, arrival: Arrival) -> Result<(), String> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.reader.push(&arrival.bytes);
        while let Some(said) = self.session.as_mut().map_or(Ok(None), |s| s.reader.next())? {
            self.hear(scene, said)?;
        }
        if arrival.is_over {
            self.ended(scene, End::Fin)?;
        }
        Ok(())
    }

    fn hear(&mut self, scene: &mut Scene<'_>, said: Said) -> Result<(), String> {
        let (manner, now) = (self.manner, scene.net.now);
        let Some(session) = &mut self.session else { return Ok(()) };
        match said {
            Said::Answer(101) => {
                session.opened = Some(now);
                self.opened(scene);
            }
            Said::Answer(status) => {
                session.refused = Some(status);
                let is_known =
                    scene.rules.may_refuse(status) || (manner == Manner::Whim && status == 403);
                if manner.is_good() && !is_known {
                    return Err(format!("a good request was answered {status}"));
                }
            }
            Said::Message { opcode, payload } => self.take(scene, opcode, &payload)?,
            Said::Ping(payload) => {
                session.pings += 1;
                if manner.is_good() && !session.sent_close {
                    self.say(scene, true, wire::PONG, &payload);
                }
            }
            Said::Pong => {}
            Said::Close(code) => self.hear_close(scene, code),
        }
        Ok(())
    }

    fn hear_close(&mut self, scene: &mut Scene<'_>, code: Option<u16>) {
        let Some(session) = &mut self.session else { return };
        session.got_close = Some(code);
        session.backlog_at_close = scene.net.backlog(session.socket);
        let answers = self.manner.is_good() && !session.sent_close;
        if answers {
            let payload = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
            self.say(scene, true, wire::CLOSE, &payload);
            self.session.iter_mut().for_each(|session| session.sent_close = true);
        } else if !self.manner.is_good() {
            let limit = scene.rules.bound(&[Bound::Close]);
            self.judge_in(scene, limit);
        }
    }

    /// A message of the server's: it must be one that is owed.
    fn take(&mut self, scene: &mut Scene<'_>, opcode: u8, payload: &[u8]) -> Result<(), String> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if self.manner == Manner::Whim {
            return Ok(());
        }
        let found = Numbered::check(payload)?;
        if opcode != found.opcode() {
            return Err(format!("{found:?} came with opcode {opcode}"));
        }
        if self.manner.path() == "/broadcast" {
            let last = session.heard.insert(found.sender, found.number);
            return match last {
                Some(last) if found.number <= last => {
                    Err(format!("{found:?} came after number {last} of the same sender"))
                }
                Some(last) => {
                    *scene.missed += u64::from(found.number - last - 1);
                    Ok(())
                }
                None => Ok(()),
            };
        }
        let place = session.expected.iter().position(|expected| *expected == found);
        let Some(place) = place else {
            let next = session.expected.front();
            return Err(format!("{found:?} came back, and {next:?} was next"));
        };
        session.expected.drain(..=place);
        *scene.missed += place as u64;
        Ok(())
    }

    /// The client sees the end of its stream.
    pub fn ended(&mut self, scene: &mut Scene<'_>, end: End) -> Result<(), String> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if session.end.is_some() {
            return Ok(());
        }
        session.end = Some(end);
        if !matches!(self.manner, Manner::Unanswering | Manner::Mute | Manner::TalksAfterClose) {
            let socket = session.socket;
            scene.net.finish(socket);
        }
        let delay = match scene.net.random.u8(0..3) {
            0 => 1,
            1 => scene.net.random.u64(1..SECOND),
            _ => scene.net.random.u64(1..60 * SECOND),
        };
        self.act_in(scene, delay);
        self.settle(scene)
    }

    /// Both ends are over: what must have been said has been said.
    pub fn settle(&mut self, scene: &mut Scene<'_>) -> Result<(), String> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let (Some(end), Some(reason)) = (session.end, session.grave) else { return Ok(()) };
        if !self.manner.is_good() || scene.net.socket(session.socket).was_cut {
            return Ok(());
        }
        let bytes = session.reader.unfinished();
        if end == End::Fin && bytes > 0 && session.opened.is_some() && !reason.resets() {
            return Err(format!("the stream ended within a frame, after {bytes} bytes of it"));
        }
        if reason == CloseReason::PeerClosed {
            let left = session.expected.len();
            *scene.missed += left as u64;
            let (id, now) = (self.id, scene.net.now);
            scene.net.trace.say(now, || format!("client {id} went without {left} answers"));
        }
        let Some(code) = reason.close_code() else { return Ok(()) };
        let has_code = match session.got_close {
            Some(got) => got == Some(code) || reason == CloseReason::HandlerClosed,
            None => end == End::Reset,
        };
        if !has_code {
            return Err(format!("it ended with {reason} and was told {:?}", session.got_close));
        }
        Ok(())
    }

    /// Writes one frame.
    pub fn say(&mut self, scene: &mut Scene<'_>, fin: bool, opcode: u8, payload: &[u8]) {
        let Some(session) = &self.session else { return };
        let mask = scene.net.random.u32(..).to_be_bytes();
        let mut bytes = Vec::with_capacity(payload.len() + 14);
        wire::frame(&mut bytes, fin, opcode, payload, mask);
        scene.net.write(session.socket, &bytes);
    }

    /// A new message of this session, which the server now owes its receivers.
    pub fn compose(&mut self, scene: &mut Scene<'_>) -> Option<Numbered> {
        let most = scene.rules.largest_message;
        let length = match scene.net.random.u8(0..4) {
            0 => most,
            1 => scene.net.random.usize(0..=most),
            _ => scene.net.random.usize(0..=most.min(200)),
        };
        let sender = self.sender();
        let session = self.session.as_mut()?;
        let mut message = Numbered { sender, number: session.sent, length };
        // The coordinates may take more than was asked for.
        message.length = message.payload().len();
        session.sent += 1;
        session.last_sent = scene.net.now;
        if self.manner.echoes() {
            session.expected.push_back(message);
        }
        Some(message)
    }

    /// True once the server's end of its session is closed.
    pub fn is_gone(&self, net: &mut Net) -> bool {
        self.session
            .as_ref()
            .is_none_or(|session| net.socket(session.socket).server == Server::Gone)
    }
}

/// Deadlines that bound how long somebody may stay.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    Handshake,
    Heartbeat,
    Message,
    Write,
    Close,
}

impl Bound {
    pub const ALL: [Self; 5] =
        [Self::Heartbeat, Self::Handshake, Self::Message, Self::Write, Self::Close];
}

impl Rules {
    /// Their sum in microseconds, as the longest of all limits has it, and a little more for ticks,
    /// latencies and faults; `None` where one is off, or where a peer may be made to wait.
    pub fn bound(&self, bounds: &[Bound]) -> Option<u64> {
        let mut sum = 4 * SECOND + self.faults.late_by;
        for bound in bounds {
            let longest = self.every_limits().map(|limits| match bound {
                Bound::Handshake => Some(limits.handshake_timeout),
                Bound::Heartbeat => Some(limits.ping_interval? + 2 * limits.pong_timeout?),
                Bound::Message => Some(limits.message_timeout),
                Bound::Write => Some(limits.write_timeout),
                Bound::Close => Some(limits.close_timeout),
            });
            let longest = longest.collect::<Option<Vec<_>>>()?.into_iter().max()?;
            sum += longest.as_micros() as u64;
        }
        (!self.has_rates()).then_some(sum)
    }
}
