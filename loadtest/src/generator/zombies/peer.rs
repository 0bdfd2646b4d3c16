//! One zombie: how far it has come, what it does next, and by which sign it is noticed.
//! Not the calls on its socket (`socket`) nor the clock that wakes it (the parent).

use std::time::Duration;

use super::bytes;
use super::crowd::Crowd;
use super::kind::Kind;
use super::observed::Sign;
use super::socket::{Received, Socket};
use crate::generator::link::Ended;
use crate::target::Target;
use crate::tls;
use crate::wire::decoder::{Decoder, Piece};
use crate::wire::frame::Opcode;
use crate::wire::handshake::{Progress, Upgrade};

/// How often in one turn a zombie reads or writes.
const AT_ONCE: usize = 16;

/// How often a peer that has vanished looks whether something came through.
const LOOK: Duration = Duration::from_millis(100);

/// How soon the server's kernel answers a vanished peer that speaks up, or confirms a reset.
const ANSWER: Duration = Duration::from_millis(500);

/// Bytes that a peer which does not read asks for at most: a server that takes more without
/// sending any has no bound worth waiting for.
const ASKED_AT_MOST: u64 = 16 << 20;

/// Bytes that it hands over at a time: what the kernel does not take is kept, so that this bounds
/// what each of them costs the generator.
const ASKED_AT_ONCE: usize = 16 * 1024;

/// What one turn of the parent lends to its zombies.
#[derive(Debug)]
pub struct Props<'a> {
    /// Where to.
    pub target: &'a Target,
    /// The deadlines, and the pace of dripping.
    pub crowd: &'a Crowd,
    /// A message to be asked for again and again, in its frame.
    pub echo: &'a [u8],
    /// For what comes in.
    pub buffer: &'a mut [u8],
    /// The time of this turn, since the start of the run.
    pub now: Duration,
}

/// What the poll said about a socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// Bytes, or an end.
    pub readable: bool,
    /// Room for bytes, or connect(2) decided.
    pub writable: bool,
    /// The peer shut its side.
    pub read_closed: bool,
    /// The connection failed.
    pub failed: bool,
}

/// Why a zombie is no longer watched.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    /// The server noticed it.
    Noticed(Sign),
    /// It never came to the point of going wrong.
    Unopened(String),
    /// It was watched long enough.
    Unnoticed,
}

/// What is left after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing until the next event or alarm.
    Nothing,
    /// More to read or write at once; no event will say so again.
    More,
}

#[derive(Debug)]
enum Stage {
    Connecting,
    /// The TLS handshake is under way.
    Securing,
    Upgrading(Box<Upgrade>),
    /// It goes wrong now.
    Undead,
}

/// One zombie.
#[derive(Debug)]
pub struct Peer {
    socket: Socket,
    /// How it goes wrong.
    pub kind: Kind,
    /// Tells it from others that had its slot before.
    pub serial: u64,
    /// The alarm that counts for it.
    pub alarm: Option<Duration>,
    stage: Stage,
    seed: u64,
    dialled: Duration,
    /// When it began to go wrong; before that, when it last spoke.
    began: Duration,
    /// Bytes sent since then.
    sent: u64,
    /// Bytes or fragments dripped, and when the next is due.
    dripped: u64,
    next_step: Duration,
    decoder: Decoder,
    request: Vec<u8>,
    answer: Vec<u8>,
    segments: u32,
    /// For one that has vanished: when something came through to it, and when it spoke up.
    stirred: Option<Duration>,
    spoke_up: Option<Duration>,
}

impl Peer {
    /// A zombie whose connect(2) is under way.
    pub fn new(socket: Socket, kind: Kind, seed: u64, serial: u64, now: Duration) -> Peer {
        Peer {
            socket,
            kind,
            serial,
            alarm: None,
            stage: Stage::Connecting,
            seed,
            dialled: now,
            began: now,
            sent: 0,
            dripped: 0,
            next_step: Duration::MAX,
            decoder: Decoder::new(false),
            request: Vec::new(),
            answer: Vec::new(),
            segments: 0,
            stirred: None,
            spoke_up: None,
        }
    }

    /// Whether it goes wrong already.
    pub fn is_undead(&self) -> bool {
        matches!(self.stage, Stage::Undead)
    }

