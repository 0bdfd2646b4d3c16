//! From a configuration to turning reactors: limits, descriptor tables, listeners, threads.
//! Not for what happens after; nothing here waits for a client.
//!
//! The order matters. What several threads use (wakers, Unix listeners) is made before any thread
//! takes its own descriptor table; each thread then takes it first and opens its own listeners
//! after. A listener that was open before would live on as a copy in every table.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Served;
use super::crew::{Berth, Crew};
use super::desk::Desk;
use super::operate::Running;
use super::publisher::Publisher;
use crate::admin;
use crate::config::{self, Config, ListenAddress};
use crate::gate::{Gate, GateError};
use crate::io::descriptors;
use crate::io::listen::{self, Listener};
use crate::io::{DriverKind, Needs, NoDriver, Seeds, Unsupported, memory};
use crate::proto::tls::{Certificate, Identity, IdentityError};
use crate::reactor::shard::Shard;
use crate::reactor::{Mailboxes, SURPLUS, Shared};

/// Descriptors of each table that are not for connections: standard streams, the log, the admin
/// port, and some to spare.
const RESERVE: u64 = 64;

/// Descriptors that each reactor puts into every table: its epoll or its ring, and its waker.
const PER_REACTOR: u64 = 2;

/// Fewer connections than this are worth a warning.
const FEW_CONNECTIONS: usize = 4096;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error("cannot listen on {address}: {source}{advice}")]
    Listen {
        /// As it was typed.
        address: String,
        /// What the kernel said.
        source: io::Error,
        /// What to do about it.
        advice: &'static str,
    },
    /// The descriptor limit leaves no room for connections.
    #[error(
        "the limit of {limit} open descriptors leaves none for connections with {reactors} \
         reactors; raise RLIMIT_NOFILE (ulimit -n) or lower --reactors"
    )]
    Descriptors {
        /// The limit, after raising the soft one to the hard one.
        limit: u64,
        /// How many reactors were asked for.
        reactors: usize,
    },
    /// Clients are asked for what can't be checked.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// TLS can't be set up.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A claim is required on a path that nothing serves.
    #[error("a claim is required on {0}, which no route serves; name the path of a route")]
    UnservedClaim(String),
    /// There is nothing to serve.
    #[error("no routes; give at least one --route PATH=HANDLER")]
    NoRoutes,
    /// There are no drivers.
    #[error(transparent)]
    Driver(#[from] NoDriver),
    /// The system would not give a thread, an epoll instance or the like.
    #[error("cannot start a reactor: {0}")]
    System(#[from] io::Error),
}

pub(super) fn start(config: Config, routes: Vec<Served>) -> Result<Running, StartError> {
    if routes.is_empty() {
        return Err(StartError::NoRoutes);
    }
    let gate = gate(&config, &routes)?;
    let identity = identity(&config)?;
    memory::give_back_large_blocks();
    let epoch = Instant::now();
    let limit = descriptors::raise_limit()?;
    let is_private = has_private_tables(&config);
    let capacity = capacity(&config, limit, is_private)?;
    probe(&config)?;
    let needs = Needs { buffers: config.driver.buffers as usize, descriptors: limit };
    let Seeds { kind, instead, seeds, wakers, originals } =
        Seeds::new(config.driver.choice, config.reactors, needs, epoch)?;
    let capacity = capacity.min(kind.most_connections());
    let tables = if is_private { config.reactors } else { 1 };
    let max_connections = config.max_connections.unwrap_or(capacity.saturating_mul(tables));
    let (infos, factories): (Vec<_>, Vec<_>) =
        routes.into_iter().map(|served| (served.info, served.factory)).unzip();
    let shards = (0..config.reactors).map(|_| Shard::new()).collect();
    let mailboxes = Mailboxes::new(wakers, config.mailbox_limit);
    let shared = Shared::new(infos, mailboxes, shards, config.limits, max_connections)
        .counting(&config.admission)
        .compressing(config.compression);
    let shared = Arc::new(shared.guarded(gate).identified(identity));
    shared.shards.iter().take(tables).for_each(|shard| shard.descriptors_allowed.set(limit));
    let unix = Arc::new(unix_listeners(&config)?);

    let (notices, inbox) = mpsc::channel();
    let mut addresses: Vec<ListenAddress> = config.listen.clone();
    // If one of them can't begin, the others end before what they hold in common does.
    let mut crew = Crew::default();
    for (id, seed) in seeds.into_iter().enumerate() {
        let berth = Berth {
            id,
            seed,
            shared: Arc::clone(&shared),
            factories: factories.clone(),
            capacity,
            is_private,
            is_pinned: config.pin_cores,
            unix: Arc::clone(&unix),
            give_up_after: give_up_after(&config.limits),
        };
        // One after the other, since the first one learns which port 0 became.
        let bound = crew.take_on(berth, addresses.clone(), notices.clone())?;
        settle_ports(&mut addresses, &bound);
    }
    drop((unix, originals));
    let publisher = Publisher::new(Arc::clone(&shared), epoch);
    let desk = Arc::new(Desk::new(Arc::clone(&shared), publisher.clone(), kind.name()));
    let admin = admin_port(&config, &desk)?;
    let threads = crew.set_off();
    log_driver(kind, instead);
    log_start(&config, &addresses, &admin, limit, is_private, max_connections);
    Ok(Running::new(config, shared, desk, publisher, addresses, admin, threads, (notices, inbox)))
}

/// The gate, if every path that it guards is served: a slip in one would leave another open.
fn gate(config: &Config, routes: &[Served]) -> Result<Arc<Gate>, StartError> {
    let gate = Gate::new(config.gate.clone())?;
    let is_served = |path: &&str| routes.iter().any(|route| route.info.path == *path);
    if let Some(path) = gate.guarded_paths().find(|path| !is_served(path)) {
        return Err(StartError::UnservedClaim(path.to_owned()));
    }
    Ok(Arc::new(gate))
}

/// What clients are shown, if there are certificates.
fn identity(config: &Config) -> Result<Option<Identity>, StartError> {
    if config.tls.is_empty() {
        return Ok(None);
    }
    Ok(Some(Identity::new(&config.tls)?))
}

fn has_private_tables(config: &Config) -> bool {
    if config.shared_descriptors {
        return false;
    }
    let can = descriptors::can_unshare();
    if !can {
        log::warn!(
            "this system does not let a thread have its own descriptor table (unshare); all \
             reactors share one, so the limit of open descriptors holds for all of them together"
        );
    }
    can
}

/// Connections that one descriptor table has room for. Where all reactors share one, each may take
/// all of it; the limit for the whole process keeps them from taking more together.
fn capacity(config: &Config, limit: u64, is_private: bool) -> Result<usize, StartError> {
    let reactors = config.reactors as u64;
    let sharing = if is_private { 1 } else { reactors };
    let taken =
        RESERVE + PER_REACTOR * reactors + (SURPLUS as u64 + config.listen.len() as u64) * sharing;
    match limit.checked_sub(taken) {
        Some(room) if room > 0 => Ok(usize::try_from(room).unwrap_or(usize::MAX).min(1 << 24)),
        _ => Err(StartError::Descriptors { limit, reactors: config.reactors }),
    }
}

/// How long the kernel keeps trying with a peer that acknowledges nothing: no shorter than our own
/// deadlines, so that it judges only what they can't see any more.
fn give_up_after(limits: &config::Limits) -> Duration {
    let heartbeat =
        limits.ping_interval.unwrap_or_default() + limits.pong_timeout.unwrap_or_default();
    heartbeat.max(limits.write_timeout) + limits.close_timeout
}

/// Nothing is started on an address that someone else serves.
fn probe(config: &Config) -> Result<(), StartError> {
    if config.takeover {
        return Ok(());
    }
    let served = config.listen.iter().filter_map(|address| match address {
        ListenAddress::Tcp(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    });
    for address in served.chain(config.admin) {
        listen::probe(address).map_err(|source| refused(address.to_string(), source))?;
    }
    Ok(())
}

pub(super) fn refused(address: String, source: io::Error) -> StartError {
    let advice = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; stop what listens there, choose another address, or give --takeover to replace a \
             running pulsewheel"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    };
    StartError::Listen { address, source, advice }
}

fn unix_listeners(config: &Config) -> Result<Vec<Listener>, StartError> {
    let paths = config.listen.iter().filter_map(|address| match address {
        ListenAddress::Unix(path) => Some(path),
        ListenAddress::Tcp(_) => None,
    });
    let bind = |path: &PathBuf| {
        Listener::unix(path).map_err(|source| StartError::Listen {
            address: format!("unix:{}", path.display()),
            source,
            advice: "; stop what listens there, or choose another path; a Unix socket can't be \
                     taken over",
        })
    };
    paths.map(bind).collect()
}

/// Puts the ports that were bound where port 0 was asked for.
fn settle_ports(addresses: &mut [ListenAddress], bound: &[SocketAddr]) {
    let tcp = addresses.iter_mut().filter_map(|address| match address {
        ListenAddress::Tcp(address) => Some(address),
        ListenAddress::Unix(_) => None,
    });
    for (address, bound) in tcp.zip(bound) {
        *address = *bound;
    }
}

fn admin_port(config: &Config, desk: &Arc<Desk>) -> Result<Option<admin::AdminServer>, StartError> {
    let Some(address) = config.admin else { return Ok(None) };
    let fail = |source| refused(address.to_string(), source);
    let listener = Listener::tcp(address, give_up_after(&config.limits)).map_err(fail)?.into_std();
    let service = Arc::clone(desk) as Arc<dyn admin::AdminService>;
    admin::start(listener, config.admin_token.clone(), service).map(Some).map_err(fail)
}

/// Which driver it is and, where it was to be another one if that can be had, why it is not.
fn log_driver(kind: DriverKind, instead: Option<Unsupported>) {
    match instead {
        Some(why) => log::warn!("driver: {kind}, since io_uring can't be had: {why}"),
        None => log::info!("driver: {kind}"),
    }
}

fn log_start(
    config: &Config,
    addresses: &[ListenAddress],
    admin: &Option<admin::AdminServer>,
    limit: u64,
    is_private: bool,
    max_connections: usize,
) {
    let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let admin = admin.as_ref().map_or("off".to_owned(), |admin| admin.local_addr().to_string());
    let tables = if is_private { "for each reactor" } else { "for all reactors together" };
    log::info!(
        "pulsewheel {} listens on {}; admin on {admin}; reactors: {}; descriptors: {limit} \
         {tables}; connections: at most {max_connections}",
        env!("CARGO_PKG_VERSION"),
        listed.join(", "),
        config.reactors,
    );
    log_tls(config, addresses);
    warn_of_files(config);
    if max_connections < FEW_CONNECTIONS {
        log::warn!(
            "only {max_connections} connections fit; raise the limit of open descriptors \
             (ulimit -n) or --max-connections"
        );
    }
    if config.takeover {
        log::info!(
            "takeover: stop the old process with SIGTERM now. With net.ipv4.tcp_migrate_req=1 no \
             connection that waits in its queue is reset"
        );
    }
}

/// Which listeners speak TLS, and as whom.
fn log_tls(config: &Config, addresses: &[ListenAddress]) {
    if config.tls.is_empty() {
        return;
    }
    let is_tcp = |address: &&ListenAddress| matches!(address, ListenAddress::Tcp(_));
    let (tcp, unix): (Vec<&ListenAddress>, Vec<_>) = addresses.iter().partition(is_tcp);
    let joined = |addresses: &[&ListenAddress]| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let plain = match &unix[..] {
        [] => String::new(),
        unix => format!("; in the clear on {}", joined(unix)),
    };
    log::info!("TLS (wss://, https://) on {}{plain}", joined(&tcp));
    log_certificates(&config.tls);
}

/// What is shown from now on.
pub(super) fn log_certificates(certificates: &[Certificate]) {
    for (n, certificate) in certificates.iter().enumerate() {
        let names = match certificate.names() {
            [] => "no host's name".to_owned(),
            names => names.join(", "),
        };
        let default = if n == 0 { ", shown where no other fits" } else { "" };
        let (file, end) = (certificate.file(), certificate.validity().not_after);
        log::info!("certificate {file:?} for {names}, valid until {end}{default}");
    }
}

/// What was noticed of the files that the configuration names.
pub(super) fn warn_of_files(config: &Config) {
    let remarks = config.gate.keys.as_ref().map_or(&[][..], |keys| keys.remarks());
    for warning in config.warnings.iter().chain(remarks) {
        log::warn!("{warning}");
    }
}
