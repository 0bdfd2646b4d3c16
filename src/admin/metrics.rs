//! The read side of the metrics: sums the shards of all reactors and writes the exposition.
//! Not where anything is counted: that is each reactor's `Shard`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::process::Process;
use super::upkeep::{self, Upkeep};
use crate::conn::deadline::Deadline;
use crate::conn::reason::{CloseReason, RefusedReason};
use crate::io::Counts;
use crate::proto::tls::Handshake;
use crate::reactor::arrivals::{Arrivals, ProxySource};
use crate::reactor::shard::{CloseCodes, Counter, Gauge, Histogram, PauseCause, Phase, Shard};

/// The media type of what [`Exposition::render`] writes: OpenMetrics text, which Prometheus asks
/// for first.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of this process, ready to be written as text as often as somebody asks.
#[derive(Debug)]
pub struct Exposition(Registry);

impl Exposition {
    /// An exposition of what these reactors count and of the process they run in.
    #[must_use]
    pub fn new(shards: Vec<Arc<Shard>>) -> Self {
        Self::with_upkeep(shards, Arc::default(), "none")
    }

    /// The same, with what is done to the server, and the name of its reactors' drivers.
    #[must_use]
    pub fn with_upkeep(shards: Vec<Arc<Shard>>, upkeep: Arc<Upkeep>, driver: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Reactors(shards)));
        registry.register_collector(Box::new(upkeep::Told(upkeep)));
        registry.register_collector(Box::new(Process::starting(driver)));
        Self(registry)
    }

    /// The metrics now, as OpenMetrics text. Every label value is there from the first scrape on,
    /// at zero, so that a rate over its first event can be seen.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(32 * 1024);
        // Writing into a String fails only if a value's own formatting does, and ours are numbers.
        if let Err(error) = text::encode(&mut out, &self.0) {
            log::error!("the metrics could not be written: {error}");
        }
        out
    }
}

/// What all reactors together count.
#[derive(Debug)]
struct Reactors(Vec<Arc<Shard>>);

impl Collector for Reactors {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sums = Sums { encoder, shards: &self.0 };
        connections(&mut sums)?;
        traffic(&mut sums)?;
        arrivals(&mut sums)?;
        compression(&mut sums)?;
        bounds(&mut sums)?;
        turns(&mut sums)?;
        driver(&mut sums)?;
        sums.level("ws_reactors", "Reactors, each an event loop on a thread of its own.", None, {
            self.0.len() as u64
        })
    }
}

/// Writes sums over shards. Names are given without the unit and without `_total`, which the
/// encoder appends.
struct Sums<'e, 's> {
    encoder: DescriptorEncoder<'e>,
    shards: &'s [Arc<Shard>],
}

