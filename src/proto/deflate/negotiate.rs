//! Which of a client's offers is taken, and on what terms (RFC 7692 sections 5 and 7.1).
//! Not for the grammar of the header, which is judged before: what breaks that is no WebSocket.

use super::{Deflation, LARGEST_WINDOW, SMALLEST_WINDOW};

/// The extension's name.
const NAME: &[u8] = b"permessage-deflate";

/// The smallest window that can be named (RFC 7692 section 7.1.2).
const SMALLEST_NAMED: u8 = 8;

/// What the server wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Its window in bits, 9 to 15.
    pub window: u8,
    /// Whether states are kept from message to message.
    pub takeover: bool,
}

/// An offer that was taken, and what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub deflation: Deflation,
    /// To be said, since the client asked for a limit.
    server_window: Option<u8>,
    /// The client's own window, where it said that it can be limited.
    client_window: Option<u8>,
}

/// One offer's parameters.
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// It may come without a value: "I can be limited".
    client_max_window_bits: Option<Option<u8>>,
}

/// Takes the first offer that can be taken; the client puts the one it likes best first. `lines`
/// are the values of the request's `Sec-WebSocket-Extensions`, whose grammar is known to be good.
pub(crate) fn negotiate<'a>(lines: impl Iterator<Item = &'a [u8]>, terms: Terms) -> Option<Agreed> {
    lines
        .flat_map(|line| line.split(|byte| *byte == b','))
        .filter_map(read)
        .find_map(|offer| agree(&offer, terms))
}

/// Reads an element of the list; `None` for another extension, and for an offer that must be
/// declined: an unknown parameter, one that comes twice, a value where none or not that one may be.
fn read(element: &[u8]) -> Option<Offer> {
    let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut offer = Offer::default();
    for part in parts {
        let mut sides = part.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        let (name, value) = (sides.next()?, sides.next());
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("server_no_context_takeover") {
            once(&mut offer.server_no_context_takeover, value)?;
        } else if is("client_no_context_takeover") {
            once(&mut offer.client_no_context_takeover, value)?;
        } else if is("server_max_window_bits") && offer.server_max_window_bits.is_none() {
            offer.server_max_window_bits = Some(window(value?)?);
        } else if is("client_max_window_bits") && offer.client_max_window_bits.is_none() {
            let bits = match value {
                Some(value) => Some(window(value)?),
                None => None,
            };
            offer.client_max_window_bits = Some(bits);
        } else {
            return None;
        }
    }
    Some(offer)
}

/// Sets a parameter that has no value and may come once.
fn once(seen: &mut bool, value: Option<&[u8]>) -> Option<()> {
    (value.is_none() && !std::mem::replace(seen, true)).then_some(())
}

