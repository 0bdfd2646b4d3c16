//! Whose request a chain of proxies brings: `X-Forwarded-For`, and `Forwarded` (RFC 7239).
//! Not for deciding which proxies are believed: the caller says that of each address.
//!
//! Each proxy adds, at the right end, the address that it was spoken to from. So the list is read
//! from the right, for as long as the one who wrote an element is trusted; the first address that is
//! not is the client's. Whatever stands further left the client may have written itself.

use std::net::{IpAddr, SocketAddr};

use crate::config::ForwardedHeader;

/// The client that the lines of that header name, where a trusted proxy wrote the last element.
///
/// `None` if they name nobody: there is no element, or the last trusted proxy wrote something else
/// than an address (`unknown`, a name of its own). Where all elements are trusted, the first one is
/// the client. The port is 0 where none is given.
pub fn forwarded_client<'a>(
    header: ForwardedHeader,
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<SocketAddr> {
    let mut client = None;
    for line in lines.rev() {
        let mut rest = Some(line);
        while let Some(line) = rest {
            let has_quotes = header == ForwardedHeader::Forwarded;
            let (before, element) = last_element(line, b',', has_quotes);
            rest = before;
            let element = element.trim_ascii();
            // Empty elements mean nothing (RFC 9110 section 5.6.1).
            if element.is_empty() {
                continue;
            }
            let Some(node) = node(header, element) else { return client };
            client = Some(node);
            if !is_trusted(node.ip()) {
                return client;
            }
        }
    }
    client
}

/// Splits at the last separator that is not between quotes. What a client wrote may have one quote
/// only: seen from the right that spoils its own part and no other. A quote behind a backslash
/// is text (RFC 9110 section 5.6.4), unless that backslash is text itself.
fn last_element(line: &[u8], separator: u8, has_quotes: bool) -> (Option<&[u8]>, &[u8]) {
    let mut is_quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        if *byte == b'"' && has_quotes {
            is_quoted ^= !is_escaped(line, at);
        } else if *byte == separator && !is_quoted {
            let element = line.get(at.saturating_add(1)..).unwrap_or_default();
            return (line.get(..at), element);
        }
    }
    (None, line)
}

/// Whether an odd number of backslashes stands before.
fn is_escaped(line: &[u8], at: usize) -> bool {
    let before = line.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() & 1 == 1
}

fn node(header: ForwardedHeader, element: &[u8]) -> Option<SocketAddr> {
    let element = match header {
        ForwardedHeader::XForwardedFor => element,
        ForwardedHeader::Forwarded => parameter_for(element)?,
    };
    let text = std::str::from_utf8(element).ok()?;
    let text = match header {
        ForwardedHeader::XForwardedFor => text,
        ForwardedHeader::Forwarded => without_hidden_port(text),
    };
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => SocketAddr::new(plain(text)?, 0),
    };
    let ip = address.ip().to_canonical();
    (!ip.is_unspecified()).then(|| SocketAddr::new(ip, address.port()))
}

/// A node without its port, where that has a name instead of a number (RFC 7239 section 6).
fn without_hidden_port(node: &str) -> &str {
    let is_name = |port: &str| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    match node.rsplit_once(":_") {
        // IPv6 has brackets where a port follows.
        Some((host, port)) if is_name(port) && (host.ends_with(']') || !host.contains(':')) => host,
        _ => node,
    }
}

/// An address without a port, IPv6 in brackets or not.
fn plain(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    }
}

