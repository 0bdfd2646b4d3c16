//! What the server serves: the [`Handler`] trait and the handlers that come with it.
//! Not for sockets or frames: a handler sees a [`Connection`], and never more than one at a time.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod broadcast;
mod echo;
mod service;

pub use self::broadcast::Broadcast;
pub use self::echo::Echo;
pub(crate) use self::service::{Factory, Service, factory};

use crate::conn::CloseReason;
use crate::gate::Claims;
use crate::proto::{Headers, Kind, Message, Peer};

/// What a route does with its connections.
///
/// One value serves a route on every reactor: it is shared between their threads, hence
/// `Send + Sync`, and its methods take `&self`. What belongs to one connection is its `State`,
/// which never leaves the reactor it was made on, hence needs neither. A handler runs inside a
/// reactor's turn: while it works, the other connections of that reactor wait. Hand long work to a
/// thread of your own and send the result through a [`Publisher`](crate::Publisher).
pub trait Handler: Send + Sync + 'static {
    /// What is kept for each connection. `()` costs nothing.
    type State: 'static;

    /// A client asks to be let in; the 101 answer follows if this returns a state.
    ///
    /// What is sent here leaves behind the 101.
    ///
    /// # Errors
    /// [`Reject`] answers with its HTTP status instead, and the connection is closed.
    fn on_open(
        &self,
        connection: &mut Connection<'_>,
        opening: &Opening<'_>,
    ) -> Result<Self::State, Reject>;

    /// A complete message came. It is borrowed: copy what you keep.
    fn on_message(
        &self,
        connection: &mut Connection<'_>,
        state: &mut Self::State,
        message: Message<'_>,
    );

    /// The connection is over; nothing can be sent to it any more.
    fn on_close(&self, peer: Peer, state: Self::State, reason: CloseReason) {
        let _ = (peer, state, reason);
    }
}

/// The request that a connection opens with.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: Headers<'a>,
    pub(crate) peer: Peer,
    pub(crate) subprotocol: Option<&'a str>,
    pub(crate) claims: Option<&'a Claims>,
}

impl<'a> Opening<'a> {
    /// The path of the route.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query behind the path, without its `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The request's header lines.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// Who asks.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The subprotocol that was selected, if the client offered one that the route has.
    pub fn subprotocol(&self) -> Option<&'a str> {
        self.subprotocol
    }

    /// What a verified token says about the client; `None` where the server asks for none.
    pub fn claims(&self) -> Option<&'a Claims> {
        self.claims
    }
}

/// A handler's refusal of a connection: an HTTP status and what to tell the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub(crate) status: http::StatusCode,
    pub(crate) advice: String,
}

impl Reject {
    /// A refusal with a status of the 4xx or 5xx classes; any other becomes 403.
    pub fn new(status: u16, advice: impl Into<String>) -> Self {
        let status = http::StatusCode::from_u16(status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(http::StatusCode::FORBIDDEN);
        Reject { status, advice: advice.into() }
    }
}

/// A connection as its handler sees it, for the time of one call.
pub struct Connection<'a> {
    outlet: &'a mut dyn Outlet,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(outlet: &'a mut dyn Outlet) -> Self {
        Connection { outlet }
    }

    /// Queues a message for this connection; it leaves at the end of the turn.
    ///
    /// A peer that does not read what it is sent falls under the slow-consumer policy, not under
    /// the caller's care. Nothing is sent once the connection is closing.
    pub fn send(&mut self, message: Message<'_>) {
        self.outlet.send(message);
    }

    /// Queues a text message for this connection.
    pub fn send_text(&mut self, text: &str) {
        self.send(Message::Text(text));
    }

    /// Queues a binary message for this connection.
    pub fn send_binary(&mut self, bytes: &[u8]) {
        self.send(Message::Binary(bytes));
    }

    /// Sends a message to every open connection of this route, on every reactor, this one too.
    ///
    /// It is encoded once. Each receiver gets the messages of one sender in the order in which
    /// they were published.
    pub fn publish(&mut self, message: Message<'_>) {
        self.outlet.publish(message.kind(), message.as_bytes());
    }

    /// Closes with this code and reason (RFC 6455 section 7.4) once what is queued has been sent.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.outlet.close(code, reason);
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.outlet.peer()
    }

    /// A number that names this connection among all that this reactor has had; for logs.
    pub fn id(&self) -> u64 {
        self.outlet.id()
    }
}

/// What the reactor does for a handler.
pub(crate) trait Outlet {
    fn send(&mut self, message: Message<'_>);
    fn publish(&mut self, kind: Kind, payload: &[u8]);
    fn close(&mut self, code: u16, reason: &str);
    fn peer(&self) -> Peer;
    fn id(&self) -> u64;
}
