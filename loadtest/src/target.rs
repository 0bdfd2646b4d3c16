//! Where a run goes to: the URL, resolved once.
//! Not the connection itself; that is `generator::dial`.

use std::net::{SocketAddr, ToSocketAddrs};

use tungstenite::http::Uri;

use crate::error::Failure;

/// How bytes travel there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `ws://`: an upgrade, then frames both ways.
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
    /// Host and port as the `Host` header carries them.
    pub authority: String,
    /// Path and query of the upgrade request.
    pub path: String,
}

impl Target {
    /// Reads and resolves a URL such as `ws://127.0.0.1:9001/echo`.
    ///
    /// Fails with [`Failure::Usage`] on a URL that is none, has another scheme, or does not
    /// resolve.
    pub fn parse(url: &str) -> Result<Target, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("--url {url}: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("ws") => (Scheme::WebSocket, Some(80)),
            Some("tcp") => (Scheme::PlainTcp, None),
            Some("wss") => return Err(wrong("wss:// is not supported yet; use ws://")),
            _ => return Err(wrong("the scheme must be ws:// or tcp://")),
        };
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
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Target { url: url.to_owned(), scheme, address, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_resolve_to_what_the_upgrade_needs() {
        let target = Target::parse("ws://127.0.0.1:9001/echo?a=b").expect("good");
        assert_eq!(target.address, "127.0.0.1:9001".parse().expect("address"));
        assert_eq!(
            (target.authority.as_str(), target.path.as_str()),
            ("127.0.0.1:9001", "/echo?a=b")
        );
        let target = Target::parse("tcp://[::1]:7").expect("good");
        assert_eq!(target.address, "[::1]:7".parse().expect("address"));
        assert_eq!((target.scheme, target.authority.as_str()), (Scheme::PlainTcp, "[::1]:7"));
    }

    #[test]
    fn what_is_no_url_of_ours_is_refused() {
        for url in ["", "127.0.0.1:9001", "http://a/", "wss://a/", "tcp://127.0.0.1", "ws:///x"] {
            assert!(matches!(Target::parse(url), Err(Failure::Usage(_))), "{url}");
        }
    }
}
