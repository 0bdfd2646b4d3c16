//! Where in a request a token may stand, and which one stands there.
//! Not for judging it: that it has the shape of one is all that is looked at.

use std::borrow::Cow;
use std::fmt;

use crate::proto::Request;

/// What a subprotocol begins with that is a token.
const BEARER_PREFIX: &str = "bearer.";

/// The parameter of the query that is a token.
const PARAMETER: &str = "token";

/// Where a token may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer <token>` (RFC 6750 section 2.1). Browsers can't send it.
    Header,
    /// `Sec-WebSocket-Protocol: bearer.<token>, chat`: the one header that a page can choose.
    Subprotocol,
    /// `?token=<token>`. It is seen by whatever logs addresses on the way.
    Query,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Header, Self::Subprotocol, Self::Query];
}

/// A token as it came. It is never shown.
pub(in crate::gate) struct Found<'a>(Cow<'a, str>);

impl Found<'_> {
    /// The token itself.
    pub(in crate::gate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Found(redacted)")
    }
}

/// Two different tokens: which of them counts would depend on who looks (RFC 6750 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Ambiguous;

/// The one token of a request, where it stands in one of these places, or in several the same.
pub(in crate::gate) fn find<'a>(
    request: &Request<'a>,
    places: &[Place],
) -> Result<Option<Found<'a>>, Ambiguous> {
    let mut found: Option<Cow<'a, str>> = None;
    let mut consider = |token: Cow<'a, str>| match &found {
        Some(other) if *other != token => Err(Ambiguous),
        _ => {
            found = Some(token);
            Ok(())
        }
    };
    let headers = request.headers();
    if places.contains(&Place::Header) {
        headers.all("Authorization").filter_map(bearer).try_for_each(&mut consider)?;
    }
    if places.contains(&Place::Subprotocol) {
        let offered = headers.elements("Sec-WebSocket-Protocol");
        let tokens = offered.filter_map(|offer| offer.strip_prefix(BEARER_PREFIX));
        tokens.map(Cow::Borrowed).try_for_each(&mut consider)?;
    }
    if places.contains(&Place::Query) {
        let parameters = request.query().unwrap_or_default().split('&');
        let tokens = parameters.filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            (name == PARAMETER).then(|| decoded(value))
        });
        tokens.into_iter().try_for_each(&mut consider)?;
    }
    Ok(found.map(Found))
}

/// Whether a subprotocol that a client offers is a token, and hence never the one to select.
pub(in crate::gate) fn is_token(offer: &str) -> bool {
    offer.starts_with(BEARER_PREFIX)
}

/// The token of a line of credentials; `None` for those of another scheme. What is not ASCII is
/// taken along, to be refused as no token.
fn bearer(line: &[u8]) -> Option<Cow<'_, str>> {
    let line = String::from_utf8_lossy(line);
    let (scheme, _) = line.split_once(' ')?;
    let length = scheme.eq_ignore_ascii_case("bearer").then_some(scheme.len())?;
    Some(match line {
        Cow::Borrowed(line) => Cow::Borrowed(line.get(length..)?.trim()),
        Cow::Owned(line) => Cow::Owned(line.get(length..)?.trim().to_owned()),
    })
}

/// A token needs no percent-encoding, but it may have come with some (RFC 3986 section 6.2.2.2).
fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut pieces = value.split('%');
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (code, piece.get(2..)) {
            (Some(code), Some(rest)) => {
                plain.push(char::from(code));
                plain.push_str(rest);
            }
            _ => {
                plain.push('%');
                plain.push_str(piece);
            }
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::parse_head;

    /// The token of a request, `None` for none and `Err` for several.
    fn found(target: &str, lines: &str, places: &[Place]) -> Result<Option<String>, Ambiguous> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut outcome = Ok(None);
        parse_head(head.as_bytes(), |request| {
            outcome = find(&request, places).map(|found| found.map(|f| f.reveal().to_owned()));
        });
        outcome
    }

    #[test]
    fn a_token_is_found_in_each_place_and_only_where_it_is_looked_for() {
        let requests = [
            (Place::Header, "/", "authorization: bEaReR  a.b.c \r\n"),
            (Place::Subprotocol, "/", "Sec-WebSocket-Protocol: chat, bearer.a.b.c\r\n"),
            (Place::Query, "/?x=1&token=a.b.c&y", ""),
            (Place::Query, "/?token=a%2eb%2Ec", ""),
        ];
        for (place, target, lines) in requests {
            for asked in Place::ALL {
                let expected = (asked == place).then(|| "a.b.c".to_owned());
                assert_eq!(found(target, lines, &[asked]), Ok(expected), "{target} {lines}");
            }
            assert_eq!(found(target, lines, &Place::ALL), Ok(Some("a.b.c".to_owned())));
        }
    }

    #[test]
    fn the_same_token_may_come_twice_and_two_tokens_may_not() {
        let line = "Authorization: Bearer a.b.c\r\n";
        let same = Ok(Some("a.b.c".to_owned()));
        assert_eq!(found("/?token=a.b.c", line, &Place::ALL), same);
        assert_eq!(found("/?token=a.b.c&token=a.b.c", "", &Place::ALL), same);
        assert_eq!(found("/?token=a.b.d", line, &Place::ALL), Err(Ambiguous));
        assert_eq!(found("/?token=1&token=2", "", &Place::ALL), Err(Ambiguous));
        let two = format!("{line}Authorization: Bearer x\r\n");
        assert_eq!(found("/", &two, &Place::ALL), Err(Ambiguous));
        let two = "Sec-WebSocket-Protocol: bearer.x, bearer.y\r\n";
        assert_eq!(found("/", two, &Place::ALL), Err(Ambiguous));
        assert_eq!(found("/?token=a.b.d", line, &[Place::Header]), same);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for (target, lines) in [
            ("/", ""),
            ("/", "Authorization: Basic YTpi\r\n"),
            ("/", "Authorization: Bearer\r\n"),
            ("/", "Sec-WebSocket-Protocol: chat, Bearer.x\r\n"),
            ("/?tokens=x&Token=y&token", ""),
        ] {
            assert_eq!(found(target, lines, &Place::ALL), Ok(None), "{target} {lines}");
        }
    }

    #[test]
    fn bad_percent_encoding_stays_what_it_is() {
        for (text, plain) in
            [("%", "%"), ("%2", "%2"), ("%+1", "%+1"), ("a%41%", "aA%"), ("%é", "%é")]
        {
            assert_eq!(decoded(text), plain);
        }
    }

    #[test]
    fn a_found_token_is_not_shown() {
        assert_eq!(format!("{:?}", Found("secret".into())), "Found(redacted)");
    }
}
