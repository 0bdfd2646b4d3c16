//! The head of a request: parsed alike however it arrives, read as a plain reader reads it, and
//! answered with well-formed HTTP in every case.
//! Not the admin port's requests, which have a parser of their own: see `admin_request`.

use pulsewheel::doors;
use pulsewheel::proto::{HEAD_LIMIT, Head, Request, parse_head};

use super::script::Script;

/// Lines that heads are drawn up of: a good handshake, and what is nearly one.
const LINES: [&str; 40] = [
    "GET /echo HTTP/1.1\r\n",
    "Host: a\r\n",
    "Upgrade: websocket\r\n",
    "Connection: Upgrade\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "\r\n",
    "GET / HTTP/1.1\r\n",
    "HEAD /echo HTTP/1.1\r\n",
    "POST /echo HTTP/1.1\r\n",
    "GET /echo?token=x HTTP/1.1\r\n",
    "GET /nowhere HTTP/1.1\r\n",
    "GET /echo HTTP/1.0\r\n",
    "GET /echo HTTP/2.0\r\n",
    "Connection: keep-alive, , uPgRaDe\r\n",
    "connection: close\r\n",
    "UPGRADE: h2c, WebSocket\r\n",
    "Upgrade: websocket/13\r\n",
    "Sec-WebSocket-Version: 8\r\n",
    "Sec-WebSocket-Version:13 \r\n",
    "Sec-WebSocket-Version: 13, 8\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n",
    "Sec-WebSocket-Key:\t AAAAAAAAAAAAAAAAAAAAAA== \r\n",
    "Sec-WebSocket-Protocol: a, b\r\n",
    "Sec-WebSocket-Protocol: chat\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Host:\r\n",
    "Cookie: \x7f\r\n",
    "X:\r\n",
    "X: caf\u{e9}\r\n",
    " folded\r\n",
    "no colon\r\n",
    "Space : before\r\n",
    ": nameless\r\n",
    "\n",
    "GET http://a/echo HTTP/1.1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n",
];

/// The script: how the head is written, where it is cut, the head.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let is_drawn_up = script.byte() % 2 == 1;
    let cuts = [script.word(), script.word(), script.word()];
    let bytes = if is_drawn_up { draw_up(&mut script) } else { script.rest().to_vec() };
    let outcome = outcome(&bytes);
    check_prefixes(&bytes, &outcome, cuts);
    let Outcome::Whole(length) = outcome else { return };
    assert!(length <= HEAD_LIMIT, "{length} bytes of head");
    parse_head(&bytes, |request| {
        let plain = Plain::read(&bytes[..length]);
        check_reading(&request, &plain);
        check_answers(&request, &plain);
    });
}

/// A head of whole lines and of bytes between them: a choice of lines, with literal bytes and ends
/// cut off where it says so.
pub fn draw_up(script: &mut Script<'_>) -> Vec<u8> {
    let mut head = Vec::new();
    while !script.is_over() && head.len() < 2 * HEAD_LIMIT {
        match script.byte() {
            choice @ 0..=199 => {
                head.extend_from_slice(LINES[usize::from(choice) % LINES.len()].as_bytes());
            }
            cut @ 200..=219 => head.truncate(head.len().saturating_sub(usize::from(cut - 199))),
            literal @ 220..=249 => {
                head.extend_from_slice(script.slice(usize::from(literal - 219)));
            }
            _ => head.resize(head.len() + 32 * usize::from(script.byte()), b'a'),
        }
    }
    head
}

/// What the parser says, without what it gave to the closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Incomplete,
    Refused(u16),
    Whole(usize),
}

fn outcome(bytes: &[u8]) -> Outcome {
    let mut seen = 0;
    let head = parse_head(bytes, |_| seen += 1);
    assert_eq!(seen, i32::from(matches!(head, Head::Whole(_))), "the closure is called once");
    match head {
        Head::Incomplete => Outcome::Incomplete,
        Head::Refused(status) => Outcome::Refused(status.as_u16()),
        Head::Whole(length) => Outcome::Whole(length),
    }
}

