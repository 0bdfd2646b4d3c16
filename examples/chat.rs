//! A chat room: `cargo run --example chat`, then open `ws://127.0.0.1:9001/chat?name=ann` with
//! several WebSocket clients.

use pulsewheel::config::LogSettings;
use pulsewheel::{Connection, Handler, Message, Opening, Reject, Server, logging};

/// One room. What it keeps for each connection is the name of who sits there.
pub struct Chat;

impl Handler for Chat {
    type State = String;

    fn on_open(
        &self,
        connection: &mut Connection<'_>,
        opening: &Opening<'_>,
    ) -> Result<String, Reject> {
        let name = opening.query().and_then(|query| query.strip_prefix("name="));
        let name = name.ok_or_else(|| Reject::new(400, "say who you are: /chat?name=ann"))?;
        connection.publish(Message::Text(&format!("{name} has joined")));
        Ok(name.to_owned())
    }

    fn on_message(&self, connection: &mut Connection<'_>, name: &mut String, message: Message<'_>) {
        match message {
            Message::Text(text) => connection.publish(Message::Text(&format!("{name}: {text}"))),
            Message::Binary(_) => connection.close(1003, "this room speaks text"),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _log = logging::init(&LogSettings::default());
    Server::builder().route("/chat", Chat).start()?.run_until_signalled()?;
    Ok(())
}
