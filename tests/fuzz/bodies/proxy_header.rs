//! The PROXY protocol's header: read alike wherever it is cut, within its limits, and as a plain
//! reader reads it.
//! Not what becomes of the connection: the whole-server tests say that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pulsewheel::proto::{PROXY_HEADER_LIMIT, ProxyHeader, parse_proxy_header};

use super::script::Script;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What lines are drawn up of.
const WORDS: [&str; 26] = [
    "PROXY",
    "TCP4",
    "TCP6",
    "UNKNOWN",
    "UDP4",
    "203.0.113.9",
    "127.0.0.1",
    "2001:db8::7",
    "::1",
    "::ffff:203.0.113.9",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "256.0.0.1",
    "01.2.3.4",
    "80",
    "65535",
    "65536",
    "080",
    "0",
    "+80",
    "",
    "\r\n",
    "\n",
    "\r",
    "proxy",
];

/// The script: how the header is written, where it is cut, the header and what stands behind it.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let how = script.byte();
    let cuts = [script.word(), script.word(), script.word()];
    let bytes = match how % 3 {
        0 => script.rest().to_vec(),
        1 => line(&mut script),
        _ => binary(&mut script),
    };
    let found = parse_proxy_header(&bytes);
    check_prefixes(&bytes, found, cuts);
    assert_eq!(found, plain(&bytes), "{:?}", String::from_utf8_lossy(&bytes));
}

/// Words with spaces between them, for the most part a good line.
fn line(script: &mut Script<'_>) -> Vec<u8> {
    let mut line = b"PROXY".to_vec();
    if script.byte().is_multiple_of(4) {
        line.clear();
    }
    while !script.is_over() && line.len() < 200 {
        line.push(b' ');
        line.extend_from_slice(script.pick(&WORDS).as_bytes());
        if script.byte().is_multiple_of(8) {
            line.extend_from_slice(b"\r\n");
        }
    }
    line
}

/// The fixed part as the script has it, and as long a rest as it says, or nearly.
fn binary(script: &mut Script<'_>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.push(script.pick(&[0x20, 0x21, 0x21, 0x21, 0x22, 0x11]));
    header.push(script.pick(&[0x11, 0x21, 0x11, 0x21, 0x00, 0x12, 0x31, 0x41, 0x13]));
    let length = script.pick(&[0u16, 11, 12, 13, 35, 36, 37, 216, 4080, 4081, 65535]);
    header.extend(length.to_be_bytes());
    let payload = script.rest();
    header.extend_from_slice(payload);
    header.resize((16 + usize::from(length)).min(5000).max(header.len()), 7);
    header
}

/// Bytes that are still to come change nothing that was said, and nothing is said too late.
fn check_prefixes(bytes: &[u8], found: ProxyHeader, cuts: [u16; 3]) {
    let limit = if bytes.first() == Some(&b'P') { 107 } else { PROXY_HEADER_LIMIT };
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| usize::from(*cut) % (bytes.len() + 1)).collect();
    if let ProxyHeader::Whole { length, .. } = found {
        assert!(length <= limit && length <= bytes.len(), "{length} bytes of header");
        ends.extend([length - 1, length]);
    }
    for end in ends {
        match (parse_proxy_header(&bytes[..end]), found) {
            (ProxyHeader::Incomplete, ProxyHeader::Whole { length, .. }) => assert!(end < length),
            (ProxyHeader::Incomplete, _) => assert!(end < limit, "waiting for more than {limit}"),
            (early, late) => assert_eq!(early, late, "after {end} bytes"),
        }
    }
}

/// The specification once more, for somebody who has all the bytes and all the time.
fn plain(bytes: &[u8]) -> ProxyHeader {
    let is_line = bytes.starts_with(b"PROXY ");
    let is_binary = bytes.starts_with(SIGNATURE);
    if !is_line && !is_binary {
        let may_be = b"PROXY ".starts_with(bytes) || SIGNATURE.starts_with(bytes);
        return if may_be { ProxyHeader::Incomplete } else { ProxyHeader::Malformed };
    }
    if is_line { plain_line(bytes) } else { plain_binary(bytes) }
}

fn plain_line(bytes: &[u8]) -> ProxyHeader {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let Some((line, _)) = text.split_once("\r\n").filter(|(line, _)| line.len() <= 105) else {
        let is_over = bytes.len() >= 107;
        return if is_over { ProxyHeader::Malformed } else { ProxyHeader::Incomplete };
    };
    let length = line.len() + 2;
    let words: Vec<&str> = line.split(' ').collect();
    let port = |word: &str| {
        let port: Option<u16> = word.parse().ok();
        port.filter(|port| port.to_string() == word)
    };
    let source = match words[..] {
        // Whatever stands behind it, as long as it is text.
        ["PROXY", "UNKNOWN", ..] if std::str::from_utf8(&bytes[..length]).is_ok() => Some(None),
        ["PROXY", "TCP4", from, to, port1, port2] => {
            let ip = |word: &str| word.parse::<Ipv4Addr>().ok();
            ip(to)
                .and(port(port2))
                .and_then(|_| ip(from).zip(port(port1)))
                .map(|(ip, port)| Some(SocketAddr::new(IpAddr::V4(ip), port)))
        }
        ["PROXY", "TCP6", from, to, port1, port2] => {
            let ip = |word: &str| word.parse::<Ipv6Addr>().ok();
            ip(to)
                .and(port(port2))
                .and_then(|_| ip(from).zip(port(port1)))
                .map(|(ip, port)| Some(SocketAddr::new(IpAddr::V6(ip), port)))
        }
        _ => None,
    };
    match source {
        Some(Some(source)) if is_nobody(source) => ProxyHeader::Malformed,
        Some(source) => ProxyHeader::Whole { length, source },
        None => ProxyHeader::Malformed,
    }
}

/// Zeros alone, or as IPv4 within IPv6.
fn is_nobody(source: SocketAddr) -> bool {
    match source.ip() {
        IpAddr::V4(v4) => v4.octets() == [0; 4],
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            octets == [0; 16] || octets == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0]
        }
    }
}

fn plain_binary(bytes: &[u8]) -> ProxyHeader {
    let at = |i: usize| bytes.get(i).copied();
    if at(12).is_some_and(|command| command != 0x20 && command != 0x21)
        || at(13).is_some_and(|family| family / 16 > 3 || family % 16 > 2)
    {
        return ProxyHeader::Malformed;
    }
    let (Some(high), Some(low)) = (at(14), at(15)) else { return ProxyHeader::Incomplete };
    let length = 16 + usize::from(high) * 256 + usize::from(low);
    if length > PROXY_HEADER_LIMIT {
        return ProxyHeader::Malformed;
    }
    if bytes.len() < length {
        return ProxyHeader::Incomplete;
    }
    let port = |i: usize| u16::from(bytes[i]) * 256 + u16::from(bytes[i + 1]);
    let source = match (bytes[12], bytes[13]) {
        (0x21, 0x11) if length >= 28 => {
            let ip = Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]);
            Some(SocketAddr::new(IpAddr::V4(ip), port(24)))
        }
        (0x21, 0x21) if length >= 52 => {
            let words: Vec<u16> = (0..8).map(|word| port(16 + 2 * word)).collect();
            let words: [u16; 8] = words.try_into().expect("eight of them");
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(words)), port(48)))
        }
        (0x21, 0x11 | 0x21) => return ProxyHeader::Malformed,
        _ => None,
    };
    if source.is_some_and(is_nobody) {
        return ProxyHeader::Malformed;
    }
    ProxyHeader::Whole { length, source }
}