    /// For how long it has gone wrong, at `now` or when its end came through.
    pub fn astray(&self, now: Duration) -> Duration {
        self.stirred.unwrap_or(now).saturating_sub(self.began)
    }

    /// Bytes sent since it went wrong.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// When it wants [`Peer::expire`] to be called next; after every call of any other method this
    /// may have changed.
    pub fn wake(&self, crowd: &Crowd, connect_timeout: Duration) -> Duration {
        if !self.is_undead() {
            return self.dialled + connect_timeout;
        }
        self.next_step.min(self.given_up_at(crowd))
    }

    /// Whether the server should have noticed it by now, and was waited for beyond that.
    pub fn is_overdue(&self, crowd: &Crowd, now: Duration) -> bool {
        self.given_up_at(crowd) <= now
    }

    fn given_up_at(&self, crowd: &Crowd) -> Duration {
        match self.kind {
            // Nothing will come to it: whether the server noticed is seen elsewhere.
            Kind::Reset => Duration::MAX,
            kind => self.began + crowd.claims.deadline(kind, self.sent) + crowd.patience(),
        }
    }

    /// Something happened to its socket.
    pub fn advance(&mut self, event: Readiness, props: &mut Props<'_>) -> Result<Left, Over> {
        if matches!(self.stage, Stage::Connecting) {
            if !self.socket.is_connected().map_err(unopened)? {
                return Ok(Left::Nothing);
            }
            self.connected(props)?;
        }
        if self.kind == Kind::StopReading && self.is_undead() {
            if event.failed && self.socket.has_failed() {
                return Err(Over::Noticed(Sign::Reset));
            }
            if event.read_closed {
                return Err(Over::Noticed(Sign::Fin));
            }
            return if event.writable { self.ask_on(props) } else { Ok(Left::Nothing) };
        }
        if event.writable && self.socket.is_blocked() {
            match self.socket.flush() {
                Err(ended) if !self.is_undead() => return Err(fell(ended)),
                // That it failed, receiving tells too, after what came before.
                _ => {}
            }
        }
        if event.readable { self.listen(props) } else { Ok(Left::Nothing) }
    }

    /// Goes on with what [`Left::More`] said.
    pub fn go_on(&mut self, props: &mut Props<'_>) -> Result<Left, Over> {
        match (self.kind, &self.stage) {
            (Kind::StopReading, Stage::Undead) => self.ask(props),
            _ => self.listen(props),
        }
    }

    /// The time that [`Peer::wake`] named has come.
    pub fn expire(&mut self, props: &mut Props<'_>) -> Result<(), Over> {
        if !self.is_undead() {
            return Err(Over::Unopened("it did not open in time".to_owned()));
        }
        if self.given_up_at(props.crowd) <= props.now {
            let came = self.stirred.map(|_| Over::Noticed(Sign::Fin));
            return Err(came.unwrap_or(Over::Unnoticed));
        }
        if self.next_step > props.now {
            return Ok(());
        }
        match self.kind {
            Kind::Vanish => self.look(props),
            Kind::DripHandshake => {
                let byte = bytes::dripped_head(&self.request, self.dripped as usize);
                self.drip(&[byte], props)
            }
            Kind::EndlessFragments => {
                let fragment = bytes::fragment(self.seed, self.dripped);
                self.drip(&fragment, props)
            }
            _ => {
                self.next_step = Duration::MAX;
                Ok(())
            }
        }
    }

