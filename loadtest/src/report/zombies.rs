//! What became of the zombies: for each kind how soon the server noticed, and whether others suffered.
//! Not the watching; that is `generator::zombies`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::conductor::Outcome;
use crate::generator::zombies::{Crowd, Kind, Seen};
use crate::tally::ErrorKind;

/// The zombies of a run.
#[derive(Debug, Serialize)]
pub struct Zombies {
    /// Each kind that had any.
    pub kinds: Vec<KindReport>,
    /// How many the run ended before it could judge, those included that were never begun.
    pub unjudged: u64,
    /// Errors among the connections that behaved.
    pub healthy_errors: u64,
    /// What the server may take beyond a deadline, in seconds.
    pub grace_seconds: f64,
}

/// The zombies of one kind.
#[derive(Debug, Serialize)]
pub struct KindReport {
    /// Its name.
    pub kind: &'static str,
    /// How many were begun.
    pub count: u64,
    /// How many the server noticed; null where that cannot be seen.
    pub noticed: Option<u64>,
    /// How many of those later than the deadline and the grace.
    pub late: u64,
    /// How many it did not notice as long as they were watched; null where that cannot be seen.
    pub not_noticed: Option<u64>,
    /// How many never came to the point of going wrong.
    pub unopened: u64,
    /// How many were still watched when the run was ended early.
    pub unjudged: u64,
    /// The deadline that the server claims, in seconds; 0 where it needs none.
    pub deadline_seconds: f64,
    /// After what time the first was noticed, in seconds.
    pub min_seconds: Option<f64>,
    /// The median.
    pub p50_seconds: Option<f64>,
    /// The 99th percentile.
    pub p99_seconds: Option<f64>,
    /// The last one.
    pub max_seconds: Option<f64>,
    /// How often each sign was the first.
    pub signs: BTreeMap<String, u64>,
    /// Why nothing could be seen, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The report on a run's zombies; `None` where it had none.
pub fn of(outcome: &Outcome) -> Option<Zombies> {
    let crowd = outcome.plan().zombies.as_ref()?;
    let (findings, errors) = (&outcome.findings, &outcome.findings.errors);
    let seen = Kind::ALL.into_iter().map(|kind| (kind, findings.zombies.of(kind)));
    let kinds = seen.filter(|(_, seen)| seen.begun > 0);
    let of_zombies: u64 = ErrorKind::ZOMBIES.into_iter().map(|kind| errors.count(kind)).sum();
    let all = Kind::ALL.into_iter().map(|kind| findings.zombies.of(kind));
    let judged: u64 = all.map(Seen::judged).sum();
    Some(Zombies {
        unjudged: (crowd.count as u64).saturating_sub(judged),
        kinds: kinds.map(|(kind, seen)| kind_report(kind, seen, crowd)).collect(),
        healthy_errors: errors.total() - of_zombies,
        grace_seconds: crowd.claims.grace.as_secs_f64(),
    })
}

fn kind_report(kind: Kind, seen: &Seen, crowd: &Crowd) -> KindReport {
    let mut noticed = seen.noticed.clone();
    noticed.sort_unstable();
    let visible = |count: u64| seen.invisible.is_none().then_some(count);
    let signs = seen.signs.iter().map(|(sign, count)| (sign.to_string(), *count));
    KindReport {
        kind: kind.name(),
        count: seen.begun,
        noticed: visible(noticed.len() as u64),
        late: seen.late,
        not_noticed: visible(seen.unnoticed),
        unopened: seen.unopened,
        unjudged: seen.unjudged,
        deadline_seconds: crowd.claims.deadline(kind, 0).as_secs_f64(),
        min_seconds: quantile(&noticed, 0.0),
        p50_seconds: quantile(&noticed, 0.5),
        p99_seconds: quantile(&noticed, 0.99),
        max_seconds: quantile(&noticed, 1.0),
        signs: signs.collect(),
        note: seen.invisible.clone(),
    }
}

/// The nearest rank, in seconds.
fn quantile(sorted: &[Duration], quantile: f64) -> Option<f64> {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map(Duration::as_secs_f64)
}

impl fmt::Display for Zombies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  zombies             count  noticed   late  never  deadline       min    median  \
             {:>9} {:>9}  signs",
            "p99", "max"
        )?;
        for kind in &self.kinds {
            write!(f, "{kind}")?;
        }
        let (grace, errors) = (self.grace_seconds, self.healthy_errors);
        writeln!(f, "  late: more than {grace} s after the deadline")?;
        writeln!(f, "  errors among the connections that behave: {errors}\n")
    }
}

impl fmt::Display for KindReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
        let seconds = |seconds: Option<f64>| match seconds {
            Some(seconds) => format!("{seconds:.3} s"),
            None => "-".to_owned(),
        };
        let deadline = match self.deadline_seconds {
            0.0 => "at once".to_owned(),
            some => format!("{some} s"),
        };
        write!(
            f,
            "  {:<18} {:>6} {:>8} {:>6} {:>6} {deadline:>9} {:>9} {:>9} {:>10} {:>9}",
            self.kind,
            self.count,
            count(self.noticed),
            self.late,
            count(self.not_noticed),
            seconds(self.min_seconds),
            seconds(self.p50_seconds),
            seconds(self.p99_seconds),
            seconds(self.max_seconds),
        )?;
        writeln!(f, "  {}", self.remarks().join(", "))
    }
}

impl KindReport {
    /// The signs with how often each was the first, and what else is to be said.
    pub fn remarks(&self) -> Vec<String> {
        let signs = self.signs.iter().map(|(sign, count)| format!("{sign} ({count})"));
        let mut remarks: Vec<String> = signs.collect();
        remarks.extend(self.note.clone());
        for (count, what) in [(self.unopened, "never opened"), (self.unjudged, "not judged")] {
            if count > 0 {
                remarks.push(format!("{count} {what}"));
            }
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!(quantile(&times, 0.0), Some(1.0));
        assert_eq!(quantile(&times, 0.5), Some(100.0));
        assert_eq!(quantile(&times, 0.99), Some(198.0));
        assert_eq!(quantile(&times, 1.0), Some(200.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
