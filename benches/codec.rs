//! A client's bytes to messages, and messages to the server's bytes.
//!
//! Decoding unmasks in place, so each round needs the bytes anew: the copy is part of the time, as
//! the kernel's copy into the buffer is in the server.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulsewheel::Kind;
use pulsewheel::bench::{Codec, encode};

const LIMIT: usize = 1 << 20;
const SIZES: [usize; 3] = [20, 1 << 10, 16 << 10];
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame as a client sends it (RFC 6455 section 5.2).
fn frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A binary message in frames of `piece` bytes.
fn fragmented(payload: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let pieces = payload.chunks(piece).count();
    for (n, piece) in payload.chunks(piece).enumerate() {
        let opcode = if n == 0 { 0x02 } else { 0x00 };
        let fin = if n + 1 == pieces { 0x80 } else { 0x00 };
        frame(&mut out, fin | opcode, piece);
    }
    out
}

/// Measures decoding of `wire`, handed over in chunks of `chunk` bytes.
fn decoded(criterion: &mut Criterion, name: BenchmarkId, wire: &[u8], chunk: usize, bytes: usize) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(bytes as u64));
    let mut codec = Codec::new(LIMIT);
    let mut buffer = wire.to_vec();
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            buffer.copy_from_slice(wire);
            let mut found = 0;
            for chunk in buffer.chunks_mut(chunk) {
                found += codec.decode(chunk).expect("the frames are legal");
            }
            assert_eq!(found, bytes);
        });
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    for size in SIZES {
        let payload = vec![b'x'; size];
        for (kind, first) in [("text", 0x81), ("binary", 0x82)] {
            let mut wire = Vec::new();
            frame(&mut wire, first, &payload);
            decoded(criterion, BenchmarkId::new(kind, size), &wire, wire.len(), size);
        }
    }
    let payload = vec![b'x'; 16 << 10];
    let wire = fragmented(&payload, 1 << 10);
    let name = BenchmarkId::new("16 fragments", payload.len());
    decoded(criterion, name, &wire, wire.len(), payload.len());
    let mut wire = Vec::new();
    frame(&mut wire, 0x82, &payload);
    let name = BenchmarkId::new("one frame in pieces of 1448", payload.len());
    decoded(criterion, name, &wire, 1448, payload.len());
    let mut wire = Vec::new();
    frame(&mut wire, 0x89, b"are you there?");
    // What comes back is the pong: two bytes of header and the ping's payload.
    decoded(criterion, BenchmarkId::new("ping", 14), &wire, wire.len(), 16);
}

fn encoded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let payload = vec![b'x'; size];
        let mut out = Vec::with_capacity(size + 10);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("binary", size), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode(&mut out, Kind::Binary, black_box(&payload));
                black_box(&out);
            });
        });
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

criterion_group! { name = codec; config = quick(); targets = decode, encoded }
criterion_main!(codec);
