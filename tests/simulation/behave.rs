//! What each manner of client does when its time has come.
//! Not what it makes of the server's answers; see `client`.

use crate::client::{Bound, Client, Scene};
use crate::manner::Manner;
use crate::rules::SECOND;
use crate::wire;

impl Client {
    /// The WebSocket is open.
    pub(crate) fn opened(&mut self, scene: &mut Scene<'_>) {
        let Some(session) = &self.session else { return };
        let socket = session.socket;
        match self.manner {
            Manner::Mute => {
                let limit = scene.rules.bound(&[Bound::Heartbeat, Bound::Close]);
                self.judge_in(scene, limit);
            }
            Manner::NonReader => {
                scene.net.socket(socket).reads = false;
                let limit = scene.rules.bound(&[Bound::Heartbeat, Bound::Write, Bound::Write]);
                self.judge_in(scene, limit);
            }
            Manner::SlowReader => {
                scene.net.socket(socket).reads = false;
                self.act_soon(scene);
            }
            _ => self.act_soon(scene),
        }
    }

    fn act_soon(&self, scene: &mut Scene<'_>) {
        use crate::net::Event;
        let longest = match self.manner {
            Manner::Flood => 20_000,
            Manner::SlowHandshake | Manner::SlowMessage => SECOND,
            _ if scene.rules.is_large => scene.rules.span / 20,
            _ => 8 * SECOND,
        };
        let delay = scene.net.random.u64(1..=longest);
        scene.net.after(delay, Event::Act { client: self.id, session: self.number });
    }

    pub(crate) fn behave(&mut self, scene: &mut Scene<'_>) {
        if self.manner == Manner::SlowHandshake {
            return self.drip_request(scene);
        }
        let Some(session) = &mut self.session else { return };
        if session.opened.is_none() {
            return;
        }
        if session.acts_left == 0 || scene.is_calm {
            return self.last_act(scene);
        }
        session.acts_left -= 1;
        let has_closed = session.sent_close || session.got_close.is_some();
        match self.manner {
            Manner::Idle | Manner::Subscriber => {}
            Manner::TalksAfterClose if has_closed => self.message(scene),
            _ if has_closed => return,
            Manner::Fragments => self.fragments(scene),
            Manner::Whim => self.whim(scene),
            Manner::SlowReader => self.read_a_little(scene),
            Manner::Rude => return self.be_rude(scene),
            Manner::SlowMessage => return self.drip_message(scene),
            Manner::Unanswering | Manner::TalksAfterClose if scene.net.random.u8(0..4) == 0 => {
                self.begin_close(scene);
            }
            _ => self.message(scene),
        }
        self.act_soon(scene);
    }

    /// A good client goes or stays; the others do what they are named for.
    fn last_act(&mut self, scene: &mut Scene<'_>) {
        let Some(session) = &self.session else { return };
        let (socket, has_closed) = (session.socket, session.sent_close);
        match self.manner {
            Manner::Vanish => {
                scene.net.vanish(socket);
                let bounds = [Bound::Heartbeat, Bound::Write, Bound::Close];
                let limit = scene.rules.bound(&bounds);
                self.judge_in(scene, limit);
            }
            Manner::Abandon => {
                scene.net.reset(socket);
                let limit = scene.rules.bound(&[Bound::Write]);
                self.judge_in(scene, limit);
                let _ = self.ended(scene, crate::client::End::Reset);
            }
            Manner::HalfClose => {
                scene.net.finish(socket);
                let limit = scene.rules.bound(&[Bound::Write, Bound::Close]);
                self.judge_in(scene, limit);
            }
            Manner::Unanswering | Manner::TalksAfterClose if !has_closed => {
                self.begin_close(scene);
                let limit = scene.rules.bound(&[Bound::Write, Bound::Close]);
                self.judge_in(scene, limit);
            }
            manner if manner.is_good() && !scene.is_calm && scene.net.random.bool() => {
                self.begin_close(scene);
            }
            _ => {}
        }
    }

    fn begin_close(&mut self, scene: &mut Scene<'_>) {
        let Some(session) = &mut self.session else { return };
        if !std::mem::replace(&mut session.sent_close, true) {
            self.say(scene, true, wire::CLOSE, &1000u16.to_be_bytes());
        }
    }

