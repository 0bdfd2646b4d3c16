//! Limits of addresses and rates: judged where it is first known whose a connection is, and given
//! back when it goes.
//! Not for the counting, which `gate` does for all reactors, nor for users: see `seats`.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;

use super::Reactor;
use super::arrivals::ProxySource;
use super::core::Core;
use super::guests::{Guest, Introduction, Refusal};
use crate::config::ForwardedHeader;
use crate::conn::{Conn, Phase, RefusedReason, TICK_MICROS, Ticks};
use crate::gate::addresses::{AddressBlock, Change, Excess, Watch};
use crate::gate::pace::{Nanos, retry_after, return_time};
use crate::io::Token;
use crate::mutation::{self, Mutation};
use crate::proto::{Answer, Peer, ProxyHeader, Request, forwarded_client, parse_proxy_header};

/// Wheel entries with this bit name a shard of the table of addresses and no slot. Slots stay below
/// it: as many connections would take more memory than there is.
pub(super) const SHARD_ENTRY: u32 = 1 << 31;

/// Expired addresses are taken out together, a second's worth at a time: to be late costs only memory.
const LOOK_EVERY: Ticks = Ticks(100);

/// The wheel's reach; what lies beyond is looked at once before.
const FARTHEST: u64 = 60_000;

/// Refused for want of places, a client should look again after a moment.
pub(super) const FREES_UP_IN: std::ops::RangeInclusive<u64> = 1..=5;

impl Core {
    /// Judges a connection that was just accepted, as far as it is known whose it is.
    pub fn welcome(&mut self, peer: Peer) -> Result<Guest, Refusal> {
        let mut guest = Guest::default();
        if self.admission.is_off() {
            return Ok(guest);
        }
        let address = address_of(peer);
        if self.admission.trusts(address) {
            guest.is_proxied = true;
            guest.introduction = if self.admission.proxy_protocol {
                Introduction::Header
            } else {
                Introduction::Head
            };
        } else {
            guest.holds_address = self.judge(address)?;
        }
        Ok(guest)
    }

    /// One that is in the slab only to be told a refusal. Where proxies begin with a header, its
    /// request stands behind one all the same.
    pub fn surplus_guest(&self, peer: Peer, refusal: Refusal) -> Guest {
        let has_header = self.admission.proxy_protocol && self.admission.trusts(address_of(peer));
        let introduction = if has_header { Introduction::Header } else { Introduction::Done };
        Guest::to_be_told(refusal, introduction)
    }

    /// Counts an arrival from that address: whether it holds a place there.
    fn judge(&mut self, address: Option<IpAddr>) -> Result<bool, Refusal> {
        let now = self.nanos();
        match self.shared.census.arrive(address, &self.admission, now) {
            Ok(change) => {
                self.note(change);
                Ok(change.holds)
            }
            Err(excess) => Err(self.refusal_of(excess)),
        }
    }

    fn refusal_of(&mut self, excess: Excess) -> Refusal {
        let jitter = self.spread.random.f64();
        let soon = self.spread.random.u64(FREES_UP_IN);
        let (reason, seconds) = match excess {
            Excess::Full => (RefusedReason::AddressFull, soon),
            Excess::TooFast(wait) => (RefusedReason::AddressRate, retry_after(wait, jitter)),
            Excess::Crowded(wait) => (RefusedReason::ConnectRate, return_time(wait, jitter)),
            Excess::NoPlace => (RefusedReason::AddressTableFull, soon),
        };
        Refusal { reason, retry_after: Some(seconds) }
    }

