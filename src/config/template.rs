//! The commented TOML file that `default-config` prints, generated from the table of keys.
//! Not for reading TOML, which `file` does; a test reads back what is printed here.

use super::error::Source;
use super::keys::{Change, KEYS, Kind, Spec};
use super::low::split_route;

/// Columns that comments are wrapped at.
const WIDTH: usize = 90;

const PREAMBLE: &str = "\
pulsewheel's configuration: every key with its default, and why that is the default.

This file holds what the server does without a file, so anything in it can be deleted. Check a \
changed one with `pulsewheel check-config --config FILE`. A flag is stronger than its environment \
variable, and that is stronger than this file. After SIGHUP the running server reads the file \
again and takes what does not need a restart.

Durations are written \"25s\", \"1m30s\", \"250ms\" or 0; sizes \"256KiB\", \"1MiB\" or 65536 \
(bytes); rates \"100/s\" or \"100/s:200\" (with a burst).";

/// A TOML file with every key, its default, its meaning and the reason for the default.
pub fn default_config() -> String {
    let mut text = comment(PREAMBLE);
    let mut section = None;
    for spec in KEYS {
        let Some(key) = spec.toml_key() else { continue };
        if section != Some(spec.section) {
            section = Some(spec.section);
            let heading = spec.section.heading();
            let rule = "-".repeat(WIDTH - 7 - heading.len());
            text.push_str(&format!("\n# --- {heading} {rule}\n"));
        }
        text.push('\n');
        text.push_str(&comment(&explanation(spec)));
        text.push_str(&assignment(spec, &key));
    }
    text
}

fn explanation(spec: &Spec) -> String {
    let change = match spec.change {
        Change::Reload => "SIGHUP can change it.",
        Change::Restart => "A change needs a restart.",
    };
    format!(
        "{}.\nWhy {}? {}\nFlag --{}, environment {}. {change}",
        spec.meaning,
        spec.shown_default(),
        spec.why,
        spec.name,
        spec.variable()
    )
}

/// The line, or the tables, that say the default.
fn assignment(spec: &Spec, key: &str) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    match (spec.kind, spec.default) {
        (Kind::Routes, routes) => {
            let nowhere = Source::Default(spec.name);
            let routes = routes.iter().filter_map(|route| split_route(route, &nowhere));
            let tables = routes.map(|route| {
                let (path, handler) = (quoted(&route.path.text), quoted(&route.handler.text));
                format!("[[{key}]]\npath = {path}\nhandler = {handler}\n")
            });
            tables.collect::<Vec<_>>().join("\n")
        }
        (Kind::Texts, values) => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{key} = [{}]\n", values.join(", "))
        }
        (Kind::Switch, value) => format!("{key} = {}\n", value == ["on"]),
        (_, [value]) => format!("{key} = {}\n", quoted(value)),
        (_, _) => format!("# {key} = \"{}\"\n", spec.value),
    }
}

/// Wraps text into comment lines, one paragraph for each of its lines.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                lines.push_str(&line);
                lines.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}
