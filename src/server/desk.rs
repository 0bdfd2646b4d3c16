//! What the admin port is told about the server, and may ask of it.
//! Not for HTTP: `admin` speaks that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::publisher::{PublishError, Publisher};
use crate::admin::metrics::Exposition;
use crate::admin::{AdminService, Health, PublishOutcome, Ready, Upkeep, health};
use crate::proto::Message;
use crate::reactor::Shared;

/// A reactor that has not moved for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// How long a publisher waits for the reactors' counts.
const PUBLISH_WAIT: Duration = Duration::from_secs(4);

/// The server, seen from the admin port.
pub(super) struct Desk {
    shared: Arc<Shared>,
    publisher: Publisher,
    exposition: Exposition,
    pub upkeep: Arc<Upkeep>,
    pub is_draining: AtomicBool,
}

impl Desk {
    pub fn new(shared: Arc<Shared>, publisher: Publisher, driver: &'static str) -> Self {
        let upkeep = Arc::new(Upkeep::new(shared.identity.clone()));
        let shards = shared.shards.clone();
        let exposition = Exposition::with_upkeep(shards, Arc::clone(&upkeep), driver);
        Desk { shared, publisher, exposition, upkeep, is_draining: AtomicBool::new(false) }
    }
}

impl AdminService for Desk {
    fn metrics(&self) -> String {
        self.exposition.render()
    }

    fn health(&self) -> Health {
        let wake = |reactor| self.shared.mailboxes.wake(reactor);
        health::probe(&self.shared.shards, &wake, STUCK_AFTER)
    }

    fn ready(&self) -> Ready {
        if self.is_draining.load(Ordering::Relaxed) {
            Ready::Draining
        } else if self.shared.is_full() {
            Ready::Full
        } else {
            Ready::Ok
        }
    }

    fn publish(&self, path: &str, text: bool, body: &[u8]) -> PublishOutcome {
        let message = match (text, std::str::from_utf8(body)) {
            (false, _) => Message::Binary(body),
            (true, Ok(text)) => Message::Text(text),
            (true, Err(_)) => return PublishOutcome::InvalidUtf8,
        };
        match self.publisher.publish(path, message) {
            Ok(receipt) => match receipt.wait(PUBLISH_WAIT) {
                Some(connections) => PublishOutcome::Queued(connections),
                None => PublishOutcome::Timeout,
            },
            Err(PublishError::UnknownPath) => PublishOutcome::UnknownPath,
            Err(PublishError::TooBig) => PublishOutcome::TooBig,
            Err(PublishError::Full) => PublishOutcome::Full,
        }
    }

    fn max_publish_size(&self) -> usize {
        self.shared.message_limit.load(Ordering::Relaxed)
    }

    fn name(&self) -> String {
        // The version is in the metrics, for those who ask; not in what everyone gets.
        std::process::id().to_string()
    }
}
