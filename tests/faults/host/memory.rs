//! Memory that may not grow past the budgets and a little: under floods of unfinished input and
//! unread output the server sheds, and lives.
//! Not for how exactly a budget is counted; `tests/inbox.rs` and `tests/outbox.rs` have that.

use std::process::Command;
use std::time::Duration;

use crate::alone;
use crate::crowd::{Crowd, Reading};
use crate::harness::{Metrics, PATIENCE, frame, request};
use crate::healthy::Healthy;
use crate::watched::Watched;

const MIB: u64 = 1 << 20;

/// Of each kind of budget.
const BUDGET: u64 = 32 * MIB;

/// What the process may have besides, for all that is not in a budget: slots, turns, the log, what
/// the allocator keeps. A limit without it would be below the promise.
const REST: u64 = 40 * MIB;

const FLAGS: [&str; 18] = [
    "--outbox-budget",
    "32MiB",
    "--outbox-limit",
    "4MiB",
    "--inbox-budget",
    "32MiB",
    "--max-message-size",
    "4MiB",
    "--reactors",
    "2",
    "--message-timeout",
    "60s",
    "--write-timeout",
    "60s",
    "--ping-interval",
    "60s",
    "--close-timeout",
    "1s",
];

/// Has the kernel refuse the process any data memory beyond this.
fn limit_memory(server: &Watched, bytes: u64) {
    let data = format!("--data={bytes}:{bytes}");
    let status = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &data]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit is there and may do so");
}

/// Flooders of both kinds, each with more than a megabyte, ten times the budgets in all.
fn flood(server: &Watched) -> [Crowd; 2] {
    let upgrade = request("/echo", &[]);
    // In pieces, since a whole one would be shed as unfinished input.
    let unread = frame::binary(&[7; MIB as usize / 8]).repeat(8);
    let mut unfinished = frame::header(frame::BINARY, 4 * MIB);
    unfinished.resize(MIB as usize, 7);
    let count = (10 * BUDGET / MIB) as usize;
    let asks = [upgrade.as_bytes(), &unread].concat();
    let begins = [upgrade.as_bytes(), &unfinished].concat();
    let [mut never_read, mut never_end] = [Crowd::new(), Crowd::new()];
    for n in 0..count {
        never_read.join(server, Reading::Nothing, &asks);
        never_end.join(server, Reading::All, &begins);
        if n % 32 == 0 {
            never_end.read_for(Duration::ZERO);
        }
    }
    [never_read, never_end]
}

fn is_within_budgets(metrics: &Metrics) -> bool {
    let held = |name: &str| metrics.value(name, &[]) <= BUDGET as f64;
    held("ws_inbox_bytes") && held("ws_outbox_bytes")
}

#[test]
fn near_its_limit_the_server_sheds_and_lives() {
    let machine = alone();
    let server = Watched::start(&FLAGS);
    let healthy = Healthy::talk(&server);
    limit_memory(&server, server.memory("VmData") + 2 * BUDGET + REST);
    let mut most = 0;
    for round in 1..=3 {
        let crowds = flood(&server);
        // Ten times each budget was asked for, so that eight parts at least can't stay. A flooder
        // of one kind may be shed as one of the other, while its message is still arriving.
        let [least, least_of_each] = [round * 16, round].map(|parts| parts * BUDGET / MIB);
        server.wait_for("the sheds", |metrics| {
            most = most.max(server.resident());
            let sheds = ["ws_outbox_sheds_total", "ws_inbox_sheds_total"]
                .map(|name| metrics.value(name, &[]) as u64);
            is_within_budgets(metrics)
                && sheds.iter().all(|sheds| *sheds >= least_of_each)
                && sheds.iter().sum::<u64>() >= least
        });
        // Whoever was told 1009 has its close timeout, from the last of the flood on.
        server.assert_no_strays(PATIENCE);
        drop(crowds);
    }
    eprintln!("{} MiB resident at the most that was seen", most / MIB);
    // A flood of 2 GB takes its time; but they are served in it, and none of them is shed.
    healthy.assert_undisturbed(PATIENCE);
    server.aftermath(machine, Duration::from_secs(60));
}