    /// What a refused client is told.
    pub fn answer_to(&mut self, refusal: Refusal) -> Answer {
        let advice = match refusal.reason {
            RefusedReason::AddressFull => "this address has as many connections as it may",
            RefusedReason::AddressRate => "this address makes connections too fast",
            RefusedReason::AddressTableFull => "too many addresses have connections",
            RefusedReason::ConnectRate => "connections come faster than they are let in",
            RefusedReason::UserFull => "this user has as many connections as it may",
            _ => return self.full(),
        };
        let status = StatusCode::from_u16(refusal.reason.status());
        let answer = Answer::new(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), advice);
        let seconds = refusal.retry_after.unwrap_or(*FREES_UP_IN.start());
        answer.header(&format!("Retry-After: {seconds}"))
    }

    /// What one in the slab that is only there to be refused is told, and why.
    pub fn answer_to_surplus(&mut self, token: Token) -> (RefusedReason, Answer) {
        let refusal = self.guests.get(token.index).turned_away.unwrap_or(Refusal::FULL);
        (refusal.reason, self.answer_to(refusal))
    }

    /// Takes the client's address from the line that a trusted proxy wrote, and judges it.
    pub fn identify(&mut self, token: Token, request: &Request<'_>) -> Result<(), Refusal> {
        if self.guests.get(token.index).introduction != Introduction::Head {
            return Ok(());
        }
        let rules = Arc::clone(&self.admission);
        let headers = request.headers();
        let lines = headers.all(rules.header.name());
        let client = forwarded_client(rules.header, lines, |ip| rules.trusts(Some(ip)));
        if let Some(client) = client {
            self.rename(token, Peer::from(client), source_of(rules.header));
        }
        self.settle(token)
    }

    /// What was to say whose the connection is can't be read: it counts for whoever brought it, or a
    /// proxy would be a way around all rates for those who send nothing better.
    fn settle_unread(&mut self, token: Token) -> Result<(), Refusal> {
        let is_surplus = self.slots.get(token).is_some_and(|conn| conn.is_surplus());
        if is_surplus || self.guests.get(token.index).introduction == Introduction::Done {
            return Ok(());
        }
        self.settle(token)
    }

    fn rename(&mut self, token: Token, client: Peer, source: ProxySource) {
        self.shard.arrivals.proxied(source);
        if let Some(conn) = self.slots.get(token) {
            conn.set_peer(client);
        }
    }

    /// It is known whose the connection is.
    fn settle(&mut self, token: Token) -> Result<(), Refusal> {
        let Some(conn) = self.slots.get(token) else { return Ok(()) };
        let address = address_of(conn.peer());
        self.guests.at(token.index).introduction = Introduction::Done;
        let holds = self.judge(address)?;
        self.guests.at(token.index).holds_address = holds;
        Ok(())
    }

    /// The PROXY header is read.
    fn introduced(&mut self, token: Token, client: Option<Peer>) {
        let Some(conn) = self.slots.get(token) else { return };
        if conn.is_surplus() {
            // It hears so after its request.
            self.guests.at(token.index).introduction = Introduction::Done;
            return;
        }
        if let Some(client) = client {
            self.rename(token, client, ProxySource::ProxyProtocol);
        }
        // A proxy that speaks for itself, or does not know for whom, is the client: what stands in
        // the head may be anyone's words.
        if client.is_some_and(|client| self.admission.trusts(address_of(client))) {
            // A proxy before the proxy, which may say more in the head.
            self.guests.at(token.index).introduction = Introduction::Head;
        } else if let Err(refusal) = self.settle(token) {
            self.turn_away(token, refusal);
        }
    }

    /// Refuses one that has not said whose it is, and counts it all the same.
    pub fn refuse_unread(&mut self, token: Token, reason: RefusedReason, answer: &Answer) {
        match self.settle_unread(token) {
            Ok(()) => self.refuse(token, reason, answer, false),
            Err(refusal) => {
                let answer = self.answer_to(refusal);
                self.refuse(token, refusal.reason, &answer, false);
            }
        }
    }

    /// Refuses one that is in the slab before its request is there: as at the door, a few hear it
    /// after their request, the others at once; and who speaks TLS gets no handshake for it.
    fn turn_away(&mut self, token: Token, refusal: Refusal) {
        if self.surplus < super::SURPLUS
            && !self.is_mute(token)
            && let Some(conn) = self.slots.get(token)
            && conn.become_surplus()
        {
            self.surplus += 1;
            self.shared.leave();
            self.guests.at(token.index).turned_away = Some(refusal);
            return;
        }
        let answer = self.answer_to(refusal);
        self.refuse(token, refusal.reason, &answer, false);
    }

    /// Gives back what a connection holds, as it goes.
    pub fn depart(&mut self, token: Token, conn: &Conn) {
        let guest = self.guests.take(token.index);
        if guest.holds_address
            && !mutation::is(Mutation::KeepAddress)
            && let Some(address) = address_of(conn.peer())
        {
            let now = self.nanos();
            let change = self.shared.census.addresses.leave(AddressBlock::from(address), now);
            self.note(change);
        }
        if let Some(user) = guest.user {
            self.leave_seat(token, user);
        }
    }

    /// The wheel says that a shard of the table may have something to forget.
    pub fn look_at_addresses(&mut self, entry: u32) {
        if entry & SHARD_ENTRY != 0 {
            let now = self.nanos();
            let change = self.shared.census.addresses.look(entry & !SHARD_ENTRY, now);
            self.note(change);
        }
    }

    fn note(&mut self, change: Change) {
        let arrivals = &self.shard.arrivals;
        arrivals.addresses_added.add(change.added);
        arrivals.addresses_removed.add(change.removed);
        arrivals.addresses_evicted.add(change.evicted);
        if let Some(Watch { shard, due }) = change.watch
            && !mutation::is(Mutation::ForgetWatch)
        {
            let micros = due.saturating_sub(self.nanos()) / 1000;
            let ticks = (micros / TICK_MICROS).min(FARTHEST) as u32;
            let tick = self.now.tick.plus(Ticks(ticks).max(LOOK_EVERY));
            self.wheel.insert(SHARD_ENTRY | shard, tick);
        }
    }

    /// The process's time: reactors' own clocks part when one of them stalls.
    fn nanos(&self) -> Nanos {
        self.now.real.saturating_mul(1000)
    }
}

