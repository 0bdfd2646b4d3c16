//! Tests of the configuration by subject, and what they share: a command line, an environment and
//! a file put together by hand.
//! Not for the binary's exit codes and output, which the whole-server tests drive.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Command, Config, load};

mod admission;
mod changes;
mod command_line;
mod compression;
mod driver;
mod file;
mod gate;
mod precedence;
mod quantities;
mod refusals;
mod table;
mod tls;
mod whole;

/// The handlers that routes may point to in these tests.
const HANDLERS: [&str; 2] = ["echo", "broadcast"];

/// A file of its own for one test, deleted with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(content: impl AsRef<[u8]>) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("pulsewheel-config-{}-{n}", process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What was typed, built up by a test.
#[derive(Default)]
struct Typed {
    args: Vec<OsString>,
    variables: BTreeMap<String, OsString>,
    file: Option<Scratch>,
}

impl Typed {
    fn flags<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_string(), value.into());
        self
    }

    /// A file that `--config` names.
    fn file(mut self, content: &str) -> Self {
        let file = Scratch::new(content);
        self.args.extend(["--config".into(), file.path().into()]);
        self.file = Some(file);
        self
    }

    /// What the program is asked to do, or what is wrong, one line each, the file called `F`.
    fn command(self) -> Result<Command, Vec<String>> {
        let args = [OsString::from("pulsewheel")].into_iter().chain(self.args);
        load(args, &|name| self.variables.get(name).cloned(), &HANDLERS).map_err(|errors| {
            let text = errors.to_string();
            let text = match &self.file {
                Some(file) => text.replace(file.path(), "F"),
                None => text,
            };
            text.lines().map(str::to_string).collect()
        })
    }

    fn config(self) -> Result<Config, Vec<String>> {
        self.command().map(|command| match command {
            Command::Serve(config) => *config,
            other => panic!("asked to serve, got {other:?}"),
        })
    }

    /// The one problem there is.
    fn problem(self) -> String {
        let mut problems = self.config().expect_err("accepted");
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.remove(0)
    }
}

/// What the command line alone leads to.
fn flags<'a>(args: impl IntoIterator<Item = &'a str>) -> Typed {
    Typed::default().flags(args)
}

/// What the file alone leads to.
fn file(content: &str) -> Typed {
    Typed::default().file(content)
}
