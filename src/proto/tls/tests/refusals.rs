//! What has no place is refused, bounded and told; whatever comes, nothing panics.
//! Not what honest ends say: see `streams`.

#[cfg(test)]
use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::proto::tls::record::{ALERT, DATA, FRAGMENT, HEADER, PAYLOAD};
use crate::proto::tls::shaking::HANDSHAKE_LIMIT;
use crate::proto::tls::traffic::{
    BARREN_LIMIT, BYTES_PER_UPDATE, TLS12_ENOUGH, TLS12_RECORDS, UPDATES,
};

/// What a client that asks for a new key ten times and is sent nothing meanwhile gets.
#[test]
fn requests_for_new_keys_without_data_are_bounded() {
    let [_, world] = one_of_each_version();
    let mut line = Line::open(&world, 65_536);
    for _ in 0..=BARREN_LIMIT {
        assert_eq!(line.end, None);
        line.client.refresh_traffic_keys().unwrap();
        line.pump();
    }
    assert_eq!(*line.failure(), Failure::Barren);
}

/// A byte between two of them would make each of them cost the server what a message is not.
#[test]
fn new_keys_are_had_for_data_and_not_for_records() {
    let [_, world] = one_of_each_version();
    let mut line = Line::open(&world, 65_536);
    let update = |line: &mut Line| {
        line.client.refresh_traffic_keys().unwrap();
        line.say(b"x")
    };
    for _ in 0..UPDATES {
        assert_eq!(update(&mut line), b"x");
    }
    // A MiB, of which the bytes behind the keys were a part, allows one more.
    let rest = noise(BYTES_PER_UPDATE as usize - UPDATES as usize);
    for part in rest.chunks(FRAGMENT) {
        line.say(part);
    }
    assert_eq!(update(&mut line), b"x");
    update(&mut line);
    assert_eq!(*line.failure(), Failure::TooManyUpdates);
}

#[test]
fn empty_records_are_bounded() {
    for world in one_of_each_version() {
        let mut line = Line::open(&world, 65_536);
        for _ in 0..=BARREN_LIMIT {
            assert_eq!(line.end, None);
            let wire = forge(&mut line, DATA, b"");
            assert_eq!(line.bring(&wire), b"");
        }
        assert_eq!(*line.failure(), Failure::Barren);
    }
}

#[test]
fn what_has_no_place_is_refused_with_the_right_alert() {
    let cases: [(u8, &[u8], [Failure; 2]); 8] = [
        (22, &[1, 0, 0, 0], [Failure::Renegotiation, Failure::UnexpectedMessage]),
        (22, &[24, 0, 0, 1, 2], [Failure::Renegotiation, Failure::Malformed]),
        (22, &[24, 0, 0, 1, 0, 24], [Failure::Renegotiation, Failure::Malformed]),
        (20, &[1], [Failure::UnexpectedMessage, Failure::UnexpectedMessage]),
        (99, &[1], [Failure::UnexpectedMessage, Failure::UnexpectedMessage]),
        (ALERT, &[2], [Failure::Malformed, Failure::Malformed]),
        (ALERT, &[2, 40], [Failure::PeerAlert(40), Failure::PeerAlert(40)]),
        (ALERT, &[2, 0, 0], [Failure::Malformed, Failure::Malformed]),
    ];
    for (kind, content, expected) in cases {
        for (world, expected) in one_of_each_version().iter().zip(expected) {
            let mut line = Line::open(world, 65_536);
            let wire = forge(&mut line, kind, content);
            assert_eq!(line.bring(&wire), b"");
            assert_eq!(*line.failure(), expected, "{kind} {content:?}");
            assert!(line.session.seal([&b"x"[..]], &mut Vec::new()).is_err(), "keys are gone");
        }
    }
}

#[test]
fn a_bit_that_was_changed_anywhere_is_noticed_and_said() {
    for world in one_of_each_version() {
        let mut line = Line::open(&world, 65_536);
        line.client.writer().write_all(b"to be changed").unwrap();
        let wire = line.outgoing();
        for at in HEADER..wire.len() {
            let mut line = Line::open(&world, 7);
            line.client.writer().write_all(b"to be changed").unwrap();
            let mut wire = line.outgoing();
            wire[at] ^= 1;
            assert_eq!(line.bring(&wire), b"");
            assert_eq!(*line.failure(), Failure::BadRecordMac, "byte {at}");
            let alert = rustls::AlertDescription::BadRecordMac;
            assert_eq!(line.client_failure, Some(rustls::Error::AlertReceived(alert)));
        }
    }
}

#[test]
fn records_out_of_order_or_twice_are_noticed() {
    for world in one_of_each_version() {
        let mut line = Line::open(&world, 65_536);
        line.client.writer().write_all(b"once").unwrap();
        let wire = line.outgoing();
        assert_eq!(line.bring(&wire), b"once");
        assert_eq!(line.bring(&wire), b"");
        assert_eq!(*line.failure(), Failure::BadRecordMac);
    }
}

#[test]
fn a_record_that_says_it_is_too_long_is_refused_before_it_comes() {
    let too_long = (PAYLOAD as u16 + 1).to_be_bytes();
    for world in one_of_each_version() {
        for pieces in [1, 65_536] {
            let mut line = Line::open(&world, pieces);
            line.bring(&[23, 3, 3, too_long[0], too_long[1]]);
            assert_eq!(*line.failure(), Failure::RecordOverflow);
            let mut line = Line::new(&world, pieces);
            line.bring(&[22, 3, 1, too_long[0], too_long[1]]);
            assert_eq!(*line.failure(), Failure::RecordOverflow);
        }
        // The longest that there may be.
        let mut line = Line::open(&world, 65_536);
        let wire = forge(&mut line, DATA, &noise(FRAGMENT));
        assert_eq!(line.bring(&wire).len(), FRAGMENT);
    }
}

