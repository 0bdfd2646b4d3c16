//! `pulsewheel-loadtest`: a load generator for WebSocket servers that costs less than what it measures.
//! It has no async runtime and no opinion about the server; see `loadtest/README.md`.
//!
//! A command line (`args`) is resolved into a plan (`plan`): a script of scenes (`script`), called
//! one after another by the conductor, played by generator threads, counted in `tally`, and told by
//! `report`.

mod args;
mod conductor;
mod dist;
mod error;
mod generator;
mod live;
mod plan;
mod quantity;
mod report;
mod sampler;
mod script;
mod search;
mod server;
mod sources;
mod sys;
mod tables;
mod tally;
mod target;
mod threshold;
mod tls;
mod units;
mod wire;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{CommandLine, Output};
use error::Failure;
use plan::Plan;
use report::series::Series;
use report::{Report, html};

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) if error.exit_code() == 0 => error.exit(),
        Err(error) => return complain(&Failure::Usage(one_line(&error))),
    };
    match Plan::resolve(line).and_then(conductor::run) {
        Ok(outcome) => {
            let report = Report::of(&outcome);
            match outcome.plan().output {
                Output::Text => println!("{report}"),
                Output::Json => println!("{}", report.json()),
            }
            if let Some(path) = &outcome.plan().report
                && let Err(failure) = html::write(path, &report, &Series::of(&outcome))
            {
                return complain(&failure);
            }
            report.exit_code()
        }
        Err(failure) => complain(&failure),
    }
}

fn complain(failure: &Failure) -> ExitCode {
    eprintln!("pulsewheel-loadtest: {failure}");
    ExitCode::from(failure.exit_code())
}

/// What is wrong with a command line, without the page of usage that `--help` gives.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no scenario given; see --help".to_owned();
    }
    let text = error.to_string();
    let mut words = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("Usage:")) {
        words.extend(line.trim_start_matches("error: ").split_whitespace());
    }
    let paragraph = words.join(" ");
    paragraph.split(" For more information").next().unwrap_or_default().to_owned()
}
