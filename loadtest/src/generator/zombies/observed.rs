//! What was seen of the zombies: when the server noticed each, and by which sign.
//! Not how it is shown; that is `report`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::kind::Kind;

/// By what a zombie learns that the server has noticed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// A close frame with this code; 1005 stands for none.
    Close(u16),
    /// An HTTP answer with this status.
    Http(u16),
    /// The server shut its side.
    Fin,
    /// The server reset the connection.
    Reset,
    /// The server ended TLS with an alert that is no close_notify.
    Alert,
    /// Bytes that are no answer of a WebSocket server.
    Noise,
    /// The server had let go of it when at last it spoke: it was noticed before.
    Gone,
    /// The server's process gave the descriptor back.
    Descriptor,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sign::Close(1005) => write!(f, "close"),
            Sign::Close(code) => write!(f, "close {code}"),
            Sign::Http(status) => write!(f, "http {status}"),
            Sign::Fin => write!(f, "fin"),
            Sign::Reset => write!(f, "reset"),
            Sign::Alert => write!(f, "tls alert"),
            Sign::Gone => write!(f, "gone when asked"),
            Sign::Noise => write!(f, "noise"),
            Sign::Descriptor => write!(f, "descriptor closed"),
        }
    }
}

/// What was seen of the zombies of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many were begun.
    pub begun: u64,
    /// How many never came to the point of going wrong.
    pub unopened: u64,
    /// After what time each that was noticed was, in no order.
    pub noticed: Vec<Duration>,
    /// How many of those later than the deadline and the grace.
    pub late: u64,
    /// How many the server had not noticed when the watch over them ended.
    pub unnoticed: u64,
    /// How many were still watched when the run was ended early.
    pub unjudged: u64,
    /// How often each sign was the first.
    pub signs: BTreeMap<Sign, u64>,
    /// Why nothing could be seen, where that is so.
    pub invisible: Option<String>,
}

impl Seen {
    /// A zombie was noticed after `after`, by `sign`.
    pub fn notice(&mut self, after: Duration, sign: Sign, late: bool) {
        self.noticed.push(after);
        self.late += u64::from(late);
        *self.signs.entry(sign).or_default() += 1;
    }

    /// How many the run came to an end with, whatever it was.
    pub fn judged(&self) -> u64 {
        match self.invisible {
            Some(_) => self.begun - self.unjudged,
            None => self.unopened + self.noticed.len() as u64 + self.unnoticed,
        }
    }

    fn merge(&mut self, other: &Seen) {
        self.begun += other.begun;
        self.unopened += other.unopened;
        self.noticed.extend_from_slice(&other.noticed);
        self.late += other.late;
        self.unnoticed += other.unnoticed;
        self.unjudged += other.unjudged;
        for (sign, count) in &other.signs {
            *self.signs.entry(*sign).or_default() += count;
        }
        if self.invisible.is_none() {
            self.invisible.clone_from(&other.invisible);
        }
    }
}

/// What was seen of all kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    kinds: [Seen; Kind::ALL.len()],
}

impl Observed {
    /// What was seen of one kind.
    pub fn of(&self, kind: Kind) -> &Seen {
        &self.kinds[kind as usize]
    }

    /// The same, to add to it.
    pub fn of_mut(&mut self, kind: Kind) -> &mut Seen {
        &mut self.kinds[kind as usize]
    }

    /// Takes over what another thread saw.
    pub fn merge(&mut self, other: &Observed) {
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            mine.merge(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_saw_adds_up() {
        let (mut one, mut other) = (Observed::default(), Observed::default());
        one.of_mut(Kind::Vanish).notice(Duration::from_secs(1), Sign::Reset, false);
        other.of_mut(Kind::Vanish).notice(Duration::from_secs(2), Sign::Reset, true);
        other.of_mut(Kind::Vanish).notice(Duration::from_secs(3), Sign::Close(1001), true);
        other.of_mut(Kind::Reset).invisible = Some("why".to_owned());
        one.merge(&other);
        let seen = one.of(Kind::Vanish);
        assert_eq!((seen.noticed.len(), seen.late), (3, 2));
        assert_eq!(seen.signs[&Sign::Reset], 2);
        assert_eq!(one.of(Kind::Reset).invisible.as_deref(), Some("why"));
    }
}
