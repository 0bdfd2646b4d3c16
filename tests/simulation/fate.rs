//! What befalls the server as a whole: stalls, shortages, reloads, cuts, mail from outside; and the
//! stages of the world's life.
//! Not what single clients do.

use std::sync::Arc;
use std::time::Duration;

use pulsewheel::conn::Frame;
use pulsewheel::reactor::{Fanout, Mail};

use crate::message::{Numbered, OUTSIDE};
use crate::net::{Event, Server, SocketId, Stage};
use crate::rules::{Faults, SECOND};
use crate::serve;
use crate::world::World;

impl World {
    /// Something happens, if the world is still busy.
    pub fn fate(&mut self) {
        if self.stage != Stage::Busy {
            return;
        }
        let (kind, next) = {
            let mut net = self.net.borrow_mut();
            (net.random.u8(0..8), net.random.u64(1..=2 * self.rules.fates))
        };
        match kind {
            0 => self.stall(),
            1 => self.stall_one(),
            2 => self.starve(),
            3 => self.reload(),
            4 => self.cut(),
            5 => self.block(),
            _ => self.publish(),
        }
        self.net.borrow_mut().after(next, Event::Fate);
    }

    fn stall_length(&mut self) -> u64 {
        let mut net = self.net.borrow_mut();
        match net.random.u8(0..4) {
            0 => net.random.u64(1..SECOND / 2),
            1 => net.random.u64(1..20 * SECOND),
            2 => net.random.u64(1..120 * SECOND),
            _ if net.random.u8(0..4) == 0 => net.random.u64(1..7_200 * SECOND),
            _ => net.random.u64(1..2 * SECOND),
        }
    }

    /// The whole process is kept from running, as by SIGSTOP or a suspended machine.
    fn stall(&mut self) {
        let length = self.stall_length();
        let until = self.net.borrow().now + length;
        self.stations.iter_mut().for_each(|station| station.stall(until));
        self.disturbed_until = self.disturbed_until.max(until);
    }

    /// One reactor is: its core is taken away, or a handler blocks.
    fn stall_one(&mut self) {
        let length = self.stall_length();
        let mut net = self.net.borrow_mut();
        let (id, until) = (net.random.usize(0..self.stations.len()), net.now + length);
        self.disturbed_until = self.disturbed_until.max(until);
        if net.random.bool() {
            self.stations[id].stall(until);
        } else {
            self.stations[id].long_turn = length.min(3 * SECOND);
        }
    }

    /// There are no descriptors for a while.
    fn starve(&mut self) {
        let mut net = self.net.borrow_mut();
        let until = net.now + net.random.u64(1..10 * SECOND);
        net.ports.iter_mut().for_each(|port| port.starved_until = until);
    }

    /// SIGHUP: the same that `server` does with new limits.
    fn reload(&mut self) {
        let Some(limits) = self.rules.reloads.get(self.reloads).copied() else { return };
        self.reloads += 1;
        self.reloaded = self.net.borrow().now;
        self.shared.outbox_budget.set_limit(limits.outbox_budget);
        self.shared.inbox_budget.set_limit(limits.inbox_budget);
        self.shared.total_rate.set(limits.message_rate_total);
        let limits = Arc::new(limits);
        self.shared.mailboxes.tell_all(|| Mail::Reload(Arc::clone(&limits)));
    }

    /// A router forgets its streams: both ends of many get a reset, and they all come back.
    fn cut(&mut self) {
        let mut net = self.net.borrow_mut();
        let share = net.random.f64();
        for id in (0..net.sockets.len() as u32).map(SocketId) {
            if net.socket(id).server != Server::Open || !net.chance(share) {
                continue;
            }
            net.socket(id).was_cut = true;
            net.reset(id);
            let latency = net.socket(id).latency;
            net.after(latency, Event::Broken(id));
        }
    }

