//! One request to the admin port, from bytes to what it asks.
//! Not the reading of the bytes, nor what is answered to a request that is well formed.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

use super::answer::Answer;
use crate::proto::resource;

/// The largest request head that is read, in bytes; a scraper's is a few hundred.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// The most header fields a head may have; `MAX_HEAD` bytes could hold two thousand empty ones.
const MAX_FIELDS: usize = 64;

/// What a request head says, as far as the admin port cares.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The method, as it was sent: methods are case-sensitive (RFC 9110, section 9.1).
    pub(super) method: String,
    /// The path of the target, as it was sent.
    pub(super) path: String,
    /// The query of the target without its question mark, as it was sent; empty without one.
    pub(super) query: String,
    /// What stands behind `Bearer` in the `Authorization` field.
    pub(super) bearer: Option<Vec<u8>>,
    /// Whether a browser sent it for a page: only those carry an `Origin`.
    pub(super) has_origin: bool,
    /// The `Content-Type` field.
    pub(super) content_type: Option<String>,
    /// The length of the body in bytes, where it was given.
    pub(super) content_length: Option<u64>,
    /// Whether the body comes in a transfer coding, such as chunked.
    pub(super) is_coded: bool,
    /// Whether the sender holds the body back until it is told to go on (RFC 9110, section 10.1.1).
    pub(super) expects_continue: bool,
}

/// A head that was parsed, and how many bytes it took.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request,
    pub(super) length: usize,
}

/// Parses what has arrived so far: `None` while the head is incomplete.
///
/// # Errors
///
/// The answer to a head that is malformed or larger than [`MAX_HEAD`].
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, Answer> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let too_large = || Answer::error(431, "the request head is too large");
    // What stands behind that is no part of a head, whatever it is.
    let looked_at = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    match parsed.parse(looked_at) {
        Ok(httparse::Status::Complete(length)) => {
            let request = Request::from_parsed(&parsed)?;
            Ok(Some(Head { request, length }))
        }
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Err(too_large()),
        Err(httparse::Error::Version) => Err(Answer::error(505, "only HTTP/1 is spoken here")),
        Err(_) => Err(malformed()),
    }
}

fn malformed() -> Answer {
    Answer::error(400, "the request is malformed")
}

impl Request {
    fn from_parsed(parsed: &httparse::Request<'_, '_>) -> Result<Self, Answer> {
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Err(malformed());
        };
        let (path, query) = split_target(target).ok_or_else(malformed)?;
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            bearer: None,
            has_origin: false,
            content_type: None,
            content_length: None,
            is_coded: false,
            expects_continue: false,
        };
        for field in parsed.headers.iter() {
            request.take_field(field.name, field.value)?;
        }
        // Both at once is how requests are smuggled past proxies (RFC 9112, section 6.3).
        if request.is_coded && request.content_length.is_some() {
            return Err(malformed());
        }
        Ok(request)
    }

    fn take_field(&mut self, name: &str, value: &[u8]) -> Result<(), Answer> {
        if name.eq_ignore_ascii_case("authorization") {
            self.bearer = bearer(value).map(<[u8]>::to_vec);
        } else if name.eq_ignore_ascii_case("origin") {
            self.has_origin = true;
        } else if name.eq_ignore_ascii_case("content-type") {
            self.content_type = Some(String::from_utf8_lossy(value).into_owned());
        } else if name.eq_ignore_ascii_case("content-length") {
            let length = decimal(value).ok_or_else(malformed)?;
            if self.content_length.is_some_and(|before| before != length) {
                return Err(malformed());
            }
            self.content_length = Some(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.is_coded = true;
        } else if name.eq_ignore_ascii_case("expect") {
            self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(())
    }
}

/// Path and query of a request target that has a path.
fn split_target(target: &str) -> Option<(&str, &str)> {
    let (path, query) = resource(target);
    path.starts_with('/').then_some((path, query.unwrap_or_default()))
}

/// The token of a `Bearer` credential (RFC 6750, section 2.1); the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

/// Digits and nothing else: `u64::from_str` would take a plus sign, which HTTP does not.
fn decimal(value: &[u8]) -> Option<u64> {
    let all_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    all_digits.then(|| std::str::from_utf8(value).ok()?.parse().ok())?
}

/// The value of a key in a query, percent-decoded.
///
/// # Errors
///
/// The 400 for a key that is missing, stands twice, or whose value does not decode to UTF-8.
pub(super) fn query_value(query: &str, key: &str) -> Result<String, Answer> {
    let mut values = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == key).then_some(value)
    });
    match (values.next(), values.next()) {
        (Some(value), None) => percent_decode(value)
            .ok_or_else(|| Answer::error(400, "the path is not percent-encoded UTF-8")),
        (None, _) => Err(Answer::error(400, "the path is missing: /publish?path=/...")),
        (Some(_), Some(_)) => Err(Answer::error(400, "the path is given twice")),
    }
}

