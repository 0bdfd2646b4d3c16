//! The `echo` handler: each message goes back as it came.
//! Not for anything else; it is what benchmarks and health checks talk to.

use super::{Connection, Handler, Opening, Reject};
use crate::proto::Message;

/// Returns each message to its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_open(&self, _: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
        Ok(())
    }

    fn on_message(&self, connection: &mut Connection<'_>, _: &mut (), message: Message<'_>) {
        connection.send(message);
    }
}
