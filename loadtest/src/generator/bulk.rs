//! Large fragmented messages, some connections at a time, all of those unfinished together.
//! Not the small messages of the other acts.

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

use super::Generator;
use super::client::Client;
use super::work::Work;
use crate::dist::Dist;
use crate::error::Failure;
use crate::plan::{Plan, share};
use crate::wire::frame::{self, Opcode};
use crate::wire::payload::{Payloads, Stamp};

/// This thread's part of the large messages.
#[derive(Debug)]
pub(super) struct BulkWork {
    payloads: Arc<Payloads>,
    size: usize,
    fragment: usize,
    at_a_time: usize,
    waiting: VecDeque<usize>,
    active: Vec<Sending>,
}

/// One large message under way.
#[derive(Debug)]
struct Sending {
    slot: usize,
    stamp: Stamp,
    offset: usize,
}

impl BulkWork {
    /// The work of thread `thread` on the open connections of `fleet`.
    pub(super) fn new(fleet: &Slab<Client>, plan: &Plan, thread: usize) -> BulkWork {
        let (count, at_a_time, size, fragment) = match plan.bulk {
            Some(bulk) => (bulk.connections, bulk.at_a_time, bulk.size, bulk.fragment),
            None => (0, 1, 0, 1),
        };
        let open = fleet.iter().filter(|(_, client)| client.is_open()).map(|(slot, _)| slot);
        BulkWork {
            payloads: Arc::new(Payloads::new(Dist::fixed(size as f64), false, plan.seed)),
            size,
            fragment,
            at_a_time: share(at_a_time, plan.threads, thread).max(1),
            waiting: open.take(share(count, plan.threads, thread)).collect(),
            active: Vec::new(),
        }
    }

    /// The contents of the large messages.
    pub(super) fn payloads(&self) -> Arc<Payloads> {
        Arc::clone(&self.payloads)
    }

    /// Whether a turn could send something now.
    pub(super) fn can_send(&self, fleet: &Slab<Client>) -> bool {
        let room = self.active.len() < self.at_a_time && !self.waiting.is_empty();
        let ready =
            |sending: &Sending| sending.offset < self.size && !fleet[sending.slot].is_blocked();
        room || self.active.iter().any(ready)
    }

    /// The connection in `slot` is gone.
    pub(super) fn forget(&mut self, slot: usize) {
        self.waiting.retain(|other| *other != slot);
        self.active.retain(|sending| sending.slot != slot);
    }
}

impl Generator {
    /// Sends one fragment of each message under way; tells whether all have come back.
    pub(super) fn send_fragments(&mut self) -> Result<bool, Failure> {
        let now = self.now();
        let Work::Bulk(bulk) = &mut self.work else { return Ok(true) };
        bulk.active.retain(|sending| self.fleet[sending.slot].in_flight() > 0);
        while bulk.active.len() < bulk.at_a_time {
            let Some(slot) = bulk.waiting.pop_front() else { break };
            let stamp = self.ledger.send(slot, &mut self.fleet[slot], now);
            bulk.active.push(Sending { slot, stamp, offset: 0 });
        }
        let mut lost = Vec::new();
        for sending in &mut bulk.active {
            let client = &mut self.fleet[sending.slot];
            if sending.offset == bulk.size || client.is_blocked() {
                continue;
            }
            let (from, size) = (sending.offset, bulk.size);
            let to = size.min(from + bulk.fragment);
            let opcode = if from == 0 { bulk.payloads.kind() } else { Opcode::Continuation };
            let key = sending.stamp.mask_key(from as u64 + 1);
            self.scratch.clear();
            frame::append_frame(&mut self.scratch, to == size, opcode, key, to - from, |out| {
                bulk.payloads.append(out, sending.stamp, from, to);
            });
            sending.offset = to;
            if let Err(ended) = client.send(&self.scratch) {
                lost.push((sending.slot, ended));
            }
        }
        let done = bulk.waiting.is_empty() && bulk.active.is_empty();
        for (slot, ended) in lost {
            self.end(slot, ended)?;
        }
        Ok(done)
    }
}
