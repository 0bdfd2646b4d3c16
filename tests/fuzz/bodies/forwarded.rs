//! Chains of proxies: read as a plain reader reads them, and whatever a client writes itself at the
//! left changes nothing.
//! Not which proxies are trusted: here those in 10.0.0.0/8 are.

use std::net::{IpAddr, SocketAddr};

use pulsewheel::config::ForwardedHeader;
use pulsewheel::proto::forwarded_client;

use super::script::Script;

/// What chains are drawn up of: addresses, what is nearly one, and what no proxy writes.
const PIECES: [&str; 36] = [
    "203.0.113.9",
    "198.51.100.7",
    "10.0.0.1",
    "10.9.9.9",
    "2001:db8::7",
    "[2001:db8::7]",
    "[2001:db8::7]:80",
    "203.0.113.9:4711",
    "10.0.0.1:80",
    "unknown",
    "_hidden",
    "0.0.0.0",
    "::",
    "::ffff:203.0.113.9",
    "for=203.0.113.9",
    "for=10.0.0.1",
    "For=\"[2001:db8::7]:80\"",
    "for=\"10.0.0.1\";by=203.0.113.1",
    "proto=https;for=198.51.100.7",
    "for=unknown",
    "by=10.0.0.1",
    "for=1.1.1.1;for=2.2.2.2",
    "host=\"a,b;c\";for=10.0.0.2",
    "for",
    "=",
    ";",
    "",
    " ",
    "\t",
    "for = 203.0.113.9",
    "caf\u{e9}",
    "203.0.113.9 10.0.0.1",
    "for=10.0.0.3;host=\"a\\\", for=1.2.3.4;x=\\\"b\"",
    "host=\"a\\\\\";for=10.0.0.4",
    "for=\"203.0.113.9:_x\"",
    "for=\"[2001:db8::7]:_x\"",
];

/// The script: which header, what the client wrote, and the pieces of the lines.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let header = script.pick(&[ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded]);
    let forged = usize::from(script.byte() % 32);
    let forged = script.slice(forged).to_vec();
    let mut lines = vec![Vec::new()];
    while !script.is_over() {
        let choice = script.byte();
        let line = lines.last_mut().expect("there is one at least");
        line.extend_from_slice(PIECES[usize::from(choice) % PIECES.len()].as_bytes());
        match choice / 32 {
            0..=4 => line.extend_from_slice(b", "),
            5 => line.push(b','),
            6 => lines.push(Vec::new()),
            _ => line.push(script.byte() & 0x7f),
        }
    }
    let found = read(header, &lines);
    if let Some(expected) = plain(header, &lines) {
        assert_eq!(found, expected, "{header:?} {lines:?}");
    }
    let is_settled = found.is_some_and(|client| !is_trusted(client.ip()));
    if is_settled {
        let mut more = lines.clone();
        more.insert(0, forged.clone());
        assert_eq!(read(header, &more), found, "a line before: {more:?}");
        let mut more = lines.clone();
        more[0] = [&forged[..], b",", &lines[0]].concat();
        // Between quotes of the first line itself nothing new begins.
        if split_quoted(&lines[0], b',').is_some() {
            assert_eq!(read(header, &more), found, "more in the line: {more:?}");
        }
    }
}

fn is_trusted(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 10)
}

fn read(header: ForwardedHeader, lines: &[Vec<u8>]) -> Option<SocketAddr> {
    forwarded_client(header, lines.iter().map(Vec::as_slice), is_trusted)
}

/// The same from the left, for what has no stray quotes: `None` for others.
fn plain(header: ForwardedHeader, lines: &[Vec<u8>]) -> Option<Option<SocketAddr>> {
    let mut elements = Vec::new();
    for line in lines {
        match header {
            ForwardedHeader::XForwardedFor => {
                elements.extend(line.split(|byte| *byte == b',').map(<[u8]>::to_vec));
            }
            ForwardedHeader::Forwarded => elements.extend(split_quoted(line, b',')?),
        }
    }
    elements.retain(|element| !element.trim_ascii().is_empty());
    let mut client = None;
    for element in elements.iter().rev() {
        let Some(node) = node(header, element.trim_ascii())? else { break };
        client = Some(node);
        if !is_trusted(node.ip()) {
            break;
        }
    }
    Some(client)
}

/// Splits outside of quotes; `None` where a quote is not closed, or a backslash stands before one
/// that would open.
fn split_quoted(line: &[u8], separator: u8) -> Option<Vec<Vec<u8>>> {
    let (mut parts, mut is_quoted, mut is_escaped) = (vec![Vec::new()], false, false);
    for byte in line {
        if is_escaped && *byte == b'"' && !is_quoted {
            return None;
        }
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        if *byte == separator && !is_quoted {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(*byte);
        }
    }
    (!is_quoted).then_some(parts)
}

/// The outer `None` where this reader does not know.
fn node(header: ForwardedHeader, element: &[u8]) -> Option<Option<SocketAddr>> {
    let text = match header {
        ForwardedHeader::XForwardedFor => String::from_utf8_lossy(element).into_owned(),
        ForwardedHeader::Forwarded => {
            let pairs = split_quoted(element, b';')?;
            let texts = pairs.iter().map(|pair| String::from_utf8_lossy(pair).into_owned());
            let pairs: Vec<(String, Option<String>)> = texts
                .map(|pair| match pair.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (pair, None),
                })
                .collect();
            let is_for =
                |name: &str| name.trim_ascii_end().trim_ascii().eq_ignore_ascii_case("for");
            let found: Vec<_> = pairs.iter().filter(|(name, _)| is_for(name)).collect();
            let [(_, Some(value))] = found[..] else { return Some(None) };
            let value = value.trim_ascii();
            let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            bare.unwrap_or(value).to_owned()
        }
    };
    let text = match (header, text.rsplit_once(':')) {
        (ForwardedHeader::Forwarded, Some((host, port)))
            if port.len() > 1
                && port.starts_with('_')
                && port[1..].chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host.to_owned()
        }
        _ => text,
    };
    let address = text.parse::<SocketAddr>().ok().or_else(|| {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let ip = match bare {
            Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
            None => text.parse().ok(),
        };
        ip.map(|ip| SocketAddr::new(ip, 0))
    });
    Some(address.and_then(|address| {
        let ip = address.ip().to_canonical();
        (!ip.is_unspecified()).then(|| SocketAddr::new(ip, address.port()))
    }))
}
