//! The one table of everything that can be configured: names, defaults, meanings and reasons.
//! Not for parsing: `fields` knows how a text becomes a value, `check` which values make sense.

/// A key by itself, for code that treats it specially.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Config,
    Listen,
    Admin,
    AdminTokenFile,
    TlsCertFile,
    TlsKeyFile,
    Reactors,
    PinCores,
    Driver,
    IoUringBuffers,
    MaxConnections,
    SharedDescriptors,
    HandshakeTimeout,
    PingInterval,
    PongTimeout,
    IdleTimeout,
    MessageTimeout,
    WriteTimeout,
    CloseTimeout,
    MaxLifetime,
    MaxMessageSize,
    OutboxLimit,
    OutboxBudget,
    InboxBudget,
    MailboxLimit,
    SlowConsumer,
    MessageRate,
    MessageRatePolicy,
    MessageRateTotal,
    Compression,
    CompressionMinSize,
    CompressionLevel,
    CompressionWindow,
    CompressionMemory,
    MaxConnectionsPerUser,
    UserLimitPolicy,
    MaxConnectionsPerIp,
    ConnectRatePerIp,
    ConnectRate,
    MaxAddresses,
    TrustProxy,
    ForwardedHeader,
    ProxyProtocol,
    DrainDelay,
    DrainWindow,
    Takeover,
    AllowOrigin,
    RequireOrigin,
    Auth,
    JwtSecretFile,
    JwtPublicKeyFile,
    JwtJwksFile,
    JwtAlgorithm,
    JwtAudience,
    JwtIssuer,
    JwtLeeway,
    TokenFrom,
    RequireClaim,
    LogLevel,
    LogFormat,
    Subprotocol,
    Route,
}

/// The heading that a key stands under in the help and in the printed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    File,
    Listening,
    Tls,
    Reactors,
    Deadlines,
    Bounds,
    Compression,
    Admission,
    Draining,
    Gate,
    Logging,
    Routes,
}

impl Section {
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::File => "Configuration file",
            Self::Listening => "Listening",
            Self::Tls => "TLS",
            Self::Reactors => "Reactors and connections",
            Self::Deadlines => "Deadlines",
            Self::Bounds => "Bounds",
            Self::Compression => "Compression",
            Self::Admission => "Limits of addresses and users, and proxies",
            Self::Draining => "Draining and takeover",
            Self::Gate => "Origins and tokens",
            Self::Logging => "Logging",
            Self::Routes => "Routes",
        }
    }
}

/// How a key's values are written, which decides the TOML types that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Plain text: an address, a path, one of a few words.
    Text,
    /// Any number of texts.
    Texts,
    /// A whole number, or `auto`.
    Count,
    /// A whole number, or `off`.
    CountOrOff,
    /// A whole number.
    Number,
    /// On or off; as a flag it needs no value.
    Switch,
    /// A duration.
    Duration,
    /// A duration, or `off`.
    DurationOrOff,
    /// A number of bytes.
    Size,
    /// A rate, or `off`.
    Rate,
    /// Any number of tables in the file, `PATH=HANDLER` elsewhere.
    Routes,
    /// The configuration file itself, which is no key of the file.
    ConfigFile,
}

impl Kind {
    /// Whether there may be any number of values.
    pub(super) fn repeatable(self) -> bool {
        matches!(self, Self::Texts | Self::Routes)
    }
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// SIGHUP is enough.
    Reload,
    /// The process must start anew.
    Restart,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) key: Key,
    pub(super) section: Section,
    /// The flag without its dashes; the other names derive from it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What stands for the value in help; empty for switches.
    pub(super) value: &'static str,
    /// The default as it is typed: none, one, or several where the key is repeatable.
    pub(super) default: &'static [&'static str],
    pub(super) change: Change,
    /// One line.
    pub(super) meaning: &'static str,
    /// Why the default is what it is.
    pub(super) why: &'static str,
}

impl Spec {
    /// The key in the file; `None` for what only the command line and the environment can say.
    pub(super) fn toml_key(&self) -> Option<String> {
        (self.kind != Kind::ConfigFile).then(|| self.name.replace('-', "_"))
    }

    /// The environment variable.
    pub(super) fn variable(&self) -> String {
        format!("PULSEWHEEL_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }

    /// Whether the key takes any number of values.
    pub(super) fn repeatable(&self) -> bool {
        self.kind.repeatable()
    }

    /// The default as help shows it.
    pub(super) fn shown_default(&self) -> String {
        if self.default.is_empty() { "none".to_string() } else { self.default.join(", ") }
    }
}

/// The row of a key.
pub(super) fn spec(key: Key) -> &'static Spec {
    &KEYS[key as usize]
}

/// The key that stands under a name in the file.
pub(super) fn by_toml_key(name: &str) -> Option<&'static Spec> {
    KEYS.iter().find(|spec| spec.toml_key().as_deref() == Some(name))
}

pub(super) use super::key_table::KEYS;
