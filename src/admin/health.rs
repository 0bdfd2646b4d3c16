//! Whether every reactor still turns: the judgement behind `/healthz`.
//! Not whether the server takes connections: that is readiness, which the server itself knows.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Health;
use crate::reactor::shard::Shard;

/// The first look at the reactors comes this soon after they were woken: an idle one takes some
/// tens of microseconds to answer, so a healthy server answers its probe at once.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Looks come no further apart than this, which bounds by how much a verdict can be late.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Where a reactor stood when it was looked at: turns finished, and when the present one began.
type Standing = (u64, Option<u64>);

/// Wakes every reactor that sleeps and waits until each has begun or finished a turn.
///
/// `wake` is called with the index of a reactor that sleeps in its driver. `limit` is how long a
/// reactor may take: one that has not moved by then is stuck in a handler, starved or gone.
/// Returns as soon as all have moved, hence at once on a healthy server, else after `limit`.
pub fn probe(shards: &[Arc<Shard>], wake: &dyn Fn(usize), limit: Duration) -> Health {
    let mut unmoved: Vec<(usize, Standing)> =
        shards.iter().map(|shard| standing(shard)).enumerate().collect();
    for &(reactor, (_, turn_started)) in &unmoved {
        if turn_started.is_none() {
            wake(reactor);
        }
    }

    // What counts is the time slept, not the time passed: after the whole process was stopped and
    // goes on, the clock has leapt and no reactor has had a chance to move.
    let mut waited = Duration::ZERO;
    let mut pause = FIRST_PAUSE;
    loop {
        unmoved.retain(|(reactor, before)| standing(&shards[*reactor]) == *before);
        let Some((reactor, _)) = unmoved.first() else { return Health::Ok };
        if waited >= limit {
            let for_millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            return Health::Stuck { reactor: *reactor, for_millis };
        }
        thread::sleep(pause.min(limit.saturating_sub(waited)));
        waited += pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn standing(shard: &Shard) -> Standing {
    (shard.turns(), shard.turn_started_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    /// Long enough for a loaded machine to schedule a woken thread.
    const GENEROUS: Duration = Duration::from_secs(10);
    /// Short, where the verdict is certain.
    const SHORT: Duration = Duration::from_millis(50);

    /// A thread that takes one turn for each wake-up and ends when nobody can wake it any more.
    fn sleeper(shard: Arc<Shard>, wakes: Receiver<()>) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            while wakes.recv().is_ok() {
                shard.turn_begins(1);
                shard.turn_ends();
            }
        })
    }

    #[test]
    fn reactors_that_sleep_are_woken_and_found_healthy_at_once() {
        let shards: Vec<_> = (0..4).map(|_| Shard::new()).collect();
        let (wakers, threads): (Vec<Sender<()>>, Vec<_>) = shards
            .iter()
            .map(|shard| {
                let (wake, wakes) = channel();
                (wake, sleeper(shard.clone(), wakes))
            })
            .unzip();
        let begun = Instant::now();
        let health = probe(&shards, &|reactor| wakers[reactor].send(()).unwrap(), GENEROUS);
        assert_eq!(health, Health::Ok);
        assert!(begun.elapsed() < GENEROUS / 2);
        drop(wakers);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(shards.iter().all(|shard| shard.turns() == 1), "each is woken exactly once");
    }

    #[test]
    fn a_reactor_that_stays_in_one_turn_is_stuck_and_named() {
        let shards = [Shard::new(), Shard::new()];
        shards[1].turn_begins(1);
        let wake = |reactor: usize| {
            assert_eq!(reactor, 0, "only those that sleep are woken");
            shards[0].turn_begins(1);
            shards[0].turn_ends();
        };
        let Health::Stuck { reactor, for_millis } = probe(&shards, &wake, SHORT) else {
            panic!("a reactor in one turn throughout is not healthy");
        };
        assert_eq!(reactor, 1);
        assert!(for_millis >= 50);
    }

    #[test]
    fn a_reactor_that_does_not_wake_is_stuck() {
        let shards = [Shard::new()];
        let health = probe(&shards, &|_| (), SHORT);
        assert!(matches!(health, Health::Stuck { reactor: 0, .. }));
    }

    #[test]
    fn a_long_turn_that_ends_in_time_is_healthy() {
        let shards = [Shard::new()];
        shards[0].turn_begins(1);
        let shard = shards[0].clone();
        let turn = thread::spawn(move || {
            thread::sleep(SHORT);
            shard.turn_ends();
        });
        assert_eq!(probe(&shards, &|_| unreachable!("it is awake"), GENEROUS), Health::Ok);
        turn.join().unwrap();
    }

    #[test]
    fn one_that_begins_the_turn_it_was_woken_for_has_moved() {
        let shards = [Shard::new()];
        assert_eq!(probe(&shards, &|reactor| shards[reactor].turn_begins(1), SHORT), Health::Ok);
    }
}