    /// No stream takes anything for a while.
    fn block(&mut self) {
        let mut net = self.net.borrow_mut();
        let until = net.now + net.random.u64(1..SECOND);
        for id in (0..net.sockets.len() as u32).map(SocketId) {
            if net.socket(id).server == Server::Open {
                net.socket(id).blocked_until = until;
                net.at(until, Event::Writable(id));
            }
        }
    }

    /// Messages from an application's thread to the broadcast route.
    fn publish(&mut self) {
        let burst = self.net.borrow_mut().random.u32(1..20);
        for _ in 0..burst {
            if self.shared.mailboxes.any_is_full() {
                return;
            }
            let mut net = self.net.borrow_mut();
            let number = self.published.len() as u32;
            let length = net.random.usize(0..=self.rules.largest_message);
            let message = Numbered { sender: OUTSIDE, number, length };
            let payload = message.payload();
            let mut bytes = vec![0x80 | message.opcode()];
            match payload.len() {
                length @ 0..=125 => bytes.push(length as u8),
                length => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
            }
            bytes.extend_from_slice(&payload);
            let frame = Frame::shared(bytes.into());
            let fanout = Fanout::new(serve::BROADCAST, frame, net.now, self.stations.len());
            self.published.push((net.now, Arc::clone(&fanout)));
            drop(net);
            self.shared.mailboxes.publish(&fanout);
        }
    }

    /// The next stage of the world begins.
    pub fn enter(&mut self, stage: Stage) -> Result<(), String> {
        let is_calm_over = self.stage == Stage::Calm;
        self.stage = stage;
        match stage {
            Stage::Busy | Stage::End => {}
            Stage::Calm => {
                let latency = self.rules.faults.latency.clone();
                let stalled = self.disturbed_until;
                let mut net = self.net.borrow_mut();
                net.faults = Faults::none(latency);
                let stall = stalled.saturating_sub(net.now);
                net.ports.iter_mut().for_each(|port| port.starved_until = 0);
                net.after(stall + self.rules.calm, Event::Stage(Stage::Drain));
                drop(net);
                self.begin_settling();
            }
            Stage::Drain if is_calm_over => match self.is_settled() {
                Ok(()) => self.drain(),
                Err(what) if self.is_out_of_patience() => return Err(what),
                Err(_) => {
                    self.stage = Stage::Calm;
                    self.net.borrow_mut().after(60 * SECOND, Event::Stage(Stage::Drain));
                }
            },
            Stage::Drain => self.drain(),
            Stage::Gone => self.is_gone()?,
        }
        Ok(())
    }

    fn drain(&mut self) {
        let window = self.rules.drain_window;
        self.shared.mailboxes.tell_all(|| Mail::Drain(window));
        let longest = self.rules.every_limits().map(|limits| limits.close_timeout).max();
        let wait = window + longest.unwrap_or_default() + Duration::from_secs(4);
        let stalled = self.disturbed_until;
        let mut net = self.net.borrow_mut();
        let stall = stalled.saturating_sub(net.now);
        self.drain_began = Some(net.now);
        // So late that the close deadline ends after the drain, so early that the answer is there.
        let shortest = self.rules.every_limits().map(|limits| limits.close_timeout).min();
        net.block_some(shortest.unwrap_or_default().saturating_sub(Duration::from_secs(1)));
        net.after(wait.as_micros() as u64 + 2 * stall, Event::Stage(Stage::Gone));
    }

    /// Every reactor has ended, a little after the drain's window and the close timeout.
    fn is_gone(&mut self) -> Result<(), String> {
        let left = self.stations.iter().filter(|station| station.reactor.is_some()).count();
        if left > 0 {
            let slots: Vec<usize> = self.stations.iter().map(|station| station.slots).collect();
            let began = self.drain_began;
            return Err(format!(
                "{left} reactors have not drained in time; slots {slots:?}, begun {began:?}, \
                 lost {:?}",
                self.lost
            ));
        }
        self.net.borrow_mut().after(5 * SECOND, Event::Stage(Stage::End));
        Ok(())
    }
}
