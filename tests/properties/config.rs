//! Configuration values and files: nearly right ones, and any text.
//! Not what must come of them: `bodies::config` says that.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::bodies;

/// What looks like a value of one of the kinds.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{0,3}(ms|s|m|h|d)?( ?[0-9]{1,3}(ms|s|m|h)){0,2}",
        "[0-9]{0,21}([.][0-9]{0,4})? ?(B|KiB|MiB|GiB|TiB|KB|MB|gb|k)?",
        "[0-9]{1,10}([.][0-9]{1,3})?/[smhd]?(:[0-9]{0,11})?",
        "([0-9]{1,3}[.]){3}[0-9]{1,3}(:[0-9]{1,5})?",
        "(\\[[0-9a-f:]{0,12}(%[0-9])?\\]|:)?:?[0-9]{0,5}",
        "unix:[ -~]{0,20}",
        "(auto|off|on|true|close|pause|drop-oldest|drop-newest|json|text|info|debug)x?",
        "(info|off|trace)?,?[a-z:]{0,8}=?(debug|of|warn)?(/[a-z(\\[]{0,5})?",
        // What a unit divides, and what it nearly does.
        (0..5u32, 1..100u64, 0..3u64)
            .prop_map(|(unit, n, more)| { ((n << (10 * unit)) + more - 1).to_string() }),
        any::<String>(),
    ]
}

/// A line of a file.
fn line() -> impl Strategy<Value = String> {
    let names: Vec<String> = pulsewheel::doors::config::keys()
        .filter_map(|key| key.in_file())
        .map(|(name, _)| name)
        .chain(["listen", "subprotocol", "path", "handler", "subprotocols"].map(str::to_owned))
        .collect();
    let value = prop_oneof![
        value().prop_map(|value| format!("{value:?}")),
        "(true|false|[0-9]{1,5}|0x[0-9a-f]{1,4}|-1|1[.]5|1979-05-27|\\[\\]|\\{\\})",
        vec("\"[a-z0-9.:]{0,12}\"", 0..3).prop_map(|texts| format!("[{}]", texts.join(", "))),
    ];
    prop_oneof![
        6 => (prop::sample::select(names), value).prop_map(|(name, value)| format!("{name} = {value}")),
        1 => Just("[[route]]\npath = \"/a\"\nhandler = \"echo\"".to_owned()),
        1 => "[ -~]{0,20}",
    ]
}

fn run(reader: u8, text: &str) {
    bodies::config::run(&[&[reader], text.as_bytes()].concat());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn what_looks_like_a_value_is_read_back_or_refused_in_a_line(text in value()) {
        run(0, &text);
    }

    #[test]
    fn every_key_takes_back_what_it_shows_and_names_itself_in_a_refusal(
        key in any::<u8>(), text in value(),
    ) {
        bodies::config::run(&[&[64, key], text.as_bytes()].concat());
    }

    #[test]
    fn a_file_is_read_back_or_each_problem_names_its_line(lines in vec(line(), 0..8)) {
        run(128, &lines.join("\n"));
    }

    #[test]
    fn arguments_are_taken_or_refused_in_a_line(
        args in vec((0..31usize, value(), any::<bool>()), 0..4),
    ) {
        let args = args.into_iter().map(|(key, value, joined)| {
            let flag = pulsewheel::doors::config::keys().nth(key).map_or("", |key| key.flag());
            format!("--{flag}{}{}", if joined { "=" } else { "\n" }, value.replace(['\n', '\r'], ""))
        });
        run(255, &args.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn no_text_confuses_any_reader(reader in any::<u8>(), text in any::<String>()) {
        run(reader, &text);
    }
}