impl Reactor {
    /// Bytes of a connection whose proxy has not said whose it is; what stands behind the header goes
    /// on as if it had come alone.
    pub(super) fn introduce(&mut self, token: Token, bytes: &mut [u8]) {
        let Some(conn) = self.core.slots.get(token) else { return };
        let held = conn.active().map(|active| std::mem::take(&mut active.held));
        match held {
            Some(mut held) if !held.is_empty() => {
                held.extend_from_slice(bytes);
                self.read_header(token, &mut held);
            }
            _ => self.read_header(token, bytes),
        }
        self.core.account(token);
        self.core.arm(token);
    }

    fn read_header(&mut self, token: Token, bytes: &mut [u8]) {
        let core = &mut self.core;
        match parse_proxy_header(bytes) {
            ProxyHeader::Incomplete => core.hold(token, bytes),
            ProxyHeader::Malformed => {
                let advice = "a connection from this address begins with a PROXY header";
                let answer = Answer::new(StatusCode::BAD_REQUEST, advice);
                core.refuse_unread(token, RefusedReason::BadProxyHeader, &answer);
            }
            ProxyHeader::Whole { length, source } => {
                core.introduced(token, source.map(Peer::from));
                let is_wanted =
                    core.slots.get(token).is_some_and(|conn| conn.phase() == Phase::Handshake);
                let rest = bytes.get_mut(length..).unwrap_or_default();
                if is_wanted && !rest.is_empty() {
                    self.take_bytes(token, rest);
                }
            }
        }
    }
}

fn address_of(peer: Peer) -> Option<IpAddr> {
    peer.address().map(|address| address.ip())
}

fn source_of(header: ForwardedHeader) -> ProxySource {
    match header {
        ForwardedHeader::XForwardedFor => ProxySource::XForwardedFor,
        ForwardedHeader::Forwarded => ProxySource::Forwarded,
    }
}
