//! The grammar of the handshake's lists, which a server must check (RFC 6455 sections 4.2.1, 4.3
//! and 9.1). Not for what they ask for: whether any of it is spoken is decided elsewhere.

/// True if there is no line at all, or at least one element and none that breaks its grammar.
/// Several lines are one list (RFC 9110 section 5.3).
pub(super) fn is_list<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    is_element: fn(&[u8]) -> bool,
) -> bool {
    let mut has_line = false;
    let mut has_element = false;
    for line in lines {
        has_line = true;
        let elements = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for element in elements.filter(|element| !element.is_empty()) {
            has_element = true;
            if !is_element(element) {
                return false;
            }
        }
    }
    has_element || !has_line
}

/// A token of RFC 9110 section 5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(is_allowed)
}

/// An extension with its parameters (RFC 6455 section 9.1). What is quoted must be a token too, so
/// that no comma or semicolon stands inside.
pub(super) fn is_extension(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    parts.next().is_some_and(is_token) && parts.all(is_parameter)
}

fn is_parameter(bytes: &[u8]) -> bool {
    let mut sides = bytes.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
    let is_named = sides.next().is_some_and(is_token);
    is_named && sides.next().is_none_or(|value| is_token(value) || is_quoted_token(value))
}

fn is_quoted_token(bytes: &[u8]) -> bool {
    let [b'"', inner @ .., b'"'] = bytes else { return false };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.len()) {
            (b'\\', 0) => return false,
            (b'\\', _) => plain.extend(bytes.next()),
            _ => plain.push(*byte),
        }
    }
    is_token(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_offer(lines: &[&str]) -> bool {
        is_list(lines.iter().map(|line| line.as_bytes()), is_extension)
    }

    #[test]
    fn offers_of_extensions_follow_their_grammar() {
        for good in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate ;client_max_window_bits = 10, x;a=\"b\";c,",
            "x; a=\"\\b\\c\"",
        ] {
            assert!(is_offer(&[good]), "{good}");
        }
        for bad in [
            "",
            ",",
            " , ,",
            ";",
            "x;",
            "x;;y",
            "x;=1",
            "x;a=",
            "x;a=\"",
            "x;a=\"\"",
            "x;a=\"b",
            "x;a=\"b c\"",
            "x;a=\"\\\"",
            "x y",
            "x/y",
            "x;a=b=c",
            "\u{e9}",
            "x, y;",
        ] {
            assert!(!is_offer(&[bad]), "{bad}");
        }
        assert!(is_offer(&[]), "nothing is offered");
        assert!(is_offer(&["", "x"]), "one list on two lines");
        assert!(!is_offer(&["x", "y;"]));
    }
}
