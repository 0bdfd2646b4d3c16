//! The life of one upgraded connection on virtual time, led by a script, and clocks kept beside it
//! that say when each of its deadlines may pass and when it must.
//! Not for what frames mean: `frames` compares that at the end.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use bytes::Bytes;
use pulsewheel::Peer;
use pulsewheel::conn::{
    Budget, CloseReason, Conn, Deadline, Frame, Limits, Pause, Phase, Spread, Tick, Ticks, Verdict,
};
use pulsewheel::doors::{self, Decoder, Event};

use super::frames::{Read, fault};
use super::rfc::Reader;
use super::script::Script;

/// Where ticks begin: in the middle, and close before both wraps.
const STARTS: [u32; 4] = [0, 77_777, u32::MAX - 300, (1 << 31) - 300];

/// Why reading may stop.
const PAUSES: [Pause; 3] = [Pause::Rate, Pause::Outbox, Pause::Mailbox];

/// What a connection may hold for an unfinished message besides what came of it, in bytes.
const HOLDS: usize = 4_096;

/// Resolved once: defaults are typed values too, and parsed as such.
static DEFAULTS: LazyLock<Limits> =
    LazyLock::new(|| Limits::from(&pulsewheel::config::Limits::default()));

/// A connection, and what must be true of it.
pub struct Life {
    conn: Conn,
    decoder: Decoder,
    limits: Limits,
    spread: Spread,
    budget: Budget,
    /// The kernel takes all output at once.
    is_eager: bool,
    now: Tick,
    /// Ticks since the start.
    elapsed: u64,
    /// As many of them as reading was paused for, up to the last resume.
    stood_still: u64,
    paused_since: Option<u64>,
    /// When a byte last came, and a message last came or was queued; in ticks not paused.
    heard: u64,
    talked: u64,
    /// When the kernel took the ping that no byte has answered; in ticks not paused.
    asked: Option<u64>,
    has_ping_queued: bool,
    /// It spoke since the ping was queued, which may have been the answer.
    heard_meanwhile: bool,
    /// Reading is to pause at the next event, with the rest of its chunk held.
    pauses_next: Option<Pause>,
    /// When the unfinished message or frame began; in ticks not paused.
    begun: Option<u64>,
    /// When the close frame was with the kernel; in ticks.
    closing_since: Option<u64>,
    reader: Reader,
    is_over: bool,
    /// What was decoded while open, up to a close frame or a fault.
    pub read: Read,
}

impl Life {
    /// Limits and circumstances as the script says; messages of up to `limit` bytes.
    pub fn new(script: &mut Script<'_>, limit: usize) -> Self {
        let or_off = |on: bool, ticks: u32| on.then_some(Ticks(ticks));
        let bits = script.word();
        let has = |bit: u16| bits & (1 << bit) != 0;
        let limits = Limits {
            ping: or_off(has(0), if has(1) { 10 } else { 160 }),
            pong: or_off(has(2), if has(3) { 4 } else { 160 }),
            idle: or_off(has(4), 400),
            lifetime: or_off(has(5), 2_000),
            message: Ticks(if has(6) { 20 } else { 250 }),
            write: Ticks(if has(7) { 15 } else { 500 }),
            close: Ticks(50),
            message_size: limit,
            ..DEFAULTS.clone()
        };
        let now = Tick(STARTS[usize::from(bits >> 8) % STARTS.len()]);
        let mut spread = Spread::new(u64::from(bits));
        let mut conn = Conn::new(Peer::UNIX, now, false);
        conn.upgraded(0, now, &limits, &mut spread);
        Life {
            conn,
            decoder: Decoder::new(limit),
            limits,
            spread,
            budget: Budget::new(u64::MAX / 2),
            is_eager: has(10),
            now,
            elapsed: 0,
            stood_still: 0,
            paused_since: None,
            heard: 0,
            talked: 0,
            asked: None,
            has_ping_queued: false,
            heard_meanwhile: false,
            pauses_next: None,
            begun: None,
            closing_since: None,
            reader: Reader::new(limit),
            is_over: false,
            read: Read::default(),
        }
    }