    /// Whether something came through to a peer that has vanished. A reset behind bytes that were
    /// dropped is questioned by this kernel and confirmed by the other, which readiness then tells;
    /// what is not confirmed soon is a FIN.
    ///
    /// A server that just closes the socket may show neither: its FIN waits behind bytes that are
    /// never acknowledged. So the peer speaks up when it should have been noticed: a server whose
    /// socket is closed answers with a reset at once. One that does not is late, and the peer comes
    /// back to see what it does in the end.
    fn look(&mut self, props: &mut Props<'_>) -> Result<(), Over> {
        let now = props.now;
        self.next_step = now + LOOK;
        if self.stirred.is_some() {
            return Err(Over::Noticed(Sign::Fin));
        }
        if self.socket.segments_in().is_ok_and(|count| count != self.segments) {
            self.stirred = Some(now);
            self.next_step = now + ANSWER;
            return Ok(());
        }
        let claims = &props.crowd.claims;
        let due = self.began + claims.deadline(Kind::Vanish, 0) + claims.grace;
        match self.spoke_up {
            None if due > now => self.next_step = due.min(self.next_step),
            // Where sending fails, the reset that readiness tells of has just come.
            None => {
                let _ = self.socket.send(bytes::LIFE);
                self.spoke_up = Some(now);
                self.next_step = now + ANSWER;
            }
            Some(_) => {
                self.socket.come_back().map_err(|_| Over::Unnoticed)?;
                let _ = self.socket.send(bytes::LIFE);
                self.next_step = Duration::MAX;
            }
        }
        Ok(())
    }

    /// By which sign one that goes wrong was noticed, when its connection has ended at `now`.
    fn sign(&self, ended: &Ended, now: Duration) -> Sign {
        match ended {
            Ended::Closed => Sign::Fin,
            Ended::Failed(_) => self.reset(now),
            Ended::Tls(rustls::Error::AlertReceived(_)) => Sign::Alert,
            Ended::Tls(_) => Sign::Noise,
        }
    }

    /// A vanished peer's connection was reset at `now`: by the server's own will, or because it
    /// had been gone when the peer spoke up?
    fn reset(&self, now: Duration) -> Sign {
        match self.spoke_up {
            Some(spoke_up) if now <= spoke_up + ANSWER => Sign::Gone,
            _ => Sign::Reset,
        }
    }

    fn connected(&mut self, props: &mut Props<'_>) -> Result<(), Over> {
        self.began = props.now;
        let Some(tls) = &props.target.tls else { return self.established(props) };
        self.stage = Stage::Securing;
        let session = tls.session().map_err(Ended::Tls);
        session.and_then(|session| self.socket.secure(session)).map_err(fell)
    }

    /// The transport stands, with its TLS where there is any: half a TLS handshake would be another
    /// matter, and is what no kind leaves behind.
    fn established(&mut self, props: &mut Props<'_>) -> Result<(), Over> {
        let (upgrade, request) = Upgrade::begin(props.target);
        // The deadline of those that never open counts from connect, which `began` is already.
        if !self.kind.never_opens() {
            self.began = props.now;
        }
        match self.kind {
            Kind::SilentHandshake => {
                self.stage = Stage::Undead;
                self.say(bytes::half_head(&request), props)
            }
            Kind::DripHandshake => {
                self.stage = Stage::Undead;
                self.request = request;
                let first = bytes::dripped_head(&self.request, 0);
                self.drip(&[first], props)
            }
            _ => {
                self.stage = Stage::Upgrading(Box::new(upgrade));
                self.socket.send(&request).map_err(fell)
            }
        }
    }

    /// It is open: from now on it goes wrong.
    fn go_wrong(&mut self, props: &mut Props<'_>) -> Result<(), Over> {
        self.stage = Stage::Undead;
        // Silence counts from the last byte sent, the request's: that is `began` already.
        if matches!(self.kind, Kind::NoPong | Kind::Vanish) {
            if self.kind == Kind::Vanish {
                self.socket.vanish().map_err(unopened)?;
                self.segments = self.socket.segments_in().unwrap_or_default();
                self.next_step = props.now + LOOK;
            }
            return Ok(());
        }
        self.began = props.now;
        match self.kind {
            Kind::StopReading => {
                self.socket.narrow().map_err(unopened)?;
                self.ask(props).map(drop)
            }
            Kind::HalfClose => self.socket.shut_sending().map_err(unopened),
            Kind::Garbage => self.say(&bytes::garbage(self.seed), props),
            Kind::HugeLength => self.say(&bytes::huge_length(self.seed), props),
            Kind::EndlessFragments => self.drip(&bytes::fragment(self.seed, 0), props),
            Kind::Reset => self.say(&bytes::half_frame(self.seed), props),
            Kind::NoPong | Kind::Vanish | Kind::SilentHandshake | Kind::DripHandshake => Ok(()),
        }
    }

