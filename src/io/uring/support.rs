//! Whether this kernel has what the ring needs, found by trying, and why not.
//! Not for choosing a driver; that is the operator's, or `auto`'s.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode};

use super::pool::{Pool, Registered};
use super::request;
use super::seed;
use super::unsupported::{Circumstances, Unsupported};
use crate::io::completion::File;

/// What a kernel has of that which not all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Buffers are consumed bit by bit (Linux 6.12).
    pub is_incremental: bool,
    /// A receive ends after a peer's share (Linux 6.17).
    pub is_limited: bool,
}

/// Operations without which nothing works.
const NEEDED: [(u8, &str); 9] = [
    (opcode::Accept::CODE, "accept"),
    (opcode::RecvMulti::CODE, "receive"),
    (opcode::Send::CODE, "send"),
    (opcode::SendMsg::CODE, "sendmsg"),
    (opcode::PollAdd::CODE, "poll"),
    (opcode::AsyncCancel::CODE, "cancel"),
    (opcode::Close::CODE, "close"),
    (opcode::MsgRingData::CODE, "messages between rings"),
    (opcode::FixedFdInstall::CODE, "descriptors of direct sockets"),
];

/// Finds out what the kernel has.
///
/// # Errors
/// Why it will not do.
pub fn support() -> Result<Support, Unsupported> {
    let here = Circumstances::here();
    let tried = |what: &'static str| {
        let here = &here;
        move |error: io::Error| here.judge(what, error)
    };
    let ring = seed::make(8, 16).map_err(tried("rings for one thread that defer their work"))?;
    ring.submitter().register_enable_rings().map_err(tried("rings that begin disabled"))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(tried("a list of operations"))?;
    if let Some((_, name)) = NEEDED.iter().find(|(code, _)| !probe.is_supported(*code)) {
        return Err(here.lacking(&format!("{name} in a ring")));
    }
    let is_incremental = can_receive(true, false).is_ok();
    can_receive(is_incremental, false).map_err(tried("receiving into provided buffers"))?;
    let is_limited = can_receive(is_incremental, true).is_ok();
    can_send_quietly().map_err(tried("sends that tell only of failures"))?;
    can_abort().map_err(tried("socket options in a ring"))?;
    can_accept_without_waiting().map_err(tried("accepting without waiting"))?;
    Ok(Support { is_incremental, is_limited })
}

/// A ring with one socket, and whoever is at its other end.
struct Trial {
    ring: IoUring,
    peer: UnixStream,
    _socket: UnixStream,
}

/// The only socket of a trial's ring.
const SOCKET: File = File(0);

impl Trial {
    fn new() -> io::Result<Self> {
        let ring = seed::make(8, 16)?;
        ring.submitter().register_enable_rings()?;
        let (socket, peer) = UnixStream::pair()?;
        ring.submitter().register_files(&[socket.as_raw_fd()])?;
        Ok(Trial { ring, peer, _socket: socket })
    }

    /// Asks for one thing that points to nothing that goes away; its completion, if one is there
    /// before the time is over.
    fn ask(
        &mut self,
        entry: io_uring::squeue::Entry,
        wait: Option<Duration>,
    ) -> io::Result<Option<cqueue::Entry>> {
        // SAFETY: each caller keeps what the request points to for longer than the ring.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        self.ring.submit()?;
        if let Some(timeout) = wait {
            let timeout = Timespec::from(timeout);
            let args = SubmitArgs::new().timespec(&timeout);
            self.ring.submitter().submit_with_args(1, &args)?;
        }
        Ok(self.ring.completion().next())
    }
}

/// An error, if that is what a request came to.
fn outcome(completion: Option<cqueue::Entry>) -> io::Result<Option<usize>> {
    let Some(completion) = completion else { return Ok(None) };
    let result = completion.result();
    usize::try_from(result).map(Some).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn unexpected(what: &str) -> io::Error {
    io::Error::other(format!("it {what}"))
}

fn can_receive(is_incremental: bool, is_limited: bool) -> io::Result<()> {
    let mut trial = Trial::new()?;
    let pool = Pool::new(Registered::new(&trial.ring, 16, is_incremental)?, 4096)?;
    (&trial.peer).write_all(b"pulse")?;
    let entry = request::receive(SOCKET, is_limited);
    let completion = trial.ask(entry, Some(Duration::from_secs(1)))?;
    let has_buffer = completion.as_ref().is_some_and(|completion| {
        cqueue::buffer_select(completion.flags()).is_some() && cqueue::more(completion.flags())
    });
    let received = outcome(completion)?;
    // Its buffers go after it.
    drop(trial);
    drop(pool);
    match received {
        Some(5) if has_buffer => Ok(()),
        _ => Err(unexpected("gave something else than what was sent")),
    }
}

fn can_send_quietly() -> io::Result<()> {
    let bytes = vec![0; 1 << 20];
    let mut trial = Trial::new()?;
    let mut send = |length| {
        let entry = request::send(SOCKET, bytes.as_ptr(), length);
        trial.ask(entry, None)
    };
    if outcome(send(1)?)?.is_some() {
        return Err(unexpected("told of a success"));
    }
    match outcome(send(bytes.len())?)? {
        Some(sent) if sent > 0 && sent < bytes.len() => {}
        _ => return Err(unexpected("did not tell of a short one")),
    }
    match outcome(send(bytes.len())?) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Ok(Some(sent)) if sent < bytes.len() => Ok(()),
        _ => Err(unexpected("did not tell of want of room")),
    }
}

fn can_abort() -> io::Result<()> {
    let entry = request::abort(SOCKET);
    outcome(Trial::new()?.ask(entry, None)?).map(|_| ())
}

fn can_accept_without_waiting() -> io::Result<()> {
    let mut place = request::Place::new();
    let mut trial = Trial::new()?;
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    // With no name the kernel finds one that is free (unix(7), autobind).
    socket.bind(&socket2::SockAddr::unix("")?)?;
    socket.listen(1)?;
    let entry = request::accept(socket.as_raw_fd(), &mut place, false);
    match outcome(trial.ask(entry, None)?) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(unexpected("did not fail for want of a connection")),
    }
}