/// Decodes as forms encode (a plus is a space), since that is what HTTP clients write in a query.
fn percent_decode(encoded: &str) -> Option<String> {
    let mut bytes = encoded.bytes();
    let mut decoded = Vec::with_capacity(encoded.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' => b' ',
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// What a published body becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// A text frame.
    Text,
    /// A binary frame.
    Binary,
}

/// What a body of this media type becomes; `None` for one that is not taken.
///
/// `text/*`, `application/json` and types with the suffix `+json` (RFC 6839) are text, provided
/// that a charset, where one is named, is UTF-8; `application/octet-stream` is binary.
pub(super) fn payload(content_type: &str) -> Option<Payload> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next()?.to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    let charset_is_utf8 = parts.all(|parameter| {
        parameter.split_once('=').is_none_or(|(name, value)| {
            let value = value.trim().trim_matches('"');
            !name.trim().eq_ignore_ascii_case("charset")
                || ["utf-8", "utf8", "us-ascii"].iter().any(|c| value.eq_ignore_ascii_case(c))
        })
    });
    match (kind, subtype) {
        ("application", "octet-stream") => Some(Payload::Binary),
        (_, "") => None,
        ("text", _) | ("application", "json") if charset_is_utf8 => Some(Payload::Text),
        _ if subtype.ends_with("+json") && charset_is_utf8 => Some(Payload::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Request {
        parse(head.as_bytes()).expect("well formed").expect("complete").request
    }

    fn status(bytes: &[u8]) -> String {
        let answer = parse(bytes).expect_err("it must be refused").into_bytes("", false);
        String::from_utf8(answer).unwrap()["HTTP/1.1 ".len()..][..3].to_owned()
    }

    #[test]
    fn a_head_is_parsed_once_it_is_complete_and_not_before() {
        let head = b"POST /publish?path=/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";
        for end in 0..head.len() {
            assert!(parse(&head[..end]).unwrap().is_none(), "{end}");
        }
        let parsed = parse(&[head.as_slice(), b"abc"].concat()).unwrap().unwrap();
        assert_eq!(parsed.length, head.len());
        assert_eq!(parsed.request.method, "POST");
        assert_eq!(parsed.request.path, "/publish");
        assert_eq!(parsed.request.query, "path=/a");
        assert_eq!(parsed.request.content_length, Some(3));
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let found = request(
            "GET / HTTP/1.1\r\nAUTHORIZATION: bEaReR  abc \r\norigin: http://x\r\n\
             eXpect: 100-Continue\r\ncontent-TYPE: text/plain\r\nTransfer-encoding: chunked\r\n\r\n",
        );
        assert_eq!(found.bearer.as_deref(), Some(b"abc".as_slice()));
        assert!(found.has_origin && found.expects_continue && found.is_coded);
        assert_eq!(found.content_type.as_deref(), Some("text/plain"));
        assert_eq!(request("GET / HTTP/1.1\r\nAuthorization: Basic eA==\r\n\r\n").bearer, None);
        assert_eq!(request("GET / HTTP/1.1\r\nAuthorization: Bearer\r\n\r\n").bearer, None);
    }

    #[test]
    fn malformed_and_oversized_heads_are_refused() {
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01"), "400");
        assert_eq!(status(b"GET healthz HTTP/1.1\r\n\r\n"), "400");
        assert_eq!(status(b"GET * HTTP/1.1\r\n\r\n"), "400");
        assert_eq!(status(b"GET ?path=/a HTTP/1.1\r\n\r\n"), "400");
        assert_eq!(status(b"GET / HTTP/2.0\r\n\r\n"), "505");
        for length in ["-1", "+1", "", "1x", "18446744073709551616", "1, 1"] {
            let head = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(status(head.as_bytes()), "400", "{length}");
        }
        let two = "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(status(two.as_bytes()), "400");
        let both = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(both.as_bytes()), "400");
        let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(status(endless.as_bytes()), "431");
        let whole = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(status(whole.as_bytes()), "431");
        let noise = format!("GET /{} \0", "a".repeat(MAX_HEAD));
        assert_eq!(
            status(noise.as_bytes()),
            "431",
            "what stands behind the limit is not looked at"
        );
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(status(many.as_bytes()), "431");
    }

    #[test]
    fn targets_are_split_in_both_forms() {
        assert_eq!(split_target("/a?b=c?d"), Some(("/a", "b=c?d")));
        assert_eq!(split_target("/a?u=http://x/"), Some(("/a", "u=http://x/")));
        assert_eq!(split_target("http://host:1/a?b"), Some(("/a", "b")));
        assert_eq!(split_target("http://host"), Some(("/", "")));
        assert_eq!(split_target("http://host?b"), Some(("/", "b")));
        assert_eq!(split_target("a/b"), None);
        assert_eq!(split_target(""), None);
    }

    #[test]
    fn a_query_value_is_decoded_or_refused() {
        assert_eq!(query_value("path=/broadcast", "path").unwrap(), "/broadcast");
        assert_eq!(query_value("x=1&path=%2Fa%20b+c%C3%A9", "path").unwrap(), "/a b cé");
        for bad in ["", "path", "paths=/a", "path=%2", "path=%zz", "path=%ff", "path=a&path=a"] {
            let refused = query_value(bad, "path");
            assert!(refused.is_err() || bad == "path", "{bad}");
        }
        assert_eq!(query_value("path", "path").unwrap(), "");
    }

    #[test]
    fn media_types_become_text_or_binary_or_nothing() {
        for text in [
            "text/plain",
            "TEXT/HTML; charset=UTF-8",
            "text/plain;charset=\"utf-8\"",
            "application/json",
            "Application/JSON ; x=y",
            "application/problem+json",
        ] {
            assert_eq!(payload(text), Some(Payload::Text), "{text}");
        }
        assert_eq!(payload("application/octet-stream"), Some(Payload::Binary));
        assert_eq!(payload("Application/Octet-Stream; x"), Some(Payload::Binary));
        for neither in [
            "",
            "text",
            "text/",
            "text/plain; charset=iso-8859-1",
            "image/png",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonp",
        ] {
            assert_eq!(payload(neither), None, "{neither}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(
            line in "(GET|POST|[ -~]{0,5}) ?[ -~]{0,40} ?(HTTP/1[.][01])?",
            field in "(Authorization|Content-Length|Content-Type|Expect|X): ?.{0,40}",
            noise in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        ) {
            let _ = parse(&noise);
            let _ = parse(&[line.as_bytes(), b"\r\n", &noise, b"\r\n\r\n"].concat());
            let head = format!("{line}\r\n{field}\r\n\r\n");
            if let Ok(Some(head)) = parse(head.as_bytes()) {
                let _ = query_value(&head.request.query, "path");
                let _ = payload(head.request.content_type.as_deref().unwrap_or(""));
            }
            let _ = query_value(&format!("path={field}"), "path");
        }
    }
}
