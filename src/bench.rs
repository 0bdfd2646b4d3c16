//! Doors for the benches and tests here to what no user reaches: the codec, a reactor alone.
//! Not part of the crate's interface; it changes without notice.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::config;
use crate::handler::{Handler, factory};
use crate::io::{Driver, EpollDriver};
use crate::proto::deflate::{Compressor, Deflation, Inflater};
use crate::proto::{self, Incoming, Input, Kind, Partial, Tools, Violation};
use crate::reactor::shard::Shard;
use crate::reactor::{Mailboxes, Reactor, RouteInfo, Setup, Shared};

/// The decoder of one connection, with the tools that a reactor lends it.
pub struct Codec {
    partial: Option<Box<Partial>>,
    tools: Tools,
}

impl Codec {
    /// A decoder that takes messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Codec { partial: None, tools: Tools::new(limit) }
    }

    /// Decodes a client's frames, which are unmasked in place: payload bytes of whole messages,
    /// and of the answers to pings.
    ///
    /// # Errors
    /// The bytes break the protocol.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<usize, Violation> {
        let mut input = Input::new(bytes);
        let mut found = 0;
        while let Some(incoming) =
            proto::decode(&mut self.partial, &mut input, &mut self.tools, false)?
        {
            found += match incoming {
                Incoming::Message(message) => message.len(),
                Incoming::Assembled(message) => message.len(),
                Incoming::Deflated(_, payload) => payload.len(),
                Incoming::Ping => self.tools.reply.len(),
                Incoming::Pong | Incoming::Close(_) => 0,
            };
        }
        Ok(found)
    }
}

/// The streams of one connection, or of all that share them.
pub struct Streams {
    compressor: Compressor,
    inflater: Inflater,
    takeover: bool,
    small: Vec<u8>,
    large: Vec<u8>,
}

impl Streams {
    /// Streams with a window in bits and a level; with `takeover` they remember what came before.
    pub fn new(window: u8, level: u8, takeover: bool) -> Self {
        Streams {
            compressor: Compressor::new(window, level),
            inflater: Inflater::new(),
            takeover,
            small: Vec::new(),
            large: Vec::new(),
        }
    }

    /// Compresses a message: what it became, or `None` if that is not smaller.
    pub fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        if !self.takeover {
            self.compressor.forget();
        }
        let length = self.compressor.compress(payload, &mut self.small)?;
        self.small.get(..length)
    }

    /// Inflates a message to at most `limit` bytes.
    ///
    /// # Errors
    /// It is no deflate stream, or too large, or no text where it should be.
    pub fn inflate(
        &mut self,
        kind: Kind,
        payload: &[u8],
        limit: usize,
    ) -> Result<&[u8], Violation> {
        if !self.takeover {
            self.inflater.forget();
        }
        let length = self.inflater.inflate(kind, payload, limit, &mut self.large)?;
        Ok(self.large.get(..length).unwrap_or_default())
    }

    /// Bytes that a connection with a compressor of this window and an inflater is charged with.
    #[must_use]
    pub fn charged(window: u8) -> usize {
        Deflation::new(window, true, true).memory()
    }

    /// Bytes that it has room for in what it inflates to.
    pub fn room(&self) -> usize {
        self.large.len()
    }
}

/// The sum as this crate's own arithmetic makes it, for the test that an overflow is noticed.
#[inline(never)]
pub fn sum(a: u32, b: u32) -> u32 {
    a + b
}

/// Appends one frame as the server sends it.
pub fn encode(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    proto::encode_into(out, kind, payload);
}

/// A reactor over any driver that serves one path, and what it shares.
///
/// # Errors
/// The system gives no eventfd.
pub fn reactor<H: Handler>(
    path: &str,
    handler: H,
    driver: Box<dyn Driver>,
    limits: config::Limits,
    capacity: usize,
) -> io::Result<(Reactor, Arc<Shared>)> {
    let (_, waker) = EpollDriver::new(Instant::now())?;
    let routes = vec![RouteInfo { path: path.to_owned(), subprotocols: Vec::new() }];
    let mailboxes = Mailboxes::new(vec![waker], usize::MAX / 2);
    let shared = Arc::new(Shared::new(routes, mailboxes, vec![Shard::new()], limits, capacity));
    let services = vec![factory(handler)()];
    let setup = Setup { id: 0, driver, services, shared: Arc::clone(&shared), capacity, seed: 1 };
    Ok((Reactor::new(setup), shared))
}
