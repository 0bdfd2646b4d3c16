//! What connections have to be told, in the order in which it came, and how much of it in one turn.
//! Not for accepts, which have a share of their own.

use std::collections::VecDeque;

use super::entry::Entry;
use crate::io::{Chunk, Done, Ending, Token};

/// Something for a connection.
#[derive(Debug)]
pub enum Event {
    Received(Token, Chunk),
    Ended(Token, Ending),
    Room(Token),
}

impl Event {
    pub fn token(&self) -> Token {
        match self {
            Event::Received(token, _) | Event::Ended(token, _) | Event::Room(token) => *token,
        }
    }

    pub fn done(self) -> Done {
        match self {
            Event::Received(token, chunk) => Done::Received(token, chunk),
            Event::Ended(token, ending) => Done::Ended(token, ending),
            Event::Room(token) => Done::Sent(token, 0),
        }
    }
}

/// Those that wait.
#[derive(Debug, Default)]
pub struct Events {
    queue: VecDeque<Event>,
    left: usize,
}

impl Events {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// One more, for that connection.
    pub fn push(&mut self, entry: &mut Entry, event: Event) {
        entry.queued = entry.queued.saturating_add(1);
        self.queue.push_back(event);
    }

    /// A turn begins: it hands out what is here, up to `most`.
    pub fn begin_share(&mut self, most: usize) {
        self.left = self.queue.len().min(most);
    }

    /// The next of this turn.
    pub fn next(&mut self) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        self.queue.pop_front()
    }

    /// Takes the first bytes, or the end, of one connection out of turn.
    pub fn take(&mut self, entry: &mut Entry, token: Token) -> Option<Event> {
        if entry.queued == 0 {
            return None;
        }
        let wanted = |event: &Event| event.token() == token && !matches!(event, Event::Room(_));
        let at = self.queue.iter().position(wanted)?;
        entry.queued = entry.queued.saturating_sub(1);
        self.queue.remove(at)
    }
}