    /// Takes the steps, two bytes each, then gives it the rest of the stream; `read` has what came.
    pub fn lead(&mut self, steps: &[u8], stream: &[u8]) {
        let mut stream = stream;
        for step in steps.chunks_exact(2) {
            if self.is_over {
                break;
            }
            let span = Script::new(&step[1..]).span();
            match step[0] % 8 {
                0 | 1 => {
                    let (chunk, rest) = stream.split_at(stream.len().min(span as usize + 1));
                    stream = rest;
                    self.receive(chunk);
                }
                2 => self.pass(span, false),
                3 => self.pass(span, true),
                4 => self.pause(PAUSES[usize::from(step[1]) % 3], 1 + span / 4, step[1] & 32 != 0),
                5 => self.resume([Pause::Outbox, Pause::Mailbox][usize::from(step[1]) % 2]),
                6 => self.queue(span as usize),
                _ => self.take(span as usize),
            }
            self.settle();
        }
        self.resume(Pause::Outbox);
        self.resume(Pause::Mailbox);
        self.settle();
        if !self.is_over && self.conn.is_paused_for(Pause::Rate) {
            // No deadline is as long as the pauses are, so that the stream's end may be lost.
            self.pass(64, true);
        }
        if !self.is_over {
            self.receive(stream);
            self.settle();
        }
        if let Some(active) = self.conn.active() {
            active.outbox.clear(&self.budget);
        }
        assert_eq!(self.budget.used(), 0, "charged for what is gone");
    }

    /// Ticks for which nothing stood still.
    fn moving(&self) -> u64 {
        self.paused_since.unwrap_or(self.elapsed) - self.stood_still
    }

    fn receive(&mut self, chunk: &[u8]) {
        if chunk.is_empty() {
            return;
        }
        self.conn.received(chunk.len(), self.now, &self.limits);
        self.heard = self.moving();
        self.asked = None;
        self.heard_meanwhile = self.has_ping_queued;
        if self.conn.is_paused() {
            self.conn.wake().held.extend_from_slice(chunk);
        } else {
            self.decode(chunk);
        }
    }

