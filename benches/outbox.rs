//! What a peer that does not keep up costs: frames queued, taken by the kernel, dropped.

use std::hint::black_box;
use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pulsewheel::conn::{Budget, Frame, Outbox, Tick};

/// Frames in one round.
const FRAMES: usize = 64;

/// Bytes of one frame.
const LENGTH: usize = 64;

/// Slices in one vectored write, as the reactor's flush has them.
const PARTS: usize = 64;

/// Takes all, a vectored write at a time.
fn empty(outbox: &mut Outbox, budget: &Budget) {
    while !outbox.is_empty() {
        let mut parts = Vec::with_capacity(PARTS);
        outbox.parts(&mut parts, PARTS);
        let taken = parts.iter().map(|part: &IoSlice<'_>| part.len()).sum();
        drop(black_box(parts));
        outbox.taken(taken, budget);
    }
}

fn queue(criterion: &mut Criterion) {
    let budget = Budget::new(u64::MAX);
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Elements(FRAMES as u64));
    let bytes = Bytes::from(vec![0; LENGTH]);
    let own = Frame::own(bytes.clone());
    let shared = Frame::shared(bytes);
    for (name, frame) in [("push and take, own frames", &own), ("push and take, shared", &shared)] {
        let mut outbox = Outbox::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..FRAMES {
                    outbox.push(frame.clone(), true, Tick(1), &budget);
                }
                empty(&mut outbox, &budget);
            });
        });
    }
    group.finish();
}

/// A full outbox that drops its oldest frame for each new one.
fn overflow(criterion: &mut Criterion) {
    let budget = Budget::new(u64::MAX);
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Elements(FRAMES as u64));
    let limit = 4096 * LENGTH;
    let frame = Frame::shared(Bytes::from(vec![0; LENGTH]));
    let mut outbox = Outbox::default();
    // The first is partly written, so every drop has to pass it by.
    outbox.push_rest(frame.clone(), 1, true, Tick(1), &budget);
    while outbox.bytes() + LENGTH <= limit {
        outbox.push(frame.clone(), true, Tick(1), &budget);
    }
    group.bench_function("drop oldest of 4,096", |bencher| {
        bencher.iter(|| {
            for _ in 0..FRAMES {
                outbox.drop_oldest(LENGTH, limit, &budget);
                outbox.push(frame.clone(), true, Tick(1), &budget);
            }
        });
    });
    group.finish();
    assert!(outbox.bytes() <= limit);
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

criterion_group! { name = outbox; config = quick(); targets = queue, overflow }
criterion_main!(outbox);
