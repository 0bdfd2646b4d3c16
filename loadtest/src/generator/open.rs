//! Opening connections: at the start, again after a loss, and giving up on those that do not open.
//! Not who is to come and when; that is `arrivals`.

use std::collections::HashSet;
use std::time::Duration;

use mio::{Interest, Token};

use super::client::{Client, Stage};
use super::dial::{self, Undialled};
use super::work::Work;
use super::{Generator, append_text};
use crate::error::Failure;
use crate::tally::{ErrorKind, record};

/// How often connections that do not open, or do not close, are looked for.
const TIMEOUT_CHECK: Duration = Duration::from_millis(500);

impl Generator {
    /// Opens some of those that are to come; tells whether all have come or failed.
    pub(super) fn admit(&mut self) -> Result<bool, Failure> {
        let now = self.now();
        for _ in 0..self.arrivals.room(&self.shared.plan, now) {
            let plan = &self.shared.plan;
            let Some((id, attempts)) = self.arrivals.next(plan, self.thread, now) else { break };
            self.open_one(id, attempts, now)?;
        }
        if self.next_check <= now {
            self.next_check = now + TIMEOUT_CHECK;
            self.give_up_on_late_ones(now)?;
        }
        Ok(self.arrivals.is_over())
    }

    fn open_one(&mut self, id: u32, attempts: u16, now: Duration) -> Result<(), Failure> {
        let plan = &self.shared.plan;
        if let Work::Herding { .. } = self.work {
            self.ledger.findings.attempts += 1;
        }
        let nth = if self.nobody_yet() { self.fleet.len() } else { self.fleet.len().max(1) };
        match dial::dial(plan, id, nth) {
            Ok(mut stream) => {
                let entry = self.fleet.vacant_entry();
                let interest = Interest::READABLE | Interest::WRITABLE;
                let token = Token(entry.key());
                let registered = self.poll.registry().register(&mut stream, token, interest);
                registered.map_err(Failure::system("cannot poll a socket"))?;
                let client = entry.insert(Client::new(stream, id, now, plan.masked_answers()));
                client.attempts = attempts;
                self.arrivals.under_way();
                Ok(())
            }
            Err(Undialled::Limit(failure)) => Err(failure),
            Err(Undialled::Connect(source)) if self.nobody_yet() => {
                Err(Failure::Unreachable { address: plan.target.address, source })
            }
            Err(Undialled::Connect(source)) => {
                self.count_loss(false, ErrorKind::Connect, &source);
                if self.arrivals.persistent {
                    self.come_back_later(id, attempts, None);
                }
                Ok(())
            }
        }
    }

    /// The connection in `slot` is ready for messages.
    pub(super) fn opened(&mut self, slot: usize) -> Result<(), Failure> {
        let now = self.now();
        let client = &mut self.fleet[slot];
        client.stage = Stage::Open;
        client.attempts = 0;
        self.ledger.opened(slot, client, now);
        self.arrivals.settled();
        match &mut self.work {
            Work::Herding { since } => {
                record(&mut self.ledger.findings.back, (now - *since).as_nanos() as u64);
            }
            Work::Mixing(mixer) => mixer.opened(slot, client.id, now, &self.shared.plan),
            _ => {}
        }
        if self.shared.plan.subscribe.is_empty() {
            return Ok(());
        }
        self.scratch.clear();
        for message in &self.shared.plan.subscribe {
            append_text(&mut self.scratch, message);
        }
        self.send_scratch(slot)
    }

    fn give_up_on_late_ones(&mut self, now: Duration) -> Result<(), Failure> {
        let timeout = self.shared.plan.connect_timeout;
        let late = |client: &Client| {
            !matches!(client.stage, Stage::Open) && now.saturating_sub(client.spoke) > timeout
        };
        let slots = self.fleet.iter().filter(|(_, client)| late(client)).map(|(slot, _)| slot);
        for slot in slots.collect::<Vec<_>>() {
            dial::reset_on_drop(self.fleet[slot].stream());
            match self.fleet[slot].stage {
                Stage::Closing => {
                    self.lose(slot, ErrorKind::Unanswered, "no answer to our close frame")?;
                }
                _ => {
                    let why = self.fleet[slot].stage.unfinished();
                    self.lose(slot, ErrorKind::ConnectTimeout, why)?;
                }
            }
        }
        Ok(())
    }

    /// From now on there are to be `connections` in all: this thread opens its part of those that
    /// are missing, or lets those go that are beyond it.
    pub(super) fn populate(&mut self, connections: usize) {
        let threads = self.shared.plan.threads;
        let own = self.shared.plan.share(connections, self.thread);
        if self.fleet.is_empty() {
            self.next_nth = 0;
        }
        let beyond = |client: &Client| client.id as usize / threads >= own;
        let surplus = self.fleet.iter().filter(|(_, client)| beyond(client));
        for slot in surplus.map(|(slot, _)| slot).collect::<Vec<_>>() {
            dial::reset_on_drop(self.fleet[slot].stream());
            self.remove(slot, None);
        }
        let now = self.now();
        self.arrivals.begin(self.next_nth.min(own)..own, false, now);
        // Those that were lost since come again: the next step of a search is to have them all.
        let there: HashSet<u32> = self.fleet.iter().map(|(_, client)| client.id).collect();
        for nth in 0..self.next_nth.min(own) {
            let id = (self.thread + nth * threads) as u32;
            if !there.contains(&id) {
                self.arrivals.come_at(now, id, 0);
            }
        }
        self.next_nth = own;
    }
}
