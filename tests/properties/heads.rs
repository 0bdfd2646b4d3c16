//! Request heads for the server's port and for the admin port: good ones with slips, lines put
//! together at random, and noise.
//! Not what must come of them: `bodies::http_head` and `bodies::admin_request` say that.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::bodies;

const HANDSHAKE: &str = "GET /echo?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\nrest";

const PUBLISH: &str = "POST /publish?path=/broadcast HTTP/1.1\r\nHost: a\r\n\
    Authorization: Bearer s3cret\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 5\r\n\r\nhello";

/// Bytes that mean something in a head, and any.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(&b"\r\n :,;=?/\t\0\x7f10"[..]), any::<u8>()]
}

/// A head with slips: a byte replaced, put in or taken out.
fn slipped(head: &'static str) -> impl Strategy<Value = Vec<u8>> {
    vec((any::<prop::sample::Index>(), 0..3, byte()), 0..4).prop_map(move |slips| {
        let mut head = head.as_bytes().to_vec();
        for (at, how, byte) in slips {
            let at = at.index(head.len());
            match how {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                _ => drop(head.remove(at)),
            }
        }
        head
    })
}

fn script(before: Vec<u8>, head: Vec<u8>) -> Vec<u8> {
    [before, head].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_handshake_with_slips_is_answered_in_http(
        cuts in any::<[u8; 6]>(), head in slipped(HANDSHAKE),
    ) {
        bodies::http_head::run(&script([&[0], &cuts[..]].concat(), head));
    }

    #[test]
    fn heads_of_lines_at_random_are_answered_in_http(
        cuts in any::<[u8; 6]>(), lines in vec(any::<u8>(), 0..60),
    ) {
        bodies::http_head::run(&script([&[1], &cuts[..]].concat(), lines));
    }

    #[test]
    fn a_handshake_in_any_order_is_upgraded_unless_it_lacks_something(
        order in Just((1..6u8).collect::<Vec<_>>()).prop_shuffle(), more in vec(14..40u8, 0..3),
    ) {
        let lines = [vec![0], order, more, vec![6]].concat();
        bodies::http_head::run(&script(vec![1, 9, 0, 99, 0, 200, 0], lines));
    }

    #[test]
    fn a_request_to_publish_with_slips_passes_no_bound(
        ways in 0..2u8, cuts in any::<[u8; 4]>(), head in slipped(PUBLISH),
    ) {
        bodies::admin_request::run(&script([&[ways], &cuts[..]].concat(), head));
    }

    #[test]
    fn admin_requests_of_lines_at_random_pass_no_bound(
        ways in 2..4u8, cuts in any::<[u8; 4]>(), lines in vec(any::<u8>(), 0..60),
    ) {
        bodies::admin_request::run(&script([&[ways], &cuts[..]].concat(), lines));
    }

    #[test]
    fn noise_is_never_a_request(noise in vec(any::<u8>(), 0..300)) {
        bodies::http_head::run(&noise);
        bodies::admin_request::run(&noise);
    }
}
