//! What rustls must be told so that a session can outlive its state, and what it tells in return.
//! Not a log: the secrets go to the session whose handshake is under way on this thread, and
//! nowhere else.
//!
//! A key update needs the traffic secrets. rustls keeps them in what it calls a kernel connection,
//! which takes nearly a KiB; it also says each, as it is made, to whoever is named as its key log.
//! Taking them there leaves two of 48 bytes at most.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::{KeyLog, ServerConfig};

use super::keys::Secret;

/// The first traffic secrets of one handshake.
pub(super) struct Pair {
    pub client: Secret,
    pub server: Secret,
}

impl Pair {
    /// None of either.
    pub const NONE: Pair = Pair { client: Secret::NONE, server: Secret::NONE };
}

thread_local! {
    static HEARD: RefCell<Pair> = const { RefCell::new(Pair::NONE) };
}

/// Makes a configuration one that sessions can be had with.
pub fn prepare(config: &mut ServerConfig) {
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(Ear);
}

/// Gives what rustls has told on this thread since the last call. To be called before another
/// connection's bytes are given to it.
pub(super) fn give(to: &mut Pair) {
    HEARD.with_borrow_mut(|heard| {
        heard.client.give(&mut to.client);
        heard.server.give(&mut to.server);
    });
}

#[derive(Debug)]
struct Ear;

/// Secrets have the names of the SSLKEYLOGFILE format.
impl KeyLog for Ear {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        HEARD.with_borrow_mut(|heard| match label {
            "CLIENT_TRAFFIC_SECRET_0" => heard.client.set(secret),
            "SERVER_TRAFFIC_SECRET_0" => heard.server.set(secret),
            _ => {}
        });
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, "CLIENT_TRAFFIC_SECRET_0" | "SERVER_TRAFFIC_SECRET_0")
    }
}
