//! The first bytes of a connection: an HTTP head, answered by us in every case.
//! Not for judging the request, which `proto` does, nor for limits on who may come.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::Reactor;
use super::core::Core;
use super::outlet::Reach;
use crate::conn::{CloseReason, Phase, RefusedReason, Ticks};
use crate::gate::users::User;
use crate::gate::{Admitted, Claims, Gate};
use crate::handler::{Connection, Opening, Reject};
use crate::io::Token;
use crate::proto::{
    Answer, HEAD_LIMIT, Head, Headers, Request, Upgrade, Wanted, classify, parse_head,
};

impl Reactor {
    /// Bytes of a request head, perhaps with more behind it.
    pub(super) fn shake_hands(&mut self, token: Token, bytes: &mut [u8]) {
        let Some(conn) = self.core.slots.get(token) else { return };
        let held = conn.active().map(|active| std::mem::take(&mut active.held));
        match held {
            Some(mut held) if !held.is_empty() => {
                held.extend_from_slice(bytes);
                self.parse(token, &mut held);
            }
            _ => self.parse(token, bytes),
        }
        self.core.account(token);
        self.core.arm(token);
    }

    fn parse(&mut self, token: Token, bytes: &mut [u8]) {
        let head = parse_head(bytes, |request| self.answer(token, &request));
        match head {
            Head::Incomplete => {
                let head = bytes.get(..bytes.len().min(HEAD_LIMIT)).unwrap_or_default();
                self.core.hold(token, head);
            }
            Head::Refused(status) => {
                let (reason, advice) = if status == StatusCode::BAD_REQUEST {
                    (RefusedReason::BadRequest, "this is not an HTTP/1.1 request")
                } else {
                    (RefusedReason::HeadTooLarge, "the request head exceeds 8 KiB or 64 lines")
                };
                self.core.refuse(token, reason, &Answer::new(status, advice), false);
            }
            Head::Whole(length) => {
                let conn = self.core.slots.get(token);
                let is_upgraded = conn.is_some_and(|conn| conn.phase() != Phase::Handshake);
                if is_upgraded && let Some(rest) = bytes.get_mut(length..) {
                    self.digest(token, rest);
                }
            }
        }
    }

    fn answer(&mut self, token: Token, request: &Request<'_>) {
        let core = &mut self.core;
        let Some(conn) = core.slots.get(token) else { return };
        if conn.is_surplus() {
            let (reason, answer) = core.answer_to_surplus(token);
            core.refuse(token, reason, &answer, request.method == "HEAD");
            return;
        }
        if let Err(refusal) = core.identify(token, request) {
            let answer = core.answer_to(refusal);
            core.refuse(token, refusal.reason, &answer, request.method == "HEAD");
            return;
        }
        let path = request.path();
        let route = core.shared.routes.iter().position(|route| route.path == path);
        match classify(request, route.is_some()) {
            Wanted::Page { without_body } => {
                let page = core.page();
                core.queue_fixed(token, |out| page.write(out, without_body));
                core.linger_for(token, CloseReason::HttpAnswered);
            }
            Wanted::Refused(answer) => {
                let reason = refused_reason(answer.status);
                core.refuse(token, reason, &answer, request.method == "HEAD");
            }
            Wanted::Upgrade(_) if core.is_past_drain => {
                let answer = core.draining();
                core.refuse(token, RefusedReason::Draining, &answer, false);
            }
            Wanted::Upgrade(_) if core.must_not_greet(route) => {
                let answer = core.congested();
                core.refuse(token, RefusedReason::Full, &answer, false);
            }
            Wanted::Upgrade(upgrade) => match core.gate.ask(request, wall_clock) {
                Ok(admitted) => {
                    if let Err(refusal) = core.seat_newcomer(token, user_of(&admitted)) {
                        let answer = core.answer_to(refusal);
                        core.refuse(token, refusal.reason, &answer, false);
                    } else if let Some(route) = route {
                        self.open(token, request, &upgrade, route, &admitted);
                    }
                }
                Err(denied) => core.refuse(token, denied.reason, &denied.answer, false),
            },
        }
    }

    /// Asks the handler, and completes the handshake or refuses it.
    fn open(
        &mut self,
        token: Token,
        request: &Request<'_>,
        upgrade: &Upgrade,
        route: usize,
        admitted: &Admitted,
    ) {
        let core = &mut self.core;
        let Some(conn) = core.slots.get(token) else { return };
        let peer = conn.peer();
        let shared = std::sync::Arc::clone(&core.shared);
        let headers = request.headers();
        let on_offer = shared.routes.get(route).map_or(&[][..], |route| &route.subprotocols);
        let subprotocol = select(&core.gate, on_offer, headers);
        let agreed = core.agree_on_compression(token, headers);
        // The 101 goes first, since what the handler sends must stand behind it; if the handler
        // won't have the connection, all of it is taken back.
        core.queue_fixed(token, |out| upgrade.write(out, subprotocol, agreed.as_ref()));
        let opening = Opening {
            path: request.path(),
            query: request.query(),
            headers: request.headers(),
            peer,
            subprotocol,
            claims: admitted.claims.as_ref(),
        };
        let Some(service) = self.services.get_mut(route) else { return };
        let mut reach = Reach::new(core, token, route as u16, peer);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            service.open(&mut Connection::new(&mut reach), &opening)
        }));
        let closing = reach.closing.take();
        match outcome {
            Ok(Ok(state)) => {
                core.opened(token, route as u16, state, admitted.stay);
                core.seat_opened(token, user_of(admitted), closing.is_some());
                if let Some((code, text)) = closing {
                    core.close(token, CloseReason::HandlerClosed, Some((code, &text)));
                }
            }
            Ok(Err(reject)) => core.reject(token, &reject),
            Err(_) => {
                core.shard.handler_panics.increment();
                let advice = "the handler failed";
                core.reject(token, &Reject::new(500, advice));
            }
        }
    }
}

