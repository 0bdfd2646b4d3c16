//! The signals that a server answers to, caught from a moment of one's choice.
//! Not for what they lead to, which `operate` says.

use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::operate::{Notice, RunError};

/// SIGTERM, SIGINT and SIGHUP, which from now on wait here for a server that runs.
///
/// Made before a server is started, it leaves no moment in which the server says that it listens and
/// a SIGHUP would still end it.
#[derive(Debug)]
pub struct SignalQueue(Signals);

impl SignalQueue {
    /// Catches them.
    ///
    /// # Errors
    /// The system does not let them be caught.
    pub fn new() -> Result<Self, RunError> {
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map(SignalQueue).map_err(RunError::Signals)
    }

    /// Tells of each that has come or comes.
    pub(super) fn tell(mut self, notices: Sender<Notice>) -> Telling {
        let handle = self.0.handle();
        let thread = thread::spawn(move || {
            for signal in self.0.forever() {
                if notices.send(Notice::Signal(signal)).is_err() {
                    return;
                }
            }
        });
        Telling { handle, thread }
    }
}

/// Signals that are told as they come, until the end.
pub(super) struct Telling {
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Telling {
    pub(super) fn end(self) {
        self.handle.close();
        // It has nothing to fail at.
        let _ = self.thread.join();
    }
}
