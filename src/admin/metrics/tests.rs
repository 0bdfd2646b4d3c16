//! The rendered text: its names, its labels, its sums.

use super::*;
use crate::proto::tls::{Certificate, Identity};

/// Every name that dashboards and scripts rely on, as it stands in the text.
const NAMES: &[&str] = &[
    "process_cpu_seconds_total",
    "process_heap_free_bytes",
    "process_heap_mapped_bytes",
    "process_heap_used_bytes",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "ws_accept_paused",
    "ws_accept_pauses_total",
    "ws_address_evictions_total",
    "ws_addresses",
    "ws_bytes_received_total",
    "ws_bytes_sent_total",
    "ws_close_codes_total{code}",
    "ws_compressed_bytes_total{side}",
    "ws_compression_agreed_total",
    "ws_compression_contexts",
    "ws_compression_fallbacks_total",
    "ws_compression_memory_bytes",
    "ws_connections_accepted_total",
    "ws_connections_active",
    "ws_connections_closed_total{reason}",
    "ws_connections_refused_total{reason}",
    "ws_deadlines_expired_total{deadline}",
    "ws_descriptors_allowed",
    "ws_descriptors_used",
    "ws_driver_buffers_lent",
    "ws_driver_events_total{event}",
    "ws_driver_requests",
    "ws_fanout_latency_seconds",
    "ws_handler_panics_total",
    "ws_heartbeat_rtt_seconds",
    "ws_inbox_bytes",
    "ws_inbox_sheds_total",
    "ws_inflated_bytes_total{side}",
    "ws_mailbox_bytes",
    "ws_mailbox_full_total",
    "ws_mailbox_messages_total",
    "ws_messages_compressed_total",
    "ws_messages_incompressible_total",
    "ws_messages_inflated_total",
    "ws_messages_left_plain_total",
    "ws_messages_received_total",
    "ws_messages_sent_total",
    "ws_outbox_bytes",
    "ws_outbox_frames_dropped_total{policy}",
    "ws_outbox_sheds_total",
    "ws_phase_carried_over_total{phase}",
    "ws_pings_sent_total",
    "ws_pongs_received_total",
    "ws_process_info{driver,pid,version}",
    "ws_proxied_connections_total{source}",
    "ws_reactors",
    "ws_reads_paused_total{cause}",
    "ws_reloads_total{result}",
    "ws_slots_used",
    "ws_stalls_total",
    "ws_tick_lag_seconds",
    "ws_tls_certificate_expiry_timestamp_seconds",
    "ws_tls_handshakes_total{result,version}",
    "ws_turn_duration_seconds",
    "ws_turns_total",
    "ws_users",
    "ws_wheel_entries",
];

/// The name of a sample with the keys of its labels; the parts of a histogram become one.
fn name(line: &str) -> String {
    let (sample, _) = line.rsplit_once(' ').expect("a name and a value");
    let (name, labels) = match sample.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("closed")),
        None => (sample, ""),
    };
    let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
    let keys: Vec<_> = labels
        .split(',')
        .filter_map(|label| Some(label.split_once('=')?.0))
        .filter(|key| *key != "le")
        .collect();
    match keys.is_empty() {
        true => whole.unwrap_or(name).to_owned(),
        false => format!("{}{{{}}}", whole.unwrap_or(name), keys.join(",")),
    }
}

/// The metrics of a server that has something to tell of each.
fn of_everything() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
    params.not_after = rcgen::date_time_ymd(2031, 5, 6);
    let (chain, key) =
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem());
    let certificate = Certificate::from_pem(("a", chain.as_bytes()), ("a", key.as_bytes()));
    let identity = Identity::new(&[certificate.expect("a pair")]).expect("random numbers");
    let upkeep = Arc::new(Upkeep::new(Some(identity)));
    upkeep.reload_taken();
    upkeep.reload_refused();
    upkeep.reload_refused();
    Exposition::with_upkeep(vec![Shard::new()], upkeep, "epoll").render()
}

#[test]
fn what_is_done_to_the_server_is_told() {
    let text = of_everything();
    for line in [
        "ws_reloads_total{result=\"taken\"} 1\n",
        "ws_reloads_total{result=\"refused\"} 2\n",
        "ws_tls_certificate_expiry_timestamp_seconds 1935792000\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    let plain = Exposition::new(vec![Shard::new()]).render();
    assert!(!plain.contains("\nws_tls_certificate_expiry"), "without TLS there is no date");
}

#[test]
fn the_names_are_the_ones_people_rely_on_and_no_others() {
    let text = of_everything();
    let mut names: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, NAMES);
}

