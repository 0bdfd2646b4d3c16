//! The server as a process of its own: started, asked, signalled, ended.
//! Not a library in this process: what is tested is what people run.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Metrics, PATIENCE, admin, ms, wait_until};

/// The binary under test: the one that was built with the test, or the one that the environment
/// variable `PULSEWHEEL` names.
pub fn binary() -> OsString {
    std::env::var_os("PULSEWHEEL").unwrap_or_else(|| env!("CARGO_BIN_EXE_pulsewheel").into())
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    gate: Arc<Mutex<()>>,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Server {
    /// Starts a server on ports of the kernel's choice, with these flags besides. A `--listen` or
    /// `--admin` among them takes the place of the harness's own.
    pub fn start(flags: &[&str]) -> Self {
        Self::spawn(Command::new(binary()), flags)
    }

    /// As [`start`](Self::start), where each descriptor table holds at most `limit` descriptors.
    pub fn start_with_descriptors(limit: u32, flags: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]).arg(binary());
        Self::spawn(command, flags)
    }

    /// As [`start`](Self::start), with a configuration file of this content.
    pub fn start_with_file(toml: &str, flags: &[&str]) -> Self {
        let path = scratch_path("toml");
        std::fs::write(&path, toml).expect("a scratch file can be written");
        let path = path.to_str().expect("the path is text");
        Self::start(&[&["--config", path], flags].concat())
    }

    /// Runs `command` with the flags appended, and waits for the line that names the addresses.
    pub fn spawn(mut command: Command, flags: &[&str]) -> Self {
        for (flag, own) in [("--listen", "127.0.0.1:0"), ("--admin", "127.0.0.1:0")] {
            if !flags.contains(&flag) {
                command.args([flag, own]);
            }
        }
        command.args(flags).env_remove("RUST_LOG").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server can be run");
        let log = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Mutex::new(()));
        keep_log(child.stderr.take().expect("it is piped"), Arc::clone(&log), Arc::clone(&gate));
        let mut server = Server { child, log, gate, addresses: Vec::new(), admin: None };
        wait_until("the server's start", || {
            let status = server.child.try_wait().expect("a child can be waited for");
            assert!(status.is_none(), "the server ended: {status:?} {:?}", server.log());
            server.read_addresses()
        });
        server
    }

    /// Takes the addresses from the start line; false while it has not been written.
    fn read_addresses(&mut self) -> bool {
        let log = self.log();
        let Some(line) = log.iter().find_map(|line| Some(line.split_once(" listens on ")?.1))
        else {
            return false;
        };
        let (listen, rest) = line.split_once("; admin on ").expect("the line names the admin");
        self.addresses = listen.split(", ").filter_map(|address| address.parse().ok()).collect();
        let admin = rest.split([';', '"']).next().expect("split gives one at least");
        self.admin = admin.parse().ok();
        true
    }

    /// Where the first TCP listener is.
    pub fn address(&self) -> SocketAddr {
        *self.addresses.first().expect("the server listens on TCP")
    }

    /// All TCP listeners, in the order of the flags.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin port is.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("the admin port is on")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no reader panics").clone()
    }

    /// A gate that is shut while it is locked: nobody then reads the server's standard error, and
    /// the pipe fills.
    pub fn log_gate(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.gate)
    }

    /// Waits for a log line that contains `text`.
    pub fn wait_for_log(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let found = self.log().into_iter().find(|line| line.contains(text));
            if let Some(line) = found {
                return line;
            }
            assert!(begun.elapsed() < PATIENCE, "no line {text:?} in {:#?}", self.log());
            std::thread::sleep(ms(10));
        }
    }

    /// One request to the admin port: status and body.
    pub fn admin_request(&self, method: &str, target: &str, more: &str) -> (u16, String) {
        admin::ask(self.admin(), method, target, more)
    }

    /// The metrics now.
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.admin_request("GET", "/metrics", "");
        assert_eq!(status, 200, "{body}");
        Metrics::new(body)
    }

    /// One sample of the metrics now.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().value(name, labels)
    }

    /// Scrapes until the metrics satisfy `is_so`; panics after [`PATIENCE`].
    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut(&Metrics) -> bool) -> Metrics {
        let begun = Instant::now();
        loop {
            let metrics = self.metrics();
            if is_so(&metrics) {
                return metrics;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain for {what}; not zero are:\n{}\nlog: {:#?}",
                nonzero(metrics.text()),
                self.log()
            );
            std::thread::sleep(ms(20));
        }
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS")
    }

    /// Bytes of a field of `/proc/PID/status`, such as `VmData`.
    pub fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the server lives");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("the kernel tells the size") * 1024
    }

    /// Processor time spent so far, from a clock of 100 ticks a second.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))
            .expect("the server lives");
        let after_name = stat.rsplit_once(") ").expect("the name is in parentheses").1;
        let fields: Vec<&str> = after_name.split(' ').collect();
        let ticks: u64 =
            [11, 12].map(|at: usize| fields[at].parse::<u64>().unwrap_or(0)).iter().sum();
        ms(ticks * 10)
    }

    /// Sends a signal by name: `TERM`, `HUP`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "the server can be signalled");
    }

    /// Waits for the process to end.
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(begun.elapsed() < limit, "still running after {limit:?}: {:#?}", self.log());
            std::thread::sleep(ms(10));
        }
    }

    /// Asserts that no handler panicked and the process lives.
    pub fn assert_sound(&mut self) {
        let status = self.child.try_wait().expect("a child can be waited for");
        assert!(status.is_none(), "the server ended: {status:?} {:#?}", self.log());
        assert_eq!(self.metric("ws_handler_panics_total", &[]), 0.0);
        let log = self.log();
        assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end: exit code, standard output, standard error.
pub fn run_to_end(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> (i32, String, String) {
    let output = Command::new(binary()).args(args).output().expect("the server can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A path for a scratch file in the build's own folder, different on each call.
pub fn scratch_path(extension: &str) -> std::path::PathBuf {
    let name = format!("{}-{:x}.{extension}", std::process::id(), fastrand::u64(..));
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn keep_log(
    stderr: impl Read + Send + 'static,
    log: Arc<Mutex<Vec<String>>>,
    gate: Arc<Mutex<()>>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            drop(gate.lock());
            log.lock().expect("no reader panics").push(line);
        }
    });
}

fn nonzero(text: &str) -> String {
    let is_shown =
        |line: &&str| !line.starts_with('#') && !line.ends_with(" 0") && !line.contains("_bucket");
    text.lines().filter(is_shown).collect::<Vec<_>>().join("\n")
}
