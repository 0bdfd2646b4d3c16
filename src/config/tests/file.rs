//! The TOML file: the types it takes, the lines it names, what it does not know.
//! Not for what values mean once they are text.

use std::time::Duration;

use proptest::prelude::*;

use super::super::file::parse;
use super::super::keys::{KEYS, Kind};
use super::{Scratch, Typed, file, flags};

#[test]
fn integers_booleans_and_single_strings_are_taken_where_they_mean_something() {
    let config = file(
        "reactors = 4\nmax_connections = 0x10\nmax_message_size = 65_536\nping_interval = \"5s\"\n\
         pong_timeout = \"5s\"\ndrain_window = 0\npin_cores = true\ntakeover = false\n\
         listen = \"[::]:1\"\nsubprotocol = \"a\"\n",
    )
    .config()
    .unwrap();
    assert_eq!((config.reactors, config.max_connections), (4, Some(16)));
    assert_eq!(config.limits.max_message_size, 65_536);
    assert_eq!(config.drain.window, Duration::ZERO);
    assert!(config.pin_cores && !config.takeover);
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.routes[0].subprotocols, ["a"]);
}

#[test]
fn each_problem_names_its_line_and_key() {
    let content = "\
# a comment
reactors = \"none\"

ping_interval = \"5s\" # too short for the default pong timeout
message_rate = \"0/s\"
listen = [
  \"127.0.0.1:1\",
  \"localhost:1\",
]

[[route]]
path = \"/a?b\"
handler = \"echo\"
subprotocols = [\"ok\", \"not ok\"]
";
    assert_eq!(
        file(content).config().unwrap_err(),
        [
            "F:2 reactors: \"none\" is not a whole number; write a number like 4, or auto",
            "F:5 message_rate: \"0/s\": a rate of 0 lets nothing through; write a rate like \
             100/s, or off",
            "F:8 listen: \"localhost:1\" is not an IP address with a port; write it like \
             127.0.0.1:9001 or [::]:9001, or unix:/run/pulsewheel.sock; names are not resolved",
            "F:12 route.path: the path \"/a?b\" holds ? or #; write the path alone, without query \
             and fragment",
            "F:14 route.subprotocols: \"not ok\" is no subprotocol's name; write one name of \
             letters, digits and !#$%&'*+-.^_`|~",
        ]
    );
}

#[test]
fn problems_of_a_file_come_in_the_order_of_its_lines() {
    let content = "write_timeout = 5\nno_such_thing = 1\nadmin = \"x\"\nlisten = 7\n";
    let lines = file(content).flags(["--reactors=x"]).config().unwrap_err();
    let starts: Vec<&str> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(starts, ["flag --reactors", "F:1 write_timeout", "F:2", "F:3 admin", "F:4 listen"]);
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    for (content, line) in [
        (
            "\nping_intervall = \"5s\"",
            "F:2: unknown key \"ping_intervall\"; did you mean \
                                       ping_interval?",
        ),
        (
            "ping-interval = \"5s\"",
            "F:1: unknown key \"ping-interval\"; did you mean \
                                    ping_interval?",
        ),
        ("routes = []", "F:1: unknown key \"routes\"; did you mean route?"),
        (
            "[limits]\nping_interval = \"5s\"",
            "F:1: unknown key \"limits\"; pulsewheel \
                                              default-config prints every key",
        ),
        (
            "config = \"x\"",
            "F:1: unknown key \"config\"; pulsewheel default-config prints every \
                            key",
        ),
        (
            "[[route]]\npath = \"/\"\nhandler = \"echo\"\nhandlers = 1",
            "F:4 route: unknown key \
             \"handlers\"; did you mean handler?",
        ),
        (
            "[[route]]\npath = \"/\"\nhandler = \"echo\"\nzzz = 1",
            "F:4 route: unknown key \"zzz\"; \
             a route has path, handler, subprotocols",
        ),
    ] {
        assert_eq!(file(content).problem(), line);
    }
}

#[test]
fn every_key_refuses_the_types_that_mean_nothing_to_it() {
    for spec in KEYS {
        let Some(key) = spec.toml_key() else { continue };
        let mut wrong = vec!["1.5", "1979-05-27", "{ a = 1 }", "inf", "[[1]]"];
        match spec.kind {
            Kind::Switch => wrong.extend(["1", "\"true\"", "[true]"]),
            Kind::Texts => wrong.extend(["true", "1", "[1]", "[true]"]),
            Kind::Routes => wrong.extend(["true", "1", "\"/a=echo\"", "[\"/a=echo\"]"]),
            Kind::Text | Kind::Rate => wrong.extend(["true", "1", "[\"a\"]"]),
            _ => wrong.extend(["true", "[1]", "[\"1\"]"]),
        }
        for value in wrong {
            let line = file(&format!("\n{key} = {value}")).problem();
            assert!(line.starts_with(&format!("F:2 {key}: is ")), "{key} = {value}: {line}");
        }
    }
}

#[test]
fn a_wrong_type_is_told_with_the_right_one() {
    for (content, line) in [
        ("takeover = \"yes\"", "F:1 takeover: is a string; write true or false, without quotes"),
        (
            "idle_timeout = false",
            "F:1 idle_timeout: is a boolean; write a string like \"25s\", or \
                                  \"off\"",
        ),
        (
            "idle_timeout = 25",
            "F:1 idle_timeout: \"25\" lacks a unit (ms, s, m, h or d); write it \
                               like 25s, 1m30s or 250ms, or off",
        ),
        (
            "message_rate = 100",
            "F:1 message_rate: is an integer; write a string like \"100/s\", or \
                                \"off\"",
        ),
        (
            "outbox_limit = 1.5",
            "F:1 outbox_limit: is a float; write a number of bytes, or a string \
                                like \"256KiB\"",
        ),
        (
            "outbox_limit = -1",
            "F:1 outbox_limit: \"-1\" is not a size; write it like 256KiB, 1MiB, \
                               64KB or 65536 (bytes)",
        ),
        (
            "reactors = 99999999999999999999",
            "F:1 reactors: \"99999999999999999999\" is too large; \
                                             write a number like 4, or auto",
        ),
        (
            "[route]\npath = \"/\"",
            "F:1 route: is not a list of tables; write [[route]] above a \
                                   path and a handler",
        ),
    ] {
        assert_eq!(file(content).problem(), line);
    }
}

#[test]
fn a_route_needs_path_and_handler() {
    let lines = file("\n[[route]]\nhandler = \"echo\"\n[[route]]\npath = \"/\"").config();
    let line = |at: usize, what: &str| {
        format!("F:{at} route: a route without its {what}; write both path and handler")
    };
    assert_eq!(lines.unwrap_err(), [line(2, "path"), line(4, "handler")]);
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    for (content, start) in [
        ("reactors = 1\nlisten = [", "F:2: "),
        ("reactors = 1\n\nreactors = 2", "F:3: duplicate key"),
        ("a b", "F:1: "),
        ("listen = \"a\nb\"", "F:1: "),
    ] {
        let line = file(content).problem();
        assert!(line.starts_with(start), "{content:?}: {line}");
        assert!(line.ends_with("; mend the TOML, or see pulsewheel default-config"), "{line}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_where_it_was_named() {
    let line = flags(["--config", "/nonexistent.toml"]).problem();
    assert!(line.starts_with("flag --config: cannot read \"/nonexistent.toml\": No such file"));
    assert!(line.ends_with("; name a readable TOML file"), "{line}");
    let line = Typed::default().variable("PULSEWHEEL_CONFIG", "/").problem();
    assert!(line.starts_with("environment PULSEWHEEL_CONFIG: cannot read \"/\": "), "{line}");
    let latin = Scratch::new(b"# caf\xe9\n");
    assert!(flags(["--config", latin.path()]).problem().contains("UTF-8"));
    let endless = flags(["--config", "/dev/zero"]).problem();
    assert!(endless.contains("is longer than 1048576 bytes"), "{endless}");
}

#[test]
fn files_from_windows_and_empty_files_are_files_too() {
    for content in ["", "\n\n# nothing\n", "\u{feff}reactors = 3\r\n\r\n", "reactors = 3\r\n"] {
        let config = file(content).config().unwrap();
        assert_eq!(config.reactors == 3, content.contains('3'), "{content:?}");
    }
    assert!(file("\r\n\r\nreactors = 0\r\n").problem().starts_with("F:3 reactors: "));
}

/// Text that is nearly a file of ours.
fn nearly_toml() -> impl Strategy<Value = String> {
    let keys: Vec<String> = KEYS.iter().map(|spec| spec.name.replace('-', "_")).collect();
    let key = prop_oneof![
        prop::sample::select(keys),
        prop::sample::select(vec!["path", "handler", "subprotocols", "\"\"", "a.b", "x-y"])
            .prop_map(str::to_string),
    ];
    let value = prop_oneof![
        "[0-9]{1,30}".boxed(),
        "\"[^\"\\\\\n\r]{0,12}\"".boxed(),
        "(true|false|inf|nan|1e9|-0|0x7f|1979-05-27|\\[\\]|\\{\\}|'')".boxed(),
        "\\[(\"[a-z:/=0-9]{0,9}\",? ?){0,3}\\]".boxed(),
    ];
    let line = prop_oneof![
        6 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => "(\\[\\[route\\]\\]|\\[route\\]|\\[x\\]|#.{0,9}|[\\[\\]\"=.,]{1,5})",
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_file_makes_the_parser_panic(text in any::<String>(), near in nearly_toml()) {
        for text in [text, near] {
            let mut problems = Vec::new();
            let _ = parse(&text, "F", &mut problems);
        }
    }

    #[test]
    fn a_file_is_accepted_or_refused_line_by_line(text in nearly_toml()) {
        let count = text.lines().count().max(1);
        for line in file(&text).command().err().into_iter().flatten() {
            let at = line.strip_prefix("F:").and_then(|rest| {
                let digits = rest.find(|c: char| !c.is_ascii_digit())?;
                rest[..digits].parse::<usize>().ok()
            });
            // A token file that is not there and a contradiction with a default are told too, by
            // the line of the key that was typed.
            prop_assert!(at.is_some_and(|at| (1..=count).contains(&at)), "{line}\n{text}");
        }
    }
}
