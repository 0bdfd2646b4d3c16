//! The table of keys and what is generated from it: names, the printed file, the README's table.
//! Not for help, which is tested with the command line.

use std::fs;
use std::path::Path;

use super::super::default_config;
use super::super::keys::{KEYS, Kind, spec};
use super::super::{Command, Config};
use super::file;

#[test]
fn every_key_stands_at_its_own_index_with_a_name_of_its_own() {
    for (i, row) in KEYS.iter().enumerate() {
        assert_eq!(row.key as usize, i, "{}", row.name);
        assert_eq!(spec(row.key).name, row.name);
        assert!(row.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        assert!(KEYS[..i].iter().all(|other| other.name != row.name), "{}", row.name);
        assert_eq!(row.value.is_empty(), row.kind == Kind::Switch, "{}", row.name);
        assert!(!row.meaning.ends_with('.') && row.why.ends_with('.'), "{}", row.name);
    }
}

#[test]
fn the_printed_file_reads_back_as_exactly_the_defaults() {
    let text = default_config();
    assert_eq!(file(&text).config(), Ok(Config::default()));
    assert_eq!(file(&text).flags(["check-config"]).command(), Ok(Command::CheckConfig(Vec::new())));
    let windows = text.replace('\n', "\r\n");
    assert_eq!(file(&windows).config(), Ok(Config::default()));
}

#[test]
fn the_printed_file_says_every_key_its_default_and_why() {
    let text = default_config();
    let words = text.replace("\n# ", " ");
    for spec in KEYS {
        let Some(key) = spec.toml_key() else { continue };
        let line = format!("\n{key} = ");
        let there = [line.clone(), line.replace('\n', "\n# "), format!("\n[[{key}]]\n")];
        assert!(there.iter().any(|line| text.contains(line)), "{key}");
        assert!(words.contains(spec.meaning), "{key}");
        assert!(words.contains(&format!("Why {}? {}", spec.shown_default(), spec.why)), "{key}");
        assert!(words.contains(&format!("Flag --{}, environment {}.", spec.name, spec.variable())));
    }
}

#[test]
fn each_default_in_the_printed_file_is_really_read() {
    // Any other value in its place must change what is meant or be refused; otherwise the line
    // would only seem to say something.
    for line in default_config().lines().filter(|line| !line.starts_with(['#', '['])) {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        let other = default_config().replacen(line, &format!("{key} = 1979-05-27"), 1);
        assert!(file(&other).config().is_err(), "{key}");
    }
}

/// The row of the README's table that a key should have.
fn readme_row(name: &str, value: &str, default: &str, meaning: &str) -> String {
    let flag = format!("--{name} {value}");
    format!("| `{}` | `{default}` | {meaning} |", flag.trim_end())
}

#[test]
fn the_readme_lists_every_flag_with_its_default() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .unwrap_or_default();
    let listed = |name: &str, default: &str| {
        readme.lines().any(|line| {
            let mut cells = line.trim().trim_matches('|').split(" | ").map(str::trim);
            let flag = cells.next().and_then(|cell| cell.strip_prefix("`--"));
            let same = flag
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with(['`', ' ', '=', '[']));
            // More may follow: `auto`: as many as there are cores.
            let shown =
                cells.next().and_then(|cell| cell.trim_start_matches('`').strip_prefix(default));
            same && shown.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        })
    };
    let missing: Vec<String> = KEYS
        .iter()
        .filter(|spec| !listed(spec.name, &spec.shown_default()))
        .map(|spec| readme_row(spec.name, spec.value, &spec.shown_default(), spec.meaning))
        .collect();
    assert!(missing.is_empty(), "README.md lacks these rows:\n{}", missing.join("\n"));
}
