//! What the server shows to clients.
//! Not for sessions: each takes the configuration that stands here when it begins, and keeps it.

use std::sync::Arc;

use rustls::ServerConfig;

/// A handle on what the server shows.
#[derive(Clone, Debug)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// Shows what this configuration has.
    pub fn fixed(config: Arc<ServerConfig>) -> Self {
        Identity(config)
    }

    /// What a connection that begins now uses to its end.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}
