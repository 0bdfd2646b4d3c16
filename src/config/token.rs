//! The admin port's bearer token: read from its file, compared without telling how much matched.
//! Not for parsing `Authorization` headers, which the admin port does.

use std::fmt;
use std::fs::File;
use std::io::Read;

use super::error::{Refusal, quoted};

/// Bytes of the longest token file that is read.
const LONGEST: u64 = 4096;

/// A secret that clients of the admin port must show. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(Box<[u8]>);

impl AdminToken {
    /// Takes a token's text, without the white space around it.
    ///
    /// Refuses an empty token and one that no client could send: RFC 6750, section 2.1 has visible
    /// ASCII characters without spaces.
    pub fn new(text: &[u8]) -> Result<Self, Refusal> {
        let token = text.trim_ascii();
        if token.is_empty() {
            return Err(Refusal::new("the token is empty", "write the token on one line"));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(Refusal::new(
                "the token holds a space, a line break or a byte that is not visible ASCII",
                "write one line of letters, digits and - . _ ~ + / =",
            ));
        }
        Ok(Self(token.into()))
    }

    /// Reads the token from a file of at most 4 KiB.
    pub(super) fn read(path: &str) -> Result<Self, Refusal> {
        let mut text = Vec::new();
        File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text)).map_err(
            |error| {
                Refusal::new(
                    format!("cannot read {}: {error}", quoted(path)),
                    "name a file that holds the token and that this user may read",
                )
            },
        )?;
        if text.len() as u64 > LONGEST {
            return Err(Refusal::new(
                format!("{} is longer than {LONGEST} bytes", quoted(path)),
                "name a file that holds the token alone",
            ));
        }
        Self::new(&text)
            .map_err(|why| Refusal::new(format!("{}: {}", quoted(path), why.wrong), why.remedy))
    }

    /// Whether `shown` is the token. The time this takes depends on the length of `shown` alone,
    /// so that a client cannot guess the token byte by byte.
    pub fn matches(&self, shown: &[u8]) -> bool {
        let mut difference = self.0.len() ^ shown.len();
        for (i, byte) in shown.iter().enumerate() {
            // `black_box` keeps the optimiser from leaving the loop at the first difference.
            difference |= usize::from(std::hint::black_box(self.0[i % self.0.len()] ^ byte));
        }
        difference == 0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(redacted)")
    }
}

impl fmt::Display for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}
