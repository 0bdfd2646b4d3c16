//! Configuration values: what is read is written back as the same, what is refused names its key in
//! one line, and what is accepted is accepted again, by itself, from a file and by a program.
//! Not for precedence among flags, environment and file.

use std::ffi::OsString;
use std::fmt::{Debug, Display};

use pulsewheel::config::{
    AdminToken, Command, Config, ConfigErrors, ListenAddress, Problem, Rate, Refusal, load,
};
use pulsewheel::doors::config::{self, KeyName};

use super::script::Script;

/// The handlers that there are.
const HANDLERS: [&str; 2] = ["echo", "broadcast"];

/// What files are called in problems.
const NAME: &str = "F";

/// Whatever is quoted, a problem stays a line that can be read; in bytes. Each character that is
/// quoted may be escaped to ten.
const LONGEST_LINE: usize = 2_000;

/// The script: which reader, and the text.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let reader = script.byte();
    match reader {
        0..=63 => values(&String::from_utf8_lossy(script.rest())),
        64..=127 => key(&mut script),
        128..=247 => file(&String::from_utf8_lossy(script.rest())),
        // To build the parser of arguments takes longer than all else here.
        _ => command_line(&String::from_utf8_lossy(script.rest())),
    }
    if reader < 64 {
        token(data);
    }
}

/// A text as every kind of value.
pub fn values(text: &str) {
    value(text, config::parse_duration, |duration| config::show_duration(*duration));
    value(text, config::parse_size, |bytes| config::show_size(*bytes));
    value(text, str::parse::<Rate>, Rate::to_string);
    value(text, str::parse::<ListenAddress>, ListenAddress::to_string);
    value(text, config::parse_admin, |admin| admin.map_or("off".to_owned(), |a| a.to_string()));
}

fn value<T: Debug + PartialEq>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, Refusal>,
    show: impl Fn(&T) -> String,
) {
    match parse(text) {
        Ok(value) => {
            let shown = show(&value);
            assert_eq!(parse(&shown).as_ref(), Ok(&value), "{text:?} shown as {shown:?}");
            assert_eq!(parse(&format!(" {text}\t")).as_ref(), Ok(&value), "spaces around it");
        }
        Err(refusal) => {
            assert!(!refusal.wrong.is_empty() && !refusal.remedy.is_empty());
            check_line(&refusal);
        }
    }
}

/// A token is what stands between spaces; it matches itself alone and is never shown.
fn token(bytes: &[u8]) {
    let Ok(token) = AdminToken::new(bytes) else { return };
    let text = bytes.trim_ascii();
    assert!(token.matches(text) && !text.is_empty() && text.iter().all(u8::is_ascii_graphic));
    assert!(!token.matches(&text[1..]) && !token.matches(&[text, b"x"].concat()));
    let mut other = text.to_vec();
    other[text.len() / 2] ^= 1;
    assert!(!token.matches(&other), "another token opens");
    let shown = format!("{token:?}{token}");
    assert_eq!(shown, "AdminToken(redacted)redacted");
}

/// A text as the value of one key.
fn key(script: &mut Script<'_>) {
    let keys: Vec<KeyName> = config::keys().collect();
    let key = script.pick(&keys);
    let text = String::from_utf8_lossy(script.rest()).into_owned();
    let mut config = DEFAULTS.clone();
    if let Err(problem) = key.set(&mut config, &text) {
        assert!(problem.to_string().starts_with(&format!("flag --{}: ", key.flag())));
        check_problem(&problem);
        return;
    }
    check_shown(key, &config);
    // Which value makes sense is said by the same check, whoever filled it in.
    if let Err(errors) = config.check(&HANDLERS) {
        check_errors(&errors);
    }
}

/// Resolved once.
static DEFAULTS: std::sync::LazyLock<Config> = std::sync::LazyLock::new(Config::default);

