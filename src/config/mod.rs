//! Flags, environment and TOML file resolved into one checked [`Config`]: what was typed, then what
//! is meant.
//! Not for anything that runs: nothing here opens a socket, and nothing past here looks at the
//! command line.
//!
//! Everything that can be configured stands in one table, `keys`. From it come the flags and
//! their help, the names of the environment variables, the keys that the TOML file may hold, and
//! the file that `default-config` prints.
//!
//! ```text
//! command_line ─┐
//! environment  ─┼─> low: what was typed, and where ──> high ──> check ──> Config
//! file         ─┤
//! keys         ─┘   (defaults)
//! ```

use std::env;
use std::ffi::OsString;

mod address;
mod admission;
mod check;
mod command_line;
mod compare;
mod compression;
#[doc(hidden)]
pub mod door;
mod driver;
mod environment;
mod error;
mod fields;
mod file;
mod gate;
mod high;
mod key_table;
mod keys;
mod low;
mod quantity;
mod rate;
mod settings;
mod template;
mod tls;
mod token;

#[cfg(test)]
mod tests;

pub use address::ListenAddress;
pub use admission::{Admission, ForwardedHeader, Proxy, UserPolicy};
pub use compare::{Reloaded, compare};
pub use compression::{Compression, CompressionMode};
pub use driver::DriverSettings;
pub use error::{ConfigErrors, Problem, Refusal, Source};
pub use rate::Rate;
pub use settings::{
    Config, Drain, Limits, LogFormat, LogSettings, RatePolicy, Route, SlowConsumer,
};
pub use template::default_config;
pub use token::AdminToken;

use command_line::{Request, Verb};
use low::{Layer, Low};

/// What the program was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Serve with this configuration.
    Serve(Box<Config>),
    /// Say that the configuration is valid: it has been checked. What is to be warned of, a line each.
    CheckConfig(Vec<String>),
    /// Print what [`default_config`] gives.
    DefaultConfig,
    /// Print this help, which ends with a newline.
    Help(String),
    /// Print this version line, which ends with a newline.
    Version(String),
}

/// Reads this process's arguments and environment, and the file that they name.
///
/// `known_handlers` are the names that routes may point to.
///
/// # Errors
///
/// Every problem found, one line each; nothing has been started or changed.
pub fn from_process(known_handlers: &[&str]) -> Result<Command, ConfigErrors> {
    load(env::args_os(), &|name| env::var_os(name), known_handlers)
}

/// Reads the given arguments (the first is the program's name) and environment, and the file that
/// they name. A flag is stronger than the environment, that is stronger than the file, and that is
/// stronger than the default, for each key by itself.
///
/// Called again with the same arguments it reads the file anew: that is what SIGHUP does.
///
/// # Errors
///
/// Every problem found, one line each. A value that is overridden must be well formed too: it is
/// what will be used on the day the stronger one goes away.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
    known_handlers: &[&str],
) -> Result<Command, ConfigErrors> {
    let mut problems = Vec::new();
    let (verb, flags) = match command_line::read(args, &mut problems)? {
        Request::Help(text) => return Ok(Command::Help(text)),
        Request::Version(text) => return Ok(Command::Version(text)),
        Request::Run(Verb::DefaultConfig, _) => return Ok(Command::DefaultConfig),
        Request::Run(verb, flags) => (verb, flags),
    };
    let variables = environment::read(environment, &flags, &mut problems);
    let name = flags.config_file().or_else(|| variables.config_file());
    let file = name.map_or_else(Layer::default, |name| file::read(name, &mut problems));
    let low = Low::new(file, variables, flags);
    let config = high::resolve(&low, known_handlers, &mut problems);
    ConfigErrors::unless_empty(problems)?;
    Ok(match verb {
        Verb::CheckConfig => Command::CheckConfig(config.warnings),
        _ => Command::Serve(Box::new(config)),
    })
}
