//! Requests to the admin port: nobody gets past its token or its bounds, whatever stands in a head.
//! Not what is served then, nor the threads that read: they are whole-server tests.

use pulsewheel::config::AdminToken;
use pulsewheel::doors::admin::{Asked, Outcome, ask, is_text, query_value};

use super::script::Script;

/// The largest head, in bytes, and the largest body that these requests may have.
const HEAD_LIMIT: usize = 8 * 1024;
const BODY_LIMIT: usize = 1_000;

const SECRET: &[u8] = b"s3cret";

/// What heads are drawn up of.
const LINES: [&str; 32] = [
    "POST /publish?path=/a HTTP/1.1\r\n",
    "GET /metrics HTTP/1.1\r\n",
    "Authorization: Bearer s3cret\r\n",
    "Content-Length: 5\r\n",
    "Content-Type: text/plain\r\n",
    "\r\n",
    "GET /healthz HTTP/1.0\r\n",
    "HEAD /readyz HTTP/1.1\r\n",
    "PUT /publish HTTP/1.1\r\n",
    "GET http://host/metrics?x HTTP/1.1\r\n",
    "GET nowhere HTTP/1.1\r\n",
    "GET //metrics HTTP/1.1\r\n",
    "GET /metrics HTTP/2.0\r\n",
    "Authorization: bearer \t s3cret \r\n",
    "Authorization: Bearer s3cres\r\n",
    "Authorization: Bearers3cret\r\n",
    "Authorization: Basic s3cret\r\n",
    "Authorization: Bearer\r\n",
    "Content-Length: 1000\r\n",
    "Content-Length: 1001\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Type: application/octet-stream; x=y\r\n",
    "Content-Type: application/problem+json; charset=\"utf-8\"\r\n",
    "Content-Type: text/plain; charset=latin1\r\n",
    "Origin: http://evil\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n",
    " folded\r\n",
    "\n",
];

/// The script: token or none, how the head is written, two cuts, the head.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let ways = script.byte();
    let token = (ways & 1 == 1).then(|| AdminToken::new(SECRET).expect("a good token"));
    let cuts = [script.word(), script.word()];
    let bytes = if ways & 2 == 2 { draw_up(&mut script) } else { script.rest().to_vec() };
    let outcome = ask(&bytes, token.as_ref(), BODY_LIMIT);
    check_prefixes(&bytes, token.as_ref(), &outcome, cuts);
    match &outcome {
        Outcome::Incomplete => assert!(bytes.len() < HEAD_LIMIT, "waiting for ever"),
        Outcome::Refused(answer) => check_refusal(answer),
        Outcome::Routed(asked) => check_route(asked, token.is_some(), &bytes),
    }
    check_query(&bytes);
    check_media_type(&String::from_utf8_lossy(&bytes));
}

/// Lines, literal bytes, cuts and long runs, as for the request heads of clients.
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

fn check_prefixes(bytes: &[u8], token: Option<&AdminToken>, outcome: &Outcome, cuts: [u16; 2]) {
    for cut in cuts {
        let cut = usize::from(cut) % (bytes.len() + 1);
        let early = ask(&bytes[..cut], token, BODY_LIMIT);
        if let Outcome::Routed(asked) = outcome
            && cut >= asked.length
        {
            assert_eq!(early, *outcome, "what stands behind the head changed it");
        } else if early != Outcome::Incomplete {
            assert_eq!(early, *outcome, "{cut} bytes were enough to say so");
        }
    }
}

fn check_refusal(answer: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = response.parse(answer) else {
        panic!("a malformed answer: {:?}", String::from_utf8_lossy(answer));
    };
    assert!(matches!(response.code, Some(400..=505)), "{:?}", response.code);
    let body = response.headers.iter().find(|field| field.name == "Content-Length");
    let body: Option<usize> = body.and_then(|f| std::str::from_utf8(f.value).ok()?.parse().ok());
    let sent = answer.len() - length;
    assert!(body == Some(sent) || sent == 0, "{sent} of {body:?} bytes");
}

fn check_route(asked: &Asked, has_token: bool, bytes: &[u8]) {
    assert!(asked.length <= HEAD_LIMIT && asked.length <= bytes.len());
    assert!(bytes[..asked.length].ends_with(b"\n"));
    if has_token {
        assert_eq!(asked.bearer.as_deref(), Some(SECRET), "a stranger came in");
    }
    if asked.publishes {
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/publish"));
        assert!(asked.body_length <= BODY_LIMIT && !asked.is_coded);
        assert_eq!(asked.content_length, Some(asked.body_length as u64));
        assert!(has_token || !asked.has_origin, "a page in a browser publishes");
    } else {
        assert!(matches!(asked.method.as_str(), "GET" | "HEAD"), "{}", asked.method);
        assert!(matches!(asked.path.as_str(), "/metrics" | "/healthz" | "/readyz"));
        assert_eq!(asked.body_length, 0);
    }
}

/// Whatever is encoded as forms encode it comes back; twice it is refused; raw it does no harm.
fn check_query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let encoded: String = text.bytes().map(encode).collect();
    let query = format!("x=path&path={encoded}&paths");
    assert_eq!(query_value(&query, "path").as_deref(), Ok(&*text));
    check_refusal(&query_value(&format!("{query}&path"), "path").expect_err("given twice"));
    if let Err(answer) = query_value(&text, "path") {
        check_refusal(&answer);
    }
}

fn encode(byte: u8) -> String {
    match byte {
        b' ' => "+".to_owned(),
        b'a'..=b'z' | b'0'..=b'9' | b'/' => char::from(byte).to_string(),
        _ if byte.is_multiple_of(2) => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    }
}

/// Letter case and spaces around a parameter change nothing, and another charset is never text.
fn check_media_type(text: &str) {
    let line = text.lines().next().unwrap_or_default();
    let is_taken = is_text(line);
    assert_eq!(is_text(&line.to_ascii_uppercase()), is_taken);
    assert_eq!(is_text(&format!(" {line} ; y=z")), is_taken);
    assert_ne!(is_text(&format!("{line};charset=koi8-r")), Some(true));
    assert!(is_taken.is_none() || line.contains('/'));
}