/// What a key is shown as sets it to the same again.
fn check_shown(key: KeyName, config: &Config) {
    let shown = key.show(config);
    if key.in_file().is_none() {
        return;
    }
    let mut again = config.clone();
    key.set(&mut again, &shown).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(again, *config, "--{} {shown}", key.flag());
}

/// A text as a whole file.
fn file(text: &str) {
    // What it names would be read from this machine.
    if text.contains("admin_token_file") || text.contains('\\') && text.contains("u00") {
        return;
    }
    let config = match config::from_text(text, NAME, &HANDLERS) {
        Ok(config) => config,
        Err(errors) => {
            check_errors(&errors);
            check_lines(&errors, text.lines().count());
            return;
        }
    };
    config.check(&HANDLERS).unwrap_or_else(|errors| panic!("accepted and then refused: {errors}"));
    let written = write(&config);
    let again = config::from_text(&written, NAME, &HANDLERS);
    assert_eq!(again.as_ref(), Ok(&config), "{written}");
}

/// Every problem of a file stands on one of its lines, and they are in order.
fn check_lines(errors: &ConfigErrors, lines: usize) {
    let mut last = 0;
    for problem in errors.problems() {
        let shown = problem.source.to_string();
        let Some(place) = shown.strip_prefix("F:") else {
            // A default can contradict what stands in the file, and then is not to blame alone.
            assert!(shown.starts_with("default of --"), "{shown}");
            continue;
        };
        let line = place.split(' ').next().and_then(|line| line.parse().ok());
        let line: usize = line.expect("a line's number");
        assert!((last.max(1)..=lines + 1).contains(&line), "line {line} of {lines}");
        last = line;
    }
}

/// A file that says what a configuration holds.
fn write(config: &Config) -> String {
    let mut text = String::new();
    for key in config::keys() {
        let Some((name, is_switch)) = key.in_file() else { continue };
        let shown = key.show(config);
        let value = if is_switch { (shown == "on").to_string() } else { quote(&shown) };
        text.push_str(&format!("{name} = {value}\n"));
    }
    let listen: Vec<String> =
        config.listen.iter().map(|address| quote(&address.to_string())).collect();
    text.push_str(&format!("listen = [{}]\n", listen.join(", ")));
    for route in &config.routes {
        let names: Vec<String> = route.subprotocols.iter().map(|name| quote(name)).collect();
        let (path, handler) = (quote(&route.path), quote(&route.handler));
        text.push_str(&format!("[[route]]\npath = {path}\nhandler = {handler}\n"));
        text.push_str(&format!("subprotocols = [{}]\n", names.join(", ")));
    }
    text
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// A text as arguments, one a line.
fn command_line(text: &str) {
    // What they name would be read from this machine.
    if text.contains("--config") || text.contains("--admin-token-file") {
        return;
    }
    let args = ["pulsewheel"].into_iter().chain(text.lines()).map(OsString::from);
    match load(args, &|_| None, &HANDLERS) {
        Ok(Command::Serve(config)) => {
            config.check(&HANDLERS).unwrap_or_else(|errors| panic!("{errors}"));
            config::keys().for_each(|key| check_shown(key, &config));
        }
        Ok(_) => {}
        Err(errors) => check_errors(&errors),
    }
}

fn check_errors(errors: &ConfigErrors) {
    assert!(!errors.problems().is_empty(), "refused for nothing");
    errors.problems().iter().for_each(check_problem);
    assert_eq!(errors.to_string().lines().count(), errors.problems().len());
}

/// Where, what, and what to do, in one line.
fn check_problem(problem: &Problem) {
    assert!(!problem.wrong.is_empty() && !problem.remedy.is_empty(), "{problem}");
    let line = problem.to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
    check_line(&line);
}

fn check_line(line: &impl Display) {
    let line = line.to_string();
    assert!(line.len() <= LONGEST_LINE, "a line of {} bytes", line.len());
}
