//! How clients behave: a name for each manner, and what it entitles them to.
//! Not what they do in detail, which `client` does.

/// How a client behaves for all of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Sends messages now and then and wants each one back.
    Echo,
    /// As that, in fragments and pieces, with pings of its own between.
    Fragments,
    /// As that, as fast as it can.
    Flood,
    /// Listens to what others publish.
    Subscriber,
    /// Publishes and listens.
    Publisher,
    /// Says nothing and answers pings.
    Idle,
    /// Asks the handler for odd things: to close, to panic, to send much, to refuse.
    Whim,
    /// Opens, and never says anything again; its kernel still takes what comes.
    Mute,
    /// Its host goes without a word.
    Vanish,
    /// Reads what it asked for a few bytes at a time.
    SlowReader,
    /// Listens to what others publish, and does not read it.
    NonReader,
    /// Sends its request a byte at a time.
    SlowHandshake,
    /// Sends a message a byte at a time.
    SlowMessage,
    /// Breaks the protocol.
    Rude,
    /// Never answers a close frame.
    Unanswering,
    /// Goes on sending after its close frame.
    TalksAfterClose,
    /// Shuts its side and reads on.
    HalfClose,
    /// Resets its connection.
    Abandon,
    /// Asks for a page, or for nothing that HTTP knows.
    Http,
}

impl Manner {
    pub const ALL: [Self; 19] = [
        Self::Echo,
        Self::Fragments,
        Self::Flood,
        Self::Subscriber,
        Self::Publisher,
        Self::Idle,
        Self::Whim,
        Self::Mute,
        Self::Vanish,
        Self::SlowReader,
        Self::NonReader,
        Self::SlowHandshake,
        Self::SlowMessage,
        Self::Rude,
        Self::Unanswering,
        Self::TalksAfterClose,
        Self::HalfClose,
        Self::Abandon,
        Self::Http,
    ];

    /// Reads at once, answers at once, keeps to the protocol: it may never be taken for dead.
    pub fn is_good(self) -> bool {
        matches!(
            self,
            Self::Echo
                | Self::Fragments
                | Self::Flood
                | Self::Subscriber
                | Self::Publisher
                | Self::Idle
                | Self::Whim
        )
    }

    /// Wants its own messages back.
    pub fn echoes(self) -> bool {
        matches!(self, Self::Echo | Self::Fragments | Self::Flood | Self::Vanish | Self::Abandon)
            || matches!(self, Self::Unanswering | Self::HalfClose | Self::TalksAfterClose)
            || matches!(self, Self::SlowReader | Self::SlowMessage | Self::Mute | Self::Rude)
    }

    /// The path it asks for.
    pub fn path(self) -> &'static str {
        match self {
            Self::Subscriber | Self::Publisher | Self::NonReader => "/broadcast",
            Self::Whim => "/whim",
            _ => "/echo",
        }
    }
}
