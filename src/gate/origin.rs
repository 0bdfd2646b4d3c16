//! Which web pages may open a connection: the `Origin` that their browser says (RFC 6454).
//! Not a proof of identity: a client that is no browser writes what it likes.
//!
//! A browser sends a user's cookies, and reaches what the user's network reaches, whichever page
//! opens the WebSocket: no same-origin policy holds for it. What the server can do is look at the
//! page's origin (RFC 6455 section 10.2).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::proto::Request;

/// The word for pages of the very host that was asked.
const SAME_HOST: &str = "same-host";

/// Pages that may open connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Pages of the host and port that the request's `Host` names.
    SameHost,
    /// Pages of this origin.
    Exact(Site),
    /// Pages of every host below this one, not of itself.
    Below(Site),
    /// Any page, and those whose origin is `null`.
    Any,
}

/// Scheme, host and port of an origin, in small letters, the port always there where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// What is wrong with an origin that was to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It is no origin at all.
    #[error("is not an origin")]
    Malformed,
    /// It has more than an origin has.
    #[error("has a path, which an origin has not")]
    HasPath,
    /// A star stands where none may.
    #[error("has a * elsewhere than in place of the first labels of a host")]
    Star,
    /// `null` is what a page has that hides its origin; whoever wants may have it.
    #[error("is what any page can make its browser say")]
    Null,
}

impl FromStr for AllowedOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let text = text.trim();
        match text {
            "*" => return Ok(Self::Any),
            SAME_HOST => return Ok(Self::SameHost),
            "null" => return Err(OriginError::Null),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://").ok_or(OriginError::Malformed)?;
        if authority.contains('/') {
            return Err(OriginError::HasPath);
        }
        let below = authority.strip_prefix("*.");
        let bare = format!("{scheme}://{}", below.unwrap_or(authority));
        if bare.contains('*') {
            return Err(OriginError::Star);
        }
        let site = Parts::parse(&bare).ok_or(OriginError::Malformed)?.to_site();
        Ok(if below.is_some() { Self::Below(site) } else { Self::Exact(site) })
    }
}

/// Writes it as it is typed.
impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameHost => f.write_str(SAME_HOST),
            Self::Exact(site) => site.write(f, ""),
            Self::Below(site) => site.write(f, "*."),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Site {
    fn write(&self, f: &mut fmt::Formatter<'_>, star: &str) -> fmt::Result {
        write!(f, "{}://{star}{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if Some(port) != default_port(&self.scheme) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// An origin as it came.
#[derive(Clone, Copy)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Parts<'a> {
    /// Reads `scheme://host[:port]`.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_scheme)
        {
            return None;
        }
        let (host, port) = host_and_port(authority)?;
        Some(Parts { scheme, host, port: port.or_else(|| default_port(scheme)) })
    }

    fn to_site(self) -> Site {
        let lower = self.host.to_ascii_lowercase();
        // Browsers write an IPv6 address in its shortest form.
        let v6 = lower.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let v6 = v6.and_then(|host| host.parse::<Ipv6Addr>().ok());
        Site {
            scheme: self.scheme.to_ascii_lowercase(),
            host: v6.map_or(lower, |address| format!("[{address}]")),
            port: self.port,
        }
    }

    fn is_at(&self, site: &Site) -> bool {
        self.scheme.eq_ignore_ascii_case(&site.scheme) && self.port == site.port
    }
}

/// Splits `host[:port]`; a host is a name or an address, never empty.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = match authority.find(']') {
        Some(end) => authority.get(end..)?.find(':').map(|at| end.saturating_add(at)),
        None => authority.find(':'),
    };
    let (host, port) = match colon {
        Some(at) => (authority.get(..at)?, Some(authority.get(at.saturating_add(1)..)?)),
        None => (authority, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
            !host.is_empty() && host.bytes().all(is_allowed)
        }
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        _ if !is_host => None,
        None | Some("") => Some((host, None)),
        Some(port) if is_port(port) => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    [("http", 80), ("ws", 80), ("https", 443), ("wss", 443)]
        .into_iter()
        .find_map(|(known, port)| known.eq_ignore_ascii_case(scheme).then_some(port))
}

/// Why a request's origin is refused; the text is what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginFault {
    #[error("the request says no Origin, and this server asks for one")]
    Missing,
    #[error("the Origin header must be given once, and name one origin")]
    Malformed,
    #[error("pages of this origin may not connect here")]
    Foreign,
}

