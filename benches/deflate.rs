//! What compression costs for each message: alone, as shared streams do it, and with those before it
//! in mind, as dedicated ones do; beside encoding a frame without it.
//! Not what it saves on the wire, but for the ratios that it prints first.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulsewheel::Kind;
use pulsewheel::bench::{Streams, encode};

const SIZES: [usize; 4] = [256, 1 << 10, 4 << 10, 16 << 10];

/// The defaults of `--compression-window` and `--compression-level`.
const WINDOW: u8 = 12;
const LEVEL: u8 = 2;

/// Messages that are alike between runs and different from each other.
const MESSAGES: usize = 64;

/// JSON as feeds send it: the same names and ever new numbers.
fn messages(size: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(1);
    let one = |random: &mut fastrand::Rng| {
        let mut text = String::new();
        while text.len() < size {
            text.push_str(&format!(
                "{{\"id\":{},\"symbol\":\"{}\",\"price\":{}.{:02},\"volume\":{},\"side\":\"{}\"}},",
                random.u32(..),
                ["ABC", "DEFG", "HIJ", "KLMN"][random.usize(..4)],
                random.u32(10..1000),
                random.u32(..100),
                random.u32(..10_000),
                ["buy", "sell"][random.usize(..2)],
            ));
        }
        text.truncate(size);
        text.into_bytes()
    };
    (0..MESSAGES).map(|_| one(&mut random)).collect()
}

/// What the messages become, one after the other.
fn small(messages: &[Vec<u8>], takeover: bool) -> Vec<Vec<u8>> {
    let mut streams = Streams::new(WINDOW, LEVEL, takeover);
    let compress = |message: &Vec<u8>| streams.compress(message).expect("it shrinks").to_vec();
    messages.iter().map(compress).collect()
}

fn ratios() {
    for size in SIZES {
        let messages = messages(size);
        let percent = |takeover| {
            let bytes: usize = small(&messages, takeover).iter().map(Vec::len).sum();
            100 * bytes / (size * MESSAGES)
        };
        println!("{size} bytes: shared {} %, dedicated {} %", percent(false), percent(true));
    }
}

fn compress(criterion: &mut Criterion) {
    ratios();
    let mut group = criterion.benchmark_group("compress");
    for size in SIZES {
        let messages = messages(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("plain", size), |bencher| {
            let mut out = Vec::with_capacity(size + 10);
            let mut next = messages.iter().cycle();
            bencher.iter(|| {
                out.clear();
                encode(&mut out, Kind::Text, next.next().expect("it has no end"));
                black_box(&out);
            });
        });
        for (name, takeover) in [("shared", false), ("dedicated", true)] {
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                let mut streams = Streams::new(WINDOW, LEVEL, takeover);
                let mut next = messages.iter().cycle();
                bencher.iter(|| {
                    black_box(streams.compress(next.next().expect("it has no end")));
                });
            });
        }
    }
    group.finish();
}

fn inflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflate");
    for size in SIZES {
        let messages = messages(size);
        group.throughput(Throughput::Bytes(size as u64));
        for (name, takeover) in [("shared", false), ("dedicated", true)] {
            let small = small(&messages, takeover);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                let mut streams = Streams::new(WINDOW, LEVEL, takeover);
                // A message refers to those before it, and the first one to none: it begins anew.
                let mut next = small.iter().cycle();
                bencher.iter(|| {
                    let bytes = next.next().expect("it has no end");
                    black_box(streams.inflate(Kind::Text, bytes, size).expect("it was compressed"));
                });
            });
        }
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots()
}

criterion_group! { name = deflate; config = quick(); targets = compress, inflate }
criterion_main!(deflate);