/// The value of `for` among the pairs of an element, without its quotes; `None` unless it is there
/// once.
fn parameter_for(element: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let (before, pair) = last_element(pairs, b';', true);
        rest = before;
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (sides.next()?.trim_ascii(), sides.next());
        if name.eq_ignore_ascii_case(b"for") && found.replace(value?.trim_ascii()).is_some() {
            return None;
        }
    }
    let value: &[u8] = found?;
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    Some(inner.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 10) || ip.to_string() == "fd00::1"
    }

    fn client(header: ForwardedHeader, lines: &[&str]) -> Option<String> {
        let lines = lines.iter().map(|line| line.as_bytes());
        forwarded_client(header, lines, is_ours).map(|address| match address.port() {
            0 => address.ip().to_string(),
            _ => address.to_string(),
        })
    }

    fn of_list(lines: &[&str]) -> Option<String> {
        client(ForwardedHeader::XForwardedFor, lines)
    }

    fn of_pairs(lines: &[&str]) -> Option<String> {
        client(ForwardedHeader::Forwarded, lines)
    }

    #[test]
    fn the_first_address_from_the_right_that_is_not_trusted_is_the_clients() {
        for (lines, expected) in [
            (&["203.0.113.9"][..], Some("203.0.113.9")),
            (&["198.51.100.1, 203.0.113.9"], Some("203.0.113.9")),
            (&["198.51.100.1,203.0.113.9 ,10.0.0.1"], Some("203.0.113.9")),
            (&["198.51.100.1", "203.0.113.9", "10.0.0.1, 10.0.0.2"], Some("203.0.113.9")),
            (&["10.0.0.3, 10.0.0.1"], Some("10.0.0.3")),
            (&["2001:db8::7, fd00::1"], Some("2001:db8::7")),
            (&["203.0.113.9, ,,", ""], Some("203.0.113.9")),
            (&["203.0.113.9:4711"], Some("203.0.113.9:4711")),
            (&["[2001:db8::7]:80"], Some("[2001:db8::7]:80")),
            (&["[2001:db8::7]"], Some("2001:db8::7")),
            (&["::ffff:203.0.113.9"], Some("203.0.113.9")),
            (&["::ffff:10.0.0.1"], Some("10.0.0.1")),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(of_list(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_leaves_the_one_who_wrote_it() {
        for (lines, expected) in [
            (&["203.0.113.9, unknown"][..], None),
            (&["203.0.113.9, unknown, 10.0.0.1"], Some("10.0.0.1")),
            (&["unknown, 203.0.113.9"], Some("203.0.113.9")),
            (&["203.0.113.9 10.0.0.1"], None),
            (&["[203.0.113.9]"], None),
            (&["203.0.113.9:x"], None),
            (&["0.0.0.0"], None),
            (&["::"], None),
            (&["fe80::1%eth0"], None),
            (&["caf\u{e9}"], None),
        ] {
            assert_eq!(of_list(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_elements_are_pairs() {
        for (lines, expected) in [
            (&["for=203.0.113.9"][..], Some("203.0.113.9")),
            (&["For = \"203.0.113.9:80\";proto=https;by=10.0.0.1"], Some("203.0.113.9:80")),
            (&["proto=http;for=\"[2001:db8::7]:9\""], Some("[2001:db8::7]:9")),
            (&["for=198.51.100.1, for=203.0.113.9;by=10.0.0.1,for=10.0.0.2"], Some("203.0.113.9")),
            (&["for=198.51.100.1;host=\"a,b;for=1.1.1.1\""], Some("198.51.100.1")),
            (&["for=\"203.0.113.9\"", "for=\"[fd00::1]\""], Some("203.0.113.9")),
            (&["for=\"203.0.113.9:_x\""], Some("203.0.113.9")),
            (&["for=\"[2001:db8::1]:_a.b-c\""], Some("2001:db8::1")),
            (&["for=\"2001:db8::1:_x\""], None),
            (&["for=\"203.0.113.9:_\""], None),
            (&["for=\"203.0.113.9:_a b\""], None),
            (&["for=\"203.0.113.9:x\""], None),
            (&["for=_hidden"], None),
            (&["for=\"_hidden:_x\""], None),
            (&["for=unknown, for=10.0.0.1"], Some("10.0.0.1")),
            (&["by=203.0.113.9"], None),
            (&["for"], None),
            (&["for=203.0.113.9;for=203.0.113.9"], None),
            (&["203.0.113.9"], None),
        ] {
            assert_eq!(of_pairs(lines).as_deref(), expected, "{lines:?}");
        }
    }

    /// A proxy that writes the client's words into `host` puts a backslash before their quotes.
    #[test]
    fn a_quote_behind_a_backslash_ends_nothing() {
        for (line, expected) in [
            (r#"for=203.0.113.9;host="a\", for=1.2.3.4;x=\"b""#, Some("203.0.113.9")),
            (r#"for=203.0.113.9;host="a\"b""#, Some("203.0.113.9")),
            (r#"for=198.51.100.1, for=203.0.113.9;host="a\\";x=y"#, Some("203.0.113.9")),
            (r#"host="\";for=1.2.3.4;x=\"";for=203.0.113.9"#, Some("203.0.113.9")),
            (r#"host="\\\", for=1.2.3.4";for=203.0.113.9"#, Some("203.0.113.9")),
        ] {
            assert_eq!(of_pairs(&[line]).as_deref(), expected, "{line}");
        }
    }

    /// The left part is the client's, and it may be as wrong as it likes.
    #[test]
    fn what_a_client_wrote_itself_changes_nothing() {
        for forged in ["for=\"1.1.1.1", "\"", "for=\"\\\"", ";;==,,", "for=1.1.1.1", "\u{0}"] {
            let line = format!("{forged}, for=203.0.113.9");
            assert_eq!(of_pairs(&[&line]).as_deref(), Some("203.0.113.9"), "{line}");
            let line = format!("{forged}, 203.0.113.9");
            assert_eq!(of_list(&[&line]).as_deref(), Some("203.0.113.9"), "{line}");
        }
    }
}