/// Judges the origin of a request; `is_sealed` if the client's own TLS ends here.
pub(super) fn judge(
    request: &Request<'_>,
    allowed: &[AllowedOrigin],
    is_required: bool,
    is_sealed: bool,
) -> Result<(), OriginFault> {
    let headers = request.headers();
    let mut lines = headers.all("Origin").map(<[u8]>::trim_ascii);
    let origin = match (lines.next(), lines.next()) {
        (None, _) if is_required => return Err(OriginFault::Missing),
        (None, _) => return Ok(()),
        (Some(origin), None) => std::str::from_utf8(origin).map_err(|_| OriginFault::Malformed)?,
        (Some(_), Some(_)) => return Err(OriginFault::Malformed),
    };
    if allowed.contains(&AllowedOrigin::Any) {
        return Ok(());
    }
    if origin.eq_ignore_ascii_case("null") {
        return Err(OriginFault::Foreign);
    }
    let parts = Parts::parse(origin).ok_or(OriginFault::Malformed)?;
    let host = headers.get("Host").and_then(|host| std::str::from_utf8(host.trim_ascii()).ok());
    if allowed.iter().any(|allowed| is_among(&parts, allowed, host, is_sealed)) {
        Ok(())
    } else {
        Err(OriginFault::Foreign)
    }
}

fn is_among(
    origin: &Parts<'_>,
    allowed: &AllowedOrigin,
    host: Option<&str>,
    is_sealed: bool,
) -> bool {
    match allowed {
        AllowedOrigin::Any => true,
        AllowedOrigin::SameHost => {
            // A page that came without TLS may be anyone's on its way.
            let is_as_safe = !is_sealed || origin.scheme.eq_ignore_ascii_case("https");
            is_as_safe && host.is_some_and(|host| is_same_host(origin, host))
        }
        AllowedOrigin::Exact(site) => {
            origin.is_at(site) && origin.host.eq_ignore_ascii_case(&site.host)
        }
        AllowedOrigin::Below(site) => origin.is_at(site) && is_below(origin.host, &site.host),
    }
}

/// The scheme is not compared here: where a proxy ends TLS, the page's is `https` and ours is not. A
/// `Host` without a port is taken to be at the origin's usual one.
fn is_same_host(origin: &Parts<'_>, host: &str) -> bool {
    let Some(usual) = default_port(origin.scheme) else { return false };
    let Some((host, port)) = host_and_port(host) else { return false };
    origin.host.eq_ignore_ascii_case(host) && origin.port == Some(port.unwrap_or(usual))
}

