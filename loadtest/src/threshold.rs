//! Bounds on what a run measures: `p99 < 5ms`, as `--fail-if` and `--keep` take them.
//! Not the measuring: whoever judges a threshold brings the numbers.

mod metric;

use std::fmt;

use serde::Serialize;

pub use metric::{Metric, Point};

/// How a measured value must stand to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    /// In the order in which they are looked for: the longer before those they begin with.
    const ALL: [Comparison; 4] =
        [Comparison::AtMost, Comparison::AtLeast, Comparison::Less, Comparison::More];

    fn sign(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::More => ">",
            Comparison::AtLeast => ">=",
        }
    }

    fn opposite(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::AtLeast,
            Comparison::AtMost => Comparison::More,
            Comparison::More => Comparison::AtMost,
            Comparison::AtLeast => Comparison::Less,
        }
    }

    /// Whether it is so; never for what is not a number.
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Comparison::Less => value < limit,
            Comparison::AtMost => value <= limit,
            Comparison::More => value > limit,
            Comparison::AtLeast => value >= limit,
        }
    }
}

/// A condition on one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    metric: Metric,
    comparison: Comparison,
    /// In the metric's base unit: see [`Metric::quantity`].
    limit: f64,
}

/// How a run stands to one threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The threshold in words, as what has to hold.
    pub text: String,
    /// The metric's name.
    pub metric: &'static str,
    /// The limit, in the metric's base unit.
    pub limit: f64,
    /// What was measured, in the same unit; `None` where the run did not measure it.
    pub measured: Option<f64>,
    /// What was measured, in words, or why it was not.
    pub found: String,
    /// Whether the threshold does not hold. What was not measured does not hold.
    pub failed: bool,
}

impl Threshold {
    /// Reads one or more conditions, `METRIC OP VALUE` each, joined with `,` or `and`.
    ///
    /// Fails with one line that says what is wrong and, where a metric is not known, lists them.
    pub fn parse(text: &str) -> Result<Vec<Threshold>, String> {
        let mut thresholds = Vec::new();
        for clause in text.split(',').flat_map(split_at_and) {
            thresholds.push(Threshold::parse_one(clause.trim())?);
        }
        Ok(thresholds)
    }

    fn parse_one(clause: &str) -> Result<Threshold, String> {
        let form = "write METRIC OP VALUE, such as p99>5ms";
        if clause.is_empty() {
            return Err(format!("a condition is empty; {form}; {}", metric::listed()));
        }
        let Some(at) = clause.find(['<', '>', '=', '!']) else {
            let missing = format!("`{clause}` has no <, <=, > or >=");
            return Err(format!("{missing}; {form}; {}", metric::listed()));
        };
        let (name, rest) = clause.split_at(at);
        let name = name.trim();
        let metric = Metric::named(name).ok_or_else(|| {
            let name = if name.is_empty() { clause } else { name };
            format!("`{name}` is no metric; {}", metric::listed())
        })?;
        let comparison = Comparison::ALL.into_iter().find(|one| rest.starts_with(one.sign()));
        let Some(comparison) = comparison else {
            return Err(format!("`{clause}`: compare with <, <=, > or >="));
        };
        let value = rest[comparison.sign().len()..].trim();
        let limit = metric.value(value).map_err(|why| format!("`{clause}`: {why}"))?;
        Ok(Threshold { metric, comparison, limit })
    }

    /// What it is a condition on.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The condition that holds exactly where this one does not: what a run that `--fail-if` ends
    /// badly would have had to keep.
    pub fn opposite(self) -> Threshold {
        Threshold { comparison: self.comparison.opposite(), ..self }
    }

    /// Judges a run by what `measured` tells of each metric, in its base unit.
    pub fn holds(&self, measured: &dyn Fn(Metric) -> Option<f64>) -> Verdict {
        let value = measured(self.metric);
        let failed = !value.is_some_and(|value| self.comparison.holds(value, self.limit));
        Verdict {
            text: self.to_string(),
            metric: self.metric.name(),
            limit: self.limit,
            measured: value,
            found: value.map_or_else(|| self.unmeasured(), |value| self.found(value)),
            failed,
        }
    }

    fn unmeasured(&self) -> String {
        match self.metric.needs() {
            Some(needed) => format!("not measured (needs {needed})"),
            None => "not measured".to_owned(),
        }
    }

    /// The measured value, with as many digits as it takes to see on which side of the limit it is.
    fn found(&self, value: f64) -> String {
        let quantity = self.metric.quantity();
        let same = |digits: &usize| {
            value != self.limit && quantity.precise(value, *digits) == self.limit_text()
        };
        let digits = (3..LIMIT_DIGITS).find(|digits| !same(digits)).unwrap_or(LIMIT_DIGITS);
        quantity.precise(value, digits)
    }

    fn limit_text(&self) -> String {
        self.metric.quantity().precise(self.limit, LIMIT_DIGITS)
    }
}

/// Digits of a limit: all that anyone types.
const LIMIT_DIGITS: usize = 12;

/// Splits at the word `and`, which is part of no metric's name.
fn split_at_and(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, word) in text.match_indices("and") {
        let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphabetic() && c != '_');
        let end = at + word.len();
        if alone(text[..at].chars().next_back()) && alone(text[end..].chars().next()) {
            parts.push(&text[begin..at]);
            begin = end;
        }
    }
    parts.push(&text[begin..]);
    parts
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, sign) = (self.metric.name(), self.comparison.sign());
        write!(f, "{name} {sign} {}", self.limit_text())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.failed { "FAILED" } else { "ok" };
        write!(f, "{word}  {}: {}", self.text, self.found)
    }
}

#[cfg(test)]
#[path = "threshold/tests.rs"]
mod tests;
