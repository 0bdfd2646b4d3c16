//! The HTTP head of a request and the answers this server gives to one.
//! Not for upgrades: what makes a request a WebSocket handshake is decided in `upgrade`.

use std::fmt;
use std::io::Write;

use http::StatusCode;

/// A request head longer than this is refused with 431, in bytes.
pub const HEAD_LIMIT: usize = 8 * 1024;

/// More header lines than this are refused with 431.
const HEADER_LINES: usize = 64;

/// A request as far as a WebSocket server needs it, borrowed from the bytes that came.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) minor_version: u8,
    path: &'a str,
    query: Option<&'a str>,
    headers: Headers<'a>,
}

impl<'a> Request<'a> {
    /// The path, without the query.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query behind the path, without its `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The header lines, in the order they came.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// Header lines of a request. Names compare without case (RFC 9110 section 5.1).
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    lines: &'a [httparse::Header<'a>],
}

impl<'a> Headers<'a> {
    /// The value of the first line of that name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of all lines of that name.
    pub fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let lines = self.lines;
        lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    }

    /// The comma-separated elements of all lines of that name, without surrounding spaces.
    pub fn elements(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|element| !element.is_empty())
    }
}

/// Shows no query and no header's value: a token or a cookie may stand there.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Shows the names alone.
impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines.iter().map(|line| line.name)).finish()
    }
}

/// What stands at the front of a connection's first bytes.
pub enum Head {
    /// Not all of the head has come.
    Incomplete,
    /// Refused with this status: 400 or 431.
    Refused(StatusCode),
    /// A whole head of so many bytes was given to the closure.
    Whole(usize),
}

/// Parses a request head and gives it to `with`, since its header table lives on this stack.
pub fn parse_head(bytes: &[u8], with: impl FnOnce(Request<'_>)) -> Head {
    let mut lines = [httparse::EMPTY_HEADER; HEADER_LINES];
    let mut request = httparse::Request::new(&mut lines);
    let looked_at = bytes.get(..HEAD_LIMIT).unwrap_or(bytes);
    match request.parse(looked_at) {
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_LIMIT => {
            Head::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        }
        Ok(httparse::Status::Partial) => Head::Incomplete,
        Err(httparse::Error::TooManyHeaders) => {
            Head::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        }
        Err(_) => Head::Refused(StatusCode::BAD_REQUEST),
        Ok(httparse::Status::Complete(length)) => {
            let (Some(method), Some(target)) = (request.method, request.path) else {
                return Head::Refused(StatusCode::BAD_REQUEST);
            };
            let (path, query) = resource(target);
            with(Request {
                method,
                minor_version: request.version.unwrap_or(0),
                path,
                query,
                headers: Headers { lines: request.headers },
            });
            Head::Whole(length)
        }
    }
}

/// Path and query of a target, which may be a whole URI (RFC 9112 section 3.2.2): whatever host
/// that names is served here.
pub(crate) fn resource(target: &str) -> (&str, Option<&str>) {
    let is_ours = |scheme: &str| {
        ["http", "https", "ws", "wss"].iter().any(|ours| scheme.eq_ignore_ascii_case(ours))
    };
    let (resource, default) = match target.split_once("://") {
        Some((scheme, rest)) if is_ours(scheme) => {
            (rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default(), "/")
        }
        _ => (target, ""),
    };
    let (path, query) = match resource.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (resource, None),
    };
    // Only a whole URI may leave its path out (RFC 9110 section 4.2.3).
    (if path.is_empty() { default } else { path }, query)
}

/// One HTTP answer, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// Extra header lines, each ending in CRLF.
    pub headers: String,
    pub body: String,
}

impl Answer {
    /// An answer whose body is the status and what the client can do about it.
    pub(crate) fn new(status: StatusCode, advice: &str) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        let body = format!("{} {reason}: {advice}\n", status.as_u16());
        Answer { status, headers: String::new(), body }
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }

    /// Appends the answer, closing the connection after it; a HEAD request gets no body.
    pub(crate) fn write(&self, out: &mut Vec<u8>, without_body: bool) {
        let reason = self.status.canonical_reason().unwrap_or_default();
        // Writing to a Vec does not fail.
        let _ = write!(
            out,
            "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n{}\r\n",
            self.status.as_u16(),
            self.body.len(),
            self.headers,
        );
        if !without_body {
            out.extend_from_slice(self.body.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_at_every_cut() {
        let text = b"GET /echo?x=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nconnection: Upgrade , x\r\n\r\nrest";
        for cut in 0..text.len() - 4 {
            assert!(matches!(parse_head(&text[..cut], |_| panic!()), Head::Incomplete));
        }
        let mut seen = false;
        let head = parse_head(text, |request| {
            seen = true;
            assert_eq!((request.path(), request.query()), ("/echo", Some("x=1")));
            let tokens: Vec<_> = request.headers().elements("Connection").collect();
            assert_eq!(tokens, ["keep-alive", "Upgrade", "x"]);
        });
        assert!(seen && matches!(head, Head::Whole(n) if n == text.len() - 4));
    }

    #[test]
    fn a_target_may_be_a_whole_uri() {
        for (target, path, query) in [
            ("http://a/echo", "/echo", None),
            ("WS://a:80/echo?x=1", "/echo", Some("x=1")),
            ("wss://[::1]:443/", "/", None),
            ("https://a", "/", None),
            ("http://a?x=1", "/", Some("x=1")),
            ("?x=1", "", Some("x=1")),
            ("/echo?to=http://a/b", "/echo", Some("to=http://a/b")),
            ("/http://a/echo", "/http://a/echo", None),
            ("ftp://a/echo", "ftp://a/echo", None),
            ("a:443", "a:443", None),
            ("*", "*", None),
        ] {
            assert_eq!(resource(target), (path, query), "{target}");
        }
    }

    #[test]
    fn no_token_and_no_cookie_of_a_request_is_shown() {
        let text =
            b"GET /a?token=hush HTTP/1.1\r\nAuthorization: Bearer hush\r\nCookie: hush\r\n\r\n";
        parse_head(text, |request| {
            let shown = format!("{request:?} {:?}", request.headers());
            assert!(shown.contains("Authorization") && !shown.contains("hush"), "{shown}");
        });
    }

    #[test]
    fn long_heads_and_many_headers_are_too_large() {
        let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(HEAD_LIMIT));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADER_LINES + 1));
        for text in [long, many] {
            let head = parse_head(text.as_bytes(), |_| panic!());
            assert!(matches!(head, Head::Refused(status) if status.as_u16() == 431));
        }
    }

    #[test]
    fn garbage_is_a_bad_request() {
        for text in [&b"\x16\x03\x01\x02\x00"[..], b"GET  / HTTP/1.1\r\n\r\n", b"\0\0\0\0"] {
            assert!(matches!(
                parse_head(text, |_| panic!()),
                Head::Refused(StatusCode::BAD_REQUEST)
            ));
        }
    }
}