/// True if labels stand before `.parent`.
fn is_below(host: &str, parent: &str) -> bool {
    let Some(cut) = host.len().checked_sub(parent.len()) else { return false };
    let (Some(labels), Some(rest)) = (host.get(..cut), host.get(cut..)) else { return false };
    rest.eq_ignore_ascii_case(parent) && labels.len() > 1 && labels.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::parse_head;

    /// What becomes of a request with these lines where these origins are allowed.
    fn judged(allowed: &[&str], lines: &str, is_required: bool) -> Result<(), OriginFault> {
        let allowed: Vec<AllowedOrigin> =
            allowed.iter().map(|text| text.parse().unwrap()).collect();
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n");
        let mut verdict = None;
        parse_head(head.as_bytes(), |request| {
            verdict = Some(judge(&request, &allowed, is_required, false));
        });
        verdict.expect("the head is whole")
    }

    fn is_in(allowed: &str, origin: &str) -> bool {
        judged(&[allowed], &format!("Host: x\r\nOrigin: {origin}"), false).is_ok()
    }

    #[test]
    fn the_same_host_is_the_same_whatever_its_scheme_and_no_other_is() {
        for (host, origin) in [
            ("a.example", "http://a.example"),
            ("a.example", "https://a.example"),
            ("a.example:443", "https://a.example"),
            ("A.example", "https://a.EXAMPLE:443"),
            ("a.example:80", "http://a.example"),
            ("a.example:9001", "http://a.example:9001"),
            ("[::1]:9001", "http://[::1]:9001"),
            ("127.0.0.1:9001", "http://127.0.0.1:9001"),
        ] {
            let lines = format!("Host: {host}\r\nOrigin: {origin}");
            assert_eq!(judged(&["same-host"], &lines, false), Ok(()), "{lines}");
        }
        for (host, origin) in [
            ("a.example", "https://b.example"),
            ("a.example", "https://a.example.evil.test"),
            ("a.example", "https://evil-a.example"),
            ("a.example", "https://x.a.example"),
            ("a.example:9001", "http://a.example"),
            ("a.example:9001", "http://a.example:9002"),
            ("a.example:443", "http://a.example"),
            ("a.example", "chrome-extension://a.example"),
            ("", "https://a.example"),
            ("a.example", "null"),
        ] {
            let lines = format!("Host: {host}\r\nOrigin: {origin}");
            assert_eq!(judged(&["same-host"], &lines, false), Err(OriginFault::Foreign), "{lines}");
        }
    }

    #[test]
    fn under_tls_the_same_host_is_that_of_a_page_that_came_by_tls() {
        let allowed = |origins: &str, origin: &str| {
            let origins = [origins.parse().unwrap()];
            let head = format!("GET / HTTP/1.1\r\nHost: a.example\r\nOrigin: {origin}\r\n\r\n");
            let mut verdict = None;
            parse_head(head.as_bytes(), |request| {
                verdict = Some(judge(&request, &origins, false, true));
            });
            verdict.expect("the head is whole").is_ok()
        };
        assert!(allowed("same-host", "https://a.example"));
        assert!(!allowed("same-host", "http://a.example"));
        assert!(allowed("http://a.example", "http://a.example"), "who is named is meant");
    }

    #[test]
    fn exact_origins_match_scheme_host_and_port() {
        assert!(is_in("https://a.example", "https://a.example"));
        assert!(is_in("https://a.example:443", "https://A.example"));
        assert!(is_in("HTTP://[0:0::1]:80", "http://[::1]"));
        assert!(is_in("capacitor://localhost", "capacitor://localhost"));
        for other in [
            "http://a.example",
            "https://a.example:444",
            "https://a.example.",
            "https://x.a.example",
            "https://a.example.evil.test",
            "null",
        ] {
            assert!(!is_in("https://a.example", other), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_labels_and_never_for_none() {
        for good in
            ["https://x.example.com", "https://x.y.EXAMPLE.com", "https://x.example.com:443"]
        {
            assert!(is_in("https://*.example.com", good), "{good}");
        }
        for bad in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "https://x.example.com.evil.test",
            "http://x.example.com",
            "https://x.example.com:8443",
        ] {
            assert!(!is_in("https://*.example.com", bad), "{bad}");
        }
        assert!(is_in("*", "null") && is_in("*", "https://anyone.test"));
    }

    #[test]
    fn who_says_no_origin_is_no_browser_unless_one_is_required() {
        assert_eq!(judged(&["same-host"], "Host: a", false), Ok(()));
        assert_eq!(judged(&["same-host"], "Host: a", true), Err(OriginFault::Missing));
        assert_eq!(judged(&["*"], "Host: a", true), Err(OriginFault::Missing));
    }

    #[test]
    fn two_origins_and_no_origin_at_all_are_malformed() {
        for lines in [
            "Host: a\r\nOrigin: http://a\r\nOrigin: http://a",
            "Host: a\r\nOrigin: http://a http://b",
            "Host: a\r\nOrigin: http://a/",
            "Host: a\r\nOrigin: http://a:x",
            "Host: a\r\nOrigin: http://a:99999",
            "Host: a\r\nOrigin: http://user@a",
            "Host: a\r\nOrigin: a",
            "Host: a\r\nOrigin:",
            "Host: a\r\nOrigin: ://a",
            "Host: a\r\nOrigin: http://[::1",
            "Host: a\r\nOrigin: http://\u{e9}",
        ] {
            assert_eq!(
                judged(&["same-host"], lines, false),
                Err(OriginFault::Malformed),
                "{lines}"
            );
        }
    }

    #[test]
    fn what_is_typed_is_written_back_and_what_makes_no_sense_is_refused() {
        for text in ["*", "same-host", "https://a.example", "http://*.b.test:81", "app://[::1]"] {
            assert_eq!(text.parse::<AllowedOrigin>().unwrap().to_string(), text);
        }
        assert_eq!("HTTPS://A:443".parse::<AllowedOrigin>().unwrap().to_string(), "https://a");
        for (text, why) in [
            ("null", OriginError::Null),
            ("https://a/", OriginError::HasPath),
            ("https://a.*", OriginError::Star),
            ("https://*a.example", OriginError::Star),
            ("https://*", OriginError::Star),
            ("a.example", OriginError::Malformed),
            ("https://", OriginError::Malformed),
            ("https://*.", OriginError::Malformed),
        ] {
            assert_eq!(text.parse::<AllowedOrigin>(), Err(why), "{text}");
        }
    }
}
