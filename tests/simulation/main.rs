//! The simulator: a server's reactors over a simulated kernel, on virtual time, by seed.
//! Not a second server: the turn that runs here is the one that ships.

mod behave;
mod client;
mod driver;
mod fate;
mod flags;
mod households;
mod invariants;
mod kernel;
mod ledger;
mod manner;
mod message;
mod net;
mod port;
mod requests;
mod ring;
mod ringed;
mod rules;
mod serve;
mod trace;
mod turn;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use pulsewheel::mutation::{self, Mutation};

use flags::{Flags, name};
use world::{Breach, Summary, World};

fn main() -> ExitCode {
    let flags = Flags::parse();
    std::panic::set_hook(Box::new(flags::remember_panic));
    if flags.list_mutations {
        Mutation::ALL.iter().for_each(|mutation| println!("{}", name(*mutation)));
        return ExitCode::SUCCESS;
    }
    let is_fine = if flags.all_mutations {
        every_mutation(&flags)
    } else if let Some(mutation) = flags.mutation {
        // A fault that is caught is a failure, so that a script can tell.
        !is_caught(mutation, &flags)
    } else {
        every_seed(&flags)
    };
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one world to its end.
fn run(seed: u64, flags: &Flags) -> Result<Summary, Breach> {
    let outcome = catch_unwind(AssertUnwindSafe(|| World::new(seed, flags.trace).run()));
    outcome.unwrap_or_else(|_| {
        let what = format!("panicked: {}", flags::last_panic());
        Err(Breach { step: 0, micros: 0, what })
    })
}

fn every_seed(flags: &Flags) -> bool {
    let (mut steps, mut seconds, mut messages, mut most) = (0, 0, 0, 0);
    for seed in flags.seeds() {
        match run(seed, flags).and_then(|summary| repeated(seed, flags, summary)) {
            Ok(summary) => {
                if flags.verbose {
                    println!("seed {seed}: {summary:?}");
                }
                steps += summary.steps;
                seconds += summary.simulated / rules::SECOND;
                messages += summary.messages;
                most = most.max(summary.clients);
            }
            Err(breach) => {
                report(seed, &breach, None);
                return false;
            }
        }
    }
    let days = seconds as f64 / 86_400.0;
    println!(
        "{} seeds passed: {days:.1} days, {steps} steps, {messages} messages, up to {most} clients",
        flags.seeds
    );
    true
}

/// A world that is run again must be the same.
fn repeated(seed: u64, flags: &Flags, first: Summary) -> Result<Summary, Breach> {
    if !flags.twice {
        return Ok(first);
    }
    let second = run(seed, flags)?;
    if second == first {
        return Ok(first);
    }
    let what = format!("the same seed gave {first:?} and then {second:?}");
    Err(Breach { step: second.steps, micros: second.simulated, what })
}

/// True if some seed finds the planted fault.
fn is_caught(mutation: Mutation, flags: &Flags) -> bool {
    mutation::plant(Some(mutation));
    let caught = flags.seeds().find_map(|seed| Some((seed, run(seed, flags).err()?)));
    mutation::plant(None);
    match &caught {
        Some((seed, breach)) => report(*seed, breach, Some(mutation)),
        None => println!("{} survived {} seeds", name(mutation), flags.seeds),
    }
    caught.is_some()
}

fn every_mutation(flags: &Flags) -> bool {
    let survivors: Vec<String> = Mutation::ALL
        .into_iter()
        .filter(|mutation| !is_caught(*mutation, flags))
        .map(name)
        .collect();
    let caught = Mutation::ALL.len() - survivors.len();
    println!("{caught} of {} mutations caught", Mutation::ALL.len());
    survivors.iter().for_each(|survivor| println!("survived: {survivor}"));
    survivors.is_empty()
}

fn report(seed: u64, breach: &Breach, planted: Option<Mutation>) {
    let Breach { step, micros, what } = breach;
    let seconds = *micros as f64 / 1e6;
    let with = planted.map_or(String::new(), |mutation| format!(" --mutation {}", name(mutation)));
    if let Some(mutation) = planted {
        println!("{} caught", name(mutation));
    }
    println!("seed {seed}, step {step}, {seconds:.6} s: {what}");
    println!("  again: tests/simulate --first-seed {seed} --seeds 1{with} --trace");
}
