//! One answer of the admin port, from status to bytes.
//! Not the decision which answer it is: that is in `routes`, or in `request` for a malformed one.

use std::fmt::Write as _;

/// The media type of every answer but the metrics.
const JSON: &str = "application/json";

/// An answer, complete but for the header that names the process.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    content_type: &'static str,
    /// Further header fields; names and values are ours, never the peer's.
    fields: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Answer {
    /// An answer whose body is `{"status":<word>,"pid":<ours>}` with `more` before the end, which
    /// is either empty or begins with a comma and is valid JSON.
    pub(super) fn json(status: u16, word: &str, more: &str) -> Self {
        let pid = std::process::id();
        let body = format!("{{\"status\":\"{word}\",\"pid\":{pid}{more}}}\n");
        Self { status, content_type: JSON, fields: Vec::new(), body }
    }

    /// An error, with a sentence for whoever reads it; the sentence holds no quotes or backslashes.
    pub(super) fn error(status: u16, sentence: &str) -> Self {
        debug_assert!(!sentence.contains(['"', '\\']), "it stands in JSON as it is");
        Self::json(status, "error", &format!(",\"error\":\"{sentence}\""))
    }

    /// A 200 with this body.
    pub(super) fn text(content_type: &'static str, body: String) -> Self {
        Self { status: 200, content_type, fields: Vec::new(), body }
    }

    /// The same answer with one more header field.
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The bytes to send. `process` goes into the `Server-Process` header; to HEAD the body is not
    /// sent, though its length is.
    pub(super) fn into_bytes(self, process: &str, head_only: bool) -> Vec<u8> {
        let mut out = String::with_capacity(256 + self.body.len());
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\nServer-Process: ",
            self.status,
            phrase(self.status),
            self.content_type,
            self.body.len(),
        );
        // A line break in the name would let it write header fields.
        out.extend(process.chars().filter(|c| matches!(c, ' '..='~')));
        out.push_str("\r\n");
        for (name, value) in self.fields {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.push_str("\r\n");
        if !head_only {
            out.push_str(&self.body);
        }
        out.into_bytes()
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn a_name_cannot_write_header_fields() {
        let bytes = Answer::json(200, "ok", "").into_bytes("7\r\nX-Evil: yes\r\n\r\n", false);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\r\nServer-Process: 7X-Evil: yes\r\n\r\n{"), "{text}");
    }

    #[test]
    fn an_answer_to_head_has_the_length_and_not_the_body() {
        let body = "12345".to_owned();
        let bytes = Answer::text("text/plain", body).into_bytes("1", true);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\r\nContent-Length: 5\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
}
