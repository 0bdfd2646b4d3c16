//! What must be true of a server after any fault, once the peers are gone: it is as it was.
//! Not for what a fault itself must lead to; each test says that.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::harness::{Metrics, PATIENCE, RawClient, Server, ms};
use crate::kernel::{self, State};

/// Gauges that are zero in a server without connections.
const EMPTY: [&str; 6] = [
    "ws_slots_used",
    "ws_connections_active",
    "ws_outbox_bytes",
    "ws_inbox_bytes",
    "ws_mailbox_bytes",
    "ws_accept_paused",
];

/// A server whose state before any fault is known.
#[derive(Debug)]
pub struct Watched {
    server: Server,
    descriptors: BTreeMap<u32, usize>,
    descriptors_used: f64,
}

impl Watched {
    /// A server with these flags, on one address and ports of the kernel's choice.
    pub fn start(flags: &[&str]) -> Self {
        Self::over(Server::start(flags))
    }

    /// A server that was just started.
    pub fn over(server: Server) -> Self {
        // What is opened at first use is no leak.
        RawClient::open(&server, "/echo").expect_echo("warm");
        let metrics = server.wait_for("the first to leave", is_empty);
        let descriptors_used = metrics.value("ws_descriptors_used", &[]);
        let mut descriptors = kernel::descriptors(server.pid());
        // The admin port's last connection may still be among them.
        for _ in 0..10 {
            std::thread::sleep(ms(10));
            for (thread, count) in kernel::descriptors(server.pid()) {
                descriptors.entry(thread).and_modify(|least| *least = count.min(*least));
            }
        }
        Watched { server, descriptors, descriptors_used }
    }

    /// Asserts, after all peers have let go, that nothing is left of them and that it serves.
    pub fn aftermath(mut self) {
        self.assert_clean(PATIENCE);
        RawClient::open(&self.server, "/echo").expect_echo("serving");
        self.server.assert_sound();
    }

    /// As [`aftermath`](Self::aftermath), without a look at whether it serves.
    fn assert_clean(&mut self, limit: Duration) {
        let metrics = self.server.wait_for("everything to be given back", is_empty);
        assert_eq!(metrics.value("ws_descriptors_used", &[]), self.descriptors_used);
        let end = Instant::now() + limit;
        loop {
            let faults = self.faults();
            if faults.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{faults}");
            std::thread::sleep(ms(50));
        }
    }

    /// What the kernel holds against it now; empty if nothing.
    fn faults(&self) -> String {
        let mut faults = String::new();
        let states = kernel::states(&self.server);
        // TIME_WAIT is owed to whoever closes first, and belongs to no process.
        if states.keys().any(|state| !matches!(state, State::Listen | State::TimeWait)) {
            faults.push_str(&format!("sockets are left: {states:?}; "));
        }
        let now = kernel::descriptors(self.server.pid());
        for (thread, before) in &self.descriptors {
            // A thread of the admin port that has ended since holds nothing.
            let after = now.get(thread).copied().unwrap_or(0);
            if after > *before {
                faults
                    .push_str(&format!("thread {thread}: {after} descriptors, {before} before; "));
            }
        }
        faults
    }
}

fn is_empty(metrics: &Metrics) -> bool {
    EMPTY.iter().all(|name| metrics.value(name, &[]) == 0.0)
}

impl Deref for Watched {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