/// Bytes that are still to come change nothing that was said, and nothing is said too late.
fn check_prefixes(bytes: &[u8], outcome: &Outcome, cuts: [u16; 3]) {
    let mut cuts = cuts.map(|cut| usize::from(cut) % (bytes.len() + 1));
    cuts.sort_unstable();
    let ends = match outcome {
        Outcome::Whole(length) => [length - 1, *length],
        _ => [0, bytes.len()],
    };
    for cut in cuts.into_iter().chain(ends) {
        let early = self::outcome(&bytes[..cut]);
        match (*outcome, early) {
            (Outcome::Whole(length), _) if cut >= length => assert_eq!(early, *outcome),
            (_, Outcome::Incomplete) => {
                assert!(cut < HEAD_LIMIT, "waiting for more than {HEAD_LIMIT} bytes");
            }
            (Outcome::Refused(_), _) => assert_eq!(early, *outcome, "refused early"),
            (_, early) => panic!("{early:?} of {cut} bytes, then {outcome:?}"),
        }
    }
    if let Outcome::Refused(status) = outcome {
        assert!(matches!(status, 400 | 431), "{status}");
    }
}

/// A head taken apart line by line, by somebody who knows that it is well formed.
struct Plain<'a> {
    method: &'a str,
    target: &'a str,
    version: &'a str,
    fields: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Plain<'a> {
    fn read(head: &'a [u8]) -> Self {
        let mut lines = head
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .skip_while(|line| line.is_empty());
        let first = std::str::from_utf8(lines.next().expect("a request line")).expect("ASCII");
        let mut words = first.split(' ').filter(|word| !word.is_empty());
        let mut word = || words.next().expect("three words");
        let (method, target, version) = (word(), word(), word());
        let fields = lines.take_while(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
            let name = std::str::from_utf8(&line[..colon]).expect("a name in ASCII");
            (name, trim(&line[colon + 1..]))
        });
        Plain { method, target, version, fields: fields.collect() }
    }

    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        let is_named = |field: &&(&str, &[u8])| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(is_named).map(|field| field.1).collect()
    }

    /// Whether a token stands in one of the lines of that name, in whatever case.
    fn has(&self, name: &str, token: &str) -> bool {
        let is_token = |part: &[u8]| trim(part).eq_ignore_ascii_case(token.as_bytes());
        self.all(name).iter().any(|value| value.split(|byte| *byte == b',').any(is_token))
    }
}

