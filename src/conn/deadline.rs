//! The deadlines a connection can be under, one name and one line for each.
//! Not where they are armed, compared or enforced: that is the connection's and the wheel's work.

/// What a connection is waiting for, or what is about to happen to it, when its wheel entry fires.
///
/// At most one of these is the earliest at any time, and only the earliest has a wheel entry. The
/// name is what `ws_deadlines_expired_total{deadline}` and the log show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Deadline {
    /// From accept until the upgrade is answered, in total: dripping bytes gains no time.
    Handshake,
    /// From the last byte received: the peer has been silent for the ping interval, so ask.
    Ping,
    /// From the moment the kernel took a ping: the peer has not answered and is dead.
    Pong,
    /// From the last data message, pings and pongs not counted: nobody uses this connection.
    Idle,
    /// From the first byte of an unfinished frame or message, a second more for each 4 KiB that
    /// arrive: the message comes slower than the minimum rate.
    Message,
    /// From the oldest unsent byte: the peer does not read what it is sent.
    Write,
    /// From our close frame: the peer has not answered it with its own.
    Close,
    /// From accept, with jitter, or until the token's `exp`: the connection has lived long enough.
    Lifetime,
    /// Until the rate limiter's tokens return: reading from the peer goes on again. No verdict.
    Resume,
}

impl Deadline {
    /// How many deadlines there are: the length of an array with one place for each.
    pub const COUNT: usize = Self::ALL.len();

    /// Every deadline, in the order of [`index`](Self::index).
    pub const ALL: [Self; 9] = [
        Self::Handshake,
        Self::Ping,
        Self::Pong,
        Self::Idle,
        Self::Message,
        Self::Write,
        Self::Close,
        Self::Lifetime,
        Self::Resume,
    ];

    /// The place of this deadline in an array of [`COUNT`](Self::COUNT) elements.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in logs and in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Idle => "idle",
            Self::Message => "message",
            Self::Write => "write",
            Self::Close => "close",
            Self::Lifetime => "lifetime",
            Self::Resume => "resume",
        }
    }
}

impl std::fmt::Display for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;

    #[test]
    fn each_deadline_stands_at_its_own_index_under_its_own_name() {
        let mut names: Vec<_> = Deadline::ALL.iter().map(|d| d.as_str()).collect();
        for (place, deadline) in Deadline::ALL.iter().enumerate() {
            assert_eq!(deadline.index(), place);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Deadline::COUNT);
    }
}
