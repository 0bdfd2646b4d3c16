//! What comes before a TLS handshake is done: judged alike however it is cut, within its limits, and
//! never a panic of rustls, which the server would catch.
//! Not what a good handshake comes to: the unit tests shake hands with a client.

use std::sync::{Arc, LazyLock};

use pulsewheel::proto::tls::{End, Failure, Identity, Session};

use super::script::Script;

/// What a peer may have held of it before its handshake is given up, with a record on top.
const MOST: usize = 64 * 1024 + 5 + 16_640;

/// Without a certificate every hello is read to its end, and none is answered but by an alert: what
/// is random in an answer could not be compared.
static IDENTITY: LazyLock<Identity> =
    LazyLock::new(|| Identity::new(&[]).expect("the system has random numbers"));

/// The script: how long pieces are, and what comes.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let pieces = usize::from(script.word() % 600) + 1;
    let bytes = script.rest();
    assert_eq!(feed(bytes, bytes.len().max(1)), feed(bytes, pieces), "in pieces of {pieces}");
}

/// What became of it, in words, and what is sent back.
fn feed(bytes: &[u8], pieces: usize) -> (String, Vec<u8>) {
    let (mut session, mut held, mut wire) = (Session::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(pieces) {
        let mut piece = piece.to_vec();
        let out =
            session.unseal(&mut held, &mut piece, || Arc::clone(&IDENTITY.current()), || true);
        assert!(out.first.is_empty() && out.plain.is_empty() && out.handshake.is_none());
        assert!(held.len() <= MOST, "{} bytes are held", held.len());
        wire.extend(out.wire);
        if let Some(end) = out.end {
            let is_internal = matches!(end, End::Failed(Failure::Internal(_)));
            assert!(!is_internal, "{end:?}");
            assert!(held.capacity() == 0 && !session.is_open());
            return (format!("{end:?}"), wire);
        }
    }
    assert!(session.is_shaking() && wire.is_empty());
    (format!("{} bytes are held", held.len()), wire)
}
