//! Sending by the clock: messages of the open loop, publications, and the probes' pings.
//! Not when each is due; that is `timetable`.

use std::time::Duration;

use super::timetable::Timetable;
use super::work::Work;
use super::{BUFFER, Generator, append_control, append_message};
use crate::error::Failure;
use crate::tally::ErrorKind;
use crate::wire::frame::Opcode;

/// Messages that one turn sends at most.
const BUDGET: usize = 64;

/// The shortest time that the alarm is set for.
const SOON: Duration = Duration::from_micros(20);

/// The longest; later turns are looked at again then.
const LONG: Duration = Duration::from_secs(3_600);

/// How soon a publisher is asked again whose socket was full.
const ASK_AGAIN: Duration = Duration::from_millis(1);

impl Generator {
    /// The timetable of the scene that is on.
    fn timetable(&mut self) -> Option<&mut Timetable> {
        match &mut self.work {
            Work::Pacing(table) | Work::Publishing(table) | Work::Holding(table) => Some(table),
            _ => None,
        }
    }

    /// Takes the turns that are due, and sets the alarm for the next one.
    pub(super) fn take_turns(
        &mut self,
        send: fn(&mut Generator, usize, Duration) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        for _ in 0..BUDGET {
            let Some((slot, id, due)) = self.timetable().and_then(|table| table.due()) else {
                return Ok(());
            };
            let now = self.now();
            if due > now {
                return self.wake_in((due - now).clamp(SOON, LONG));
            }
            if !self.is_there(slot, id) {
                self.ledger.fault(ErrorKind::Unsent, 1);
            } else if !send(self, slot, due)? {
                return self.wake_in(ASK_AGAIN);
            }
            if let Some(table) = self.timetable() {
                table.advance();
            }
        }
        self.wake_in(Duration::ZERO)
    }

    fn is_there(&self, slot: usize, id: u32) -> bool {
        self.fleet.get(slot).is_some_and(|client| client.is_open() && client.id == id)
    }

    /// A scene of the open loop is over: what fell due in it and was not taken yet is sent now, or
    /// counts as unsent; it does not vanish with the timetable.
    pub(super) fn finish_turns(&mut self, now: Duration) -> Result<(), Failure> {
        let publishes = matches!(self.work, Work::Publishing(_));
        while let Some((slot, id, due)) = self.timetable().and_then(|table| table.due())
            && due < now
        {
            let sent = self.is_there(slot, id)
                && if publishes { self.publish(slot, due)? } else { self.pace(slot, due)? };
            self.ledger.fault(ErrorKind::Unsent, u64::from(!sent));
            if let Some(table) = self.timetable() {
                table.advance();
            }
        }
        Ok(())
    }

    /// Makes the poll return after so long at the latest.
    pub(super) fn wake_in(&self, wait: Duration) -> Result<(), Failure> {
        self.alarm.set(wait).map_err(Failure::system("cannot set a timer"))
    }

    /// A message of the connection in `slot` is due. Where its socket is full it is owed, and the
    /// others are not kept waiting.
    pub(super) fn pace(&mut self, slot: usize, due: Duration) -> Result<bool, Failure> {
        self.ledger.intend(slot, due);
        self.send_owed(slot)?;
        Ok(true)
    }

    /// Sends what the connection in `slot` owes, as far as its socket takes it.
    pub(super) fn send_owed(&mut self, slot: usize) -> Result<(), Failure> {
        let client = &mut self.fleet[slot];
        if client.is_blocked() {
            return Ok(());
        }
        self.scratch.clear();
        while self.scratch.len() < BUFFER
            && let Some(stamp) = self.ledger.send_owed(slot, client)
        {
            append_message(&mut self.scratch, &self.payloads, stamp, self.shared.plan.seed);
        }
        if self.scratch.is_empty() { Ok(()) } else { self.send_scratch(slot) }
    }

    /// A publication is due. False where the publisher's socket is full: it is asked again, and
    /// its messages keep their times.
    pub(super) fn publish(&mut self, slot: usize, due: Duration) -> Result<bool, Failure> {
        if self.fleet[slot].is_blocked() {
            return Ok(false);
        }
        self.send_message(slot, due)?;
        Ok(true)
    }

    /// A probe's ping is due.
    pub(super) fn probe(&mut self, slot: usize, due: Duration) -> Result<bool, Failure> {
        self.scratch.clear();
        let payload = self.ledger.probe(slot, due);
        append_control(&mut self.scratch, Opcode::Ping, [0; 4], &payload);
        self.send_scratch(slot)?;
        Ok(true)
    }
}
