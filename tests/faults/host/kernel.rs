//! What the kernel says about a server: the states of its TCP sockets, and its descriptors.
//! Not for the server's own account; that is in its metrics, and the two must agree.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use crate::harness::{Server, ms};

/// A state of TCP, numbered as in the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    NewSynReceived,
}

impl State {
    const ALL: [State; 12] = [
        State::Established,
        State::SynSent,
        State::SynReceived,
        State::FinWait1,
        State::FinWait2,
        State::TimeWait,
        State::Closed,
        State::CloseWait,
        State::LastAck,
        State::Listen,
        State::Closing,
        State::NewSynReceived,
    ];
}

/// One line of the kernel's table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub local: SocketAddrV4,
    pub state: State,
    /// Zero for a socket that no process holds.
    pub inode: u64,
}

impl Row {
    /// A socket that keeps unsent data or waits for the program or the peer for as long as they
    /// please: the server has forgotten it, or let the kernel have it.
    fn is_stray(&self) -> bool {
        match self.state {
            State::FinWait1 | State::CloseWait | State::LastAck | State::Closing => true,
            State::Established => self.inode == 0,
            _ => false,
        }
    }
}

/// All TCP sockets of this machine over IPv4.
pub fn sockets() -> Vec<Row> {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel shows its sockets");
    table.lines().skip(1).map(|line| row(line).expect("a line has the fields of proc(5)")).collect()
}

/// Those whose local port is the server's.
pub fn sockets_of(server: &Server) -> Vec<Row> {
    let port = server.address().port();
    sockets().into_iter().filter(|row| row.local.port() == port).collect()
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    // The address is written as the machine's own number of bytes in network order.
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    let port = u16::from_str_radix(port, 16).ok()?;
    let state = usize::from_str_radix(fields.get(3)?, 16).ok()?.checked_sub(1)?;
    Some(Row {
        local: SocketAddrV4::new(address, port),
        state: *State::ALL.get(state)?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// How many of the server's sockets are in each state.
pub fn states(server: &Server) -> BTreeMap<State, usize> {
    let mut states = BTreeMap::new();
    for row in sockets_of(server) {
        *states.entry(row.state).or_default() += 1;
    }
    states
}

/// Asserts that within `limit` no socket of the server's port is in CLOSE_WAIT, has been left to
/// the kernel with something unsent, or belongs to nobody. To be asked while the peers still hold
/// their ends, since their going away would tidy up after the server.
pub fn assert_no_strays(server: &Server, limit: Duration) {
    let end = Instant::now() + limit;
    loop {
        let strays: Vec<Row> = sockets_of(server).into_iter().filter(Row::is_stray).collect();
        if strays.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{} strays, such as {:?}", strays.len(), strays[0]);
        std::thread::sleep(ms(50));
    }
}

/// How many descriptors each thread of a process sees: they may have tables of their own.
pub fn descriptors(pid: u32) -> BTreeMap<u32, usize> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    threads
        .filter_map(|thread| {
            let thread = thread.ok()?;
            let id = thread.file_name().to_str()?.parse().ok()?;
            // A thread may end between the two looks.
            Some((id, fs::read_dir(thread.path().join("fd")).ok()?.count()))
        })
        .collect()
}

/// Bytes of a field of `/proc/PID/status`, such as `VmData`.
pub fn memory(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("the kernel tells the size") * 1024
}