    fn decode(&mut self, chunk: &[u8]) {
        if self.conn.phase() == Phase::Lingering {
            return;
        }
        let mut bytes = chunk.to_vec();
        let mut messages = 0;
        let mut events = Vec::new();
        let pauses = self.pauses_next.is_some() && self.conn.phase() == Phase::Open;
        let decoded = self.decoder.decode(&mut self.conn, &mut bytes, self.now, |event| {
            let is_last = pauses || matches!(event, Event::Close(..));
            messages += usize::from(matches!(event, Event::Text(_) | Event::Binary(_)));
            events.push(event);
            if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let (chunk, rest) = chunk.split_at(chunk.len() - decoded.unwrap_or(0));
        if messages > 0 {
            self.talked = self.moving();
        }
        let is_closed = matches!(events.last(), Some(Event::Close(..)));
        self.follow(chunk, decoded.is_err());
        if let Err(violation) = decoded {
            self.read.fault = Some(fault(violation));
        }
        if is_closed || decoded.is_err() {
            // Whatever the peer said: the last bytes to it are queued, and its own are discarded.
            let reason =
                if is_closed { CloseReason::PeerClosed } else { CloseReason::ProtocolError };
            self.conn.begin_lingering(reason);
            self.conn.stop_pausing();
            self.note_resumed();
            self.say_close();
        } else if pauses
            && !events.is_empty()
            && let Some(why) = self.pauses_next.take()
        {
            self.pause(why, 20, false);
            self.conn.wake().held.extend_from_slice(rest);
        }
        self.read.events.append(&mut events);
    }

    /// Has the plain reading follow, for what it tells about times; and for what must be refused
    /// with the byte that shows it.
    fn follow(&mut self, chunk: &[u8], is_refused: bool) {
        for byte in chunk {
            let was_clean = self.reader.is_clean();
            match self.reader.read(*byte) {
                Ok(Some(Event::Close(..))) => return,
                Ok(_) => {}
                Err(fault) => {
                    assert!(is_refused, "{fault:?} was there to see");
                    return;
                }
            }
            if self.reader.is_clean() {
                self.begun = None;
            } else if was_clean {
                self.begun = Some(self.moving());
            }
        }
    }

    /// Time passes: with a look whenever a deadline has come, or with one that comes late.
    fn pass(&mut self, span: u32, is_punctual: bool) {
        let mut left = span;
        while left > 0 && !self.is_over {
            let due = self.conn.deadline(&self.limits).map(|(due, _)| due.since(self.now).0);
            let turn = if is_punctual { due.unwrap_or(left).clamp(1, left) } else { left };
            left -= turn;
            self.now = self.now.plus(Ticks(turn));
            self.elapsed += u64::from(turn);
            self.settle();
        }
    }

    /// Reading stops, at once or at the next event; for the rate as long as is said.
    fn pause(&mut self, why: Pause, span: u32, at_event: bool) {
        if self.conn.phase() != Phase::Open || self.conn.is_paused_for(why) {
            return;
        }
        if at_event && !self.conn.is_paused() {
            self.pauses_next = Some(why);
            return;
        }
        if self.conn.pause(why, self.now) {
            self.paused_since = Some(self.elapsed);
        }
        if why == Pause::Rate {
            self.conn.resume_at(self.now.plus(Ticks(span)));
        }
    }

    fn resume(&mut self, why: Pause) {
        if !self.conn.resume(why, self.now) {
            return;
        }
        self.note_resumed();
        let held = self.conn.active().map(|active| std::mem::take(&mut active.held));
        self.decode(&held.unwrap_or_default());
    }

    fn note_resumed(&mut self) {
        if let Some(since) = self.paused_since.take() {
            self.stood_still += self.elapsed - since;
        }
    }

    /// A message for the peer, by itself or of a broadcast.
    fn queue(&mut self, length: usize) {
        if self.conn.phase() != Phase::Open {
            return;
        }
        self.conn.data_queued(self.now);
        self.talked = self.moving();
        let bytes = Bytes::from(vec![0x82; length + 2]);
        self.push(Frame::own(bytes), true);
    }

    fn push(&mut self, frame: Frame, is_data: bool) {
        self.conn.wake().outbox.push(frame, is_data, self.now, &self.budget);
        if self.is_eager {
            self.take(usize::MAX);
        }
    }

    fn say_close(&mut self) {
        self.push(Frame::own(doors::close_frame(1000, "").into()), false);
        self.note_empty();
    }

    /// The kernel takes so many bytes.
    fn take(&mut self, most: usize) {
        let Some(active) = self.conn.active() else { return };
        let count = most.min(active.outbox.bytes());
        let messages = active.outbox.taken(count, &self.budget);
        let control_is_out = active.outbox.control_is_out();
        self.conn.sent(count, messages);
        if control_is_out {
            let micros = u64::from(self.now.0) * 10_000;
            let is_asked = self.conn.control_is_out(self.now, micros, &self.limits);
            let was_queued = std::mem::take(&mut self.has_ping_queued);
            let heard = std::mem::take(&mut self.heard_meanwhile);
            assert_eq!(is_asked, was_queued && !heard, "who may have answered is not waited for");
            if was_queued {
                self.asked = is_asked.then(|| self.moving());
            }
        }
        self.note_empty();
    }

    fn note_empty(&mut self) {
        let is_empty = self.conn.active().is_none_or(|active| active.outbox.is_empty());
        if is_empty && self.conn.phase() != Phase::Open {
            self.conn.start_close_clock(self.now, &self.limits);
            self.closing_since.get_or_insert(self.elapsed);
        }
    }

    /// Does what passed deadlines ask for, until none has passed; and judges what is left.
    fn settle(&mut self) {
        for _ in 0..=Deadline::COUNT {
            if self.is_over {
                return;
            }
            let Some((_, verdict)) = self.conn.expire(self.now, &self.limits, &mut self.spread)
            else {
                self.judge();
                return;
            };
            self.carry_out(verdict);
        }
        panic!("deadlines without end");
    }

    fn carry_out(&mut self, verdict: Verdict) {
        let moving = self.moving();
        match verdict {
            Verdict::Ping => {
                assert_eq!(self.conn.phase(), Phase::Open);
                assert!(
                    !self.conn.is_paused() && !self.has_ping_queued && self.limits.ping.is_some()
                );
                assert!(self.asked.is_none() || self.limits.pong.is_none(), "asked twice");
                self.conn.ping_queued();
                self.has_ping_queued = true;
                self.heard_meanwhile = false;
                self.conn.wake().outbox.push_control(&[0x89, 0], self.now);
                if self.is_eager {
                    self.take(usize::MAX);
                }
            }
            Verdict::Silent => {
                let waited = self.asked.map(|asked| moving - asked);
                assert!(waited >= self.limits.pong.map(ticks), "reaped alive: {waited:?}");
                self.is_over = true;
            }
            Verdict::Close(reason) => self.close(reason),
            Verdict::Slow => {
                let oldest = self.conn.active().and_then(|active| active.outbox.oldest());
                assert!(oldest.is_some_and(|oldest| self.now.since(oldest) >= self.limits.write));
                self.is_over = true;
            }
            Verdict::Drop(_) => {
                let waited = self.closing_since.map(|since| self.elapsed - since);
                assert!(waited >= Some(ticks(self.limits.close)), "dropped early: {waited:?}");
                self.is_over = true;
            }
            Verdict::Resume => {
                assert!(self.conn.is_paused_for(Pause::Rate));
                self.resume(Pause::Rate);
            }
            Verdict::RequestTimeout => panic!("it is upgraded"),
        }
    }

    fn close(&mut self, reason: CloseReason) {
        let moving = self.moving();
        match reason {
            CloseReason::IdleTimeout => {
                assert!(Some(moving - self.talked) >= self.limits.idle.map(ticks), "it was busy");
            }
            CloseReason::MessageTimeout => {
                let waited = self.begun.map(|begun| moving - begun);
                assert!(waited >= Some(self.allowed()), "the message was in time: {waited:?}");
            }
            CloseReason::LifetimeReached => {
                let least = self.limits.lifetime.map(|lifetime| ticks(lifetime) * 9 / 10);
                assert!(Some(self.elapsed) >= least, "it dies young");
            }
            other => panic!("closed for {other}"),
        }
        assert_eq!(self.conn.phase(), Phase::Open);
        let held = self.conn.begin_closing(reason);
        self.conn.stop_pausing();
        self.note_resumed();
        self.say_close();
        if !held.is_empty() {
            self.decode(&held);
        }
    }

    /// Ticks that the unfinished message may take: a second more for each 4 KiB.
    fn allowed(&self) -> u64 {
        ticks(self.limits.message) + self.reader.arrived() as u64 * 100 / 4_096
    }

    /// Nothing that has passed was let pass, and nothing is kept that nothing needs.
    fn judge(&mut self) {
        self.conn.rest();
        if let Some((tick, deadline)) = self.conn.deadline(&self.limits) {
            assert!(!tick.has_come(self.now), "{deadline} has passed");
        }
        if self.conn.phase() != Phase::Open {
            let waited = self.closing_since.map_or(0, |since| self.elapsed - since);
            assert!(waited < ticks(self.limits.close), "it still waits for a close frame");
            return;
        }
        self.judge_clocks();
        assert_eq!(self.conn.is_mid_message(), !self.reader.is_clean());
        let held = self.conn.active().map_or(0, |active| active.held.len());
        let inbox = self.conn.inbox_bytes();
        if self.reader.is_clean() && held == 0 {
            assert_eq!(inbox, 0, "held between messages");
            let is_busy = self.conn.is_paused()
                || self.conn.active().is_some_and(|active| !active.outbox.is_empty());
            assert_eq!(self.conn.is_resting(), !is_busy, "hibernation");
        } else {
            assert!(inbox <= 2 * (self.reader.arrived() + held) + HOLDS, "{inbox} bytes held");
        }
    }

    fn judge_clocks(&self) {
        let moving = self.moving();
        let lifetime = self.limits.lifetime.map_or(u64::MAX, ticks);
        assert!(self.elapsed < lifetime, "it has outlived its lifetime");
        if self.conn.is_paused() {
            return;
        }
        let has_passed = |since: u64, span: Option<Ticks>| {
            span.is_some_and(|span| moving >= since + ticks(span))
        };
        match self.asked {
            Some(asked) => {
                assert!(!has_passed(asked, self.limits.pong), "a dead peer is kept");
                let asks = self.limits.pong.is_none() && !self.has_ping_queued;
                assert!(
                    !asks || !has_passed(asked, self.limits.ping),
                    "a silent peer is not asked"
                );
            }
            None => assert!(
                self.has_ping_queued || !has_passed(self.heard, self.limits.ping),
                "a silent peer is not asked"
            ),
        }
        assert!(!has_passed(self.talked, self.limits.idle), "an idle peer is kept");
        if let Some(begun) = self.begun {
            assert!(moving < begun + self.allowed(), "a message drips");
        }
    }
}

fn ticks(span: Ticks) -> u64 {
    u64::from(span.0)
}
