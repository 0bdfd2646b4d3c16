//! Where a run goes to: the URL, resolved once.
//! Not the connection itself; that is `generator::dial`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tungstenite::http::Uri;

use crate::args::{Security, Upgrade};
use crate::error::Failure;
use crate::tls::Tls;
use crate::wire::request::Request;

/// How bytes travel there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `ws://` and `wss://`: an upgrade, then frames both ways.
    WebSocket,
    /// `tcp://`: no upgrade; the same masked frames go out, and what comes back is described by
    /// the scenario (`echo` expects the identical bytes, `broadcast` a server's unmasked frame).
    PlainTcp,
}

/// The server under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// The URL as it was given.
    pub url: String,
    /// How bytes travel there.
    pub scheme: Scheme,
    /// The address it resolved to; where there were several, the first.
    pub address: SocketAddr,
    /// How the bytes are encrypted, if they are.
    pub tls: Option<Tls>,
    /// The upgrade request, where the scheme has one.
    pub request: Arc<Request>,
}

impl Target {
    /// Reads and resolves a URL such as `ws://127.0.0.1:9001/echo`, with what was typed about
    /// TLS and the upgrade request.
    ///
    /// Fails with [`Failure::Usage`] on a URL that is none, has another scheme, or does not
    /// resolve, on flags that do not go with it, and on headers that can't be sent.
    pub fn resolve(url: &str, security: &Security, upgrade: &Upgrade) -> Result<Target, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("--url {url}: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        let (scheme, encrypted) = match uri.scheme_str() {
            Some("ws") => (Scheme::WebSocket, security.tls),
            Some("wss") => (Scheme::WebSocket, true),
            Some("tcp") => (Scheme::PlainTcp, security.tls),
            _ => return Err(wrong("the scheme must be ws://, wss:// or tcp://")),
        };
        let default_port = match scheme {
            Scheme::WebSocket => Some(if encrypted { 443 } else { 80 }),
            Scheme::PlainTcp => None,
        };
        if !encrypted && (security.insecure || security.tls_ca.is_some()) {
            return Err(wrong("--insecure and --tls-ca are about TLS; use wss:// or --tls"));
        }
        let says_something = !upgrade.header.is_empty() || !upgrade.subprotocol.is_empty();
        if scheme == Scheme::PlainTcp && says_something {
            return Err(wrong("--header and --subprotocol need an upgrade; use ws:// or wss://"));
        }
        let host = uri.host().ok_or_else(|| wrong("no host"))?;
        let port = uri.port_u16().or(default_port).ok_or_else(|| wrong("no port"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = (bare, port)
            .to_socket_addrs()
            .map_err(|error| wrong(&format!("the host does not resolve: {error}")))?
            .next()
            .ok_or_else(|| wrong("the host has no address"))?;
        let authority = match uri.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::new(&authority, path, &upgrade.header, &upgrade.subprotocol);
        let request = Arc::new(request.map_err(Failure::Usage)?);
        let http = scheme == Scheme::WebSocket;
        let tls = encrypted.then(|| Tls::resolve(security, bare, http)).transpose()?;
        Ok(Target { url: url.to_owned(), scheme, address, tls, request })
    }

    /// As [`Target::resolve`], where nothing else was typed.
    #[cfg(test)]
    pub fn parse(url: &str) -> Result<Target, Failure> {
        Target::resolve(url, &Security::default(), &Upgrade::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_resolve_to_what_the_upgrade_needs() {
        let target = Target::parse("ws://127.0.0.1:9001/echo?a=b").expect("good");
        assert_eq!(target.address, "127.0.0.1:9001".parse().expect("address"));
        let request = String::from_utf8(target.request.with_key("")).expect("text");
        let head = "GET /echo?a=b HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n";
        assert!(request.starts_with(head), "{request}");
        let target = Target::parse("tcp://[::1]:7").expect("good");
        assert_eq!(target.address, "[::1]:7".parse().expect("address"));
        assert_eq!(target.scheme, Scheme::PlainTcp);
        assert!(target.tls.is_none());
    }

    #[test]
    fn tls_is_for_wss_and_where_it_is_asked_for() {
        let insecure = Security { insecure: true, ..Security::default() };
        let asked = Security { tls: true, ..insecure.clone() };
        let upgrade = Upgrade::default();
        let target = Target::resolve("wss://127.0.0.1/", &insecure, &upgrade).expect("good");
        assert!(target.tls.is_some() && target.address.port() == 443);
        for url in ["ws://127.0.0.1:1/", "tcp://127.0.0.1:1"] {
            assert!(Target::resolve(url, &asked, &upgrade).expect("good").tls.is_some(), "{url}");
            let failure =
                Target::resolve(url, &insecure, &upgrade).expect_err("no TLS to speak of");
            assert!(failure.to_string().contains("--tls"), "{failure}");
        }
    }

    #[test]
    fn what_is_no_url_of_ours_is_refused() {
        for url in ["", "127.0.0.1:9001", "http://a/", "wss:///x", "tcp://127.0.0.1", "ws:///x"] {
            assert!(matches!(Target::parse(url), Err(Failure::Usage(_))), "{url}");
        }
    }
}
