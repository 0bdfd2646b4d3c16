//! A stopwatch for deadlines of the server that allows for a machine which was busy elsewhere.
//! Not for latencies: it judges only whether something came within its deadline and a second.
//!
//! How long threads stood ready and got no processor is in the kernel's own books (`schedstat`). On
//! a machine that has nothing else to do that is milliseconds.

use std::time::{Duration, Instant};

use crate::harness::{SLACK, Server};

/// Running since the fault.
#[derive(Debug)]
pub struct Watch {
    since: Instant,
    starved: Duration,
    stalls: f64,
}

impl Watch {
    /// Starts it.
    pub fn start(server: &Server) -> Self {
        let stalls = stalls(server);
        Watch { since: Instant::now(), starved: starved(server), stalls }
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Asserts that no more than `deadline` and a second have passed, but for what the machine kept
    /// server and test waiting for a processor. Where that was so long that the server set its
    /// deadlines anew, as it must after a pause of its own, each time adds one.
    pub fn assert_within(&self, server: &Server, deadline: Duration) {
        let took = self.elapsed();
        let starved = starved(server).saturating_sub(self.starved);
        let anew = (stalls(server) - self.stalls) as u32;
        let limit = deadline + SLACK + starved + deadline * anew;
        assert!(
            took <= limit,
            "after {took:?}, due after {deadline:?}; starved for {starved:?}, {anew} stalls"
        );
    }
}

fn stalls(server: &Server) -> f64 {
    server.metric("ws_stalls_total", &[])
}

/// How long the threads of the server and the calling one have been kept from a processor so far.
fn starved(server: &Server) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid()));
    let tasks = tasks.expect("the server lives").flatten().map(|task| task.path());
    let all = tasks.chain(["/proc/thread-self".into()]);
    // A kernel without these books says nothing: then nothing is allowed for.
    let waits = all.filter_map(|task| {
        let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waits.sum())
}
