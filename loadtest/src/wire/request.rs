//! The upgrade request of a run: all of it that is the same on every connection, made once.
//! Not the key, which each connection has its own of, nor the answer; that is `handshake`.

use tungstenite::http::{HeaderName, HeaderValue};

/// Headers that are not for `--header`, and why.
const RESERVED: [(&str, &str); 9] = [
    ("upgrade", "the handshake sets it itself"),
    ("connection", "the handshake sets it itself"),
    ("sec-websocket-key", "the handshake sets it itself"),
    ("sec-websocket-version", "the handshake sets it itself"),
    ("sec-websocket-accept", "it is the server's"),
    ("sec-websocket-protocol", "use --subprotocol"),
    ("sec-websocket-extensions", "no extension is supported"),
    ("content-length", "an upgrade request has no body"),
    ("transfer-encoding", "an upgrade request has no body"),
];

/// An upgrade request that lacks only its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// All up to and with `Sec-WebSocket-Key: `, which comes last for that reason.
    before_key: String,
    subprotocols: Vec<String>,
}

impl Request {
    /// The request for `path` at `authority`, with `headers` (each `Name: value`) and an offer of
    /// `subprotocols`, both in the order given. A `Host` among the headers takes the place of
    /// `authority`.
    ///
    /// Fails with one line on what can't be sent.
    pub fn new(
        authority: &str,
        path: &str,
        headers: &[String],
        subprotocols: &[String],
    ) -> Result<Request, String> {
        let mut host = None;
        let mut given = String::new();
        for header in headers {
            let (name, value) = read_header(header)?;
            if !name.eq_ignore_ascii_case("host") {
                given.extend([name, ": ", value, "\r\n"]);
            } else if host.replace(value).is_some() {
                return Err(format!("--header '{header}': Host is given twice"));
            }
        }
        for (index, name) in subprotocols.iter().enumerate() {
            // RFC 6455, section 4.1: tokens, each different from the others.
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(format!("--subprotocol '{name}': not a name that can be sent"));
            }
            if subprotocols[..index].contains(name) {
                return Err(format!("--subprotocol '{name}': it is given twice"));
            }
        }
        if !subprotocols.is_empty() {
            let offer = subprotocols.join(", ");
            given.extend(["Sec-WebSocket-Protocol: ", &offer, "\r\n"]);
        }
        let host = host.unwrap_or(authority);
        let before_key = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\n{given}Sec-WebSocket-Key: "
        );
        Ok(Request { before_key, subprotocols: subprotocols.to_vec() })
    }

    /// The bytes to send with this key.
    pub fn with_key(&self, key: &str) -> Vec<u8> {
        [self.before_key.as_bytes(), key.as_bytes(), b"\r\n\r\n"].concat()
    }

    /// The subprotocols that are offered.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }
}

fn read_header(header: &str) -> Result<(&str, &str), String> {
    let wrong = |why: &str| format!("--header '{}': {why}", header.escape_debug());
    let (name, value) =
        header.split_once(':').ok_or_else(|| wrong("it must be of the form 'Name: value'"))?;
    let value = value.trim_matches([' ', '\t']);
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(wrong("not a header name"));
    }
    if HeaderValue::from_bytes(value.as_bytes()).is_err() {
        return Err(wrong("the value has characters that can't be sent"));
    }
    match RESERVED.iter().find(|(reserved, _)| name.eq_ignore_ascii_case(reserved)) {
        Some((_, why)) => Err(wrong(why)),
        None => Ok((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[&str], subprotocols: &[&str]) -> Result<String, String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let request = Request::new("h:1", "/p?q", &owned(headers), &owned(subprotocols))?;
        Ok(String::from_utf8(request.with_key("KEY")).expect("text"))
    }

    #[test]
    fn headers_and_subprotocols_go_out_as_given_and_in_order() {
        let headers =
            ["Origin: https://a.example", "X-Id:7 ", "authorization: Bearer a:b", "X-Id: 8"];
        assert_eq!(
            request(&headers, &["v2.chat", "v1"]).expect("good"),
            "GET /p?q HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nOrigin: https://a.example\r\nX-Id: 7\r\n\
             authorization: Bearer a:b\r\nX-Id: 8\r\nSec-WebSocket-Protocol: v2.chat, v1\r\n\
             Sec-WebSocket-Key: KEY\r\n\r\n"
        );
    }

    #[test]
    fn a_host_of_ones_own_replaces_that_of_the_url() {
        let request = request(&["HOST: other.example"], &[]).expect("good");
        assert!(request.contains("\r\nHost: other.example\r\n"), "{request}");
        assert_eq!(request.to_lowercase().matches("host:").count(), 1, "{request}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_in_one_line_that_names_it() {
        for wrong in [
            "no colon",
            ": nameless",
            "two words: x",
            "X-Id : 7",
            "X-Id: a\r\nX-Evil: b",
            "X-Id: \0",
            "Upgrade: h2c",
            "connection: close",
            "Sec-WebSocket-Key: x",
            "sec-websocket-version: 8",
            "Sec-WebSocket-Protocol: x",
            "Content-Length: 5",
        ] {
            let refusal = request(&[wrong], &[]).expect_err(wrong);
            assert_eq!(refusal.lines().count(), 1, "{refusal}");
            assert!(refusal.starts_with("--header '"), "{refusal}");
        }
        assert!(request(&["Host: a", "host: b"], &[]).is_err());
        for wrong in [&["a b"][..], &[""], &["a,b"], &["x", "y", "x"]] {
            let refusal = request(&[], wrong).expect_err("no token, or twice");
            assert!(refusal.starts_with("--subprotocol '"), "{refusal}");
        }
    }
}
