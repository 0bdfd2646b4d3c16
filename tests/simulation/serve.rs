//! What the simulated server serves: echo, broadcast, and a handler that does what it is asked to.
//! Not reactors: those are the library's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pulsewheel::handler::{Broadcast, Echo};
use pulsewheel::simulation::Routes;
use pulsewheel::{CloseReason, Connection, Handler, Message, Opening, Peer, Reject};

/// The routes' numbers, in the order of `routes`.
pub const BROADCAST: u16 = 1;

/// How often the whimsical handler was opened and closed.
#[derive(Debug, Default)]
pub struct Visits {
    pub opened: AtomicU64,
    pub closed: AtomicU64,
}

struct Whimsical(Arc<Visits>);

impl Handler for Whimsical {
    type State = u64;

    fn on_open(
        &self,
        connection: &mut Connection<'_>,
        opening: &Opening<'_>,
    ) -> Result<u64, Reject> {
        if opening.query() == Some("no") {
            connection.send_text("never to be seen");
            return Err(Reject::new(403, "not you"));
        }
        connection.publish(Message::Text("somebody came"));
        connection.send_text("welcome");
        Ok(self.0.opened.fetch_add(1, Ordering::Relaxed))
    }

    fn on_message(&self, connection: &mut Connection<'_>, state: &mut u64, message: Message<'_>) {
        *state += 1;
        match message {
            Message::Text("many") => {
                for n in 0..20 {
                    connection.send_binary(&[n; 500]);
                }
            }
            Message::Text("close") => connection.close(4_000, "so be it"),
            Message::Text("panic") => std::panic::panic_any("on a whim"),
            Message::Text("publish") => connection.publish(Message::Text("somebody speaks")),
            _ => {}
        }
    }

    fn on_close(&self, _: Peer, _: u64, _: CloseReason) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Everything there is to ask for.
pub fn routes(visits: &Arc<Visits>) -> Routes {
    Routes::default()
        .with("/echo", Echo)
        .with("/broadcast", Broadcast)
        .with("/whim", Whimsical(Arc::clone(visits)))
}
