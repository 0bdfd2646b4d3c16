//! The threads of the reactors: each takes its descriptor table, opens its listeners, and waits until
//! all have.
//! Not for what they share, which `start` has made before.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::operate::Notice;
use super::panics;
use super::start::{StartError, refused};
use crate::config::ListenAddress;
use crate::handler::Factory;
use crate::io::listen::Listener;
use crate::io::{Seed, descriptors};
use crate::reactor::{Reactor, Setup, Shared};

/// What a reactor's thread is given.
pub(super) struct Berth {
    pub id: usize,
    pub seed: Seed,
    pub shared: Arc<Shared>,
    pub factories: Vec<Factory>,
    pub capacity: usize,
    pub is_private: bool,
    pub is_pinned: bool,
    pub unix: Arc<Vec<Listener>>,
    pub give_up_after: Duration,
}

/// What a thread does once all are there.
type Go = Receiver<()>;

/// Tells which addresses a thread's listeners are bound to.
type Ready = Sender<Result<Vec<SocketAddr>, StartError>>;

/// Threads that wait to begin. If it is dropped they end without having begun, before anything goes
/// that they and the server hold in common: whoever lets go of that last closes it, in its own
/// descriptor table.
#[derive(Default)]
pub(super) struct Crew {
    starters: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts a thread, and waits until it listens; which addresses it is bound to.
    ///
    /// # Errors
    /// It can't be started, or can't listen.
    pub fn take_on(
        &mut self,
        berth: Berth,
        addresses: Vec<ListenAddress>,
        notices: Sender<Notice>,
    ) -> Result<Vec<SocketAddr>, StartError> {
        let (ready, is_ready) = mpsc::channel();
        let (starter, go) = mpsc::channel();
        self.starters.push(starter);
        self.threads.push(spawn(berth, addresses, notices, ready, go)?);
        is_ready.recv().unwrap_or_else(|_| Err(thread_died()))
    }

    /// All begin.
    pub fn set_off(mut self) -> Vec<JoinHandle<()>> {
        for starter in self.starters.drain(..) {
            // A thread that is gone has sent its notice.
            let _ = starter.send(());
        }
        std::mem::take(&mut self.threads)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.starters.clear();
        for thread in self.threads.drain(..) {
            // Its panic, if any, is not heard of any more.
            let _ = thread.join();
        }
    }
}

fn thread_died() -> StartError {
    StartError::System(io::Error::other("a reactor's thread ended before it began"))
}

fn spawn(
    berth: Berth,
    addresses: Vec<ListenAddress>,
    notices: Sender<Notice>,
    ready: Ready,
    go: Go,
) -> Result<JoinHandle<()>, StartError> {
    let thread = thread::Builder::new().name(format!("reactor-{}", berth.id));
    Ok(thread.spawn(move || {
        let id = berth.id;
        panics::log_on_this_thread();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            moor(berth, &addresses, &ready, &go)
        }));
        let error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it panicked; this is a bug".to_owned()),
        };
        // The server may be gone already, having failed to start.
        let _ = notices.send(Notice::ReactorEnded { id, error });
    })?)
}

/// The thread of one reactor.
fn moor(berth: Berth, addresses: &[ListenAddress], ready: &Ready, go: &Go) -> io::Result<()> {
    if berth.is_pinned
        && let Err(error) = descriptors::pin_to_core(berth.id)
    {
        log::warn!("reactor {} can't be pinned to a core: {error}", berth.id);
    }
    if berth.is_private {
        descriptors::leave_signals_to_others()?;
        descriptors::unshare_table()?;
        berth.seed.is_taken_along();
    }
    let opened = open(&berth, addresses).and_then(|(listeners, bound)| {
        // Slots and sockets are few until they are needed; this only reserves addresses for them.
        let expected = berth.capacity.min(berth.shared.max_connections);
        Ok((berth.seed.open(listeners, expected)?, bound))
    });
    let (driver, bound) = match opened {
        Ok((driver, bound)) => (Some(driver), Ok(bound)),
        Err(error) => (None, Err(error)),
    };
    // Whoever lets go of the originals last closes them, in its own table: that must be the server,
    // which goes on once it is told.
    drop(berth.unix);
    let is_heard = ready.send(bound).is_ok();
    let Some(driver) = driver.filter(|_| is_heard && go.recv().is_ok()) else {
        return Ok(());
    };
    let services = berth.factories.iter().map(|make| make()).collect();
    let reactor = Reactor::new(Setup {
        id: berth.id,
        driver,
        services,
        shared: berth.shared,
        capacity: berth.capacity,
        seed: fastrand::u64(..),
    });
    reactor.run()
}

/// Opens the listeners of one reactor; which addresses they are bound to.
fn open(
    berth: &Berth,
    addresses: &[ListenAddress],
) -> Result<(Vec<Listener>, Vec<SocketAddr>), StartError> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for address in addresses {
        if let ListenAddress::Tcp(address) = address {
            let listener = Listener::tcp(*address, berth.give_up_after)
                .map_err(|source| refused(address.to_string(), source))?;
            bound.extend(listener.address());
            listeners.push(listener);
        }
    }
    for original in berth.unix.iter() {
        listeners.push(if berth.is_private {
            Listener::claim_copy(original)
        } else {
            original.duplicate()?
        });
    }
    Ok((listeners, bound))
}