#[test]
fn every_metric_has_a_help_and_a_type_and_the_text_ends_as_it_must() {
    let text = of_everything();
    let described = |kind: &str| text.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!(described("# HELP "), NAMES.len());
    assert_eq!(described("# TYPE "), NAMES.len());
    assert!(text.contains("\n# UNIT ws_outbox_bytes bytes\n"), "{text}");
    assert!(text.contains("\n# TYPE ws_heartbeat_rtt_seconds histogram\n"), "{text}");
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn shards_are_summed_and_labels_find_their_counters() {
    let shards = vec![Shard::new(), Shard::new()];
    for (shard, n) in shards.iter().zip([1, 10]) {
        shard.connections_active.set(n);
        shard.bytes_sent.add(n);
        shard.outbox_bytes.set(n);
        shard.closed[CloseReason::PongTimeout.index()].add(n);
        shard.refused[RefusedReason::Full.index()].add(n);
        shard.deadlines_expired[Deadline::Idle.index()].add(n);
        shard.reads_paused[PauseCause::Outbox.index()].add(n);
        shard.phase_carried_over[Phase::Deadlines.index()].add(n);
        shard.frames_dropped_newest.add(n);
        shard.close_code(Some(1001));
        shard.close_code(Some(4000));
        shard.close_code(None);
        shard.driven.events[1].reach(n);
        shard.driven.requests.set(n);
        shard.driven.buffers_lent.set(n);
        shard.turn_ends();
    }
    let text = Exposition::new(shards).render();
    for line in [
        "ws_reactors 2",
        "ws_connections_active 11",
        "ws_bytes_sent_total 11",
        "ws_outbox_bytes 11",
        "ws_connections_closed_total{reason=\"pong_timeout\"} 11",
        "ws_connections_closed_total{reason=\"idle_timeout\"} 0",
        "ws_connections_refused_total{reason=\"full\"} 11",
        "ws_deadlines_expired_total{deadline=\"idle\"} 11",
        "ws_reads_paused_total{cause=\"outbox\"} 11",
        "ws_phase_carried_over_total{phase=\"deadlines\"} 11",
        "ws_outbox_frames_dropped_total{policy=\"drop_oldest\"} 0",
        "ws_outbox_frames_dropped_total{policy=\"drop_newest\"} 11",
        "ws_close_codes_total{code=\"1001\"} 2",
        "ws_close_codes_total{code=\"application\"} 2",
        "ws_close_codes_total{code=\"none\"} 2",
        "ws_driver_requests 11",
        "ws_driver_buffers_lent 11",
        "ws_driver_events_total{event=\"no_buffer\"} 11",
        "ws_driver_events_total{event=\"short_send\"} 0",
        "ws_turns_total 2",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} is not in:\n{text}");
    }
}

#[test]
fn a_histogram_counts_upwards_in_seconds() {
    let shards = vec![Shard::new(), Shard::new()];
    shards[0].heartbeat_rtt.observe_micros(100);
    shards[1].heartbeat_rtt.observe_micros(2_000_000);
    shards[1].heartbeat_rtt.observe_micros(60_000_000);
    let text = Exposition::new(shards).render();
    for line in [
        "_sum 62.0001",
        "_count 3",
        "_bucket{le=\"0.0001\"} 1",
        "_bucket{le=\"1.0\"} 1",
        "_bucket{le=\"2.5\"} 2",
        "_bucket{le=\"30.0\"} 2",
        "_bucket{le=\"+Inf\"} 3",
    ] {
        let line = format!("\nws_heartbeat_rtt_seconds{line}\n");
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
}

#[test]
fn the_process_is_named_and_its_use_of_the_machine_told() {
    let text = Exposition::with_upkeep(Vec::new(), Arc::default(), "epoll").render();
    let info = format!(
        "\nws_process_info{{driver=\"epoll\",pid=\"{}\",version=\"{}\"}} 1\n",
        std::process::id(),
        env!("CARGO_PKG_VERSION")
    );
    assert!(text.contains(&info), "{text}");
    assert!(!text.contains("\nprocess_heap_used_bytes 0\n"), "a process without a heap");
}
