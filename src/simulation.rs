//! A door for the simulator to a server's reactors over drivers of its own.
//! Not part of the crate's interface: it exists only with the feature `simulation`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config;
use crate::handler::{Factory, Handler, factory};
use crate::io::{Driver, Waker};
use crate::reactor::shard::Shard;
use crate::reactor::{Mailboxes, Reactor, RouteInfo, Setup, Shared};

/// A server that is being put together: routes and what serves them.
#[derive(Default)]
pub struct Routes {
    infos: Vec<RouteInfo>,
    factories: Vec<Factory>,
}

/// One reactor's part of the world.
pub struct Berth {
    /// Its sockets.
    pub driver: Box<dyn Driver>,
    /// Raised to wake it.
    pub wake: Arc<AtomicBool>,
    /// Connections that its descriptor table has room for.
    pub capacity: usize,
    /// Seed of its jitter.
    pub seed: u64,
}

impl Routes {
    /// Serves a path.
    #[must_use]
    pub fn with<H: Handler>(mut self, path: &str, handler: H) -> Self {
        self.infos.push(RouteInfo { path: path.to_owned(), subprotocols: Vec::new() });
        self.factories.push(factory(handler));
        self
    }

    /// The reactors of a server, and what they share.
    pub fn start(
        self,
        berths: Vec<Berth>,
        (limits, admission): (config::Limits, &config::Admission),
        mailbox_limit: usize,
        max_connections: usize,
    ) -> (Vec<Reactor>, Arc<Shared>) {
        let wakers = berths.iter().map(|berth| Waker::flag(Arc::clone(&berth.wake))).collect();
        let mailboxes = Mailboxes::new(wakers, mailbox_limit);
        let shards = berths.iter().map(|_| Shard::new()).collect();
        let shared = Shared::new(self.infos, mailboxes, shards, limits, max_connections);
        let shared = Arc::new(shared.counting(admission));
        let reactor = |(id, berth): (usize, Berth)| {
            let Berth { driver, capacity, seed, .. } = berth;
            let services = self.factories.iter().map(|make| make()).collect();
            let shared = Arc::clone(&shared);
            Reactor::new(Setup { id, driver, services, shared, capacity, seed })
        };
        let reactors = berths.into_iter().enumerate().map(reactor).collect();
        (reactors, shared)
    }
}
