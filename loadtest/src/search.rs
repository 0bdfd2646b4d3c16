//! A search for the largest load that a server bears: which one to try next, and when to stop.
//! Not the trying; that is done in scenes, which `conductor` has played and judged.

/// A search in progress. The load is doubled while it is borne, quartered while it is not; once
/// there are both a load that was borne and one that was not, what lies between is halved.
#[derive(Clone, Debug)]
pub struct Search {
    now: f64,
    most: f64,
    precision: f64,
    tries: u32,
    failures: u32,
    borne: Option<f64>,
    too_much: Option<f64>,
    over: bool,
}

/// A load below this is none.
const LEAST: f64 = 1.0;

impl Search {
    /// Begins at `start`, never goes beyond `most`, and ends when the two bounds are within the
    /// part `precision` of each other. A load must fail `tries` times to count as too much.
    pub fn new(start: f64, most: f64, precision: f64, tries: u32) -> Search {
        Search {
            now: start.clamp(LEAST, most),
            most,
            precision,
            tries,
            failures: 0,
            borne: None,
            too_much: None,
            over: false,
        }
    }

    /// The load to try; `None` when the search is over.
    pub fn next(&self) -> Option<f64> {
        (!self.over).then_some(self.now)
    }

    /// The largest load that was borne.
    pub fn best(&self) -> Option<f64> {
        self.borne
    }

    /// The least load that was too much.
    pub fn bound(&self) -> Option<f64> {
        self.too_much
    }

    /// The load that [`Search::next`] named was tried; `kept` tells whether it was borne.
    pub fn judge(&mut self, kept: bool) {
        if kept {
            self.borne = Some(self.now);
        } else {
            self.failures += 1;
            if self.failures < self.tries {
                return;
            }
            self.too_much = Some(self.now);
        }
        self.failures = 0;
        self.now = match (self.borne, self.too_much) {
            (Some(borne), None) => {
                self.over = borne >= self.most;
                (2.0 * borne).min(self.most)
            }
            (None, Some(too_much)) => {
                self.over = too_much <= LEAST;
                (too_much / 4.0).max(LEAST)
            }
            (Some(borne), Some(too_much)) => {
                self.over = too_much - borne <= self.precision * borne;
                (borne + too_much) / 2.0
            }
            (None, None) => self.now,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a search against a server that bears exactly `limit`; the steps it took.
    fn find(mut search: Search, limit: f64) -> (Option<f64>, u32) {
        let mut steps = 0;
        while let Some(load) = search.next() {
            search.judge(load <= limit);
            steps += 1;
            assert!(steps < 200, "it does not end");
        }
        (search.best(), steps)
    }

    #[test]
    fn the_limit_is_found_from_below_and_from_above() {
        for start in [10.0, 1_000.0, 900_000.0] {
            let (best, steps) = find(Search::new(start, 1e7, 0.03, 1), 84_500.0);
            let best = best.expect("found");
            assert!((81_900.0..=84_500.0).contains(&best), "{best}");
            assert!(steps < 25, "{steps}");
        }
    }

    #[test]
    fn the_ends_of_the_range_end_the_search() {
        assert_eq!(find(Search::new(1_000.0, 50_000.0, 0.03, 1), 1e9).0, Some(50_000.0));
        assert_eq!(find(Search::new(1_000.0, 50_000.0, 0.03, 2), 0.0).0, None);
    }

    #[test]
    fn one_bad_step_is_tried_again() {
        let mut search = Search::new(100.0, 1_000.0, 0.05, 2);
        search.judge(false);
        assert_eq!(search.next(), Some(100.0));
        search.judge(true);
        assert_eq!(search.next(), Some(200.0));
        search.judge(false);
        search.judge(false);
        assert_eq!(search.next(), Some(150.0));
    }
}
