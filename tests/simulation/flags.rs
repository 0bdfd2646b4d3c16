//! The simulator's command line, and what it remembers of a panic.
//! Not the server's flags.

use std::cell::RefCell;
use std::panic::PanicHookInfo;

use clap::Parser;
use pulsewheel::mutation::Mutation;

/// Runs worlds by seed, each the same on every machine.
#[derive(Clone, Debug, Parser)]
#[command(name = "tests/simulate")]
pub struct Flags {
    /// How many seeds to run, one after the other.
    #[arg(long, default_value_t = 200)]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    pub first_seed: u64,
    /// Plants a fault; the status is not 0 when it is caught.
    #[arg(long, value_parser = parse_mutation)]
    pub mutation: Option<Mutation>,
    /// Plants each fault in turn; the status is 0 when all are caught.
    #[arg(long, conflicts_with = "mutation")]
    pub all_mutations: bool,
    /// Names the faults that can be planted.
    #[arg(long)]
    pub list_mutations: bool,
    /// Prints every event of every world.
    #[arg(long)]
    pub trace: bool,
    /// Runs each seed twice and compares: a world must not depend on anything but its seed.
    #[arg(long)]
    pub twice: bool,
    /// Prints a line for each seed.
    #[arg(long)]
    pub verbose: bool,
}

impl Flags {
    /// The seeds to run.
    pub fn seeds(&self) -> impl Iterator<Item = u64> {
        let first = self.first_seed;
        (0..self.seeds).map(move |n| first.wrapping_add(n))
    }
}

/// A mutation's name on the command line: its words with hyphens.
pub fn name(mutation: Mutation) -> String {
    let mut name = String::new();
    for letter in format!("{mutation:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn parse_mutation(text: &str) -> Result<Mutation, String> {
    let found = Mutation::ALL.into_iter().find(|mutation| name(*mutation) == text);
    found.ok_or_else(|| "there is none of that name; see --list-mutations".to_owned())
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps a panic's words: those of handlers are meant and would only fill the terminal.
pub fn remember_panic(info: &PanicHookInfo<'_>) {
    PANIC.set(info.to_string());
}

/// The words of the last panic.
pub fn last_panic() -> String {
    PANIC.with_borrow(Clone::clone)
}
