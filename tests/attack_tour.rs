//! `docs/attacks.md` and `SECURITY.md` against what the tests, the metrics and the configuration really have.
//! Not the attacks themselves: `attacks.rs` and the tests that the page names carry those out.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use pulsewheel::admin::metrics::Exposition;
use pulsewheel::reactor::shard::Shard;

/// What each attack says, in this order.
const LINES: [&str; 4] = ["Elsewhere", "Here", "Seen", "Shown"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(repository().join("docs/attacks.md")).unwrap()
}

fn promises() -> String {
    fs::read_to_string(repository().join("SECURITY.md")).unwrap()
}

/// Title and text of each attack.
fn attacks(page: &str) -> Vec<(&str, &str)> {
    let (attacks, open) = page.split_once("\n## What is open\n").unwrap();
    assert!(!open.contains("### "), "an attack stands behind the end");
    attacks.split("\n### ").skip(1).map(|attack| attack.split_once('\n').unwrap()).collect()
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// True if the file has a test of that name, and it is not left out.
fn has_test(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let Some(at) = text.find(&format!("fn {name}(")) else { return false };
    let attributes = text[..at].rsplit("\n\n").next().unwrap();
    attributes.contains("#[test]") && !attributes.contains("#[ignore")
}

#[test]
fn every_attack_has_its_lines_and_a_test() {
    let page = page();
    let attacks = attacks(&page);
    assert!(attacks.len() > 30, "{} attacks", attacks.len());
    for (title, text) in attacks {
        let bullets: Vec<&str> = text.split("\n- **").skip(1).collect();
        let names: Vec<&str> = bullets.iter().map(|b| b.split(":**").next().unwrap()).collect();
        assert_eq!(names, LINES, "{title}");
        assert!(quoted(bullets[3]).count() > 0, "{title} is shown by nothing");
        for test in quoted(bullets[3]) {
            assert!(test.contains("::"), "{title}: {test} names no test");
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let page = page();
    let tests: Vec<_> = quoted(&page).filter_map(|words| words.split_once("::")).collect();
    assert!(tests.len() > 80, "{} tests", tests.len());
    for (file, name) in tests {
        assert!(has_test(&repository().join(file), name), "there is no {file}::{name}");
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let pages = [page(), promises()];
    let exposition = Exposition::new(vec![Shard::new()]).render();
    let is_metric = |words: &&str| words.starts_with("ws_") || words.starts_with("process_");
    let metrics: Vec<_> = pages.iter().flat_map(|page| quoted(page)).filter(is_metric).collect();
    assert!(metrics.len() > 40, "{} metrics", metrics.len());
    for metric in metrics {
        let (name, labels) = metric.split_once('{').unwrap_or((metric, ""));
        let labels = labels.trim_end_matches('}');
        let has = |line: &str| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            let rest = rest.strip_prefix("_bucket").unwrap_or(rest);
            rest.starts_with(['{', ' ']) && rest.contains(labels)
        };
        // A gauge may have nothing to tell of this server, and is described all the same.
        let is_described = labels.is_empty() && exposition.contains(&format!("# TYPE {name} "));
        assert!(exposition.lines().any(has) || is_described, "there is no {metric}");
    }
}

#[test]
fn every_default_is_the_real_one() {
    let page = page();
    let (code, defaults, _) = harness::run_to_end(["default-config"]);
    assert_eq!(code, 0);
    let flags: Vec<_> = page
        .split("`--")
        .skip(1)
        .filter_map(|rest| rest.split_once('`'))
        .filter_map(|(flag, behind)| Some((flag, behind.strip_prefix(" (")?.split_once(')')?.0)))
        .collect();
    assert!(flags.len() > 15, "{} flags with defaults", flags.len());
    for (flag, said) in flags {
        let start = format!("{} = ", flag.replace('-', "_"));
        let real = defaults.lines().find_map(|line| line.strip_prefix(&start));
        let real = real.map(|value| if value == "false" { "off" } else { value.trim_matches('"') });
        assert_eq!(real, Some(said), "--{flag}");
    }
}

/// The word of a heading in the address of a page, as it is made where repositories are read.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_promise_leads_to_an_attack_of_the_tour_or_to_a_place_in_the_code() {
    let (page, promises) = (page(), promises());
    let attacks: Vec<String> = attacks(&page).into_iter().map(|(title, _)| anchor(title)).collect();
    let links: Vec<_> = promises
        .split("](docs/attacks.md#")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .collect();
    assert!(links.len() > 20, "{} links", links.len());
    for link in links {
        assert!(attacks.iter().any(|attack| attack == link), "the tour has no {link}");
    }
    let paths: Vec<_> = quoted(&promises)
        .filter(|words| words.starts_with("src/") || words.starts_with("tests/"))
        .collect();
    assert!(paths.len() > 30, "{} paths", paths.len());
    for path in paths {
        assert!(repository().join(path).exists(), "there is no {path}");
    }
}

#[test]
fn every_flag_that_is_promised_exists() {
    let promises = promises();
    let (code, help, _) = harness::run_to_end(["--help"]);
    assert_eq!(code, 0);
    let flags = promises.split('`').filter_map(|words| words.strip_prefix("--"));
    let flags: Vec<&str> = flags.map(|flag| flag.split(' ').next().unwrap()).collect();
    assert!(flags.len() > 30, "{} flags", flags.len());
    for flag in flags {
        assert!(help.contains(&format!("--{flag}")) || flag == "version", "there is no --{flag}");
    }
}

/// Every line of its tables says what stops a threat, and where.
#[test]
fn every_threat_has_an_answer() {
    let promises = promises();
    let rows =
        promises.lines().filter(|line| line.starts_with("| ") && !line.contains("| threat |"));
    let rows: Vec<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split(" | ").collect()).collect();
    assert!(rows.len() > 25, "{} threats", rows.len());
    for row in rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.trim().is_empty()), "{row:?}");
        assert!(row[2].contains('`'), "{row:?}");
    }
}

/// The rest of the tour's claim, that the wheel hashes only what the server made, is read in one
/// place: `reactor/wheel.rs`.
#[test]
fn no_table_is_keyed_by_what_a_peer_chooses() {
    for folder in ["conn", "handler", "io", "proto", "reactor"] {
        for file in sources(&repository().join("src").join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for table in ["HashMap", "HashSet"] {
                assert!(!text.contains(table), "{} has a {table}", file.display());
            }
        }
    }
}

/// What clients' addresses and names lead to does hash, with keys that nobody outside knows.
#[test]
fn tables_of_the_gate_are_keyed_at_random() {
    let mut tables = 0;
    for file in sources(&repository().join("src/gate")) {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| line.contains("HashMap<")) {
            assert!(line.contains("RandomState"), "{}: {line}", file.display());
            tables += 1;
        }
        assert!(!text.contains("HashSet"), "{} has a HashSet", file.display());
    }
    assert!(tables > 1, "{tables} tables");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!(!found.is_empty(), "{} is empty", folder.display());
    found
}
