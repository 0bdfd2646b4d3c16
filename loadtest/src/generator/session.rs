//! The TLS half of a link: records out of bytes and bytes out of records, over a socket that never
//! blocks. Not whom to trust (`tls`), nor when a connection may read or write (`receive`, `work`).

use std::io::{self, Read, Write};
use std::mem;

use mio::net::TcpStream;
use rustls::ClientConnection;

use super::link::{Ended, recv};

/// Ciphertext that waits for the kernel, in bytes, above which no more plaintext is encrypted. Two
/// of the largest records fit; what does not is kept as plaintext by the link.
const SENDABLE: usize = 64 * 1024;

/// One connection's TLS.
#[derive(Debug)]
pub(super) struct Session {
    tls: ClientConnection,
    /// Ciphertext that was received and not decrypted, since the caller's buffer had no room.
    ahead: Vec<u8>,
    /// What ended the session, to be told once the bytes that came before it have been taken.
    failure: Option<rustls::Error>,
    /// Whether the peer has said close_notify.
    farewell: bool,
    drained: bool,
}

impl Session {
    /// A session whose handshake has not begun.
    pub(super) fn new(mut tls: ClientConnection) -> Session {
        tls.set_buffer_limit(Some(SENDABLE));
        Session { tls, ahead: Vec::new(), failure: None, farewell: false, drained: true }
    }

    /// Whether the handshake is under way.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether records wait for the kernel to take them.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether the latest receive left nothing in the socket or here.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// How many of `bytes` went into records; those records may still wait for the kernel.
    pub(super) fn write(&mut self, stream: &TcpStream, bytes: &[u8]) -> Result<usize, Ended> {
        let mut taken = 0;
        loop {
            taken += self.tls.writer().write(&bytes[taken..]).map_err(Ended::Failed)?;
            let kernel_is_full = !self.flush(stream)?;
            if kernel_is_full || taken == bytes.len() {
                return Ok(taken);
            }
        }
    }

    /// Hands records to the kernel; tells whether it took all.
    pub(super) fn flush(&mut self, mut stream: &TcpStream) -> Result<bool, Ended> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Ended::Failed(error)),
            }
        }
        Ok(true)
    }

    /// Plaintext that has come, at the start of `buffer`; `Ok(None)` when there is none now.
    ///
    /// The end of `buffer` takes the ciphertext. It is the smaller part: with what was left of an
    /// unfinished record, a third of the generator's buffer decrypts to less than the other two.
    pub(super) fn receive(
        &mut self,
        stream: &TcpStream,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, Ended> {
        let (plain, cipher) = buffer.split_at_mut(buffer.len() - buffer.len() / 3);
        let ahead = mem::take(&mut self.ahead);
        let mut emptied = false;
        let mut length = self.decrypt(&ahead, plain);
        while length == 0 {
            let flushed = self.flush(stream);
            // An alert that could not be sent does not matter beside what it was to tell.
            if let Some(failure) = self.failure.take() {
                return Err(Ended::Tls(failure));
            }
            flushed?;
            if self.farewell {
                return Err(Ended::Closed);
            }
            let Some(came) = recv(stream, cipher)? else {
                self.drained = true;
                return Ok(None);
            };
            emptied = came < cipher.len();
            length = self.decrypt(&cipher[..came], plain);
        }
        self.flush(stream)?;
        let ended = self.farewell || self.failure.is_some();
        self.drained = emptied && !ended && self.ahead.is_empty() && length < plain.len();
        Ok(Some(length))
    }

    /// Feeds ciphertext and takes what plaintext there is; ciphertext that finds no room is kept.
    fn decrypt(&mut self, mut cipher: &[u8], plain: &mut [u8]) -> usize {
        let mut length = self.take_plaintext(plain);
        while !cipher.is_empty() && length < plain.len() && self.failure.is_none() && !self.farewell
        {
            if let Err(error) = self.tls.read_tls(&mut cipher) {
                self.failure = Some(rustls::Error::General(error.to_string()));
            }
            match self.tls.process_new_packets() {
                Ok(state) => self.farewell = state.peer_has_closed(),
                Err(error) => self.failure = Some(error),
            }
            length += self.take_plaintext(&mut plain[length..]);
        }
        self.ahead.extend_from_slice(cipher);
        length
    }

    fn take_plaintext(&mut self, plain: &mut [u8]) -> usize {
        let mut length = 0;
        while length < plain.len() {
            match self.tls.reader().read(&mut plain[length..]) {
                Ok(n @ 1..) => length += n,
                // Nothing more now, or ever: which of them, `farewell` tells.
                Ok(0) | Err(_) => break,
            }
        }
        length
    }

    /// Says close_notify, if the kernel takes it at once.
    pub(super) fn close(&mut self, stream: &TcpStream) {
        if !self.tls.is_handshaking() && !self.tls.wants_write() {
            self.tls.send_close_notify();
            // The peer may be gone already, and then nobody is there to hear it.
            let _ = self.flush(stream);
        }
    }
}
