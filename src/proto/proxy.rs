//! The PROXY protocol, versions 1 and 2: the header by which a proxy says whose connection it brings
//! (HAProxy's `proxy-protocol.txt`). Not for deciding who may send one: the caller knows its proxies.
//!
//! The caller gives all bytes that have come so far, each time anew; nothing is kept in between.
//! Looking again costs little: version 2 has its length in front, and version 1 is one short line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1 with its line end, in bytes (section 2.1 of the specification).
const LINE_LIMIT: usize = 107;

/// What every header of version 1 begins with.
const WORD: &[u8] = b"PROXY ";

/// What every header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// The longest header of version 2 that is taken, in bytes. Addresses take 36, and what proxies add
/// behind them (certificates' names, the cloud's own marks) some hundreds; a length of 65,535 would
/// be memory for whoever sends the first sixteen bytes.
pub const PROXY_HEADER_LIMIT: usize = 4096;

/// What stands at the front of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// A header begins here, and not all of it has come.
    Incomplete,
    /// No header, or a malformed one; the connection can't be told whose it is.
    Malformed,
    /// A whole header of so many bytes.
    Whole {
        /// Where what the client sent begins.
        length: usize,
        /// The client; `None` where the proxy speaks for itself (a health check) or does not know.
        source: Option<SocketAddr>,
    },
}

/// Reads the header at the front of these bytes.
pub fn parse_proxy_header(bytes: &[u8]) -> ProxyHeader {
    if agrees(bytes, WORD) {
        line(bytes)
    } else if agrees(bytes, SIGNATURE) {
        binary(bytes)
    } else {
        ProxyHeader::Malformed
    }
}

/// Whether the bytes begin as `start` does, as far as both go.
fn agrees(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

/// Version 1: one line of ASCII.
fn line(bytes: &[u8]) -> ProxyHeader {
    let looked_at = bytes.get(..LINE_LIMIT).unwrap_or(bytes);
    let Some(end) = looked_at.windows(2).position(|pair| pair == b"\r\n") else {
        let is_over = bytes.len() >= LINE_LIMIT;
        return if is_over { ProxyHeader::Malformed } else { ProxyHeader::Incomplete };
    };
    let words = looked_at.get(WORD.len()..end).and_then(|line| std::str::from_utf8(line).ok());
    let Some(source) = words.and_then(source_of_line) else { return ProxyHeader::Malformed };
    ProxyHeader::Whole { length: end.saturating_add(2), source }
}

/// `Some(None)` where the line is good and names nobody.
fn source_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ');
    let is_v6 = match words.next()? {
        // Whatever follows is to be ignored.
        "UNKNOWN" => return Some(None),
        "TCP4" => false,
        "TCP6" => true,
        _ => return None,
    };
    let (source, destination) = (address(words.next()?, is_v6)?, address(words.next()?, is_v6)?);
    let (port, other_port) = (port(words.next()?)?, port(words.next()?)?);
    // The destination is of no use here, but a header without a good one is no header.
    let _ = (destination, other_port);
    let source = named(SocketAddr::new(source, port))?;
    words.next().is_none().then_some(Some(source))
}

/// An address that names someone: nobody connects from the unspecified one.
fn named(source: SocketAddr) -> Option<SocketAddr> {
    (!source.ip().to_canonical().is_unspecified()).then_some(source)
}

fn address(word: &str, is_v6: bool) -> Option<IpAddr> {
    if is_v6 {
        word.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    } else {
        word.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    }
}

/// Digits alone and no zero in front, as the specification has it: `parse` would take a sign too.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = word == "0" || !word.starts_with('0');
    (is_plain && is_short).then(|| word.parse().ok())?
}

/// Version 2: sixteen bytes, then addresses and whatever else within the length they give.
fn binary(bytes: &[u8]) -> ProxyHeader {
    // Each byte is judged as soon as it is there.
    let (command, family) = (bytes.get(12).copied(), bytes.get(13).copied());
    if command.is_some_and(|command| !matches!(command, 0x20 | 0x21)) {
        return ProxyHeader::Malformed;
    }
    if family.is_some_and(|family| family >> 4 > 3 || family & 15 > 2) {
        return ProxyHeader::Malformed;
    }
    let Some(&[high, low]) = bytes.get(14..FIXED).and_then(|length| length.first_chunk()) else {
        return ProxyHeader::Incomplete;
    };
    let length = FIXED.saturating_add(usize::from(u16::from_be_bytes([high, low])));
    if length > PROXY_HEADER_LIMIT {
        return ProxyHeader::Malformed;
    }
    let Some(payload) = bytes.get(FIXED..length) else { return ProxyHeader::Incomplete };
    let source = match (command, family) {
        // LOCAL: the proxy's own connection.
        (Some(0x20), _) => None,
        (_, Some(0x11)) => match source_of_v4(payload).and_then(named) {
            Some(source) => Some(source),
            None => return ProxyHeader::Malformed,
        },
        (_, Some(0x21)) => match source_of_v6(payload).and_then(named) {
            Some(source) => Some(source),
            None => return ProxyHeader::Malformed,
        },
        // A Unix socket, a datagram or nothing in front of the proxy: no address to take over.
        _ => None,
    };
    ProxyHeader::Whole { length, source }
}

/// Two addresses of four bytes, then two ports.
fn source_of_v4(payload: &[u8]) -> Option<SocketAddr> {
    let &[a, b, c, d, _, _, _, _, high, low, _, _] = payload.first_chunk()?;
    let port = u16::from_be_bytes([high, low]);
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port))
}

