//! How connections leave: lost, refused, closed by us; and what each way counts as.
//! Not the coming back; `arrivals` keeps who does and when.

use std::time::Duration;

use super::client::{Client, Ended, Stage};
use super::work::Work;
use super::{Generator, append_control, arrivals, dial};
use crate::error::Failure;
use crate::tally::ErrorKind;
use crate::tls;
use crate::wire::frame::Opcode;
use crate::wire::handshake::Refusal;

/// What to ask where a TLS handshake ends in nothing.
const SPEAKS_TLS: &str = "does the server speak TLS there?";

/// Connections that one turn closes at most.
const BUDGET: usize = 128;

impl Generator {
    /// Takes a connection out, for a reason that is counted; ends the run where nobody has ever got
    /// through, since the others would only say the same.
    pub(super) fn lose(
        &mut self,
        slot: usize,
        kind: ErrorKind,
        detail: &str,
    ) -> Result<(), Failure> {
        if self.ledger.mute && matches!(kind, ErrorKind::ClosedByServer | ErrorKind::Reset) {
            self.ledger.reaped(&self.fleet[slot], self.now());
            self.remove(slot, None);
            return Ok(());
        }
        let was_open = self.remove(slot, None);
        let target = &self.shared.plan.target;
        if !was_open && self.nobody_yet() {
            let (url, why) = (target.url.clone(), detail.to_owned());
            return Err(Failure::Unopened { url, why });
        }
        self.count_loss(was_open, kind, &detail);
        Ok(())
    }

    /// In a herd those that do not get through at once are what is measured, not errors.
    pub(super) fn count_loss(
        &mut self,
        was_open: bool,
        kind: ErrorKind,
        detail: &dyn std::fmt::Display,
    ) {
        if matches!(self.work, Work::Herding { .. }) && !was_open {
            self.ledger.findings.failed_attempts += 1;
            self.ledger.findings.refused_attempts += u64::from(kind == ErrorKind::Refused);
        } else {
            self.ledger.tell(kind, detail);
        }
    }

    /// The server has answered an upgrade with something else.
    pub(super) fn refuse(&mut self, slot: usize, refusal: Refusal) -> Result<(), Failure> {
        if self.nobody_yet() {
            let url = self.shared.plan.target.url.clone();
            return Err(Failure::Refused { url, refusal });
        }
        dial::reset_on_drop(self.fleet[slot].stream());
        let retry_after = refusal.retry_after();
        self.remove(slot, retry_after);
        self.count_loss(false, ErrorKind::Refused, &refusal);
        Ok(())
    }

    /// As [`Generator::lose`], for what the kernel said about the socket.
    pub(super) fn end(&mut self, slot: usize, ended: Ended) -> Result<(), Failure> {
        let nobody = self.nobody_yet();
        match (ended, &self.fleet[slot].stage) {
            (_, Stage::Closing) => {
                self.remove(slot, None);
                Ok(())
            }
            (Ended::Failed(source), Stage::Connecting) if nobody => {
                Err(Failure::Unreachable { address: self.shared.plan.target.address, source })
            }
            (Ended::Failed(source), Stage::Connecting) => {
                self.lose(slot, ErrorKind::Connect, &source.to_string())
            }
            (Ended::Tls(error), _) => self.lose(slot, ErrorKind::Tls, &tls::explain(&error)),
            (Ended::Failed(source), Stage::Securing) => {
                let why = format!("{source} in the TLS handshake; {SPEAKS_TLS}");
                self.lose(slot, ErrorKind::Tls, &why)
            }
            (Ended::Closed, Stage::Securing) => {
                let why = format!("the server hung up in the TLS handshake; {SPEAKS_TLS}");
                self.lose(slot, ErrorKind::Tls, &why)
            }
            (Ended::Failed(source), _) => self.lose(slot, ErrorKind::Reset, &source.to_string()),
            (Ended::Closed, Stage::Open) => {
                self.lose(slot, ErrorKind::ClosedByServer, "without a close frame")
            }
            (Ended::Closed, _) => {
                self.lose(slot, ErrorKind::ClosedByServer, "the server hung up during the upgrade")
            }
        }
    }