/// A window of 8 to 15 bits, without leading zeros; perhaps in quotes, as values may be.
fn window(value: &[u8]) -> Option<u8> {
    let bits = match value {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    match bits {
        [digit @ b'8'..=b'9'] => Some(digit.saturating_sub(b'0')),
        [b'1', digit @ b'0'..=b'5'] => Some(digit.saturating_sub(b'0').saturating_add(10)),
        _ => None,
    }
}

fn agree(offer: &Offer, terms: Terms) -> Option<Agreed> {
    let window = match offer.server_max_window_bits {
        // Ours would be larger than the client's is.
        Some(bits) if bits < SMALLEST_WINDOW => return None,
        Some(bits) => bits.min(terms.window),
        None => terms.window,
    };
    let sends = terms.takeover && !offer.server_no_context_takeover;
    let receives = terms.takeover && !offer.client_no_context_takeover;
    let client_window = match offer.client_max_window_bits {
        // Nothing is gained here by a small window of a client that keeps none.
        Some(None) if !receives => None,
        Some(bits) => {
            let most = if receives { terms.window } else { LARGEST_WINDOW };
            Some(bits.unwrap_or(LARGEST_WINDOW).clamp(SMALLEST_NAMED, most))
        }
        None => None,
    };
    Some(Agreed {
        deflation: Deflation::new(window, sends, receives),
        server_window: offer.server_max_window_bits.map(|_| window),
        client_window,
    })
}

impl Agreed {
    /// Appends the value of the answer's `Sec-WebSocket-Extensions`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME);
        if !self.deflation.sends_with_takeover() {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if !self.deflation.receives_with_takeover() {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        for (name, bits) in [("server", self.server_window), ("client", self.client_window)] {
            if let Some(bits) = bits {
                out.extend_from_slice(format!("; {name}_max_window_bits={bits}").as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{INFLATER_MEMORY, compressor_memory};
    use super::*;

    const SHARED: Terms = Terms { window: 15, takeover: false };
    const DEDICATED: Terms = Terms { window: 12, takeover: true };

    /// The value of the answer's header, or `-` where nothing is agreed.
    fn answer(offers: &[&str], terms: Terms) -> String {
        let lines = offers.iter().map(|line| line.as_bytes());
        negotiate(lines, terms).map_or("-".to_owned(), |agreed| {
            let mut out = Vec::new();
            agreed.write(&mut out);
            String::from_utf8(out).unwrap().replace("permessage-deflate", "pmd")
        })
    }

    const NONE_KEPT: &str = "pmd; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn each_parameter_is_answered_by_what_the_server_wants() {
        for (offer, shared, dedicated) in [
            ("", "", "pmd"),
            ("; server_no_context_takeover", "", "pmd; server_no_context_takeover"),
            ("; client_no_context_takeover", "", "pmd; client_no_context_takeover"),
            ("; server_no_context_takeover; client_no_context_takeover", "", NONE_KEPT),
            (
                "; server_max_window_bits=15",
                "; server_max_window_bits=15",
                "pmd; server_max_window_bits=12",
            ),
            (
                "; server_max_window_bits=9",
                "; server_max_window_bits=9",
                "pmd; server_max_window_bits=9",
            ),
            (
                "; server_max_window_bits=\"10\"",
                "; server_max_window_bits=10",
                "pmd; server_max_window_bits=10",
            ),
            ("; client_max_window_bits", "", "pmd; client_max_window_bits=12"),
            (
                "; client_max_window_bits=10",
                "; client_max_window_bits=10",
                "pmd; client_max_window_bits=10",
            ),
            (
                "; client_max_window_bits=15",
                "; client_max_window_bits=15",
                "pmd; client_max_window_bits=12",
            ),
            (
                "; client_max_window_bits=8",
                "; client_max_window_bits=8",
                "pmd; client_max_window_bits=8",
            ),
            (
                "; client_max_window_bits; server_max_window_bits=11; client_no_context_takeover",
                "; server_max_window_bits=11",
                "pmd; client_no_context_takeover; server_max_window_bits=11",
            ),
        ] {
            let offer = format!("permessage-deflate{offer}");
            assert_eq!(answer(&[&offer], SHARED), format!("{NONE_KEPT}{shared}"), "{offer}");
            assert_eq!(answer(&[&offer], DEDICATED), dedicated, "{offer}");
        }
    }

    #[test]
    fn the_terms_and_the_answer_say_the_same() {
        let agreed = |offer: &str, terms| negotiate([offer.as_bytes()].into_iter(), terms).unwrap();
        let plain = agreed("permessage-deflate", DEDICATED).deflation;
        assert!(plain.sends_with_takeover() && plain.receives_with_takeover());
        assert_eq!(plain.window(), 12);
        assert_eq!(plain.memory(), compressor_memory(12) + INFLATER_MEMORY);
        let sending = agreed("permessage-deflate; client_no_context_takeover", DEDICATED).deflation;
        assert!(sending.sends_with_takeover() && !sending.receives_with_takeover());
        assert_eq!(sending.memory(), compressor_memory(12));
        let receiving =
            agreed("permessage-deflate; server_no_context_takeover", DEDICATED).deflation;
        assert!(!receiving.sends_with_takeover() && receiving.receives_with_takeover());
        let shared = agreed("permessage-deflate; server_max_window_bits=10", SHARED).deflation;
        assert!(shared.is_on() && !shared.has_context());
        assert_eq!((shared.window(), shared.memory()), (10, 0));
        assert!(!Deflation::default().is_on());
    }

    #[test]
    fn an_offer_that_is_spelled_wrong_is_declined_and_the_next_one_taken() {
        for bad in [
            "server_max_window_bits",
            "server_max_window_bits=8",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=+9",
            "server_max_window_bits=9x",
            "server_max_window_bits=90",
            "server_max_window_bits=1",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=08",
            "client_max_window_bits=x",
            "client_max_window_bits=\"1\\0\"",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits; client_max_window_bits=10",
            "client_max_window_bits; client_max_window_bits",
            "mux",
            "server_max_window_bits_=10",
        ] {
            let bad = format!("permessage-deflate; {bad}");
            assert_eq!(answer(&[&bad], DEDICATED), "-", "{bad}");
            let both = format!("{bad}, permessage-deflate; server_max_window_bits=9");
            assert_eq!(answer(&[&both], DEDICATED), "pmd; server_max_window_bits=9", "{bad}");
        }
    }

    #[test]
    fn the_first_good_offer_counts_on_whatever_line_and_however_written() {
        for other in ["x-webkit-deflate-frame", "permessage-deflate2", "foo; bar=1", ""] {
            assert_eq!(answer(&[other], DEDICATED), "-", "{other}");
            assert_eq!(answer(&[other, "permessage-deflate"], DEDICATED), "pmd", "{other}");
        }
        let line = "mux; a=1, Permessage-Deflate ;Server_Max_Window_Bits = 10 ,permessage-deflate";
        assert_eq!(answer(&[line], DEDICATED), "pmd; server_max_window_bits=10");
        assert_eq!(answer(&[], DEDICATED), "-");
    }

    proptest! {
        #[test]
        fn no_offer_makes_the_negotiation_panic(line in any::<Vec<u8>>(), window in 9..=15_u8) {
            let _ = negotiate([&line[..]].into_iter(), Terms { window, takeover: true });
        }
    }
}