#[test]
fn a_handshake_is_bounded() {
    let [_, world] = one_of_each_version();
    let mut line = Line::new(&world, 65_536);
    // A message that says it is as long as can be, in records that are.
    let mut content = vec![1, 0, 0xff, 0xff];
    content.resize(FRAGMENT, 0);
    let [high, low] = (FRAGMENT as u16).to_be_bytes();
    let record = [&[22, 3, 1, high, low][..], &content].concat();
    let mut sent = 0;
    while line.end.is_none() && sent < 10 * HANDSHAKE_LIMIT {
        line.bring(&record);
        sent += record.len();
        assert!(line.held.len() <= HANDSHAKE_LIMIT + FRAGMENT);
    }
    // The message is not whole then: it is the limit that ends it.
    assert_eq!(*line.failure(), Failure::HandshakeTooLong);
    assert!(sent <= HANDSHAKE_LIMIT + 2 * FRAGMENT, "{sent}");
    assert!(line.held.capacity() == 0);
}

#[test]
fn a_handshake_stops_after_any_record_where_its_turn_ends_and_loses_nothing() {
    for world in one_of_each_version() {
        let mut line = Line::new(&world, 65_536);
        let hello = line.outgoing();
        line.turns = vec![false].into_iter();
        line.bring(&hello);
        assert!(line.is_postponed && line.session.is_fresh() && line.held == hello);
        line.bring(&[]);
        assert!(!line.is_postponed && !line.session.is_fresh() && line.held.is_empty());

        let mut line = Line::new(&world, 65_536);
        let hello = line.outgoing();
        let records: Vec<u8> =
            hello[HEADER..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
        line.turns = vec![true, true, true, false, true, false].into_iter();
        line.bring(&records);
        assert!(line.is_postponed && line.held.len() > records.len() / 2);
        line.bring(&[]);
        assert!(line.is_postponed && line.turns.len() == 0, "one record more");
        line.bring(&[]);
        for _ in 0..8 {
            line.pump();
        }
        assert_eq!(line.say(b"all there"), b"all there");
    }
}

#[test]
fn what_is_no_tls_is_told_from_what_is_http() {
    let [_, world] = one_of_each_version();
    for pieces in [1, 100] {
        let mut line = Line::new(&world, pieces);
        line.bring(b"GET / HTTP/1.1\r\n");
        assert_eq!(line.end, Some(End::PlainHttp));
        let mut line = Line::new(&world, pieces);
        line.bring(b"\x80\x2e\x01\x00\x02");
        assert_eq!(*line.failure(), Failure::NotTls);
    }
}

#[test]
fn a_handshake_that_fails_tells_the_client_why() {
    let [_, world] = one_of_each_version();
    let mut client = ClientConfig::clone(&world.client);
    client.alpn_protocols = vec![b"h2".to_vec()];
    let mut server = ServerConfig::clone(&world.server);
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let world = World { server: Arc::new(server), client: Arc::new(client) };
    let mut line = Line::new(&world, 65_536);
    line.pump();
    assert!(matches!(line.failure(), Failure::Handshake(_)));
    let alert = rustls::AlertDescription::NoApplicationProtocol;
    assert_eq!(line.client_failure, Some(rustls::Error::AlertReceived(alert)));
}

#[test]
fn a_client_that_trusts_another_says_so_and_is_sent_nothing_back() {
    for (ours, theirs) in one_of_each_version().into_iter().zip(one_of_each_version()) {
        let world = World { server: ours.server, client: theirs.client };
        let mut line = Line::new(&world, 65_536);
        for _ in 0..4 {
            line.pump();
        }
        // Which alert it is, is the client's affair.
        assert!(matches!(line.failure(), Failure::PeerAlert(_)), "{:?}", line.failure());
        assert!(line.failure().plain_alert().is_empty());
    }
}

#[test]
fn a_tls12_key_that_is_used_up_seals_no_more() {
    let [world, _] = one_of_each_version();
    let mut line = Line::open(&world, 65_536);
    line.session.traffic().write.sequence = TLS12_ENOUGH - 1;
    assert!(!line.session.is_nearly_exhausted());
    line.session.seal([&b"x"[..]], &mut Vec::new()).unwrap();
    assert!(line.session.is_nearly_exhausted(), "and there is room for the goodbye");
    line.session.seal([&b"x"[..]], &mut Vec::new()).unwrap();
    line.session.traffic().write.sequence = TLS12_RECORDS;
    assert_eq!(line.session.seal([&b"x"[..]], &mut Vec::new()), Err(Failure::Exhausted));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        cut in 1usize..100,
        is_open in any::<bool>(),
    ) {
        let [_, world] = one_of_each_version();
        let mut line =
            if is_open { Line::open(&world, cut) } else { Line::new(&world, cut) };
        let mut wire = vec![if is_open { 23 } else { 22 }, 3, 3, 0];
        wire.extend(bytes);
        prop_assert_eq!(line.bring(&wire), b"");
        prop_assert!(line.held.len() <= wire.len());
        // What the server would catch.
        prop_assert!(!matches!(line.end, Some(End::Failed(Failure::Internal(_)))));
    }
}