impl Core {
    fn opened(&mut self, token: Token, route: u16, state: u32, stay: Option<Duration>) {
        let Core { slots, limits, now, spread, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        conn.upgraded(route, now.tick, limits, spread);
        if let Some(stay) = stay {
            // One that is good for longer than ticks can tell ends when they can: after 124 days.
            let expiry = now.tick.plus(Ticks::from_duration(stay));
            conn.expires_at(expiry);
            self.expiries.insert(token.index, expiry);
        }
        conn.state = state;
        self.shard.connections_active.add(1);
        self.join(token, route);
    }

    fn reject(&mut self, token: Token, reject: &Reject) {
        self.give_seat_back(token);
        let (has_answered, is_sealed) = (self.has_answered(token), self.tls.has(token.index));
        let Some(conn) = self.slots.get(token) else { return };
        let unsent = conn.active().map(|active| &mut active.outbox);
        match unsent.filter(|outbox| !outbox.is_empty()) {
            // What stands before the 101 is of the TLS handshake.
            Some(outbox) if is_sealed && !has_answered => {
                outbox.keep_only_wire(&self.shared.outbox_budget);
            }
            None if !has_answered => {}
            _ => {
                // The handler sent so much that the 101 has left already.
                self.doom(token, CloseReason::HandshakeRefused);
                return;
            }
        }
        // Takes the 101 back.
        self.output.take(conn.output as usize);
        let answer = Answer::new(reject.status, &reject.advice);
        self.refuse(token, RefusedReason::HandlerRefused, &answer, false);
    }

    /// Answers with an HTTP error; the connection ends once that has been sent.
    pub fn refuse(
        &mut self,
        token: Token,
        reason: RefusedReason,
        answer: &Answer,
        without_body: bool,
    ) {
        self.count_refused(reason);
        let why = match reason {
            RefusedReason::HandshakeTimeout => CloseReason::HandshakeTimeout,
            reason if reason.is_for_want_of_room() => CloseReason::Refused,
            _ => CloseReason::HandshakeRefused,
        };
        if self.is_mute(token) {
            // It can't be told before the TLS handshake is done.
            self.doom_now(token, why);
            return;
        }
        self.queue_fixed(token, |out| answer.write(out, without_body));
        self.linger_for(token, why);
    }

    /// The page at `/`: what this is and what paths exist.
    fn page(&self) -> Answer {
        let mut answer = Answer::new(StatusCode::OK, "");
        answer.body = "pulsewheel: a WebSocket server. These paths speak WebSocket:\n".to_owned();
        for route in &self.shared.routes {
            answer.body.push_str("  ");
            answer.body.push_str(&route.path);
            answer.body.push('\n');
        }
        answer
    }
}

/// The subprotocol to answer: the first that the route has and the client offers. A token among the
/// offers is none; but a browser fails where one was offered and none is answered, so beside a
/// token on a route that has no subprotocols the first other offer is taken as it is.
fn select<'a>(gate: &Gate, on_offer: &'a [String], headers: Headers<'a>) -> Option<&'a str> {
    let offered = || headers.elements("Sec-WebSocket-Protocol");
    let others = || offered().filter(|offer| !gate.is_token(offer));
    let wanted = |name: &&String| others().any(|offer| offer == name.as_str());
    match on_offer.iter().find(wanted) {
        Some(name) => Some(name.as_str()),
        None if on_offer.is_empty() && offered().any(|offer| gate.is_token(offer)) => {
            others().next()
        }
        None => None,
    }
}

/// Whose the connection is, where its token says so.
fn user_of(admitted: &Admitted) -> Option<User> {
    admitted.claims.as_ref().and_then(Claims::subject).map(User::named)
}

/// The time since 1970 began. A clock that is set to before that makes every token expired.
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::MAX)
}

fn refused_reason(status: StatusCode) -> RefusedReason {
    match status {
        StatusCode::NOT_FOUND => RefusedReason::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => RefusedReason::MethodNotAllowed,
        StatusCode::UPGRADE_REQUIRED => RefusedReason::WrongVersion,
        _ => RefusedReason::BadRequest,
    }
}
