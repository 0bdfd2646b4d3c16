//! The kernel's table of TCP sockets, and a process's descriptors and rings, read from /proc.
//! Not for what the server thinks it holds: its metrics say that, and this checks them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the kernel has a socket in its life (tcp(7), `include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "RFC 9293, section 3.3.2, names and explains them")]
pub enum State {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Closed,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

/// One line of the table.
#[derive(Clone, PartialEq, Eq)]
pub struct Socket {
    /// This end.
    pub local: SocketAddr,
    /// Address of the other end.
    pub remote: IpAddr,
    /// Where it is in its life.
    pub state: State,
    /// Bytes that the other end has not acknowledged.
    pub unacknowledged: u64,
    /// True if a process has it open; else only the kernel does.
    pub is_owned: bool,
}

impl Socket {
    /// Closed by its process, and still costing the kernel a whole socket.
    pub fn is_orphan(&self) -> bool {
        !self.is_owned && !matches!(self.state, State::TimeWait | State::SynReceived)
    }

    /// `None` for a line that is not as proc(5) has it.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let (unacknowledged, _) = fields.get(4)?.split_once(':')?;
        // A socket that has shrunk to what TIME_WAIT needs, whatever it still waits for.
        let has_shrunk = fields.get(5)?.starts_with("03:");
        Some(Socket {
            local: SocketAddr::new(address(fields.get(1)?)?, port),
            remote: address(fields.get(2)?)?,
            state: if has_shrunk { State::TimeWait } else { state(fields.get(3)?)? },
            unacknowledged: u64::from_str_radix(unacknowledged, 16).ok()?,
            is_owned: *fields.get(9)? != "0",
        })
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = if self.is_owned { "owned" } else { "orphan" };
        let Socket { local, remote, state, unacknowledged, .. } = self;
        write!(f, "{state:?} {local} <- {remote} unacknowledged={unacknowledged} {owner}")
    }
}

/// The kernel writes words of 32 bits as they lie in memory.
fn address(hexadecimal: &str) -> Option<IpAddr> {
    let (words, _) = hexadecimal.split_once(':')?;
    let word = |at: usize| {
        let digits = words.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if words.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
}

fn state(hexadecimal: &str) -> Option<State> {
    Some(match u8::from_str_radix(hexadecimal, 16).ok()? {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 => State::Closed,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => return None,
    })
}

/// Connections of these local ports in the network namespace of a process, listeners left out.
/// Where client and server share a namespace only the server's ends are among them.
pub fn connections(pid: u32, ports: &[u16]) -> Vec<Socket> {
    of_ports(&format!("/proc/{pid}/net"), ports)
}

/// As [`connections`], in the namespace of the calling thread: for a server that has ended.
pub fn connections_here(ports: &[u16]) -> Vec<Socket> {
    of_ports(&format!("{HERE}/net"), ports)
}

/// Where something listens in the namespace of the calling thread.
pub fn listeners_here() -> Vec<SocketAddr> {
    let all = table(&format!("{HERE}/net")).into_iter();
    all.filter(|it| it.state == State::Listen).map(|it| it.local).collect()
}

const HERE: &str = "/proc/thread-self";

fn of_ports(folder: &str, ports: &[u16]) -> Vec<Socket> {
    let mut sockets = table(folder);
    sockets.retain(|it| it.state != State::Listen && ports.contains(&it.local.port()));
    sockets
}

fn table(folder: &str) -> Vec<Socket> {
    let paths = ["tcp", "tcp6"].map(|table| format!("{folder}/{table}"));
    let texts: Vec<_> =
        paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    assert!(!texts.is_empty(), "the kernel shows its socket table in {folder}");
    let parse = |line| Socket::parse(line).expect("a line has the fields of proc(5)");
    texts.iter().flat_map(|text| text.lines().skip(1)).map(parse).collect()
}

/// How many descriptors each thread of a process sees: threads may have tables of their own. A
/// table that several share counts for each.
pub fn descriptors(pid: u32) -> BTreeMap<u32, usize> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let count = |task: std::fs::DirEntry| {
        let thread = task.file_name().to_str()?.parse().ok()?;
        // A thread may end while it is looked at.
        Some((thread, std::fs::read_dir(task.path().join("fd")).ok()?.count()))
    };
    tasks.flatten().filter_map(count).collect()
}

/// What a process has in the rings of io_uring: in all of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    /// Sockets that have no descriptor, only a place in a ring's own table.
    pub sockets: usize,
    /// Requests that wait for a socket, by the number of their operation (linux/io_uring.h).
    pub waits: BTreeMap<u32, usize>,
}

impl Rings {
    /// Receives that wait.
    pub fn receives(&self) -> usize {
        const RECV: u32 = 27;
        self.waits.get(&RECV).copied().unwrap_or(0)
    }

    /// Requests of any kind that wait.
    pub fn requests(&self) -> usize {
        self.waits.values().sum()
    }

    /// Adds what the kernel tells of one ring; false if it tells nothing now.
    fn read(&mut self, text: &str) -> bool {
        for line in text.lines() {
            if line.contains(": socket:[") {
                self.sockets += 1;
            } else if let Some(rest) = line.strip_prefix("  op=") {
                let operation = rest.split_once(',').and_then(|(number, _)| number.parse().ok());
                let operation = operation.unwrap_or_else(|| panic!("no operation in {line:?}"));
                *self.waits.entry(operation).or_default() += 1;
            }
        }
        text.contains("UserFiles:")
    }
}

/// The rings of a process: each once, whichever threads have it in their tables.
pub fn rings(pid: u32) -> Rings {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    // A thread may end while it is looked at.
    let fds = tasks.flatten().filter_map(|task| std::fs::read_dir(task.path().join("fd")).ok());
    let mut seen = BTreeSet::new();
    let mut all = Rings::default();
    for fd in fds.flat_map(Iterator::flatten) {
        let is_ring =
            std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[io_uring]");
        if is_ring {
            let path = fd.path().to_string_lossy().replace("/fd/", "/fdinfo/");
            // Of a ring that is being used at this moment little is told.
            super::wait_until("the kernel to tell of a ring", || {
                let Ok(text) = std::fs::read_to_string(&path) else { return true };
                let inode = text.lines().find(|line| line.starts_with("ino:")).map(str::to_owned);
                if seen.contains(&inode) {
                    return true;
                }
                let mut ring = all.clone();
                let is_told = ring.read(&text);
                if is_told {
                    all = ring;
                    seen.insert(inode);
                }
                is_told
            });
        }
    }
    all
}
