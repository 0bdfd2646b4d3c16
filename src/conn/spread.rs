//! Where chance decides about a connection's times, and which of them have enough pings already.
//! Not for the rules of the heartbeat: `heartbeat` says within which bounds a ping may fall.

use super::{Tick, Ticks};

/// Slots that a ping interval is divided into.
const SLOTS_PER_INTERVAL: u32 = 48;

/// Slots in the ring: an interval ahead of now and a little more, so that no two meet.
const SLOTS: u32 = 64;

/// So many times are drawn for a ping, and the emptiest is taken. With one, peers that all speak
/// at once, again and again, would drift together: each time those that ping late would be joined
/// by those that may ping later, and the gap those leave would never fill.
const DRAWS: usize = 4;

/// A reactor's source of chance, and how many of its pings are planned for when.
pub struct Spread {
    /// For everything that is not a ping.
    pub random: fastrand::Rng,
    interval: Ticks,
    planned: [u32; SLOTS as usize],
    /// The slot of the last look; those before it are empty.
    now: u32,
}

impl Spread {
    /// Nothing is planned.
    pub fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Spread { random, interval: Ticks(0), planned: [0; SLOTS as usize], now: 0 }
    }

    /// Draws a time at least `earliest` and at most `latest` after `base` for a ping, and plans it.
    pub fn draw(
        &mut self,
        base: Tick,
        (earliest, latest): (Ticks, Ticks),
        now: Tick,
        interval: Ticks,
    ) -> Tick {
        self.turn_to(now, interval);
        let mut best = base.plus(latest);
        let mut fewest = u32::MAX;
        for _ in 0..DRAWS {
            let tick = base.plus(Ticks(self.random.u32(earliest.0..=latest.0.max(earliest.0))));
            let planned = self.planned.get(self.place(tick)).copied().unwrap_or(u32::MAX);
            if planned < fewest {
                (best, fewest) = (tick, planned);
            }
        }
        self.add(best);
        best
    }

    /// A ping leaves now: if the peer stays silent otherwise, the next follows in an interval.
    pub fn pinged(&mut self, now: Tick, interval: Ticks) {
        self.turn_to(now, interval);
        self.add(now.plus(interval));
    }

    /// A connection leaves whose next ping was planned for `tick`: its place is free for those who
    /// come, who would else avoid it and crowd elsewhere.
    pub fn forget(&mut self, tick: Tick, now: Tick) {
        self.turn_to(now, self.interval);
        let ahead = self.slot(tick).wrapping_sub(self.now);
        let place = self.place(tick);
        if ahead < SLOTS
            && let Some(planned) = self.planned.get_mut(place)
        {
            *planned = planned.saturating_sub(1);
        }
    }

    fn add(&mut self, tick: Tick) {
        let place = self.place(tick);
        if let Some(planned) = self.planned.get_mut(place) {
            *planned = planned.saturating_add(1);
        }
    }

    /// Empties the slots that have passed.
    fn turn_to(&mut self, now: Tick, interval: Ticks) {
        if interval != self.interval {
            self.interval = interval;
            self.planned = [0; SLOTS as usize];
            self.now = self.slot(now);
        }
        let slot = self.slot(now);
        for passed in 0..slot.wrapping_sub(self.now).min(SLOTS) {
            let place = (self.now.wrapping_add(passed) % SLOTS) as usize;
            if let Some(planned) = self.planned.get_mut(place) {
                *planned = 0;
            }
        }
        self.now = slot;
    }

    /// When ticks wrap, slots jump once; for one interval some counts are then wrong, no more.
    fn slot(&self, tick: Tick) -> u32 {
        let width = self.interval.0.div_ceil(SLOTS_PER_INTERVAL);
        tick.0.checked_div(width).unwrap_or(tick.0)
    }

    fn place(&self, tick: Tick) -> usize {
        (self.slot(tick) % SLOTS) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::conn::{Conn, Limits, Verdict, flag};

    const PEERS: usize = 1000;
    const INTERVAL: u32 = 1000;

    /// A tick of a thousand peers that answer each ping at once; how many were pinged.
    fn pings(peers: &mut [Conn], now: Tick, limits: &Limits, spread: &mut Spread) -> usize {
        let mut count = 0;
        for peer in peers {
            if let Some((_, Verdict::Ping)) = peer.expire(now, limits, spread) {
                peer.ping_queued();
                peer.control_is_out(now, 0, limits);
                peer.received(2, now, limits);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn who_leaves_makes_room_for_who_comes() {
        let limits = Limits::from(&config::Limits::default());
        let interval = limits.ping.unwrap();
        let mut spread = Spread::new(1);
        let come = |now: Tick, spread: &mut Spread| -> Vec<Tick> {
            (0..PEERS).map(|_| spread.draw(now, (Ticks(1), interval), now, interval)).collect()
        };
        let first = come(Tick(0), &mut spread);
        for tick in first {
            spread.forget(tick, Tick(600));
        }
        let second = come(Tick(600), &mut spread);
        let mut slots = [0; SLOTS as usize];
        second.iter().for_each(|tick| slots[spread.place(*tick)] += 1);
        let most = slots.iter().max().unwrap();
        let even = PEERS / SLOTS_PER_INTERVAL as usize;
        assert!(*most <= even * 3 / 2, "{most} in a slot, {even} would be even");
    }

    /// Herds speak at many different points of the interval; the worst second stays within twice
    /// the mean all the time.
    #[test]
    fn pings_stay_flat_however_often_all_speak_at_once() {
        let limits = config::Limits {
            ping_interval: Some(Duration::from_secs(10)),
            pong_timeout: Some(Duration::from_secs(10)),
            ..config::Limits::default()
        };
        let limits = Limits::from(&limits);
        for period in [610, 700, 800, 900, 1100, 1250, 1300, 1600, 1850] {
            let mut spread = Spread::new(u64::from(period));
            let mut peers: Vec<Conn> = (0..PEERS)
                .map(|_| {
                    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
                    let mut conn = Conn::new(from.into(), Tick(0), false);
                    conn.upgraded(0, Tick(0), &limits, &mut spread);
                    conn
                })
                .collect();
            let mut by_tick = Vec::new();
            for now in (1..20_000).map(Tick) {
                by_tick.push(pings(&mut peers, now, &limits, &mut spread));
                if now.0 % period == 0 {
                    for peer in &mut peers {
                        peer.received(10, now, &limits);
                        peer.flags |= flag::TALKED;
                    }
                }
            }
            let most = by_tick.windows(100).map(|second| second.iter().sum::<usize>()).max();
            let mean = PEERS * 100 / INTERVAL as usize;
            assert!(most <= Some(2 * mean), "{most:?} in a second, mean {mean}, period {period}");
        }
    }
}
