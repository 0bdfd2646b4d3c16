//! What proxies say of their clients: PROXY headers and chains of addresses, good ones with slips
//! and noise.
//! Not what must come of them: `bodies::proxy_header` and `bodies::forwarded` say that.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::bodies;

const LINE: &[u8] = b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\nGET / HTTP/1.1\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xcb\0\x71\x09\x7f\0\0\x01\x04\xd2\0\x50\x04\0\0GET /";

/// A header with slips: a byte replaced, put in or taken out.
fn slipped(header: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![prop::sample::select(&b"\r\n 0259.:P\0\x21"[..]), any::<u8>()];
    vec((any::<prop::sample::Index>(), 0..3, byte), 0..4).prop_map(move |slips| {
        let mut header = header.to_vec();
        for (at, how, byte) in slips {
            let at = at.index(header.len());
            match how {
                0 => header[at] = byte,
                1 => header.insert(at, byte),
                _ => drop(header.remove(at)),
            }
        }
        header
    })
}

fn script(how: u8, cuts: [u8; 6], rest: Vec<u8>) -> Vec<u8> {
    [vec![how], cuts.to_vec(), rest].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn headers_with_slips_are_read_as_a_plain_reader_reads_them(
        cuts in any::<[u8; 6]>(), line in slipped(LINE), binary in slipped(BINARY),
    ) {
        bodies::proxy_header::run(&script(0, cuts, line));
        bodies::proxy_header::run(&script(0, cuts, binary));
    }

    #[test]
    fn headers_of_words_and_fields_at_random_are_read_alike_wherever_they_are_cut(
        how in 1..3u8, cuts in any::<[u8; 6]>(), rest in vec(any::<u8>(), 0..60),
    ) {
        bodies::proxy_header::run(&script(how, cuts, rest));
    }

    #[test]
    fn noise_is_no_header_or_waited_for_within_its_limit(noise in vec(any::<u8>(), 0..300)) {
        bodies::proxy_header::run(&noise);
    }

    #[test]
    fn chains_are_read_as_a_plain_reader_reads_them(chain in vec(any::<u8>(), 0..40)) {
        bodies::forwarded::run(&chain);
    }
}