    /// Drops a connection, and sees to its coming back where the scene wants that; tells whether
    /// it was open.
    pub(super) fn remove(&mut self, slot: usize, retry_after: Option<Duration>) -> bool {
        let mut client = self.fleet.remove(slot);
        client.close();
        self.partial.remove(&slot);
        let was_open = matches!(client.stage, Stage::Open | Stage::Closing);
        if was_open {
            let lost = matches!(client.stage, Stage::Open);
            self.ledger.gone(slot, &client, lost, self.shared.epoch.elapsed());
        } else {
            self.arrivals.settled();
        }
        if let Work::Bulk(bulk) = &mut self.work {
            bulk.forget(slot);
        }
        self.come_back(&client, was_open, retry_after);
        was_open
    }

    fn come_back(&mut self, client: &Client, was_open: bool, retry_after: Option<Duration>) {
        if !self.arrivals.persistent {
            return;
        }
        let now = self.now();
        let plan = &self.shared.plan;
        // Who leaves of its own will is not in trouble.
        match (&self.work, &plan.patterns) {
            (Work::Churning, _) if was_open => self.arrivals.come_at(now, client.id, 0),
            (Work::Mixing(mixer), Some(patterns)) if was_open => {
                let away = mixer.away(client.id, patterns, plan.seed);
                self.arrivals.come_at(now.saturating_add(away), client.id, 0);
            }
            _ => self.come_back_later(client.id, client.attempts, retry_after),
        }
    }

    /// Connection `id` comes back after a pause, since it has failed after so many `attempts`.
    pub(super) fn come_back_later(
        &mut self,
        id: u32,
        attempts: u16,
        retry_after: Option<Duration>,
    ) {
        let plan = &self.shared.plan;
        let pause = arrivals::pause(&plan.backoff, id, attempts, plan.seed);
        let asked = retry_after.filter(|_| plan.backoff.heed_retry_after).unwrap_or_default();
        let at = self.now().saturating_add(pause.max(asked));
        self.arrivals.come_at(at, id, attempts.saturating_add(1));
    }

    /// All connections drop, in this very turn, and each comes back after a pause of its own.
    pub(super) fn drop_all(&mut self) {
        let reset = self.shared.plan.drop == crate::args::Drop::Reset;
        let slots: Vec<usize> = self.fleet.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let client = &mut self.fleet[slot];
            client.attempts = 0;
            if reset {
                dial::reset_on_drop(client.stream());
            }
            self.remove(slot, None);
        }
    }

    /// Begins the closing handshake of a connection, or drops it where there is none.
    pub(super) fn close(&mut self, slot: usize) -> Result<(), Failure> {
        let websocket = !self.shared.plan.is_plain_tcp();
        let now = self.now();
        let client = &mut self.fleet[slot];
        if websocket && client.is_open() && !client.is_blocked() {
            client.stage = Stage::Closing;
            client.spoke = now;
            self.scratch.clear();
            append_control(&mut self.scratch, Opcode::Close, [0; 4], &1000u16.to_be_bytes());
            return self.send_scratch(slot);
        }
        dial::reset_on_drop(client.stream());
        self.remove(slot, None);
        Ok(())
    }

    /// Closes some of those that are left; tells whether none is.
    pub(super) fn close_some(&mut self) -> Result<bool, Failure> {
        let Work::Closing { next } = &mut self.work else { return Ok(true) };
        let from = *next;
        *next = self.fleet.capacity().min(from + BUDGET);
        let to = *next;
        for slot in from..to {
            if self.fleet.contains(slot) && !matches!(self.fleet[slot].stage, Stage::Closing) {
                self.close(slot)?;
            }
        }
        Ok(self.fleet.is_empty())
    }

    /// Resets whoever is left.
    pub(super) fn reset_all(&mut self) {
        let left: Vec<usize> = self.fleet.iter().map(|(slot, _)| slot).collect();
        for slot in left {
            dial::reset_on_drop(self.fleet[slot].stream());
            self.remove(slot, None);
        }
    }
}
