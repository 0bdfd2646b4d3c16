//! Message templates: text with places for what differs from message to message.
//! Not the messages that the generator makes up by itself; those are in `payload`.

use super::payload::{Stamp, scramble};

/// Stands before a stamp's digits in a templated message, so that they can be found in whatever a
/// server makes of it.
const MARK: &[u8] = b"pw";

/// A stamp's digits.
const DIGITS: usize = 16;

/// A message's text, cut at its places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// The mark and the stamp in hexadecimal digits.
    Stamp,
    Connection,
    Sequence,
    /// A number drawn for each message, below so much.
    Random(u64),
    /// Letters: so many, or as many as the message's size leaves.
    Filler(Option<usize>),
}

impl Template {
    /// Reads a template. `{stamp}`, `{connection}`, `{sequence}`, `{random:N}`, `{filler:N}` and
    /// `{filler}` are places; any other brace is text, so that JSON needs no escapes.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            plain.extend_from_slice(before.as_bytes());
            let name = from[1..].split_once('}').map_or("", |(name, _)| name);
            if let Some(part) = place(name)? {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(part);
                rest = &from[name.len() + 2..];
            } else {
                plain.push(b'{');
                rest = &from[1..];
            }
        }
        plain.extend_from_slice(rest.as_bytes());
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if parts.iter().filter(|part| matches!(part, Part::Filler(None))).count() > 1 {
            return Err("{filler} without a length can stand in a template only once".to_owned());
        }
        Ok(Template { parts })
    }

    /// Whether its messages can be told apart wherever they turn up.
    pub fn has_stamp(&self) -> bool {
        self.parts.contains(&Part::Stamp)
    }

    /// Appends the message named `stamp`. `{filler}` makes it `size` bytes where it is shorter.
    pub fn append(&self, out: &mut Vec<u8>, stamp: Stamp, size: usize, filler: &[u8]) {
        let start = out.len();
        let mut open = None;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Stamp => {
                    out.extend_from_slice(MARK);
                    out.extend_from_slice(format!("{:016x}", stamp.bits()).as_bytes());
                }
                Part::Connection => number(out, u64::from(stamp.connection())),
                Part::Sequence => number(out, stamp.sequence()),
                Part::Random(below) => {
                    number(out, scramble(stamp.bits() ^ ((index as u64) << 56)) % below);
                }
                Part::Filler(Some(length)) => fill(out, out.len(), *length, filler),
                Part::Filler(None) => open = Some(out.len()),
            }
        }
        if let Some(at) = open {
            fill(out, at, size.saturating_sub(out.len() - start), filler);
        }
    }
}

fn place(name: &str) -> Result<Option<Part>, String> {
    let (name, number) = match name.split_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (name, None),
    };
    let parsed = |text: &str| {
        text.parse::<u32>().map_err(|_| format!("`{text}` in {{{name}:{text}}} is no number"))
    };
    Ok(Some(match (name, number) {
        ("stamp", None) => Part::Stamp,
        ("connection", None) => Part::Connection,
        ("sequence", None) => Part::Sequence,
        ("random", Some(below)) => Part::Random(u64::from(parsed(below)?).max(1)),
        ("filler", Some(length)) => Part::Filler(Some(parsed(length)? as usize)),
        ("filler", None) => Part::Filler(None),
        _ => return Ok(None),
    }))
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn fill(out: &mut Vec<u8>, at: usize, length: usize, filler: &[u8]) {
    let letters = filler.iter().cycle().take(length).copied();
    if at == out.len() {
        out.extend(letters);
    } else {
        out.splice(at..at, letters);
    }
}

/// The first stamp that a message carries behind its mark.
pub fn find_stamp(message: &[u8]) -> Option<Stamp> {
    let whole = MARK.len() + DIGITS;
    message.windows(whole).find_map(|window| {
        let digits = window.strip_prefix(MARK)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(digits, 16).ok().map(Stamp::from_bits))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, size: usize) -> String {
        let mut out = b"before".to_vec();
        let template = Template::parse(template).expect("good");
        template.append(&mut out, Stamp::new(7, 300), size, b"abc");
        String::from_utf8(out.split_off(6)).expect("text")
    }

    #[test]
    fn places_are_filled_and_json_needs_no_escapes() {
        assert_eq!(render(r#"{"c":{connection},"n":{sequence}}"#, 0), r#"{"c":7,"n":300}"#);
        assert_eq!(render("<{filler:5}>", 0), "<abcab>");
        assert_eq!(render("<{filler}>", 8), "<abcabc>");
        assert_eq!(render("{x} {filler}{", 2), "{x} {");
        assert!(render("{random:10}", 0).parse::<u64>().expect("a number") < 10);
    }

    #[test]
    fn a_stamp_is_found_in_whatever_it_is_wrapped_in() {
        let message = render(r#"{"data":"{stamp}"}"#, 0);
        let wrapped = format!(r#"{{"pwpush":{message},"pw0":1}}"#);
        assert_eq!(find_stamp(wrapped.as_bytes()), Some(Stamp::new(7, 300)));
        assert_eq!(find_stamp(b"pw00000000000000"), None);
        assert_eq!(find_stamp(b"pw000000000000+00g"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        assert!(Template::parse("{filler:x}").is_err());
        assert!(Template::parse("{filler}{filler}").is_err());
        assert!(Template::parse("{random:9}{stamp}").expect("good").has_stamp());
    }
}
