//! Faults that the simulator plants to prove that it finds them: one name for each.
//! Not part of any server: without the feature `simulation` no fault can be planted, [`is`] is a
//! constant, and each place that asks compiles to nothing.
//!
//! A place that asks reads `mutation::is(Mutation::…)`; whoever reads the ordinary code takes that
//! for `false`.

/// A planted fault, named for what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Each arming leaves an entry in the wheel that nobody knows.
    LeaveWheelEntry,
    /// A connection that was looked at is not put back into the wheel.
    SkipRearm,
    /// A deadline that has come closer gets no entry of its own.
    LeanOnLaterEntry,
    /// The sleep ends a quarter of a second after the next entry of the wheel.
    Oversleep,
    /// Ticks compare as if they did not wrap.
    IgnoreTickWrap,
    /// An outbox takes whatever it is given.
    ForgetOutboxBound,
    /// An event for a former connection reaches the one that has its slot now.
    LoseGeneration,
    /// A connection that waits for the peer's close frame is still pinged.
    PingWhileClosing,
    /// A connection that ends twice in a turn is uncounted twice.
    FreeTwice,
    /// A slot is freed and its socket is not.
    FreeWithoutClosing,
    /// The unsent bytes of a connection that goes stay charged.
    KeepOutboxBudget,
    /// The unfinished input of a connection that goes stays charged.
    KeepInboxBudget,
    /// An overspent budget is left overspent.
    ShedNothing,
    /// A connection that goes stays among its route's members.
    ForgetLeaving,
    /// A ping that stood behind unsent bytes needs no answer.
    ForgetPongBehindBacklog,
    /// The clocks of a peer that is not read from run on.
    RunClocksWhilePaused,
    /// Deadlines are not moved by the time that a stall took.
    ForgetRebasing,
    /// A verdict of silence is passed without one more read.
    SkipLastLook,
    /// A frame that is partly written may be dropped.
    DropPartlyWritten,
    /// A fan-out is delivered twice by one reactor.
    DeliverTwice,
    /// Mail is taken in the order of a stack.
    DeliverOutOfOrder,
    /// A drained outbox does not have its peer read from again.
    LoseOutboxWakeUp,
    /// A reactor is not woken for its mail.
    LoseMailWakeUp,
    /// A drain passes connections without telling them.
    DrainWithoutClosing,
    /// Our close frame starts no deadline.
    ForgetCloseDeadline,
    /// A message may take as long as it likes.
    ForgetMessageDeadline,
    /// Unsent bytes may be as old as they like.
    ForgetWriteDeadline,
    /// Each byte of a request gives it the whole handshake timeout anew.
    RestartHandshake,
    /// Accepting never goes on after descriptors ran out.
    StayStarved,
    /// Whose time is up is closed in good order, whatever its peer's kernel has not taken.
    LeaveOrphan,
    /// A drain that ends drops those left without one more read.
    DropUnheard,
    /// A connection that goes stays counted among its address's.
    KeepAddress,
    /// Nobody looks whether addresses may be forgotten.
    ForgetWatch,
    /// A completion for a former connection reaches the one that has its slot now.
    ReachNewcomer,
    /// What comes for a connection that has gone keeps its buffer.
    KeepLateBuffer,
    /// A receive is asked for while the last one is still being cancelled.
    ArmTwice,
    /// What a gathered send did not take is taken for sent.
    ForgetShortSend,
    /// A receive that found no buffer is never asked for again.
    StayHungry,
    /// A connection is closed and its receive is left with the kernel.
    LeaveReceive,
    /// Bytes that come while a receive is being cancelled are dropped.
    DropAfterPause,
    /// What a gathered send did not take waits until something else is sent.
    LetUnsentRest,
    /// Connections are let in for which the table has no room.
    AskBeyondRoom,
    /// A last look finds nothing where no buffer is free.
    LookIntoBuffers,
}

impl Mutation {
    /// Every mutation.
    pub const ALL: [Self; 43] = [
        Self::LeaveWheelEntry,
        Self::SkipRearm,
        Self::LeanOnLaterEntry,
        Self::Oversleep,
        Self::IgnoreTickWrap,
        Self::ForgetOutboxBound,
        Self::LoseGeneration,
        Self::PingWhileClosing,
        Self::FreeTwice,
        Self::FreeWithoutClosing,
        Self::KeepOutboxBudget,
        Self::KeepInboxBudget,
        Self::ShedNothing,
        Self::ForgetLeaving,
        Self::ForgetPongBehindBacklog,
        Self::RunClocksWhilePaused,
        Self::ForgetRebasing,
        Self::SkipLastLook,
        Self::DropPartlyWritten,
        Self::DeliverTwice,
        Self::DeliverOutOfOrder,
        Self::LoseOutboxWakeUp,
        Self::LoseMailWakeUp,
        Self::DrainWithoutClosing,
        Self::ForgetCloseDeadline,
        Self::ForgetMessageDeadline,
        Self::ForgetWriteDeadline,
        Self::RestartHandshake,
        Self::StayStarved,
        Self::LeaveOrphan,
        Self::DropUnheard,
        Self::KeepAddress,
        Self::ForgetWatch,
        Self::ReachNewcomer,
        Self::KeepLateBuffer,
        Self::ArmTwice,
        Self::ForgetShortSend,
        Self::StayHungry,
        Self::LeaveReceive,
        Self::DropAfterPause,
        Self::LetUnsentRest,
        Self::AskBeyondRoom,
        Self::LookIntoBuffers,
    ];
}

#[cfg(feature = "simulation")]
std::thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Plants a fault for this thread, or takes it out.
#[cfg(feature = "simulation")]
pub fn plant(mutation: Option<Mutation>) {
    PLANTED.set(mutation);
}

/// True if that fault is planted.
#[cfg(feature = "simulation")]
#[inline]
pub fn is(mutation: Mutation) -> bool {
    PLANTED.get() == Some(mutation)
}

/// Nothing can be planted.
#[cfg(not(feature = "simulation"))]
#[inline(always)]
pub const fn is(_: Mutation) -> bool {
    false
}