impl Sums<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, of: fn(&Shard) -> &Counter) -> fmt::Result {
        let sum = self.shards.iter().fold(0u64, |sum, s| sum.wrapping_add(of(s).get()));
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, u64, u64>(&sum, None)
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        of: fn(&Shard) -> &Gauge,
    ) -> fmt::Result {
        let sum = self.shards.iter().fold(0u64, |sum, s| sum.saturating_add(of(s).get()));
        self.level(name, help, unit, sum)
    }

    /// What reactors together have put into a table and not taken out again.
    fn balance(
        &mut self,
        name: &str,
        help: &str,
        of: fn(&Arrivals) -> (&Counter, &Counter),
    ) -> fmt::Result {
        let level = self.shards.iter().fold(0u64, |level, shard| {
            let (added, removed) = of(&shard.arrivals);
            level.wrapping_add(added.get()).wrapping_sub(removed.get())
        });
        // Read while reactors write, a removal may be seen before the addition that it undoes.
        let level = if level > u64::MAX / 2 { 0 } else { level };
        self.level(name, help, None, level)
    }

    fn level(&mut self, name: &str, help: &str, unit: Option<&Unit>, level: u64) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&level)
    }

    /// One counter for each value of a label; `of` tells a shard's count of the value at an index.
    fn family(
        &mut self,
        (name, label): (&str, &str),
        help: &str,
        values: &[&'static str],
        of: impl Fn(&Shard, usize) -> u64,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (index, value) in values.iter().enumerate() {
            let sum = self.shards.iter().fold(0u64, |sum, s| sum.wrapping_add(of(s, index)));
            let labels = [(label, *value)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&sum, None)?;
        }
        Ok(())
    }

    fn tls_handshakes(&mut self) -> fmt::Result {
        let help = "TLS handshakes that ended, by how, and the version that was agreed on.";
        let name = "ws_tls_handshakes";
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let ended_well = Handshake::ALL.map(|one| (one.labels(), one.index()));
        for ((result, version), index) in ended_well {
            let sum: u64 = self.shards.iter().map(|s| s.tls_handshakes[index].get()).sum();
            let labels = [("result", result), ("version", version)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&sum, None)?;
        }
        let sum: u64 = self.shards.iter().map(|s| s.tls_handshakes_failed.get()).sum();
        let labels = [("result", "failed"), ("version", "unknown")];
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&sum, None)
    }

    fn histogram(&mut self, name: &str, help: &str, of: fn(&Shard) -> &Histogram) -> fmt::Result {
        let held = self.shards.iter().map(|shard| of(shard).snapshot()).reduce(|mut sum, one| {
            sum.merge(&one);
            sum
        });
        let Some(held) = held else { return Ok(()) };
        let bounds = held.bounds.iter().map(|micros| seconds(*micros)).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(held.counts.iter().copied()).collect();
        let (sum, count) = (seconds(held.sum_micros), held.count());
        self.encoder
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn connections(sums: &mut Sums<'_, '_>) -> fmt::Result {
    sums.gauge(
        "ws_connections_active",
        "WebSocket connections that are upgraded and open.",
        None,
        |s| &s.connections_active,
    )?;
    sums.gauge(
        "ws_slots_used",
        "Connections of any state, those in their handshake or closing included.",
        None,
        |s| &s.slots_used,
    )?;
    sums.counter(
        "ws_connections_accepted",
        "Connections taken from the listeners, those refused later included.",
        |s| &s.accepted,
    )?;
    sums.family(
        ("ws_connections_refused", "reason"),
        "Connections answered with an HTTP error instead of an upgrade, by reason.",
        &RefusedReason::ALL.map(RefusedReason::as_str),
        |s, i| s.refused[i].get(),
    )?;
    sums.tls_handshakes()?;
    sums.family(
        ("ws_connections_closed", "reason"),
        "Connections that ended, by reason.",
        &CloseReason::ALL.map(CloseReason::as_str),
        |s, i| s.closed[i].get(),
    )?;
    sums.family(
        ("ws_close_codes", "code"),
        "Connections that ended, by the close code sent or received; application is 3000 to 4999.",
        &CloseCodes::LABELS,
        |s, i| s.close_codes.counts()[i],
    )?;
    sums.counter(
        "ws_accept_pauses",
        "Times the listeners were paused because descriptors or memory ran out.",
        |s| &s.accept_pauses,
    )?;
    sums.gauge("ws_accept_paused", "Reactors whose listeners are paused now.", None, |s| {
        &s.accept_paused
    })?;
    sums.gauge(
        "ws_descriptors_used",
        "File descriptors in use in all descriptor tables.",
        None,
        |s| &s.descriptors_used,
    )?;
    sums.gauge(
        "ws_descriptors_allowed",
        "File descriptors that all descriptor tables may hold.",
        None,
        |s| &s.descriptors_allowed,
    )
}

fn arrivals(sums: &mut Sums<'_, '_>) -> fmt::Result {
    sums.balance("ws_addresses", "Addresses in the table of those that are counted.", |a| {
        (&a.addresses_added, &a.addresses_removed)
    })?;
    sums.counter(
        "ws_address_evictions",
        "Addresses without connections that were forgotten early to make room for others.",
        |s| &s.arrivals.addresses_evicted,
    )?;
    sums.balance("ws_users", "Users in the table of those whose connections are counted.", |a| {
        (&a.users_added, &a.users_removed)
    })?;
    sums.family(
        ("ws_proxied_connections", "source"),
        "Connections whose client a trusted proxy has named, by where it did.",
        &ProxySource::ALL.map(ProxySource::as_str),
        |s, i| s.arrivals.proxied[i].get(),
    )
}

fn compression(sums: &mut Sums<'_, '_>) -> fmt::Result {
    for (name, help, of) in DEFLATIONS {
        sums.counter(name, help, of)?;
    }
    sums.family(
        ("ws_compressed_bytes", "side"),
        "Payload bytes of messages that were compressed, before and after.",
        &["before", "after"],
        |s, i| [&s.deflations.compressed_from, &s.deflations.compressed_to][i].get(),
    )?;
    sums.family(
        ("ws_inflated_bytes", "side"),
        "Payload bytes of messages that were inflated, before and after.",
        &["before", "after"],
        |s, i| [&s.deflations.inflated_from, &s.deflations.inflated_to][i].get(),
    )?;
    sums.gauge(
        "ws_compression_contexts",
        "Connections with compression contexts of their own.",
        None,
        |s| &s.deflations.contexts,
    )?;
    sums.gauge(
        "ws_compression_memory",
        "Bytes that compression contexts of connections are charged with.",
        Some(&Unit::Bytes),
        |s| &s.deflations.context_bytes,
    )
}

/// Where a shard has a counter.
type Count = fn(&Shard) -> &Counter;

/// The counters of compression that have no label.
const DEFLATIONS: [(&str, &str, Count); 6] = [
    ("ws_compression_agreed", "Connections that agreed on compression.", |s| &s.deflations.agreed),
    (
        "ws_compression_fallbacks",
        "Connections given shared parameters because memory for contexts was spent.",
        |s| &s.deflations.fallbacks,
    ),
    (
        "ws_messages_compressed",
        "Messages compressed to be sent; a broadcast once for each set of parameters.",
        |s| &s.deflations.compressed,
    ),
    (
        "ws_messages_incompressible",
        "Messages that compression would not have made smaller, sent as they were.",
        |s| &s.deflations.incompressible,
    ),
    (
        "ws_messages_left_plain",
        "Messages sent as they were because a turn of the reactor had compressed enough.",
        |s| &s.deflations.left_plain,
    ),
    ("ws_messages_inflated", "Messages that were received compressed.", |s| &s.deflations.inflated),
];

fn traffic(sums: &mut Sums<'_, '_>) -> fmt::Result {
    sums.counter("ws_messages_received", "Data messages received.", |s| &s.messages_received)?;
    sums.counter("ws_messages_sent", "Data messages handed to the kernel.", |s| &s.messages_sent)?;
    sums.counter(
        "ws_bytes_received",
        "Bytes received on the wire, heads and frame headers included.",
        |s| &s.bytes_received,
    )?;
    sums.counter(
        "ws_bytes_sent",
        "Bytes handed to the kernel, heads and frame headers included.",
        |s| &s.bytes_sent,
    )?;
    sums.counter("ws_pings_sent", "Pings handed to the kernel.", |s| &s.pings_sent)?;
    sums.counter("ws_pongs_received", "Pongs received.", |s| &s.pongs_received)?;
    sums.histogram(
        "ws_heartbeat_rtt",
        "Time from a ping handed to the kernel to the pong that answers it.",
        |s| &s.heartbeat_rtt,
    )?;
    sums.histogram(
        "ws_fanout_latency",
        "Time from the receipt of a message to the last write of its fan-out on a reactor.",
        |s| &s.fanout_latency,
    )
}

fn bounds(sums: &mut Sums<'_, '_>) -> fmt::Result {
    sums.gauge(
        "ws_outbox",
        "Bytes that wait to be handed to the kernel, counted for each receiver.",
        Some(&Unit::Bytes),
        |s| &s.outbox_bytes,
    )?;
    sums.family(
        ("ws_outbox_frames_dropped", "policy"),
        "Frames dropped from full outboxes, by slow-consumer policy.",
        &["drop_oldest", "drop_newest"],
        |s, i| [&s.frames_dropped_oldest, &s.frames_dropped_newest][i].get(),
    )?;
    sums.counter(
        "ws_outbox_sheds",
        "Connections closed because the outbox budget of the process was spent.",
        |s| &s.outbox_sheds,
    )?;
    sums.gauge(
        "ws_inbox",
        "Bytes of unfinished heads, frames and messages, and of what paused connections hold.",
        Some(&Unit::Bytes),
        |s| &s.inbox_bytes,
    )?;
    sums.counter(
        "ws_inbox_sheds",
        "Connections closed because the inbox budget of the process was spent.",
        |s| &s.inbox_sheds,
    )?;
    sums.family(
        ("ws_reads_paused", "cause"),
        "Times reading from a connection was paused, by cause.",
        &PauseCause::ALL.map(PauseCause::as_str),
        |s, i| s.reads_paused[i].get(),
    )?;
    sums.gauge(
        "ws_mailbox",
        "Bytes that wait in the mailboxes between reactors.",
        Some(&Unit::Bytes),
        |s| &s.mailbox_bytes,
    )?;
    sums.counter(
        "ws_mailbox_messages",
        "Messages taken from the mailboxes between reactors.",
        |s| &s.mailbox_messages,
    )?;
    sums.counter("ws_mailbox_full", "Times a reactor found the mailbox of another one full.", |s| {
        &s.mailbox_full
    })
}

fn turns(sums: &mut Sums<'_, '_>) -> fmt::Result {
    sums.family(
        ("ws_deadlines_expired", "deadline"),
        "Deadlines that passed and were acted upon, by kind.",
        &Deadline::ALL.map(Deadline::as_str),
        |s, i| s.deadlines_expired[i].get(),
    )?;
    sums.gauge(
        "ws_wheel_entries",
        "Entries on the timing wheels, stale ones included.",
        None,
        |s| &s.wheel_entries,
    )?;
    sums.histogram(
        "ws_tick_lag",
        "Time by which the wheel was advanced later than its tick was due.",
        |s| &s.tick_lag,
    )?;
    sums.counter(
        "ws_stalls",
        "Pauses of the whole process after which deadlines were re-based.",
        |s| &s.stalls,
    )?;
    sums.counter("ws_turns", "Turns that reactors finished.", |s| &s.turns)?;
    sums.histogram("ws_turn_duration", "Duration of a reactor's turn, without its wait.", |s| {
        &s.turn_duration
    })?;
    sums.family(
        ("ws_phase_carried_over", "phase"),
        "Turns in which a phase spent its budget and left work to the next turn, by phase.",
        &Phase::ALL.map(Phase::as_str),
        |s, i| s.phase_carried_over[i].get(),
    )?;
    sums.counter(
        "ws_handler_panics",
        "Panics in handlers; each closed its connection with 1011.",
        |s| &s.handler_panics,
    )
}

fn driver(sums: &mut Sums<'_, '_>) -> fmt::Result {
    sums.gauge(
        "ws_driver_requests",
        "Requests that drivers have with the kernel; none under epoll.",
        None,
        |s| &s.driven.requests,
    )?;
    sums.gauge(
        "ws_driver_buffers_lent",
        "Receive buffers with bytes that reactors have not dealt with yet; none under epoll.",
        None,
        |s| &s.driven.buffers_lent,
    )?;
    sums.family(
        ("ws_driver_events", "event"),
        "What befell requests to the kernel, by event; none under epoll.",
        &Counts::EVENTS,
        |s, i| s.driven.events[i].get(),
    )
}

#[cfg(test)]
mod tests;
