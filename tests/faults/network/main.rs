//! What the real binary does when the network fails: in namespaces that each test makes for itself.
//! Not for peers that misbehave over a good network; the other tests are full of those.
//!
//! Needs root, `ip` and `nft`. Where one of them is missing a test fails with a line that says so;
//! to leave them out is for whoever runs them (`ALLOW_SKIP=network tests/run`).
//!
//! ```text
//! server 10.77.0.1 --- 10.77.N.1  10.77.N.2 [router N] 10.78.N.1 --- 10.78.N.2 [host N]
//! ```
//!
//! The faults happen at the routers, as in life: neither end is told.

#[path = "../aftermath.rs"]
mod aftermath;
#[path = "../../harness/mod.rs"]
mod harness;
#[path = "../netns.rs"]
mod netns;
#[path = "../watch.rs"]
mod watch;

mod crowd;
mod site;
mod wire;

mod farewell;
mod forgetful_nat;
mod reboot;
mod rough_line;
mod silence;
mod storm;

use std::time::Duration;

use aftermath::Baseline;
use harness::Server;
use site::SERVER;

/// The deadlines most tests give the server, in seconds: short ones, all different in sum.
const PING: Duration = Duration::from_secs(1);
/// See [`PING`].
const PONG: Duration = Duration::from_secs(1);
/// See [`PING`].
const WRITE: Duration = Duration::from_secs(3);
/// See [`PING`].
const CLOSE: Duration = Duration::from_secs(1);

/// How long the kernel goes on trying, as the server sets it (`TCP_USER_TIMEOUT`).
const GIVE_UP: Duration = Duration::from_secs(4);

/// A server with those deadlines and further flags, where hosts reach it.
fn start(more: &[&str]) -> (Server, Baseline) {
    let deadlines = [
        ("--ping-interval", PING),
        ("--pong-timeout", PONG),
        ("--write-timeout", WRITE),
        ("--close-timeout", CLOSE),
        ("--handshake-timeout", Duration::from_secs(2)),
    ];
    let typed: Vec<String> = deadlines.iter().map(|(_, span)| format!("{span:?}")).collect();
    let mut flags = Vec::new();
    for ((name, _), value) in deadlines.iter().zip(&typed) {
        if !more.contains(name) {
            flags.extend([*name, value.as_str()]);
        }
    }
    let listen = format!("{SERVER}:0");
    let rest = ["--listen", &listen, "--reactors", "2", "--outbox-limit", "8MiB"];
    flags.extend(rest.iter().chain(more));
    let server = Server::start(&flags);
    let baseline = Baseline::of(&server);
    (server, baseline)
}
