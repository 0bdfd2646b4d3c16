//! TLS handshakes that wait for their turn: in which order they go on.
//! Not for what a turn may take, nor for the handshakes: see `tls`.

use std::collections::VecDeque;

use crate::conn::Ticks;
use crate::io::Token;

/// Those of one reactor. Each connection is in it once at most while nothing is read from it.
#[derive(Default)]
pub(super) struct HandshakeQueue {
    /// Those in which much has been put already and little is left to do.
    under_way: VecDeque<Token>,
    /// Those that have only said hello.
    fresh: VecDeque<Token>,
}

impl HandshakeQueue {
    /// Has it wait behind those of its kind.
    pub fn push(&mut self, token: Token, is_fresh: bool) {
        if is_fresh { self.fresh.push_back(token) } else { self.under_way.push_back(token) }
    }

    /// The next one. Those under way go first, or a flood of hellos would have all of them time out
    /// with the work done. A hello for which `is_late` is passed over where another waits: its deadline
    /// would come before the rest of its handshake does, and under a lasting flood each would be served
    /// just too late.
    pub fn pop(&mut self, mut is_late: impl FnMut(Token) -> bool) -> Option<Token> {
        if let Some(token) = self.under_way.pop_front() {
            return Some(token);
        }
        while let Some(token) = self.fresh.pop_front() {
            if self.fresh.is_empty() || !is_late(token) {
                return Some(token);
            }
        }
        None
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.fresh.is_empty()
    }
}

/// Whether a handshake that has not begun after this time has too little left of all it may take: a
/// quarter.
pub(super) fn is_late(passed: Ticks, allowed: Ticks) -> bool {
    passed.0 > allowed.0 / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(index: u32) -> Token {
        Token { index, generation: 0 }
    }

    #[test]
    fn a_handshake_under_way_goes_on_before_any_hello_however_many_came_before() {
        let mut queue = HandshakeQueue::default();
        for index in 0..1_000 {
            queue.push(token(index), true);
        }
        queue.push(token(1_000), false);
        queue.push(token(1_001), false);
        let order: Vec<u32> =
            std::iter::from_fn(|| queue.pop(|_| false)).map(|token| token.index).collect();
        let expected: Vec<u32> = (1_000..1_002).chain(0..1_000).collect();
        assert_eq!(order, expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_hello_is_passed_over_once_too_little_time_is_left_and_others_wait() {
        let allowed = Ticks(1_000);
        let mut queue = HandshakeQueue::default();
        for index in 0..10 {
            queue.push(token(index), true);
        }
        queue.push(token(10), false);
        // The first came first.
        let is_late = |token: Token| is_late(Ticks(1_000 - 100 * token.index), allowed);
        assert_eq!(queue.pop(is_late), Some(token(10)), "it has cost too much to be given up");
        assert_eq!(queue.pop(is_late), Some(token(3)), "with a quarter left");
        let mut queue = HandshakeQueue::default();
        queue.push(token(0), true);
        assert_eq!(queue.pop(is_late), Some(token(0)), "there is nobody else to serve");
    }
}
