//! The binary: arguments, log, exit code.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use pulsewheel::config::{self, Command, Config};
use pulsewheel::server::{Ended, Server, SignalQueue};
use pulsewheel::{logging, server};

/// A configuration that can't be used, as for other commands' usage errors.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    match config::from_process(server::HANDLERS) {
        Ok(Command::Serve(config)) => serve(*config),
        Ok(Command::CheckConfig) => print("the configuration is valid\n"),
        Ok(Command::DefaultConfig) => print(&config::default_config()),
        Ok(Command::Help(text) | Command::Version(text)) => print(&text),
        Err(errors) => {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{errors}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(config: Config) -> ExitCode {
    let log = logging::init(&config.log);
    let reload = || match config::from_process(server::HANDLERS) {
        Ok(Command::Serve(config)) => Ok(*config),
        Ok(_) => Err("the command line no longer asks to serve".to_owned()),
        Err(errors) => Err(errors.to_string()),
    };
    // Before the log says that anything listens: who waits for that may send a signal at once.
    let outcome = SignalQueue::new().map_err(|error| error.to_string()).and_then(|signals| {
        let running = Server::from_config(config).start().map_err(|error| error.to_string())?;
        let running = running.reloading(reload, log.clone());
        running.run_until(signals).map_err(|error| error.to_string())
    });
    let code = match outcome {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Forced) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pulsewheel: {error}");
            ExitCode::FAILURE
        }
    };
    log.flush(Duration::from_secs(1));
    code
}
