//! The command line by itself: its commands, help and version, and arguments without shape.
//! Not for the values of flags.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::super::Command;
use super::super::keys::KEYS;
use super::{Typed, file, flags};

#[test]
fn serve_is_the_command_when_none_is_given() {
    let listen = ["--listen", "127.0.0.1:1"];
    let bare = flags(listen).command().unwrap();
    assert_eq!(bare, flags(["serve"]).flags(listen).command().unwrap());
    assert_eq!(bare, flags(listen).flags(["serve"]).command().unwrap());
    assert_eq!(flags([]).command(), Ok(Command::Serve(Box::default())));
}

#[test]
fn check_config_takes_what_serve_takes_and_says_what_serve_would() {
    assert_eq!(flags(["check-config"]).command(), Ok(Command::CheckConfig(Vec::new())));
    assert_eq!(
        file("reactors = 2").flags(["check-config"]).command(),
        Ok(Command::CheckConfig(Vec::new()))
    );
    let wrong = || file("reactors = 0").flags(["--ping-interval=x"]);
    let checked = wrong().flags(["check-config"]).command().unwrap_err();
    assert_eq!(checked, wrong().command().unwrap_err());
    assert_eq!(checked.len(), 2);
}

#[test]
fn default_config_stands_alone() {
    assert_eq!(flags(["default-config"]).command(), Ok(Command::DefaultConfig));
    // What the environment says does not change the defaults, so it may say anything.
    let variable = Typed::default().variable("PULSEWHEEL_REACTORS", "x").flags(["default-config"]);
    assert_eq!(variable.command(), Ok(Command::DefaultConfig));
    let line = flags(["default-config", "--reactors", "1"]).problem();
    assert!(line.starts_with("command line: default-config prints the defaults alone; "), "{line}");
}

#[test]
fn the_version_is_one_line() {
    for flag in ["--version", "-V"] {
        let version = concat!("pulsewheel ", env!("CARGO_PKG_VERSION"), "\n").to_string();
        assert_eq!(flags([flag]).command(), Ok(Command::Version(version)));
    }
}

#[test]
fn help_names_every_flag_with_its_default_and_variable() {
    for args in [&["--help"][..], &["help"], &["serve", "--help"], &["--help", "--nonsense"]] {
        let Ok(Command::Help(text)) = flags(args.iter().copied()).command() else {
            panic!("no help for {args:?}");
        };
        assert!(text.ends_with('\n'));
        // Undo the wrapping, which may fall between any two words.
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for spec in KEYS {
            let section = spec.section.heading();
            assert!(words.contains(&format!("--{}", spec.name)), "{}", spec.name);
            assert!(words.contains(&format!("Default: {}.", spec.shown_default())));
            assert!(words.contains(&format!("Environment: {}.", spec.variable())));
            assert!(words.contains(spec.meaning) && words.contains(section), "{}", spec.name);
        }
    }
}

#[test]
fn short_help_names_every_flag_too() {
    let Ok(Command::Help(text)) = flags(["-h"]).command() else { panic!("no help") };
    for spec in KEYS {
        assert!(text.contains(&format!("--{}", spec.name)), "{}", spec.name);
    }
}

#[test]
fn arguments_without_shape_are_told_in_one_line() {
    for (args, line) in [
        (
            &["bogus"][..],
            "command line: unknown command \"bogus\"; there are serve, check-config, \
                          default-config",
        ),
        (&["serv"], "command line: unknown command \"serv\"; did you mean serve?"),
        (
            &[""],
            "command line: unknown command \"\"; there are serve, check-config, \
                 default-config",
        ),
        (&["serve", "x"], "command line: \"x\" is one argument too many; see pulsewheel --help"),
        (
            &["serve", "a.toml"],
            "command line: \"a.toml\" is one argument too many; a file is named \
                                by --config a.toml",
        ),
        (
            &["--png-interval", "3s"],
            "command line: unknown flag \"--png-interval\"; did you mean \
                                     --ping-interval?",
        ),
        (&["--zzzzzz"], "command line: unknown flag \"--zzzzzz\"; see pulsewheel --help"),
        (&["-x"], "command line: unknown flag \"-x\"; see pulsewheel --help"),
        (&["--reactors"], "flag --reactors: lacks its value; write --reactors N"),
        (&["--reactors", "--admin", "off"], "flag --reactors: lacks its value; write --reactors N"),
        (&["--reactors", "1", "--reactors", "2"], "flag --reactors: given 2 times; give it once"),
        (&["--takeover", "--takeover"], "flag --takeover: given 2 times; give it once"),
        (
            &["--route", "/echo"],
            "flag --route: \"/echo\" is not PATH=HANDLER; write it like \
                                 /echo=echo",
        ),
    ] {
        assert_eq!(flags(args.iter().copied()).problem(), line);
    }
}

#[test]
fn what_is_not_utf_8_is_told_where_it_was_typed() {
    let broken = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0xff);
        OsString::from_vec(bytes)
    };
    let flag = Typed::default().flags([broken("--listen=")]).problem();
    assert_eq!(flag, "flag --listen: \"\u{fffd}\" is not UTF-8; write it in UTF-8");
    let name = Typed::default().flags([broken("--liste")]).problem();
    assert!(name.starts_with("command line: unknown flag \"--liste\u{fffd}\"; "), "{name}");
    let command = Typed::default().flags([broken("serve")]).problem();
    assert!(command.starts_with("command line: unknown command \"serve\u{fffd}\"; "), "{command}");
    for variable in ["PULSEWHEEL_ADMIN", "PULSEWHEEL_CONFIG", "RUST_LOG"] {
        let line = Typed::default().variable(variable, broken("x")).problem();
        assert!(line.starts_with(&format!("environment {variable}: \"x\u{fffd}\" is not UTF-8")));
    }
}

#[test]
fn a_problem_stays_one_line_whatever_was_typed() {
    let long = "x".repeat(100_000);
    for value in ["a\nb", "a\r\nb", "\u{1b}[31mred", "\u{85}", long.as_str()] {
        let line = flags(["--reactors", value]).problem();
        assert!(line.starts_with("flag --reactors: "));
        assert!(line.len() < 300 && !line.contains(char::is_control), "{line:?}");
    }
    let file = flags(["--config", "/no\nsuch\u{1b}file"]).problem();
    assert!(file.starts_with("flag --config: cannot read \"/no\\nsuch\\u{1b}file\": "), "{file}");
}
