//! The operator's port: metrics, health, readiness, and publishing from outside.
//! Not the port that WebSocket clients use, and nothing here runs on a reactor's thread.

#[doc(hidden)]
pub mod door;
pub mod health;
pub mod http;
pub mod metrics;

mod answer;
mod process;
mod request;
mod routes;
mod upkeep;

pub use self::http::{AdminServer, start};
pub use self::upkeep::Upkeep;

/// What the admin port needs of the server behind it. Called from several threads at once.
///
/// Each call may take as long as its own doc says; until it returns, its caller holds one of the
/// port's few connections.
pub trait AdminService: Send + Sync {
    /// All metrics as text in the format of [`metrics::CONTENT_TYPE`].
    fn metrics(&self) -> String;

    /// Whether every reactor turns; may take the second that [`health::probe`] waits.
    fn health(&self) -> Health;

    /// Whether new connections are wanted; answers at once.
    fn ready(&self) -> Ready;

    /// Sends one message to every connection on `path`, as text when `text`, else as binary.
    ///
    /// The service checks that text is UTF-8 and that the path exists. It waits for the reactors to
    /// say how many connections they queued it for, but not for ever: it answers
    /// [`PublishOutcome::Timeout`] then.
    fn publish(&self, path: &str, text: bool, body: &[u8]) -> PublishOutcome;

    /// The largest message that can be published, in bytes; a larger body is not even read.
    fn max_publish_size(&self) -> usize;

    /// What tells this process from others that answer on the same port, such as its process id; sent
    /// in the `Server-Process` header of each answer.
    fn name(&self) -> String;
}

/// Whether every reactor turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every reactor began or finished a turn when asked.
    Ok,
    /// One did not.
    Stuck {
        /// Its index.
        reactor: usize,
        /// How long it was seen not to move, in milliseconds; in truth it may be longer.
        for_millis: u64,
    },
}

/// Whether new connections are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// They are.
    Ok,
    /// The server drains.
    Draining,
    /// As many connections are open as are allowed.
    Full,
}

/// What became of a message published from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It was queued for so many connections.
    Queued(u64),
    /// No route that takes published messages has this path.
    UnknownPath,
    /// It was to be text and is not UTF-8.
    InvalidUtf8,
    /// It is larger than a message may be.
    TooBig,
    /// The reactors did not answer in time. It may have been queued for some connections.
    Timeout,
    /// A reactor's mailbox is full; nothing was queued, and trying again later may succeed.
    Full,
}
