//! The server's own numbers, as its admin port tells them.
//! Not a Prometheus client: it reads the sample lines and nothing else.

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// From the text of an exposition.
    pub fn new(text: String) -> Self {
        Metrics { text }
    }

    /// The whole exposition.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sample with that name and all of these labels; panics if there is none, since every
    /// label value is exposed from the start.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.samples(name).find(|(given, _)| {
            labels.iter().all(|(key, value)| given.contains(&format!("{key}=\"{value}\"")))
        });
        found.unwrap_or_else(|| panic!("no sample {name} {labels:?}")).1
    }

    /// The sum of all samples with that name, 0 if there are none.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples(name).map(|(_, value)| value).sum()
    }

    /// `ws_connections_closed_total` of one reason.
    pub fn closed(&self, reason: &str) -> u64 {
        self.value("ws_connections_closed_total", &[("reason", reason)]) as u64
    }

    /// `ws_connections_refused_total` of one reason.
    pub fn refused(&self, reason: &str) -> u64 {
        self.value("ws_connections_refused_total", &[("reason", reason)]) as u64
    }

    /// `ws_deadlines_expired_total` of one kind.
    pub fn expired(&self, deadline: &str) -> u64 {
        self.value("ws_deadlines_expired_total", &[("deadline", deadline)]) as u64
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.split(' ').next()?.parse().ok()?))
        })
    }
}