    fn drip(&mut self, bytes: &[u8], props: &mut Props<'_>) -> Result<(), Over> {
        self.dripped += 1;
        self.next_step = props.now + props.crowd.drip;
        self.say(bytes, props)
    }

    /// Sends a few bytes, which the socket's buffer always has room for as long as the server
    /// reads; where it does not, they wait, and count as sent too.
    fn say(&mut self, bytes: &[u8], props: &mut Props<'_>) -> Result<(), Over> {
        self.sent += bytes.len() as u64;
        match self.socket.send(bytes) {
            Ok(()) => Ok(()),
            // What the server said before it hung up may still be there to read.
            Err(_) => self.listen(props).and(Err(Over::Noticed(Sign::Reset))),
        }
    }

    /// Asks for messages that will not be read, as long as the kernel takes them.
    fn ask(&mut self, props: &mut Props<'_>) -> Result<Left, Over> {
        for _ in 0..AT_ONCE {
            if self.sent >= ASKED_AT_MOST || self.socket.is_blocked() {
                return Ok(Left::Nothing);
            }
            let at = (self.sent % props.echo.len() as u64) as usize;
            let piece = &props.echo[at..props.echo.len().min(at + ASKED_AT_ONCE)];
            self.socket.send(piece).map_err(|_| Over::Noticed(Sign::Reset))?;
            self.sent += piece.len() as u64;
            self.began = props.now;
        }
        Ok(Left::More)
    }

    /// The kernel has room again: for what waits, then for more.
    fn ask_on(&mut self, props: &mut Props<'_>) -> Result<Left, Over> {
        if self.socket.is_blocked() {
            self.socket.flush().map_err(|_| Over::Noticed(Sign::Reset))?;
            self.began = props.now;
        }
        self.ask(props)
    }

    fn listen(&mut self, props: &mut Props<'_>) -> Result<Left, Over> {
        for _ in 0..AT_ONCE {
            let received = self.socket.receive(props.buffer);
            if matches!(self.stage, Stage::Securing) && !self.socket.is_handshaking() {
                self.established(props)?;
            }
            match received {
                Received::Nothing => return Ok(Left::Nothing),
                Received::Bytes(length) => self.digest(length, props)?,
                Received::End(ended) if self.is_undead() => {
                    return Err(Over::Noticed(self.sign(&ended, props.now)));
                }
                Received::End(ended) => return Err(fell(ended)),
            }
            if self.kind == Kind::StopReading && self.is_undead() {
                return Ok(Left::Nothing);
            }
        }
        Ok(Left::More)
    }

    /// Takes in the first `length` bytes of the buffer.
    fn digest(&mut self, length: usize, props: &mut Props<'_>) -> Result<(), Over> {
        if self.kind.never_opens() {
            self.answer.extend_from_slice(&props.buffer[..length.min(64)]);
            let status = bytes::status(&self.answer);
            return status.map_or(Ok(()), |status| Err(Over::Noticed(Sign::Http(status))));
        }
        let mut at = 0;
        if let Stage::Upgrading(upgrade) = &mut self.stage {
            match upgrade.receive(&props.buffer[..length]) {
                Ok(Progress::More) => return Ok(()),
                Ok(Progress::Open { consumed }) => at = consumed,
                Err(refusal) => return Err(Over::Unopened(refusal.to_string())),
            }
            self.go_wrong(props)?;
        }
        if self.kind == Kind::StopReading {
            return Ok(());
        }
        loop {
            match self.decoder.next(&mut props.buffer[..length], &mut at) {
                Ok(Some(Piece::Control { opcode: Opcode::Close, payload })) => {
                    return Err(Over::Noticed(Sign::Close(bytes::close_code(payload))));
                }
                // Pings are read and not answered.
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(_) => return Err(Over::Noticed(Sign::Noise)),
            }
        }
    }
}

fn unopened(error: impl ToString) -> Over {
    Over::Unopened(error.to_string())
}

/// Its connection ended before it came to the point of going wrong.
fn fell(ended: Ended) -> Over {
    match ended {
        Ended::Closed => unopened("the server hung up before it was open"),
        Ended::Failed(error) => unopened(error),
        Ended::Tls(error) => unopened(tls::explain(&error)),
    }
}
