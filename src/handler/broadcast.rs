//! The `broadcast` handler: each message goes to everyone on its path.
//! Not for channels: there is one audience, the path's.

use super::{Connection, Handler, Opening, Reject};
use crate::proto::Message;

/// Sends each message to every connection on the path, the sender too, on every reactor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broadcast;

impl Handler for Broadcast {
    type State = ();

    fn on_open(&self, _: &mut Connection<'_>, _: &Opening<'_>) -> Result<(), Reject> {
        Ok(())
    }

    fn on_message(&self, connection: &mut Connection<'_>, _: &mut (), message: Message<'_>) {
        connection.publish(message);
    }
}
