//! The command line: a clap command generated from the table of keys, and what was typed at it.
//! Not for what values mean: every value is taken as text, so that every error is ours and names
//! its flag.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::error::{Problem, Refusal, Source, nearest, quoted};
use super::keys::{Change, KEYS, Kind, Spec};
use super::low::{Entry, Given, Layer, split_route};

/// The commands and what each does.
const VERBS: [(&str, Verb, &str); 3] = [
    ("serve", Verb::Serve, "serve until a signal says otherwise (the default)"),
    ("check-config", Verb::CheckConfig, "say what is wrong with the configuration, and exit"),
    ("default-config", Verb::DefaultConfig, "print a file with every key, its default and why"),
];

const AFTER_HELP: &str = "\
Durations are written 25s, 1m30s, 250ms or 0; sizes 256KiB, 1MiB or 65536 (bytes); rates 100/s or \
100/s:200 (with a burst). A flag is stronger than its environment variable, that is stronger than \
the file of --config, and that is stronger than the default.";

const SEE_HELP: &str = "see pulsewheel --help";

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Serve,
    CheckConfig,
    DefaultConfig,
}

/// What the command line asks for.
pub(super) enum Request {
    Help(String),
    Version(String),
    Run(Verb, Layer),
}

/// Reads the arguments, of which the first is the program's name.
///
/// Fails where the arguments have no shape; what is wrong with one flag's values goes to `problems`.
pub(super) fn read(
    args: impl IntoIterator<Item = OsString>,
    problems: &mut Vec<Problem>,
) -> Result<Request, Problem> {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp => return Ok(Request::Help(error.render().to_string())),
            ErrorKind::DisplayVersion => return Ok(Request::Version(error.render().to_string())),
            _ => return Err(explain(&error)),
        },
    };
    let verb = match matches.get_one::<OsString>("command") {
        Some(typed) if typed == "help" => {
            return Ok(Request::Help(command().render_long_help().to_string()));
        }
        Some(typed) => find_verb(typed)?,
        None => Verb::Serve,
    };
    let mut layer = Layer::default();
    for spec in KEYS {
        take(spec, &matches, &mut layer, problems);
    }
    if verb == Verb::DefaultConfig && !(layer.is_empty() && problems.is_empty()) {
        return Err(Refusal::new(
            "default-config prints the defaults alone",
            "leave the flags away, or use check-config to check them",
        )
        .at(Source::CommandLine));
    }
    Ok(Request::Run(verb, layer))
}

fn command() -> clap::Command {
    let verbs = VERBS.map(|(name, _, does)| format!("{name}: {does}")).join("\n");
    clap::Command::new("pulsewheel")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A WebSocket server for very many long-lived connections on one machine")
        .override_usage("pulsewheel [COMMAND] [FLAGS]")
        .max_term_width(100)
        .after_help(AFTER_HELP)
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .value_parser(value_parser!(OsString))
                .help(verbs),
        )
        .args(KEYS.iter().map(flag))
}

fn flag(spec: &Spec) -> Arg {
    let default = spec.shown_default();
    let mut lines = vec![format!("{}.", spec.meaning), spec.why.to_string()];
    let mut names = format!("Default: {default}. Environment: {}.", spec.variable());
    if let Some(key) = spec.toml_key() {
        names.push_str(&format!(" File: {key}."));
    }
    if spec.change == Change::Reload {
        names.push_str(" SIGHUP can change it.");
    }
    lines.push(names);
    let flag = Arg::new(spec.name)
        .long(spec.name)
        // Everything may be given twice as far as clap is concerned; `take` says it better.
        .action(ArgAction::Append)
        .value_parser(value_parser!(OsString))
        .help(format!("{} [default: {default}]", spec.meaning))
        .long_help(lines.join("\n\n"))
        .help_heading(spec.section.heading());
    if spec.kind == Kind::Switch {
        // `--pin-cores=off` is how the command line overrides a file that says true.
        flag.num_args(0..=1).require_equals(true).default_missing_value("on").value_name("on|off")
    } else {
        flag.num_args(1).value_name(spec.value)
    }
}

