//! One log record as one line, in text or JSON, whatever stands in its message.
//! Not which records are logged, nor where lines go.
//!
//! Messages quote what peers sent: paths, header values, close reasons. So nothing in one may end
//! the line and begin another that looks like ours, nor reach a terminal as a control sequence.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use log::Record;

/// A longer message is cut here: a backtrace fits, and a few such lines do not fill the queue.
const MAX_MESSAGE_BYTES: usize = 32 * 1024;

/// What stands at the end of a message that was cut.
const CUT: &str = " [cut]";

/// `2026-01-31T23:59:59.123Z INFO  target: message`. Further lines of a message are indented.
pub(super) fn text(out: &mut dyn Write, at: &dyn Display, record: &Record<'_>) -> io::Result<()> {
    let message = message(record);
    let mut line = String::with_capacity(64 + message.len());
    for char in message.chars() {
        match char {
            '\n' => line.push_str("\n    "),
            '\t' => line.push('\t'),
            char if char.is_control() => line.extend(char.escape_default()),
            char => line.push(char),
        }
    }
    writeln!(out, "{at} {:<5} {}: {line}", record.level(), record.target())
}

/// `{"ts":"2026-01-31T23:59:59.123Z","level":"info","target":"...","message":"..."}`
pub(super) fn json(out: &mut dyn Write, at: &dyn Display, record: &Record<'_>) -> io::Result<()> {
    let message = message(record);
    let mut line = String::with_capacity(128 + message.len());
    // Writing to a String cannot fail.
    let _ = write!(line, "{{\"ts\":\"{at}\",\"level\":\"");
    line.push_str(&record.level().as_str().to_ascii_lowercase());
    line.push_str("\",\"target\":\"");
    escape_json(record.target(), &mut line);
    line.push_str("\",\"message\":\"");
    escape_json(&message, &mut line);
    line.push_str("\"}\n");
    out.write_all(line.as_bytes())
}

/// The message, whole and before anything is written: if its formatting panics, no half line is
/// left behind.
fn message(record: &Record<'_>) -> String {
    let mut message = record.args().to_string();
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push_str(CUT);
    }
    message
}

/// Escapes what may not stand in a JSON string (RFC 8259, section 7), and other control characters.
fn escape_json(text: &str, to: &mut String) {
    for char in text.chars() {
        match char {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            // All control characters lie below U+00A0, so four digits hold them.
            char if char.is_control() => {
                let _ = write!(to, "\\u{:04x}", u32::from(char));
            }
            char => to.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    fn render(
        line: fn(&mut dyn Write, &dyn Display, &Record<'_>) -> io::Result<()>,
        message: &str,
    ) -> String {
        let mut out = Vec::new();
        let args = format_args!("{message}");
        let record = Record::builder().level(Level::Info).target("t").args(args).build();
        line(&mut out, &"2026-01-31T23:59:59.123Z", &record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_says_when_how_grave_where_and_what() {
        assert_eq!(render(text, "all well"), "2026-01-31T23:59:59.123Z INFO  t: all well\n");
        assert_eq!(
            render(json, "all well"),
            "{\"ts\":\"2026-01-31T23:59:59.123Z\",\"level\":\"info\",\"target\":\"t\",\
             \"message\":\"all well\"}\n"
        );
    }

    #[test]
    fn a_message_cannot_forge_a_line_or_command_a_terminal() {
        let forged = "path /\n2026-01-31T23:59:59.123Z ERROR t: \x1b[31mfire\r\u{9b}2J";
        let line = render(text, forged);
        assert!(line.lines().skip(1).all(|line| line.starts_with("    ")), "{line}");
        assert!(!line.trim_end().contains(|c: char| c.is_control() && c != '\n'), "{line:?}");
        let line = render(json, forged);
        assert_eq!(line.lines().count(), 1);
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
    }

    #[test]
    fn json_escapes_what_it_must() {
        let line = render(json, "\"\\\n\r\t\0\u{1f}\u{7f}é\u{1f980}");
        let escaped = r#""message":"\"\\\n\r\t\u0000\u001f\u007fé🦀"}"#;
        assert!(line.trim_end().ends_with(escaped), "{line}");
    }

    #[test]
    fn an_endless_message_is_cut_between_two_characters() {
        let line = render(text, &"é".repeat(MAX_MESSAGE_BYTES));
        assert!(line.len() < MAX_MESSAGE_BYTES + 100);
        assert!(line.ends_with("é [cut]\n"));
    }
}
