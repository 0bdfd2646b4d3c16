//! Publishing from application threads, to all connections of a path.
//! Not for handlers, which publish through their connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::conn::Frame;
use crate::proto::{Message, encode_into, frame_length};
use crate::reactor::{Fanout, Shared};

/// Sends messages to everyone on a path, from any thread.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    epoch: Instant,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No route has this path.
    #[error("no route has this path")]
    UnknownPath,
    /// It is larger than the message limit.
    #[error("the message exceeds the size limit")]
    TooBig,
    /// A reactor's mailbox is full: publish again when it has drained.
    #[error("a reactor's mailbox is full; publish again a little later")]
    Full,
}

/// A message on its way to all reactors.
#[derive(Clone, Debug)]
pub struct Receipt {
    fanout: Arc<Fanout>,
}

impl Receipt {
    /// Waits until every reactor has written the message to its connections: how many it was queued
    /// for, or `None` if that takes longer than `limit`.
    pub fn wait(&self, limit: Duration) -> Option<u64> {
        self.fanout.wait(limit)
    }
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>, epoch: Instant) -> Self {
        Publisher { shared, epoch }
    }

    /// Sends a message to every open connection on `path`. It is encoded once and shared by all.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was sent.
    pub fn publish(&self, path: &str, message: Message<'_>) -> Result<Receipt, PublishError> {
        let route = self.shared.routes.iter().position(|route| route.path == path);
        let route = route.and_then(|route| u16::try_from(route).ok());
        let route = route.ok_or(PublishError::UnknownPath)?;
        if message.len() > self.shared.message_limit.load(Ordering::Relaxed) {
            return Err(PublishError::TooBig);
        }
        if self.shared.mailboxes.any_is_full() {
            return Err(PublishError::Full);
        }
        let mut bytes = Vec::with_capacity(frame_length(message.len()));
        encode_into(&mut bytes, message.kind(), message.as_bytes());
        let received = self.epoch.elapsed().as_micros() as u64;
        let reactors = self.shared.mailboxes.reactors();
        let fanout = Fanout::new(route, Frame::shared(bytes.into()), received, reactors);
        self.shared.mailboxes.publish(&fanout);
        Ok(Receipt { fanout })
    }
}
