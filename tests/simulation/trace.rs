//! The event log of one seed, kept only when it is asked for.
//! Not a log of the server's: that one says what an operator needs.

/// Lines of what happened, with their times; or nothing.
#[derive(Debug, Default)]
pub struct Trace {
    is_on: bool,
    /// What identifies the run: equal for equal seeds, or the world is not deterministic.
    pub digest: u64,
    pub steps: u64,
}

impl Trace {
    pub fn new(is_on: bool) -> Self {
        Trace { is_on, ..Trace::default() }
    }

    /// Takes in a number that a repetition must have too.
    pub fn mix(&mut self, number: u64) {
        self.digest = (self.digest ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub fn say(&self, now: u64, line: impl FnOnce() -> String) {
        if self.is_on {
            println!("{:>14.6} {}", now as f64 / 1e6, line());
        }
    }
}
