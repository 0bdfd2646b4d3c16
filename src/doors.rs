//! Doors for this repository's fuzz targets and property tests to what no user reaches.
//! Not part of the crate's interface; it changes without notice. The benches have `bench`.

use std::ops::ControlFlow;

use crate::conn::{Conn, Tick};
use crate::proto::{self, Incoming, Input, Request, Tools, Violation, Wanted};

pub use crate::admin::door as admin;
pub use crate::config::door as config;

/// What one step of decoding found, with what is sent in answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A compressed message, as it came.
    Deflated(Vec<u8>),
    /// A ping, and the frame that answers it.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// A close frame with its code and reason, and the frame that answers it.
    Close(Option<(u16, String)>, Vec<u8>),
}

/// What a reactor lends to the connection that decodes.
pub struct Decoder(Tools);

impl Decoder {
    /// Takes messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Decoder(Tools::new(limit))
    }

    /// Decodes what a connection received, which is unmasked in place, until `each` breaks off.
    /// How many bytes it left alone.
    ///
    /// # Errors
    /// The bytes break the protocol.
    pub fn decode(
        &mut self,
        conn: &mut Conn,
        bytes: &mut [u8],
        now: Tick,
        mut each: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<usize, Violation> {
        let mut input = Input::new(bytes);
        while let Some(incoming) = conn.decode(&mut input, &mut self.0, now)? {
            let event = event(incoming, &self.0.reply);
            if each(event).is_break() {
                break;
            }
        }
        Ok(input.rest().len())
    }
}

fn event(incoming: Incoming<'_>, reply: &[u8]) -> Event {
    match incoming {
        Incoming::Message(proto::Message::Text(text)) => Event::Text(text.to_owned()),
        Incoming::Message(proto::Message::Binary(bytes)) => Event::Binary(bytes.to_vec()),
        Incoming::Assembled(tungstenite::Message::Text(text)) => Event::Text(text.to_string()),
        Incoming::Assembled(message) => Event::Binary(message.into_data().to_vec()),
        Incoming::Deflated(_, payload) => Event::Deflated(payload.into_owned()),
        Incoming::Ping => Event::Ping(reply.to_vec()),
        Incoming::Pong => Event::Pong,
        Incoming::Close(close) => Event::Close(
            close.map(|close| (close.code.into(), close.reason.as_str().to_owned())),
            reply.to_vec(),
        ),
    }
}

/// A close frame as the server sends it.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    proto::close_frame(code, reason).to_vec()
}

/// What a request is answered: its status, and the bytes, to HEAD without a body.
pub fn answer(request: &Request<'_>, is_route: bool, subprotocol: Option<&str>) -> (u16, Vec<u8>) {
    let mut out = Vec::new();
    let status = match proto::classify(request, is_route) {
        Wanted::Page { without_body } => {
            let page = proto::Answer::new(http::StatusCode::OK, "");
            page.write(&mut out, without_body);
            page.status
        }
        Wanted::Upgrade(upgrade) => {
            upgrade.write(&mut out, subprotocol, None);
            http::StatusCode::SWITCHING_PROTOCOLS
        }
        Wanted::Refused(answer) => {
            answer.write(&mut out, request.method == "HEAD");
            answer.status
        }
    };
    (status.as_u16(), out)
}

/// The method of a request, and its minor version of HTTP/1.
pub fn method<'a>(request: &Request<'a>) -> (&'a str, u8) {
    (request.method, request.minor_version)
}
