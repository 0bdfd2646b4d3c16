//! Network namespaces that a test makes, enters and takes away again.
//! Not for what stands in them; nothing here touches the namespace the test began in.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Where `ip netns` keeps them.
const NAMED: &str = "/run/netns";

/// What the names begin with; the process's number follows, so that leftovers can be told.
const PREFIX: &str = "pulsewheel-";

/// A network namespace of its own; it is taken away when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// An empty one with its loopback up. `role` is a part of its name.
    pub fn new(role: &str) -> Self {
        static SWEPT: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        SWEPT.call_once(sweep);
        let count = COUNT.fetch_add(1, Relaxed);
        let name = format!("{PREFIX}{}-{count}-{role}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Namespace { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Its name, for `ip`'s arguments.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` in it, with arguments separated by spaces.
    pub fn ip(&self, arguments: &str) {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments.split(' ')));
    }

    /// Runs `nft` in it.
    pub fn nft(&self, script: &str) {
        self.within(|| run(Command::new("nft").arg(script)));
    }

    /// Sets one of its own sysctls, a path below /proc/sys/net.
    pub fn sysctl(&self, path: &str, value: &str) {
        let path = Path::new("/proc/sys/net").join(path);
        self.within(|| {
            std::fs::write(&path, value)
                .unwrap_or_else(|error| panic!("{} can't be set: {error}", path.display()));
        });
    }

    /// Does something on a thread that is in it. Sockets opened there stay in it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let outcome = std::thread::scope(|scope| {
            let in_there = || {
                join(&self.open());
                work()
            };
            scope.spawn(in_there).join()
        });
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Takes the calling thread into it, until the answer is dropped.
    pub fn enter(&self) -> Entered {
        let before = File::open("/proc/thread-self/ns/net").expect("a thread is in a namespace");
        join(&self.open());
        Entered { before }
    }

    fn open(&self) -> File {
        File::open(Path::new(NAMED).join(&self.name)).expect("the namespace is there")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // In a panic too; it fails only where someone else has taken it away.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// While this lives, the thread that made it is in a namespace, and so are processes it starts.
#[derive(Debug)]
pub struct Entered {
    before: File,
}

impl Drop for Entered {
    fn drop(&mut self) {
        join(&self.before);
    }
}

/// Fails with one line where namespaces can't be made or a tool is missing.
pub fn require(tools: &[&str]) {
    // SAFETY: it takes nothing and always succeeds.
    let user = unsafe { libc::geteuid() };
    assert!(user == 0, "network faults need root, to make network namespaces");
    for tool in tools {
        let is_there = Command::new(tool).arg("-V").output().is_ok();
        assert!(is_there, "network faults need the command {tool}");
    }
    let denied = std::thread::spawn(|| {
        // SAFETY: no pointer is involved; it concerns the calling thread alone, which ends here.
        unsafe { libc::unshare(libc::CLONE_NEWNET) != 0 }
    });
    let is_denied = denied.join().unwrap_or(true);
    assert!(!is_denied, "network faults need network namespaces, which are denied here");
}

/// Takes the calling thread into a namespace.
fn join(namespace: &File) {
    // SAFETY: no pointer is involved; it concerns the calling thread alone.
    let failed = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0;
    assert!(!failed, "setns: {}", std::io::Error::last_os_error());
}

/// Takes away what a run left behind that was killed.
fn sweep() {
    let Ok(named) = std::fs::read_dir(NAMED) else { return };
    for name in named.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let is_orphan = maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if is_orphan {
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}", said.trim());
}
