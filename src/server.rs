//! Starts reactors, owns signals, drains, joins.
//! Not for connections: each belongs to one reactor, and the server never sees it.

mod crew;
mod desk;
mod operate;
mod panics;
mod publisher;
mod signals;
mod start;

use std::net::SocketAddr;

pub use self::operate::{Drainer, Ended, RunError, Running};
pub use self::publisher::{PublishError, Publisher, Receipt};
pub use self::signals::SignalQueue;
pub use self::start::StartError;

use crate::config::{Config, ListenAddress};
use crate::handler::{Broadcast, Echo, Factory, Handler, factory};
use crate::reactor::RouteInfo;

/// The handlers that a configuration can name.
pub const HANDLERS: &[&str] = &["echo", "broadcast"];

/// A path and what serves it.
pub(crate) struct Served {
    info: RouteInfo,
    factory: Factory,
}

/// A server that has not been started.
pub struct Server {
    config: Config,
    routes: Vec<Served>,
}

impl Server {
    /// A server with the default configuration and no routes.
    pub fn builder() -> Self {
        Server { config: Config::default(), routes: Vec::new() }
    }

    /// A server with the routes and handlers that a checked configuration names.
    pub fn from_config(config: Config) -> Self {
        let mut server = Server { config, routes: Vec::new() };
        for route in server.config.routes.clone() {
            let factory = match route.handler.as_str() {
                "broadcast" => factory(Broadcast),
                _ => factory(Echo),
            };
            let info = RouteInfo { path: route.path, subprotocols: route.subprotocols };
            server.routes.push(Served { info, factory });
        }
        server
    }

    /// Takes everything but the routes from `config`.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Listens on these TCP addresses instead of the configuration's.
    #[must_use]
    pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.config.listen = addresses.into_iter().map(ListenAddress::Tcp).collect();
        self
    }

    /// Serves a path with a handler, which all reactors share.
    #[must_use]
    pub fn route<H: Handler>(self, path: &str, handler: H) -> Self {
        self.route_with_subprotocols(path, &[], handler)
    }

    /// As [`route`](Self::route), and selects one of these subprotocols, the most wanted first, if
    /// the client offers any.
    #[must_use]
    pub fn route_with_subprotocols<H: Handler>(
        mut self,
        path: &str,
        subprotocols: &[&str],
        handler: H,
    ) -> Self {
        let subprotocols = subprotocols.iter().map(|name| (*name).to_owned()).collect();
        let info = RouteInfo { path: path.to_owned(), subprotocols };
        self.routes.push(Served { info, factory: factory(handler) });
        self
    }

    /// Binds all addresses, starts the reactors and the admin port.
    ///
    /// # Errors
    /// [`StartError`] says which address or limit is in the way; nothing is left half-started.
    pub fn start(self) -> Result<Running, StartError> {
        start::start(self.config, self.routes)
    }
}
