//! What is wrong with a configuration, where it was typed, and what to do about it.
//! Not for errors at run time: a port in use or a socket that fails is the server's to report.

use std::fmt;

/// Where a value was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The command line as a whole: an unknown flag, a command that does not exist.
    CommandLine,
    /// A flag, named without its dashes.
    Flag(&'static str),
    /// An environment variable.
    Environment(String),
    /// A line of the configuration file.
    File {
        /// The file as it was named to `--config`.
        name: String,
        /// The line, counted from 1.
        line: usize,
        /// The key on that line; empty where the file is no TOML at all.
        key: String,
    },
    /// Nowhere: the built-in default of a flag.
    Default(&'static str),
    /// The program that uses this crate as a library set the field of this flag.
    Program(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File { name, line, key } if key.is_empty() => write!(f, "{name}:{line}"),
            Self::File { name, line, key } => write!(f, "{name}:{line} {key}"),
            Self::Default(name) => write!(f, "default of --{name}"),
            Self::Program(name) => write!(f, "configuration {name}"),
        }
    }
}

/// Why one value is refused, before it is known where the value was typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wrong}; {remedy}")]
pub struct Refusal {
    /// What is wrong with the value.
    pub wrong: String,
    /// What to write instead.
    pub remedy: String,
}

impl Refusal {
    pub(super) fn new(wrong: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), remedy: remedy.into() }
    }

    pub(super) fn at(self, source: Source) -> Problem {
        Problem { source, wrong: self.wrong, remedy: self.remedy }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was typed.
    pub source: Source,
    /// What is wrong.
    pub wrong: String,
    /// What to do about it.
    pub remedy: String,
}

/// Writes `<source>: <what is wrong>; <what to do>` on one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: {}; {}", self.source, self.wrong, self.remedy);
        // A file name or a value may hold a newline or a terminal's escape sequence: neither may
        // break the promise of one line per problem, nor reach the operator's terminal.
        for c in line.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration: at least one problem, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Each problem: those of the file in the order of its lines, before them the others in the
    /// order in which the keys are documented.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// `Ok` when there is no problem at all.
    pub(super) fn unless_empty(mut problems: Vec<Problem>) -> Result<(), Self> {
        // What has the wrong shape is found before what has the wrong value; people mend a file
        // from its top to its end.
        problems.sort_by_key(|problem| match problem.source {
            Source::File { line, .. } => line,
            _ => 0,
        });
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl From<Problem> for ConfigErrors {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A typed value as messages quote it: escaped, and cut so that a pasted megabyte stays a line.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// The candidate that `word` was most likely meant to be, if one is close.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
