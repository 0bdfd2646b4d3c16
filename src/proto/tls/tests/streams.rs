//! What honest ends say to each other arrives, however it is cut, under every cipher and key.
//! Not what else may come: see `refusals`.

#[cfg(test)]
use std::io::{Read, Write};

use proptest::prelude::*;

use super::*;
use crate::proto::tls::record::{ALERT, HEADER};
use crate::proto::tls::traffic::{RECORDS_PER_KEY, Traffic};

#[test]
fn every_cipher_suite_carries_data_both_ways_in_pieces_of_any_size() {
    let suites = suites();
    assert_eq!(suites.len(), 6);
    for suite in suites {
        let world = only(suite);
        for pieces in [1, 2, 3, 5, 6, 7, 100, 1_400, 16_384, 65_536] {
            let mut line = Line::open(&world, pieces);
            for length in [0, 1, 125, 16_383, 16_384, 16_385, 50_000] {
                let data = noise(length);
                assert_eq!(line.say(&data), data, "{suite:?}, {pieces}");
                let (first, second) = data.split_at(length / 3);
                assert_eq!(line.answer(&[first, &[], second]), data, "{suite:?}, {pieces}");
            }
            assert!(line.held.is_empty() && line.end.is_none());
        }
    }
}

#[test]
fn a_client_that_comes_back_resumes() {
    for (world, [full, resumed]) in one_of_each_version()
        .iter()
        .zip([[Handshake::Full12, Handshake::Resumed12], [Handshake::Full13, Handshake::Resumed13]])
    {
        let mut line = Line::open(world, 4096);
        assert_eq!(line.answer(&[b"hello"]), b"hello");
        assert_eq!(line.handshake, Some(full));
        let mut line = Line::open(world, 4096);
        assert_eq!(line.handshake, Some(resumed));
        assert_eq!(line.say(b"again"), b"again");
    }
}

#[test]
fn data_may_come_with_the_last_of_the_handshake_and_with_the_end() {
    for world in one_of_each_version() {
        for pieces in [1, 65_536] {
            let mut line = Line::new(&world, pieces);
            line.client.writer().write_all(b"early bird").unwrap();
            let mut heard = line.pump();
            heard.extend(line.pump());
            line.client.writer().write_all(b" and late").unwrap();
            line.client.send_close_notify();
            heard.extend(line.pump());
            assert_eq!(heard, b"early bird and late");
            assert_eq!(line.end, Some(End::Closed));
        }
    }
}

#[test]
fn keys_are_updated_whichever_end_likes() {
    let [_, world] = one_of_each_version();
    for pieces in [1, 65_536] {
        let mut line = Line::open(&world, pieces);
        for round in 0..30 {
            line.client.refresh_traffic_keys().unwrap();
            let data = noise(round);
            assert_eq!(line.say(&data), data);
            assert_eq!(line.answer(&[&data]), data);
            assert!(line.session.traffic().write.sequence <= 1);
        }
        assert_eq!(line.end, None);
    }
}

#[test]
fn a_key_is_replaced_before_it_is_worn() {
    for suite in suites().into_iter().filter(|suite| suite.tls13().is_some()) {
        let mut line = Line::open(&only(suite), 65_536);
        line.session.traffic().write.sequence = RECORDS_PER_KEY - 1;
        let mut lengths = [0; 3];
        for length in &mut lengths {
            let mut wire = Vec::new();
            line.session.seal([&b"x"[..]], &mut wire).unwrap();
            *length = wire.len();
        }
        let data = HEADER + 1 + 1 + 16;
        let is_gcm = format!("{:?}", suite.suite()).contains("GCM");
        let update = if is_gcm { HEADER + 5 + 1 + 16 } else { 0 };
        assert_eq!(lengths, [data, update + data, data], "{suite:?}");
    }
}

#[test]
fn many_requests_for_a_new_key_get_one_answer() {
    let [_, world] = one_of_each_version();
    let mut line = Line::open(&world, 65_536);
    for _ in 0..10 {
        line.client.refresh_traffic_keys().unwrap();
        line.pump();
    }
    let mut wire = Vec::new();
    line.session.seal([&b"x"[..]], &mut wire).unwrap();
    let update = HEADER + 5 + 1 + 16;
    assert_eq!(wire.len(), update + HEADER + 1 + 1 + 16);
}

#[test]
fn alerts_that_mean_nothing_are_passed_over() {
    for world in one_of_each_version() {
        let mut line = Line::open(&world, 65_536);
        let wire = forge(&mut line, ALERT, &[1, 90]);
        line.bring(&wire);
        line.session.traffic().read.sequence -= 1;
        assert_eq!(line.say(b"go on"), b"go on");
    }
}

#[test]
fn the_last_word_is_close_notify() {
    for world in one_of_each_version() {
        let mut line = Line::open(&world, 65_536);
        let mut wire = Vec::new();
        line.session.seal([&b"bye"[..]], &mut wire).unwrap();
        line.session.finish(&mut wire);
        let length = wire.len();
        line.session.finish(&mut wire);
        assert_eq!(wire.len(), length, "it is said once");
        line.hear(&wire);
        assert_eq!(line.heard, b"bye");
        assert_eq!(line.client.reader().read(&mut [0]).unwrap(), 0, "and not cut short");
    }
}

#[test]
fn what_an_idle_connection_keeps_is_small() {
    assert!(size_of::<Traffic>() <= 232, "{} bytes", size_of::<Traffic>());
    assert!(size_of::<Session>() <= 16, "{} bytes", size_of::<Session>());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn however_a_stream_is_cut_it_is_the_same(
        is_new in any::<bool>(),
        messages in prop::collection::vec(0usize..40_000, 1..6),
        cuts in prop::collection::vec(1usize..20_000, 1..20),
        updates in any::<u8>(),
    ) {
        let [old, new] = one_of_each_version();
        let mut line = Line::open(if is_new { &new } else { &old }, 65_536);
        let mut expected = Vec::new();
        let mut wire = Vec::new();
        for (at, length) in messages.iter().enumerate() {
            if is_new && updates >> at & 1 == 1 {
                line.client.refresh_traffic_keys().unwrap();
            }
            let data = noise(*length);
            line.client.writer().write_all(&data).unwrap();
            wire.extend(line.outgoing());
            expected.extend(data);
        }
        let mut heard = Vec::new();
        let mut rest = &wire[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            heard.extend(line.bring(now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&line.end, &None);
        prop_assert!(heard == expected && line.held.is_empty());
    }
}
