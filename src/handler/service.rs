//! One handler on one reactor, with the states of its connections there.
//! Not for users: this is how handlers of different types stand in one table of routes.

use std::sync::Arc;

use slab::Slab;

use super::{Connection, Handler, Opening, Reject};
use crate::conn::{CloseReason, NOWHERE};
use crate::proto::{Message, Peer};

/// Makes a reactor's own service of a handler that all reactors share.
pub(crate) type Factory = Arc<dyn Fn() -> Box<dyn Service> + Send + Sync>;

/// A handler whose type is forgotten. The keys name states; each is used by one connection.
pub(crate) trait Service {
    /// Asks the handler; the key of the new state.
    fn open(
        &mut self,
        connection: &mut Connection<'_>,
        opening: &Opening<'_>,
    ) -> Result<u32, Reject>;

    fn message(&mut self, connection: &mut Connection<'_>, key: u32, message: Message<'_>);

    /// Ends the state of that key.
    fn close(&mut self, peer: Peer, key: u32, reason: CloseReason);
}

pub(crate) fn factory<H: Handler>(handler: H) -> Factory {
    let handler = Arc::new(handler);
    Arc::new(move || Box::new(Served { handler: Arc::clone(&handler), states: States::default() }))
}

struct Served<H: Handler> {
    handler: Arc<H>,
    states: States<H::State>,
}

impl<H: Handler> Service for Served<H> {
    fn open(
        &mut self,
        connection: &mut Connection<'_>,
        opening: &Opening<'_>,
    ) -> Result<u32, Reject> {
        self.handler.on_open(connection, opening).map(|state| self.states.insert(state))
    }

    fn message(&mut self, connection: &mut Connection<'_>, key: u32, message: Message<'_>) {
        if let Some(state) = self.states.get_mut(key) {
            self.handler.on_message(connection, state, message);
        }
    }

    fn close(&mut self, peer: Peer, key: u32, reason: CloseReason) {
        if let Some(state) = self.states.remove(key) {
            self.handler.on_close(peer, state, reason);
        }
    }
}

/// The states of a route's connections: a slab of them, or a count where they take no room.
struct States<S> {
    slab: Slab<S>,
    weightless: Vec<S>,
}

impl<S> Default for States<S> {
    fn default() -> Self {
        States { slab: Slab::new(), weightless: Vec::new() }
    }
}

impl<S> States<S> {
    fn insert(&mut self, state: S) -> u32 {
        if size_of::<S>() == 0 {
            // A Vec of a zero-sized type never allocates: it counts.
            self.weightless.push(state);
            return 0;
        }
        u32::try_from(self.slab.insert(state)).unwrap_or(NOWHERE)
    }

    fn get_mut(&mut self, key: u32) -> Option<&mut S> {
        if size_of::<S>() == 0 {
            return self.weightless.last_mut();
        }
        self.slab.get_mut(key as usize)
    }

    fn remove(&mut self, key: u32) -> Option<S> {
        if size_of::<S>() == 0 { self.weightless.pop() } else { self.slab.try_remove(key as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_without_size_takes_no_memory() {
        let mut states = States::<()>::default();
        for _ in 0..1000 {
            states.insert(());
        }
        assert_eq!((states.slab.capacity(), states.weightless.len()), (0, 1000));
        assert!(states.get_mut(7).is_some());
        assert_eq!(states.remove(7), Some(()));
        assert_eq!(states.weightless.len(), 999);
    }

    #[test]
    fn a_state_with_size_is_kept_under_its_key() {
        let mut states = States::<String>::default();
        let (a, b) = (states.insert("a".into()), states.insert("b".into()));
        assert_eq!(states.get_mut(b).unwrap(), "b");
        assert_eq!(states.remove(a).unwrap(), "a");
        assert!(states.get_mut(a).is_none());
    }
}
