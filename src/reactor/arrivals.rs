//! What one reactor counts of those who come: addresses, users, and who was brought by a proxy.
//! Not the tables, which all reactors share: each counts what it has put in and taken out itself.

use super::meters::Counter;

/// What told whose a proxied connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ProxySource {
    /// A PROXY header, version 1 or 2.
    ProxyProtocol,
    /// `X-Forwarded-For` in the request.
    XForwardedFor,
    /// `Forwarded` in the request.
    Forwarded,
}

impl ProxySource {
    /// How many sources there are.
    pub const COUNT: usize = Self::ALL.len();
    /// Every source, in the order of [`index`](Self::index).
    pub const ALL: [Self; 3] = [Self::ProxyProtocol, Self::XForwardedFor, Self::Forwarded];

    /// The place of this source in an array of [`COUNT`](Self::COUNT) elements.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProxyProtocol => "proxy_protocol",
            Self::XForwardedFor => "x_forwarded_for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// One reactor's counts. Over all reactors what was added less what was removed is what is there.
#[derive(Debug)]
pub struct Arrivals {
    /// Addresses put into the table.
    pub addresses_added: Counter,
    /// Addresses taken out, those that had to make room included.
    pub addresses_removed: Counter,
    /// Addresses that had to make room for others before their time.
    pub addresses_evicted: Counter,
    /// Users put into the table.
    pub users_added: Counter,
    /// Users taken out.
    pub users_removed: Counter,
    /// Connections whose client a proxy has named, by [`ProxySource::index`].
    pub proxied: [Counter; ProxySource::COUNT],
}

impl Arrivals {
    pub(super) const fn new() -> Self {
        Arrivals {
            addresses_added: Counter::new(),
            addresses_removed: Counter::new(),
            addresses_evicted: Counter::new(),
            users_added: Counter::new(),
            users_removed: Counter::new(),
            proxied: [const { Counter::new() }; ProxySource::COUNT],
        }
    }

    /// A proxy has said whose a connection is.
    pub(super) fn proxied(&self, source: ProxySource) {
        if let Some(counter) = self.proxied.get(source.index()) {
            counter.increment();
        }
    }
}
