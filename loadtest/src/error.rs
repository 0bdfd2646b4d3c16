//! Why a run cannot start or go on, each as the one line that the operator reads.
//! Not the errors of single connections, which are counted: see `tally::ErrorKind`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::wire::handshake::Refusal;

/// Ends a run. Its text says what is wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers at the address.
    #[error("cannot connect to {address}: {source}; is the server running there?")]
    Unreachable {
        /// Where to.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The first connection did not become a WebSocket connection.
    #[error("{url} was refused: {refusal}")]
    Refused {
        /// Where to.
        url: String,
        /// What the server said.
        refusal: Refusal,
    },
    /// The server accepts but does not answer the upgrade, or hangs up on it.
    #[error("{url} did not open: {why}")]
    Unopened {
        /// Where to.
        url: String,
        /// What happened instead.
        why: String,
    },
    /// A descriptor table cannot hold the connections.
    #[error(
        "{wanted} connections on {threads} thread(s) need more descriptors than RLIMIT_NOFILE \
         ({limit} for each table) allows; raise it (ulimit -n) or use --threads {enough}"
    )]
    Descriptors {
        /// Connections asked for.
        wanted: usize,
        /// Generator threads asked for.
        threads: usize,
        /// The limit in force.
        limit: u64,
        /// How many threads, each with a table of its own, would do.
        enough: usize,
    },
    /// The whole machine, or this thread's table, has no descriptor left.
    #[error("no descriptor left for connection {nth}: {source}; see ulimit -n and fs.file-max")]
    NoDescriptor {
        /// Which connection of this thread it was.
        nth: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// There are not enough local ports to one destination.
    #[error(
        "no local port left for another connection to {address}; widen \
         net.ipv4.ip_local_port_range or give more addresses with --source-addr"
    )]
    Ports {
        /// Where to.
        address: SocketAddr,
    },
    /// The source address is not ours.
    #[error("cannot connect from {source_address}: {source}")]
    Source {
        /// The address asked for.
        source_address: std::net::IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A private descriptor table was needed and is not to be had.
    #[error(
        "so many connections need a descriptor table for each thread, and unshare(CLONE_FILES) \
         failed: {0}; raise RLIMIT_NOFILE (ulimit -n) instead"
    )]
    Unshare(io::Error),
    /// `--server-pid` names no process whose accounts can be read.
    #[error("cannot read the accounts of process {pid}: {source}")]
    Server {
        /// The process.
        pid: i32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The page of `--report` cannot be written.
    #[error("cannot write the report to {}: {source}", path.display())]
    Report {
        /// Where to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something the generator needs from the kernel failed.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A generator thread panicked; its message is on standard error.
    #[error("a generator thread died")]
    ThreadDied,
}

impl Failure {
    /// For `map_err`: what the generator was doing when the kernel refused.
    pub fn system(what: &'static str) -> impl FnOnce(io::Error) -> Failure {
        move |source| Failure::System { what, source }
    }

    /// The process's exit code: 2 for a command line that cannot be meant, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Failure::Usage(_)) { 2 } else { 1 }
    }
}
