//! The README's flags and scenarios against what `--help` lists.
//! Not their defaults, nor what is said of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README")
}

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewheel-loadtest"));
    let output = command.args(arguments).arg("--help").output().expect("the binary runs");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

/// The scenarios that `--help` lists.
fn scenarios() -> Vec<String> {
    let help = help(&[]);
    let (_, list) = help.split_once("Commands:\n").expect("a list of scenarios");
    let list = list.lines().take_while(|line| !line.is_empty());
    // Names stand at the margin; what is said of them is further in.
    let names = list.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

/// The long flags in a text, without the dashes.
fn flags(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| c.is_whitespace() || "`'\"([,;:".contains(c))
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| {
            let end = word.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            &word[..end.unwrap_or(word.len())]
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// The flags that a scenario's help lists: each on a line that begins with it.
fn listed(help: &str) -> BTreeSet<&str> {
    let lines = help.lines().map(str::trim_start);
    flags_of_lines(lines.filter(|line| line.starts_with('-')))
}

fn flags_of_lines<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    lines.flat_map(|line| flags(line.split("  ").next().unwrap_or(line))).collect()
}

#[test]
fn every_scenario_has_a_row() {
    let (readme, scenarios) = (readme(), scenarios());
    assert!(scenarios.len() >= 10, "{scenarios:?}");
    for scenario in scenarios {
        assert!(readme.contains(&format!("\n| `{scenario}` |")), "{scenario}");
    }
}

#[test]
fn every_flag_of_every_scenario_stands_in_the_readme_and_no_other() {
    let readme = readme();
    let told = flags(&readme);
    let mut known = BTreeSet::new();
    for scenario in scenarios() {
        let help = help(&[&scenario]);
        let listed = listed(&help);
        assert!(listed.len() > 20, "{scenario}: {listed:?}");
        for flag in listed {
            assert!(told.contains(flag), "--{flag} of {scenario} is missing");
            known.insert(flag.to_owned());
        }
    }
    // Those of cargo, of `compare/run` and of the server.
    let others = ["release", "quick", "output", "only", "reactors"];
    for flag in told {
        assert!(known.contains(flag) || others.contains(&flag), "there is no --{flag}");
    }
}
