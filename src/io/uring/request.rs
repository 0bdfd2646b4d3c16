//! Requests as the kernel takes them, and the numbers that come back with their completions.
//! Not for when to ask; the completion driver knows.

use std::os::fd::RawFd;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed};
use socket2::{SockAddr, SockAddrStorage};

use super::pool::GROUP;
use crate::io::Token;
use crate::io::completion::{File, Id};
use crate::proto::Peer;

/// What a ring asks for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The driver asked for it.
    Asked(Id),
    /// Someone wakes the reactor by a message from another ring.
    Message,
    /// Someone wakes it by its eventfd.
    Eventfd,
    /// A message to the ring of that descriptor.
    Wake(RawFd),
    /// Its answer is awaited.
    Awaited,
}

/// A receive ends once that much has come, so that one peer takes only so much of the buffers in a
/// turn; what is in its socket then waits.
const SHARE: u32 = 64 * 1024;

/// Where a request says how much it may receive in all (linux/io_uring.h, `optlen`; Linux 6.17).
const TOTAL: usize = 44;

const KIND: u32 = 56;
const INDEX: u32 = 32;

impl Name {
    /// As a request bears it.
    pub fn pack(self) -> u64 {
        let of = |kind: u64, token: Token| {
            kind << KIND | u64::from(token.index & 0xff_ffff) << INDEX | u64::from(token.generation)
        };
        match self {
            Name::Asked(Id::Chore) => 0,
            Name::Asked(Id::Accept(place)) => 1 << KIND | u64::from(place),
            Name::Asked(Id::Receive(token)) => of(2, token),
            Name::Asked(Id::Send(ticket)) => 3 << KIND | u64::from(ticket),
            Name::Asked(Id::Room(token)) => of(4, token),
            Name::Asked(Id::End(token)) => of(5, token),
            Name::Message => 7 << KIND,
            Name::Eventfd => 8 << KIND,
            Name::Wake(ring) => 9 << KIND | u64::from(ring as u32),
            Name::Awaited => 10 << KIND,
        }
    }

    /// As a completion bears it.
    pub fn unpack(packed: u64) -> Self {
        let number = packed as u32;
        let index = (packed >> INDEX) as u32 & 0xff_ffff;
        let token = Token { index, generation: number };
        match packed >> KIND {
            1 => Name::Asked(Id::Accept(number)),
            2 => Name::Asked(Id::Receive(token)),
            3 => Name::Asked(Id::Send(number)),
            4 => Name::Asked(Id::Room(token)),
            5 => Name::Asked(Id::End(token)),
            7 => Name::Message,
            8 => Name::Eventfd,
            9 => Name::Wake(number as RawFd),
            10 => Name::Awaited,
            _ => Name::Asked(Id::Chore),
        }
    }
}

/// Sends without waiting, and takes less than all for a failure: then it is told.
const QUIETLY: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// `IORING_ACCEPT_DONTWAIT` and `IORING_ACCEPT_POLL_FIRST` (linux/io_uring.h; Linux 6.10), and where
/// a request says so. One that is made anew finds nobody most of the time: to look first costs more
/// than to wait.
const DO_NOT_WAIT: u16 = 2;
const WAIT_FIRST: u16 = 4;
const FLAGS_OF_ITS_OWN: usize = 2;

/// A close is a reset that forgets what is unsent.
static AT_ONCE: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// An accept whose answer goes to `place`.
pub fn accept(listener: RawFd, place: &mut Place, waits: bool) -> Entry {
    place.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let address = (&raw mut place.address).cast();
    let entry = opcode::Accept::new(Fd(listener), address, &raw mut place.length)
        .file_index(Some(DestinationSlot::auto_target()))
        .build();
    let manner = if waits { WAIT_FIRST } else { DO_NOT_WAIT };
    with(entry, FLAGS_OF_ITS_OWN, &manner.to_ne_bytes())
}