/// Without spaces and tabs around it (RFC 9110 section 5.6.3).
fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// What a whole URI asks of the host it names (RFC 9112 section 3.2.2).
fn behind_authority(target: &str) -> &str {
    let is_ours = |scheme: &str| ["http", "https", "ws", "wss"].contains(&scheme);
    match target.split_once("://") {
        Some((scheme, rest)) if is_ours(&scheme.to_ascii_lowercase()) => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

fn check_reading(request: &Request<'_>, plain: &Plain<'_>) {
    let (method, minor) = doors::method(request);
    assert_eq!(method, plain.method);
    assert_eq!(format!("HTTP/1.{minor}"), plain.version);
    let target = behind_authority(plain.target);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    assert_eq!((request.path(), request.query()), (path, query));
    for (name, _) in &plain.fields {
        let upper = name.to_ascii_uppercase();
        let values: Vec<_> = request.headers().all(&upper).collect();
        assert_eq!(values, plain.all(name), "{name}");
        assert_eq!(request.headers().get(name), values.first().copied());
        for element in request.headers().elements(name) {
            assert!(!element.contains(',') && element.trim() == element && !element.is_empty());
        }
    }
}

fn check_answers(request: &Request<'_>, plain: &Plain<'_>) {
    for (is_route, subprotocol) in [(true, None), (true, Some("chat")), (false, None)] {
        let (status, bytes) = doors::answer(request, is_route, subprotocol);
        check_answer(status, &bytes, plain.method == "HEAD");
        if status == 101 {
            check_upgrade(&bytes, subprotocol);
            assert!(is_route, "upgraded where nothing serves");
            if let Some(lacks) = lacks(plain) {
                panic!("upgraded without {lacks}");
            }
        } else if is_route && lacks(plain).is_none() && is_plain(plain) {
            panic!("{status} for a good handshake");
        }
    }
}

/// What a handshake must have (RFC 6455 section 4.2.1) and this one has not.
fn lacks(plain: &Plain<'_>) -> Option<&'static str> {
    let keys = plain.all("Sec-WebSocket-Key");
    let is_key = |key: &[u8]| {
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
        key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
    };
    let needs = [
        (plain.method == "GET", "GET"),
        (plain.version == "HTTP/1.1", "HTTP/1.1"),
        (!plain.all("Host").is_empty(), "Host"),
        (plain.has("Upgrade", "websocket"), "Upgrade"),
        (plain.has("Connection", "upgrade"), "Connection"),
        (plain.has("Sec-WebSocket-Version", "13"), "version 13"),
        (keys.len() == 1 && is_key(keys[0]), "one key"),
    ];
    needs.into_iter().find(|(is_there, _)| !is_there).map(|(_, need)| need)
}

/// Whether nothing is in it that a server may rightly find fault with besides.
fn is_plain(plain: &Plain<'_>) -> bool {
    let once = ["Host", "Sec-WebSocket-Version", "Upgrade"];
    plain.target.starts_with('/')
        && once.iter().all(|name| plain.all(name).len() == 1)
        && plain.all("Sec-WebSocket-Version") == [b"13"]
        && plain.all("Host")[0].iter().all(u8::is_ascii_alphanumeric)
        && plain.all("Content-Length").is_empty()
        && plain.all("Transfer-Encoding").is_empty()
        && plain.fields.iter().all(|(_, value)| value.is_ascii())
        // Their grammar is a server's to check, and not looked into here.
        && plain.all("Sec-WebSocket-Extensions").is_empty()
        && plain.all("Sec-WebSocket-Protocol").iter().all(|list| {
            let is_name = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_alphanumeric);
            list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).all(is_name)
        })
        // Of the last two bits of a key's last digit four nobody needs, they are zero.
        && plain.all("Sec-WebSocket-Key").iter().all(|key| b"AQgw".contains(&key[21]))
}

fn check_answer(status: u16, bytes: &[u8], is_head: bool) {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = response.parse(bytes) else {
        panic!("a malformed answer: {:?}", String::from_utf8_lossy(bytes));
    };
    assert_eq!(response.code, Some(status));
    let field = |name: &str| {
        let mut found = response.headers.iter().filter(|field| field.name == name);
        let value = found.next().map(|field| String::from_utf8_lossy(field.value));
        assert!(found.next().is_none(), "{name} twice");
        value
    };
    if status == 101 {
        assert_eq!(length, bytes.len(), "something behind the 101");
        return;
    }
    assert!(status == 200 || (400..500).contains(&status), "{status}");
    assert_eq!(field("Connection").as_deref(), Some("close"));
    let body = field("Content-Length").and_then(|length| length.parse().ok());
    let sent = bytes.len() - length;
    assert!(if is_head { sent == 0 } else { body == Some(sent) }, "{sent} of {body:?}");
    assert_eq!(status == 405, field("Allow").is_some(), "RFC 9110 section 15.5.6");
    assert_eq!(status == 426, field("Upgrade").is_some(), "RFC 9110 section 15.5.22");
}

fn check_upgrade(bytes: &[u8], subprotocol: Option<&str>) {
    let text = std::str::from_utf8(bytes).expect("an answer in ASCII");
    let accept = text.split("Sec-WebSocket-Accept: ").nth(1).expect("the key's answer");
    assert_eq!(accept.find("\r\n"), Some(28), "base64 of 20 bytes");
    let chosen = text.split("Sec-WebSocket-Protocol: ").nth(1);
    assert_eq!(chosen.and_then(|line| line.strip_suffix("\r\n\r\n")), subprotocol);
    assert_eq!(text.lines().count(), 5 + usize::from(subprotocol.is_some()));
}
