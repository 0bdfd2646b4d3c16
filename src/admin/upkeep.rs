//! What operators do to a server that runs, counted: reloads, and the certificates they renew.
//! Not for what peers do: that is in each reactor's `Shard`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::proto::tls::Identity;

/// Counts of one server.
#[derive(Debug, Default)]
pub struct Upkeep {
    taken: AtomicU64,
    refused: AtomicU64,
    identity: Option<Identity>,
}

impl Upkeep {
    /// Nothing yet, of a server that shows this identity, if it speaks TLS.
    pub fn new(identity: Option<Identity>) -> Self {
        Upkeep { identity, ..Upkeep::default() }
    }

    /// A configuration was read again and taken.
    pub(crate) fn reload_taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// One was wrong, or a file that it names: everything stays as it was.
    pub(crate) fn reload_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// As the registry of metrics takes it.
#[derive(Debug)]
pub(super) struct Told(pub Arc<Upkeep>);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Times SIGHUP had the configuration and its files read again, by result.";
        let mut metric =
            encoder.encode_descriptor("ws_reloads", help, None, MetricType::Counter)?;
        for (result, count) in [("taken", &self.0.taken), ("refused", &self.0.refused)] {
            let count = count.load(Ordering::Relaxed);
            let labels = [("result", result)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
        let help = "When the first of the certificates in use expires, in seconds since the Unix \
                    epoch; no sample while TLS is off.";
        let (name, unit) = ("ws_tls_certificate_expiry_timestamp", Unit::Seconds);
        let mut metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
        // Zero would be a date too, and one that alerts go off at.
        match self.0.identity.as_ref().and_then(Identity::expires) {
            Some(moment) => metric.encode_gauge(&moment.unix_seconds()),
            None => Ok(()),
        }
    }
}