/// A receive into the pool, until it is cancelled or has received a share.
pub fn receive(File(file): File, is_limited: bool) -> Entry {
    let receive = opcode::RecvMulti::new(Fixed(file), GROUP);
    if is_limited {
        // Neither at once nor in all.
        with(receive.len(SHARE).build(), TOTAL, &SHARE.to_ne_bytes())
    } else {
        receive.build()
    }
}

/// A receive whose outcome is awaited.
pub fn receive_now(File(file): File, start: *mut u8, room: usize) -> Entry {
    opcode::Recv::new(Fixed(file), start, room as u32).flags(libc::MSG_DONTWAIT).build()
}

/// A send of bytes that stay where they are; only what is not taken is told.
pub fn send(File(file): File, bytes: *const u8, length: usize) -> Entry {
    opcode::Send::new(Fixed(file), bytes, length as u32)
        .flags(QUIETLY)
        .build()
        .flags(Flags::SKIP_SUCCESS)
}

/// A send whose outcome is awaited.
pub fn send_now(File(file): File, message: &libc::msghdr) -> Entry {
    opcode::SendMsg::new(Fixed(file), message)
        .flags((libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as u32)
        .build()
}

/// A wait for room.
pub fn await_room(File(file): File) -> Entry {
    opcode::PollAdd::new(Fixed(file), libc::POLLOUT as u32).build()
}

/// A wait for what comes of a stream whose peer has finished: `POLLHUP` and `POLLERR` are told
/// unasked.
pub fn await_end(File(file): File) -> Entry {
    opcode::PollAdd::new(Fixed(file), 0).multi(true).build()
}

/// A wait for writes to an eventfd, each of which is told.
pub fn await_eventfd(fd: RawFd) -> Entry {
    opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build()
}

/// The cancellation of a request.
pub fn cancel(id: Id) -> Entry {
    opcode::AsyncCancel::new(Name::Asked(id).pack()).build().flags(Flags::SKIP_SUCCESS)
}

/// Makes the close that follows a reset.
pub fn abort(File(file): File) -> Entry {
    let (value, length) = ((&raw const AT_ONCE).cast(), size_of::<libc::linger>() as u32);
    let (level, option) = (libc::SOL_SOCKET as u32, libc::SO_LINGER as u32);
    opcode::SetSockOpt::new(Fixed(file), level, option, value, length)
        .build()
        .flags(Flags::SKIP_SUCCESS)
}

/// The close of a socket.
pub fn close(File(file): File) -> Entry {
    opcode::Close::new(Fixed(file)).build().flags(Flags::SKIP_SUCCESS)
}

/// A descriptor of a socket, for calls that take no other.
pub fn install(File(file): File) -> Entry {
    opcode::FixedFdInstall::new(Fixed(file), 0).build()
}

/// A message that wakes whoever waits in another ring.
pub fn wake(ring: RawFd) -> Entry {
    opcode::MsgRingData::new(Fd(ring), 0, Name::Message.pack(), None)
        .build()
        .flags(Flags::SKIP_SUCCESS)
}

/// A request with bytes that its builder does not know.
fn with(mut entry: Entry, at: usize, bytes: &[u8]) -> Entry {
    const { assert!(size_of::<Entry>() == 64) };
    let start: *mut u8 = (&raw mut entry).cast();
    // SAFETY: an entry is the kernel's `struct io_uring_sqe`, 64 bytes for which any value is valid,
    // and these lie within.
    unsafe { start.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    entry
}

/// Where the kernel puts a peer's address.
pub struct Place {
    address: SockAddrStorage,
    length: libc::socklen_t,
}

impl Place {
    /// A place with nothing in it.
    pub fn new() -> Self {
        Place { address: SockAddrStorage::zeroed(), length: 0 }
    }

    /// Whose address the kernel has put there.
    pub fn take(&mut self) -> Peer {
        let address = std::mem::replace(&mut self.address, SockAddrStorage::zeroed());
        // SAFETY: the kernel has put an address of `length` bytes there, or left the zeros, which are
        // one too.
        let address = unsafe { SockAddr::new(address, self.length) };
        address.as_socket().map_or(Peer::UNIX, Peer::from)
    }
}