    fn message(&mut self, scene: &mut Scene<'_>) {
        let burst = match self.manner {
            Manner::Flood => scene.net.random.u32(1..30),
            _ => 1,
        };
        for _ in 0..burst {
            let Some(session) = &self.session else { return };
            if session.expected.len() > 100 || scene.net.backlog(session.socket) > 32 * 1024 {
                return;
            }
            let Some(message) = self.compose(scene) else { return };
            self.say(scene, true, message.opcode(), &message.payload());
        }
    }

    /// A message in fragments, with a ping among them.
    fn fragments(&mut self, scene: &mut Scene<'_>) {
        let Some(message) = self.compose(scene) else { return };
        let payload = message.payload();
        let mut rest = payload.as_slice();
        let mut opcode = message.opcode();
        loop {
            let (piece, after) = rest.split_at(scene.net.random.usize(0..=rest.len()));
            let is_last = after.is_empty() && scene.net.random.bool();
            self.say(scene, is_last, opcode, piece);
            if is_last {
                return;
            }
            (rest, opcode) = (after, wire::CONTINUATION);
            if scene.net.random.u8(0..3) == 0 {
                self.say(scene, true, wire::PING, b"are you there?");
            }
        }
    }

    fn whim(&mut self, scene: &mut Scene<'_>) {
        let wish = ["many", "many", "close", "panic", "publish", "nothing"];
        let wish = wish[scene.net.random.usize(0..wish.len())];
        if let Some(session) = &mut self.session {
            session.asked_to_end |= matches!(wish, "close" | "panic");
        }
        self.say(scene, true, wire::TEXT, wish.as_bytes());
    }

    /// Asks for much and reads little.
    fn read_a_little(&mut self, scene: &mut Scene<'_>) {
        self.message(scene);
        let Some(session) = &self.session else { return };
        let (socket, most) = (session.socket, scene.net.random.usize(1..400));
        let bytes = scene.net.take_arrived(socket, most);
        // What is wrong with them comes out when the rest has come.
        if let Some(session) = &mut self.session {
            session.reader.push(&bytes);
        }
    }

    fn be_rude(&mut self, scene: &mut Scene<'_>) {
        let wrongs: [&[u8]; 8] = [
            &[0xc1, 0x80, 0, 0, 0, 0],
            &[0x83, 0x80, 0, 0, 0, 0],
            &[0x09, 0x80, 0, 0, 0, 0],
            &[0x81, 0x01, b'a'],
            &[0x80, 0x80, 0, 0, 0, 0],
            &[0x88, 0x81, 0, 0, 0, 0, 1],
            &[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28],
            &[0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        ];
        let Some(session) = &mut self.session else { return };
        session.acts_left = 0;
        let wrong = wrongs[scene.net.random.usize(0..wrongs.len())];
        scene.net.write(session.socket, wrong);
        let limit = scene.rules.bound(&[Bound::Write, Bound::Close]);
        self.judge_in(scene, limit);
    }

    fn drip_request(&mut self, scene: &mut Scene<'_>) {
        let Some(session) = &mut self.session else { return };
        if session.sent == 0 {
            let limit = scene.rules.bound(&[Bound::Handshake, Bound::Close]);
            self.judge_in(scene, limit);
        }
        let Some(session) = &mut self.session else { return };
        session.sent += 1;
        let byte = if session.sent % 40 == 0 { b"\r\nX: " as &[u8] } else { b"GET /" };
        let at = (session.sent as usize - 1).min(4);
        let byte = if session.sent <= 5 { &byte[at..=at] } else { b"x" };
        scene.net.write(session.socket, byte);
        self.act_soon(scene);
    }

    /// The head of a message that would be large, then a byte now and then.
    fn drip_message(&mut self, scene: &mut Scene<'_>) {
        let length = scene.rules.largest_message.clamp(200, 60_000) as u16;
        let Some(session) = &mut self.session else { return };
        session.sent += 1;
        session.acts_left = session.acts_left.max(1);
        if session.sent == 1 {
            let [a, b] = length.to_be_bytes();
            let head = [0x82, 0x80 | 126, a, b, 0, 0, 0, 0];
            scene.net.write(session.socket, &head);
            let limit = scene.rules.bound(&[Bound::Message, Bound::Close]);
            self.judge_in(scene, limit);
        } else if session.sent < 150 {
            scene.net.write(session.socket, b"x");
        }
        self.act_soon(scene);
    }
}