/// Two addresses of sixteen bytes, then two ports.
fn source_of_v6(payload: &[u8]) -> Option<SocketAddr> {
    let whole: &[u8; 36] = payload.first_chunk()?;
    let source: [u8; 16] = *whole.first_chunk()?;
    let port = whole.get(32..34)?.first_chunk().copied()?;
    Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(source)), u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x04\xd2\0\x50";

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    fn source(bytes: &[u8]) -> Option<SocketAddr> {
        match parse_proxy_header(bytes) {
            ProxyHeader::Whole { length, source } => {
                assert_eq!(length, bytes.len());
                source
            }
            other => panic!("{other:?} of {:?}", String::from_utf8_lossy(bytes)),
        }
    }

    #[test]
    fn both_versions_name_the_client() {
        let v6 = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], [0; 16]].concat();
        let v6 = [&v6[..], &[0, 9, 0, 80]].concat();
        for (header, name) in [
            (b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\n".to_vec(), "203.0.113.9:1234"),
            (b"PROXY TCP6 2001:db8::7 ::1 9 65535\r\n".to_vec(), "[2001:db8::7]:9"),
            (V4.to_vec(), "203.0.113.9:1234"),
            (v2(0x21, 0x11, &[V4[16..].to_vec(), vec![4, 0, 1, 9]].concat()), "203.0.113.9:1234"),
            (v2(0x21, 0x21, &v6), "[2001:db8::7]:9"),
        ] {
            assert_eq!(source(&header), Some(name.parse().unwrap()));
        }
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_or_does_not_know_names_nobody() {
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
            v2(0x20, 0x00, b""),
            v2(0x20, 0x11, &V4[16..]),
            v2(0x21, 0x00, b"ignored"),
            v2(0x21, 0x31, &[0; 216]),
            v2(0x21, 0x12, &V4[16..]),
        ] {
            assert_eq!(source(&header), None);
        }
    }

    #[test]
    fn a_header_is_read_at_every_cut_and_ends_where_the_request_begins() {
        for header in [b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\n", V4] {
            let bytes = [header, b"GET / HTTP/1.1\r\n"].concat();
            for cut in 0..=bytes.len() {
                let found = parse_proxy_header(&bytes[..cut]);
                if cut < header.len() {
                    assert_eq!(found, ProxyHeader::Incomplete, "{cut} bytes");
                } else {
                    let source = Some("203.0.113.9:1234".parse().unwrap());
                    assert_eq!(found, ProxyHeader::Whole { length: header.len(), source });
                }
            }
        }
    }

    #[test]
    fn what_is_no_header_is_known_by_its_first_wrong_byte() {
        for (bytes, cut) in [
            (&b"GET / HTTP/1.1"[..], 1),
            (b"PROXx", 5),
            (b"\r\n\r\n\0\r\nQUIT\nx", 13),
            (b"\r\n\r\n\0\r\nQUIT\n\x22", 13),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x41", 14),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x13", 14),
        ] {
            assert_eq!(parse_proxy_header(&bytes[..cut - 1]), ProxyHeader::Incomplete);
            assert_eq!(parse_proxy_header(&bytes[..cut]), ProxyHeader::Malformed, "{bytes:?}");
        }
    }

    #[test]
    fn malformed_headers_name_nobody_and_are_not_waited_for() {
        for line in [
            "PROXY TCP4 203.0.113.9 127.0.0.1 1234\r\n",
            "PROXY TCP4 203.0.113.9 127.0.0.1 1234 80 \r\n",
            "PROXY TCP4  203.0.113.9 127.0.0.1 1234 80\r\n",
            "PROXY TCP4 203.0.113.09 127.0.0.1 1234 80\r\n",
            "PROXY TCP4 2001:db8::7 ::1 1234 80\r\n",
            "PROXY TCP6 203.0.113.9 127.0.0.1 1234 80\r\n",
            "PROXY TCP4 203.0.113.9 127.0.0.1 +1234 80\r\n",
            "PROXY TCP4 203.0.113.9 127.0.0.1 01234 80\r\n",
            "PROXY TCP4 203.0.113.9 127.0.0.1 1234 65536\r\n",
            "PROXY UDP4 203.0.113.9 127.0.0.1 1234 80\r\n",
            "PROXY \r\n",
            "PROXY TCP4 0.0.0.0 127.0.0.1 1234 80\r\n",
            "PROXY TCP6 :: ::1 0 80\r\n",
            "PROXY TCP6 ::ffff:0.0.0.0 ::1 1234 80\r\n",
        ] {
            assert_eq!(parse_proxy_header(line.as_bytes()), ProxyHeader::Malformed, "{line}");
        }
        let endless = [WORD, &[b'x'; LINE_LIMIT]].concat();
        let at_limit = &endless[..LINE_LIMIT];
        assert_eq!(parse_proxy_header(&at_limit[..LINE_LIMIT - 1]), ProxyHeader::Incomplete);
        assert_eq!(parse_proxy_header(at_limit), ProxyHeader::Malformed);
        let nobody = [v2(0x21, 0x11, &[0; 12]), v2(0x21, 0x21, &[0; 36])];
        for header in [&nobody[..], &[v2(0x21, 0x11, &[7; 11]), v2(0x21, 0x21, &[7; 35])]].concat()
        {
            assert_eq!(parse_proxy_header(&header), ProxyHeader::Malformed);
        }
    }

    #[test]
    fn a_binary_header_has_a_limit_that_is_judged_by_its_length_alone() {
        let most = v2(0x20, 0, &vec![0; PROXY_HEADER_LIMIT - FIXED]);
        assert_eq!(source(&most), None);
        let more = v2(0x20, 0, &vec![0; PROXY_HEADER_LIMIT - FIXED + 1]);
        assert_eq!(parse_proxy_header(&more[..FIXED]), ProxyHeader::Malformed);
    }
}
