//! One shared frame to every connection of a reactor: the real turn over a driver whose kernel
//! takes everything at once and costs nothing. What is left is our own cost of a delivery.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulsewheel::config::Limits;
use pulsewheel::conn::Frame;
use pulsewheel::handler::Broadcast;
use pulsewheel::io::{Accepting, Chunk, Done, Driver, Sending, Token};
use pulsewheel::reactor::{Fanout, Reactor, Shared};
use pulsewheel::{Peer, bench};
use std::sync::Arc;

const RECEIVERS: [usize; 2] = [1_000, 10_000];

const UPGRADE: &[u8] = b"GET /broadcast HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A world in which clients connect, ask for their upgrade, and read whatever they are sent.
struct Eager {
    begun: Instant,
    done: VecDeque<Done>,
}

impl Eager {
    fn new(clients: usize) -> Self {
        let peer = Peer::from(SocketAddr::from(([127, 0, 0, 1], 1)));
        let done = (0..clients).map(|_| Done::Accepted(peer)).collect();
        Eager { begun: Instant::now(), done }
    }
}

impl Driver for Eager {
    fn now(&mut self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn next(&mut self) -> Option<Done> {
        self.done.pop_front()
    }

    fn look(&mut self, _: Token) -> Option<Done> {
        None
    }

    fn recycle(&mut self, _: Chunk) {}

    fn adopt(&mut self, token: Token) -> io::Result<()> {
        let chunk = Chunk::new(UPGRADE.into(), UPGRADE.len());
        self.done.push_back(Done::Received(token, chunk));
        Ok(())
    }

    fn refuse(&mut self, _: &[u8]) {}

    fn receive(&mut self, _: Token, _: bool) {}

    fn send(&mut self, _: Token, parts: &[IoSlice<'_>]) -> Sending {
        Sending::Taken(parts.iter().map(|part| part.len()).sum())
    }

    fn acknowledged(&mut self, _: Token) -> Option<pulsewheel::proto::Acknowledged> {
        None
    }

    fn finish(&mut self, _: Token) {}

    fn close(&mut self, _: Token) {}

    fn reset(&mut self, _: Token) {}

    fn left_over(&self) -> (bool, bool) {
        (false, false)
    }

    fn accepting(&self) -> Accepting {
        Accepting::On
    }

    fn resume_accepting(&mut self) {}

    fn stop_listening(&mut self) {}

    fn descriptors(&self) -> u64 {
        0
    }
}

/// A reactor on which so many receivers are open.
fn crowded(receivers: usize) -> (Reactor, Arc<Shared>) {
    // No heartbeat falls into a measurement.
    let limits = Limits { ping_interval: None, pong_timeout: None, ..Limits::default() };
    let driver = Box::new(Eager::new(receivers));
    let (mut reactor, shared) =
        bench::reactor("/broadcast", Broadcast, driver, limits, receivers).expect("an eventfd");
    let open = || shared.shards.iter().map(|shard| shard.connections_active.get()).sum::<u64>();
    while open() < receivers as u64 {
        assert!(reactor.turn().expect("the driver never fails"));
    }
    (reactor, shared)
}

fn local(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out on one reactor");
    let bytes = Bytes::from(vec![0x82; 130]);
    for receivers in RECEIVERS {
        let (mut reactor, shared) = crowded(receivers);
        group.throughput(Throughput::Elements(receivers as u64));
        group.bench_function(BenchmarkId::from_parameter(receivers), |bencher| {
            bencher.iter(|| {
                let fanout = Fanout::new(0, Frame::shared(bytes.clone()), 0, 1);
                shared.mailboxes.publish(&fanout);
                reactor.turn().expect("the driver never fails");
                assert_eq!(fanout.wait(Duration::ZERO), Some(receivers as u64));
            });
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
}

criterion_group! { name = fanout; config = quick(); targets = local }
criterion_main!(fanout);
