//! The timing wheel beside what else could hold deadlines: a heap, and a map ordered by time.
//!
//! All do the reactor's job: 10k, 100k or 1M connections with a deadline each, spread over a ping
//! interval of 25 s in ticks of 10 ms. Nothing is cancelled: a deadline that has moved is put back
//! when its entry comes up, which is what makes a message cost nothing. The time is for each entry.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main,
};
use pulsewheel::conn::{Tick, Ticks};
use pulsewheel::reactor::Wheel;

const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];

/// The interval that deadlines are spread over.
const INTERVAL: u32 = 2_500;

/// Ticks that one round of re-arming turns through.
const ROUND: u32 = INTERVAL / 10;

/// Something that holds who is due when.
trait Timer {
    const NAME: &'static str;
    fn empty() -> Self;
    fn insert(&mut self, slot: u32, tick: Tick);
    /// Goes to `now`, the tick after the last one; `due` gets the slots that have come up.
    fn advance(&mut self, now: Tick, due: &mut Vec<u32>);
}

impl Timer for Wheel {
    const NAME: &'static str = "wheel";

    fn empty() -> Self {
        Wheel::new(Tick(0))
    }

    fn insert(&mut self, slot: u32, tick: Tick) {
        Wheel::insert(self, slot, tick);
    }

    fn advance(&mut self, now: Tick, due: &mut Vec<u32>) {
        Wheel::advance(self, now);
        due.extend(std::iter::from_fn(|| self.pop()).map(|(_, slot)| slot));
    }
}

/// A heap of (tick, slot), the earliest first.
struct Heap(BinaryHeap<Reverse<(u32, u32)>>);

impl Timer for Heap {
    const NAME: &'static str = "BinaryHeap";

    fn empty() -> Self {
        Heap(BinaryHeap::new())
    }

    fn insert(&mut self, slot: u32, tick: Tick) {
        self.0.push(Reverse((tick.0, slot)));
    }

    fn advance(&mut self, now: Tick, due: &mut Vec<u32>) {
        while let Some(&Reverse((tick, slot))) = self.0.peek()
            && tick <= now.0
        {
            self.0.pop();
            due.push(slot);
        }
    }
}

/// A map with a key for each entry.
struct MapOfEntries(BTreeMap<(u32, u32), ()>);

impl Timer for MapOfEntries {
    const NAME: &'static str = "BTreeMap by entry";

    fn empty() -> Self {
        MapOfEntries(BTreeMap::new())
    }

    fn insert(&mut self, slot: u32, tick: Tick) {
        self.0.insert((tick.0, slot), ());
    }

    fn advance(&mut self, now: Tick, due: &mut Vec<u32>) {
        while let Some(first) = self.0.first_entry()
            && first.key().0 <= now.0
        {
            let ((_, slot), ()) = first.remove_entry();
            due.push(slot);
        }
    }
}

/// A map with a key for each tick: ticks are few, so it is shallow.
struct MapOfTicks(BTreeMap<u32, Vec<u32>>);

impl Timer for MapOfTicks {
    const NAME: &'static str = "BTreeMap by tick";

    fn empty() -> Self {
        MapOfTicks(BTreeMap::new())
    }

    fn insert(&mut self, slot: u32, tick: Tick) {
        self.0.entry(tick.0).or_default().push(slot);
    }

    fn advance(&mut self, now: Tick, due: &mut Vec<u32>) {
        while let Some(first) = self.0.first_entry()
            && *first.key() <= now.0
        {
            due.append(&mut first.remove());
        }
    }
}

/// The deadlines to arm, the same for everyone.
fn deadlines(size: u32) -> Vec<(u32, Tick)> {
    let mut random = fastrand::Rng::with_seed(42);
    (0..size).map(|slot| (slot, Tick(random.u32(1..=INTERVAL)))).collect()
}

fn armed<T: Timer>(deadlines: &[(u32, Tick)]) -> T {
    let mut timer = T::empty();
    for &(slot, tick) in deadlines {
        timer.insert(slot, tick);
    }
    timer
}

/// Puts every deadline into an empty structure.
fn arm<T: Timer>(deadlines: &[(u32, Tick)], rounds: u64) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let begun = Instant::now();
        let timer: T = armed(deadlines);
        spent += begun.elapsed();
        drop(black_box(timer));
    }
    spent
}

/// Turns through a tenth of the interval; who comes up is put back an interval later.
fn rearm<T: Timer>(deadlines: &[(u32, Tick)], rounds: u64) -> Duration {
    let mut timer: T = armed(deadlines);
    let mut due = Vec::new();
    let mut now = Tick(0);
    let begun = Instant::now();
    for _ in 0..rounds {
        for _ in 0..ROUND {
            now = now.plus(Ticks(1));
            timer.advance(now, &mut due);
            for slot in due.drain(..) {
                timer.insert(slot, now.plus(Ticks(INTERVAL)));
            }
        }
    }
    let spent = begun.elapsed();
    drop(black_box(timer));
    spent
}

/// Turns until everyone has come up.
fn expire<T: Timer>(deadlines: &[(u32, Tick)], rounds: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut due = Vec::new();
    for _ in 0..rounds {
        let mut timer: T = armed(deadlines);
        let begun = Instant::now();
        for tick in 1..=INTERVAL {
            timer.advance(Tick(tick), &mut due);
            black_box(&due);
            due.clear();
        }
        spent += begun.elapsed();
    }
    spent
}

type Job = fn(&[(u32, Tick)], u64) -> Duration;

fn measure<T: Timer>(group: &mut BenchmarkGroup<'_, WallTime>, job: Job, size: u32) {
    let deadlines = deadlines(size);
    group.bench_function(BenchmarkId::new(T::NAME, size), |bencher| {
        bencher.iter_custom(|rounds| job(&deadlines, rounds));
    });
}

fn timers(criterion: &mut Criterion) {
    let jobs: [(&str, [Job; 4], u64); 3] = [
        ("arm", [arm::<Wheel>, arm::<Heap>, arm::<MapOfEntries>, arm::<MapOfTicks>], 1),
        ("rearm", [rearm::<Wheel>, rearm::<Heap>, rearm::<MapOfEntries>, rearm::<MapOfTicks>], 10),
        (
            "expire",
            [expire::<Wheel>, expire::<Heap>, expire::<MapOfEntries>, expire::<MapOfTicks>],
            1,
        ),
    ];
    for (name, [wheel, heap, by_entry, by_tick], part) in jobs {
        let mut group = criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        for size in SIZES {
            group.throughput(Throughput::Elements(u64::from(size) / part));
            measure::<Wheel>(&mut group, wheel, size);
            measure::<Heap>(&mut group, heap, size);
            measure::<MapOfEntries>(&mut group, by_entry, size);
            measure::<MapOfTicks>(&mut group, by_tick, size);
        }
        group.finish();
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(600))
        .without_plots()
}

criterion_group! { name = wheel; config = quick(); targets = timers }
criterion_main!(wheel);
