//! Rows of the configuration file, listening, TLS and reactors.
//! Not for logic: what a row's parts mean stands in `keys`.

use crate::config::keys::{Change, Key, Kind, Section, Spec};

#[rustfmt::skip] // One shape for all rows; rustfmt would fold the short ones.
pub(super) const ROWS: &[Spec] = &[
    Spec {
        key: Key::Config, section: Section::File,
        name: "config", kind: Kind::ConfigFile, value: "F",
        default: &[], change: Change::Restart,
        meaning: "A TOML file with any of these keys, written with _ for -",
        why: "The defaults serve without a file. `pulsewheel default-config` prints one to begin \
              with; SIGHUP reads it again.",
    },
    Spec {
        key: Key::Listen, section: Section::Listening,
        name: "listen", kind: Kind::Texts, value: "ADDR",
        default: &["127.0.0.1:9001"], change: Change::Restart,
        meaning: "Where WebSocket and HTTP clients connect: IP:PORT or unix:PATH; repeatable",
        why: "Loopback, so that a first try is not open to the network. `[::]:9001` takes IPv6 and \
              IPv4 from everywhere; port 0 lets the kernel choose. Names are not resolved, so that \
              what is bound is what is written.",
    },
    Spec {
        key: Key::Admin, section: Section::Listening,
        name: "admin", kind: Kind::Text, value: "ADDR",
        default: &["127.0.0.1:9002"], change: Change::Restart,
        meaning: "Where /metrics, /healthz, /readyz and /publish are served, or off",
        why: "A port of its own, so that clients never reach it, and loopback, since it can \
              publish. Anywhere else it needs --admin-token-file.",
    },
    Spec {
        key: Key::AdminTokenFile, section: Section::Listening,
        name: "admin-token-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Restart,
        meaning: "A file with the bearer token that the admin port asks for",
        why: "A file, since arguments and environments are shown to other users of the machine. \
              One line of at most 4 KiB; a relative path starts at the working directory.",
    },
    Spec {
        key: Key::TlsCertFile, section: Section::Tls,
        name: "tls-cert", kind: Kind::Texts, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A PEM file with the server's certificate and those of who signed it; repeatable",
        why: "Without one, clients are spoken to in the clear. With several, the one that has the \
              name a client asks for is shown, else the first. SIGHUP reads the files again; only \
              turning TLS on or off needs a restart. The admin port and Unix sockets stay plain.",
    },
    Spec {
        key: Key::TlsKeyFile, section: Section::Tls,
        name: "tls-key", kind: Kind::Texts, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A PEM file with the private key for the tls-cert in the same place; repeatable",
        why: "PKCS#8, PKCS#1 or SEC1, without a password: who could read the password could read \
              the key.",
    },
    Spec {
        key: Key::Reactors, section: Section::Reactors,
        name: "reactors", kind: Kind::Count, value: "N",
        default: &["auto"], change: Change::Restart,
        meaning: "Reactor threads, 1 to 1024; auto is the number of cores",
        why: "Reactors share nothing, so one per core uses the machine and more only switch. Each \
              has its own descriptor table, so more of them also hold more connections.",
    },
    Spec {
        key: Key::PinCores, section: Section::Reactors,
        name: "pin-cores", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Restart,
        meaning: "Pin each reactor to a core of its own",
        why: "A pinned reactor waits when anything else runs on its core. On a machine that serves \
              nothing else it keeps caches warm.",
    },
    Spec {
        key: Key::Driver, section: Section::Reactors,
        name: "driver", kind: Kind::Text, value: "DRIVER",
        default: &["epoll"], change: Change::Restart,
        meaning: "How reactors speak with the kernel: epoll, io_uring, or auto, which is io_uring where \
                  the kernel has all that it needs",
        why: "epoll is on every Linux, and takes the least of the kernel's memory. io_uring spends less \
              time on each message, but needs Linux 6.10, and many containers forbid it.",
    },
    Spec {
        key: Key::IoUringBuffers, section: Section::Reactors,
        name: "io-uring-buffers", kind: Kind::Size, value: "SIZE",
        default: &["1MiB"], change: Change::Restart,
        meaning: "Bytes that the kernel may receive into ahead of each reactor, 64KiB to 4GiB; io_uring \
                  only",
        why: "What a reactor's peers send in one of its turns fits, and lies in a core's cache. When \
              all are full, receives wait, which ws_driver_events_total counts as no_buffer.",
    },
    Spec {
        key: Key::MaxConnections, section: Section::Reactors,
        name: "max-connections", kind: Kind::Count, value: "N",
        default: &["auto"], change: Change::Restart,
        meaning: "Connections beyond which clients get 503 with Retry-After; auto is what the \
                  descriptor limit allows, less a reserve",
        why: "A refusal that a client can read is better than a connection that hangs, and the \
              reserve keeps a descriptor for saying so.",
    },
    Spec {
        key: Key::SharedDescriptors, section: Section::Reactors,
        name: "shared-descriptors", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Restart,
        meaning: "Let all reactors share the process's one descriptor table",
        why: "A table for each reactor removes a lock in the kernel and lets the process hold \
              reactors times RLIMIT_NOFILE connections. Share one where tools must see all \
              sockets in /proc/PID/fd.",
    },
];
