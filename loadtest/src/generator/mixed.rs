//! Connections with a life of their own: bursts, pauses, leaving; each drawn from the plan's
//! distributions. Not the sending and closing itself, which is as everywhere else.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::Generator;
use super::work::Work;
use crate::error::Failure;
use crate::plan::{Patterns, Plan};
use crate::wire::payload::scramble;

/// Steps that one turn takes at most.
const BUDGET: usize = 128;

/// How long a connection that wants to leave waits before it looks again for its last answers.
const LINGER: Duration = Duration::from_millis(20);

/// The connections of one thread and what each does next.
#[derive(Debug, Default)]
pub(super) struct Mixer {
    walkers: Vec<Walker>,
    /// When which slot acts, and for whose life that was meant.
    steps: BinaryHeap<Reverse<(Duration, usize, Life)>>,
    /// How many lives each connection has had, by its number.
    lives: HashMap<u32, u32>,
}

/// One life of a connection: its number, and which of its lives. What it draws depends on nothing
/// else, so that a seed repeats it whatever the others do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Life {
    id: u32,
    number: u32,
}

impl Life {
    /// Its draw number `index`.
    fn random(self, seed: u64, index: u64) -> u64 {
        let stream = u64::from(self.number) << 32 | u64::from(self.id);
        scramble(scramble(seed ^ stream).wrapping_add(index))
    }
}

/// One connection's course.
#[derive(Clone, Copy, Debug, Default)]
struct Walker {
    life: Life,
    draws: u64,
    leaves: Duration,
    left_in_burst: u32,
}

impl Walker {
    fn random(&mut self, seed: u64) -> u64 {
        self.draws += 1;
        self.life.random(seed, self.draws)
    }

    /// One message less in this burst; the time until the next one.
    fn step(&mut self, patterns: &Patterns, seed: u64) -> Duration {
        if self.left_in_burst > 1 {
            self.left_in_burst -= 1;
            return patterns.gap.time(self.random(seed));
        }
        self.left_in_burst = patterns.burst.draw(self.random(seed)).round().max(1.0) as u32;
        patterns.pause.time(self.random(seed))
    }
}

impl Mixer {
    /// The connection in `slot` has opened.
    pub(super) fn opened(&mut self, slot: usize, id: u32, now: Duration, plan: &Plan) {
        let Some(patterns) = &plan.patterns else { return };
        let number = self.lives.entry(id).or_default();
        *number = number.wrapping_add(1);
        let mut walker = Walker { life: Life { id, number: *number }, ..Walker::default() };
        walker.leaves = now.saturating_add(patterns.life.time(walker.random(plan.seed)));
        let first = now.saturating_add(walker.step(patterns, plan.seed));
        if self.walkers.len() <= slot {
            self.walkers.resize(slot + 1, Walker::default());
        }
        self.walkers[slot] = walker;
        self.steps.push(Reverse((first.min(walker.leaves), slot, walker.life)));
    }

    /// How long connection `id` stays away after its present life.
    pub(super) fn away(&self, id: u32, patterns: &Patterns, seed: u64) -> Duration {
        let number = self.lives.get(&id).copied().unwrap_or_default();
        // Apart from what it drew while it lived.
        patterns.away.time(Life { id, number }.random(seed, u64::MAX))
    }

    /// The next step that is due by `now`.
    fn due(&mut self, now: Duration) -> Option<(Duration, usize, Life)> {
        let Reverse((at, ..)) = self.steps.peek()?;
        if *at > now { None } else { self.steps.pop().map(|Reverse(step)| step) }
    }

    /// How long until the next step.
    pub(super) fn patience(&self, now: Duration) -> Option<Duration> {
        self.steps.peek().map(|Reverse((at, ..))| at.saturating_sub(now))
    }
}

impl Generator {
    /// Takes the steps that are due.
    pub(super) fn walk(&mut self) -> Result<(), Failure> {
        for _ in 0..BUDGET {
            let now = self.now();
            let Work::Mixing(mixer) = &mut self.work else { return Ok(()) };
            let Some(step) = mixer.due(now) else {
                let wait = mixer.patience(now).unwrap_or(super::IDLE_WAIT);
                return self.wake_in(wait);
            };
            self.walk_one(step, now)?;
        }
        self.wake_in(Duration::ZERO)
    }

    /// Takes the steps that were due before `end` and have not been taken yet: the scene is over,
    /// and they do not vanish with it.
    pub(super) fn finish_walking(&mut self, end: Duration) -> Result<(), Failure> {
        while let Work::Mixing(mixer) = &mut self.work
            && let Some(step) = mixer.due(end)
        {
            self.walk_one(step, end)?;
        }
        Ok(())
    }

    fn walk_one(
        &mut self,
        (at, slot, life): (Duration, usize, Life),
        now: Duration,
    ) -> Result<(), Failure> {
        let Work::Mixing(mixer) = &mut self.work else { return Ok(()) };
        let open = self.fleet.get(slot).is_some_and(|client| client.is_open());
        if !open || mixer.walkers[slot].life != life {
            return Ok(());
        }
        if at < mixer.walkers[slot].leaves {
            return self.say(slot, at);
        }
        if self.ledger.is_settled(slot) || self.fleet[slot].is_blocked() {
            return self.close(slot);
        }
        mixer.steps.push(Reverse((now + LINGER, slot, life)));
        Ok(())
    }

    fn say(&mut self, slot: usize, at: Duration) -> Result<(), Failure> {
        let plan = &self.shared.plan;
        let (Work::Mixing(mixer), Some(patterns)) = (&mut self.work, &plan.patterns) else {
            return Ok(());
        };
        let walker = &mut mixer.walkers[slot];
        let next = at.saturating_add(walker.step(patterns, plan.seed)).min(walker.leaves.max(at));
        mixer.steps.push(Reverse((next, slot, walker.life)));
        self.ledger.intend(slot, at);
        self.send_owed(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_and_lives_follow_the_plan_and_repeat_with_the_seed() {
        let plan = crate::generator::tests::plan(
            "mixed --burst 3 --gap 10ms --pause 1s --life 5s --seed 9",
        );
        let patterns = plan.patterns.expect("mixed");
        let mut mixer = Mixer::default();
        mixer.opened(4, 17, Duration::ZERO, &plan);
        let mut walker = mixer.walkers[4];
        assert_eq!(walker.leaves, Duration::from_secs(5));
        let times: Vec<u128> = (0..6).map(|_| walker.step(&patterns, 9).as_millis()).collect();
        assert_eq!(times, [10, 10, 1000, 10, 10, 1000]);
        assert_eq!(mixer.patience(Duration::ZERO), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_a_connection_draws_does_not_depend_on_when_or_beside_whom() {
        let plan = crate::generator::tests::plan("mixed --seed 4");
        let patterns = plan.patterns.expect("mixed");
        let course = |others: u32, now: Duration| {
            let mut mixer = Mixer::default();
            for other in 0..others {
                mixer.opened(other as usize + 1, other + 100, now, &plan);
            }
            mixer.opened(0, 17, now, &plan);
            let away = mixer.away(17, &patterns, plan.seed);
            mixer.opened(0, 17, now, &plan);
            let mut walker = mixer.walkers[0];
            let stays = walker.leaves - now;
            (stays, away, (0..9).map(|_| walker.step(&patterns, plan.seed)).collect::<Vec<_>>())
        };
        assert_eq!(course(0, Duration::ZERO), course(5, Duration::from_secs(77)));
    }
}