fn take(spec: &'static Spec, matches: &ArgMatches, layer: &mut Layer, problems: &mut Vec<Problem>) {
    let Some(typed) = matches.get_many::<OsString>(spec.name) else { return };
    let source = Source::Flag(spec.name);
    let mut values = Vec::new();
    for value in typed {
        match text(value) {
            Ok(text) => values.push(Given { text, source: source.clone() }),
            Err(refusal) => return problems.push(refusal.at(source)),
        }
    }
    if values.len() > 1 && !spec.repeatable() {
        let refusal = Refusal::new(format!("given {} times", values.len()), "give it once");
        return problems.push(refusal.at(source));
    }
    set(spec, source, values, layer, problems);
}

/// Puts values that are not from the file into a layer, splitting routes at their equals sign.
pub(super) fn set(
    spec: &Spec,
    source: Source,
    values: Vec<Given>,
    layer: &mut Layer,
    problems: &mut Vec<Problem>,
) {
    if spec.kind != Kind::Routes {
        return layer.set(spec.key, Entry { source, values });
    }
    let mut routes = Vec::new();
    for value in values {
        match split_route(&value.text, &value.source) {
            Some(route) => routes.push(route),
            None => {
                let wrong = format!("{} is not PATH=HANDLER", quoted(&value.text));
                problems.push(Refusal::new(wrong, "write it like /echo=echo").at(value.source));
            }
        }
    }
    layer.set_routes(source, routes);
}

/// The text of an argument or a variable.
pub(super) fn text(value: &OsStr) -> Result<String, Refusal> {
    value.to_str().map(str::to_string).ok_or_else(|| {
        Refusal::new(
            format!("{} is not UTF-8", quoted(&value.to_string_lossy())),
            "write it in UTF-8",
        )
    })
}

fn find_verb(typed: &OsStr) -> Result<Verb, Problem> {
    let name = typed.to_string_lossy();
    if let Some((_, verb, _)) = VERBS.iter().find(|(verb, ..)| *verb == name) {
        return Ok(*verb);
    }
    let remedy = match nearest(&name, VERBS.iter().map(|(verb, ..)| *verb)) {
        Some(verb) => format!("did you mean {verb}?"),
        None => format!("there are {}", VERBS.map(|(verb, ..)| verb).join(", ")),
    };
    Err(Refusal::new(format!("unknown command {}", quoted(&name)), remedy).at(Source::CommandLine))
}

/// One line for what clap would say in a paragraph.
fn explain(error: &clap::Error) -> Problem {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    // clap names a flag as `--listen <ADDR>`.
    let name = argument.split([' ', '=', '[']).next().unwrap_or_default();
    let flag = KEYS.iter().find(|spec| name.strip_prefix("--") == Some(spec.name));
    if let Some(spec) = flag {
        let refusal = match error.kind() {
            ErrorKind::TooManyValues | ErrorKind::UnknownArgument => {
                Refusal::new("takes no value", SEE_HELP)
            }
            _ => Refusal::new("lacks its value", format!("write --{} {}", spec.name, spec.value)),
        };
        return refusal.at(Source::Flag(spec.name));
    }
    let wrong = match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("unknown flag {}", quoted(argument))
        }
        ErrorKind::UnknownArgument => format!("{} is one argument too many", quoted(argument)),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_string(),
        _ => error.kind().to_string(),
    };
    let remedy = match context(ContextKind::SuggestedArg) {
        Some(suggested) => format!("did you mean {suggested}?"),
        None if argument.ends_with(".toml") => format!("a file is named by --config {argument}"),
        None => SEE_HELP.to_string(),
    };
    Refusal::new(wrong, remedy).at(Source::CommandLine)
}
