//! Tests of the outbox: order, bounds, what may be dropped, what is charged.
//! Not for the policies, which those who push have.

use super::*;
use bytes::Bytes;

fn own(bytes: &'static [u8]) -> Frame {
    Frame::own(Bytes::from_static(bytes))
}

fn unsent(outbox: &Outbox) -> Vec<u8> {
    let mut parts = Vec::new();
    outbox.parts(&mut parts, 64);
    parts.iter().flat_map(|part| part.iter().copied()).collect()
}

#[test]
fn control_frames_enter_at_a_frame_boundary_and_bytes_leave_in_order() {
    let budget = Budget::new(1 << 20);
    let whole = b"firstPINGsecondthird";
    for cut in 0..=whole.len() {
        let mut outbox = Outbox::default();
        outbox.push_rest(own(b"XXfirst"), 2, true, Tick(1), &budget);
        outbox.push(own(b"second"), true, Tick(2), &budget);
        outbox.push(own(b"third"), true, Tick(3), &budget);
        outbox.push_control(b"PING", Tick(4));
        assert_eq!(outbox.bytes(), whole.len());
        assert_eq!(unsent(&outbox), whole);
        outbox.taken(cut, &budget);
        assert_eq!(unsent(&outbox), &whole[cut..]);
        assert_eq!(outbox.bytes(), whole.len() - cut);
        assert_eq!(outbox.control_is_out(), cut >= 9);
        outbox.clear(&budget);
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn dropping_spares_what_is_partly_written_and_what_is_not_data() {
    let budget = Budget::new(1 << 20);
    let mut outbox = Outbox::default();
    outbox.push_rest(own(b"partly"), 1, true, Tick(1), &budget);
    outbox.push(own(b"old"), true, Tick(2), &budget);
    outbox.push(own(b"close"), false, Tick(2), &budget);
    outbox.push(own(b"new"), true, Tick(9), &budget);
    assert_eq!(outbox.drop_overdue(Tick(2), &budget), 1);
    assert_eq!(unsent(&outbox), b"artlyclosenew");
    assert_eq!(outbox.drop_oldest(5, 15, &budget), 1);
    assert_eq!(unsent(&outbox), b"artlyclose");
    assert_eq!(outbox.oldest(), Some(Tick(1)));
}

/// The longest pong there is, and how it can be told from others.
fn pong(number: u8) -> Vec<u8> {
    let mut frame = vec![number; 127];
    frame[..2].copy_from_slice(&[PONG, 125]);
    frame
}

#[test]
fn the_control_lane_is_bounded_and_keeps_the_most_recent() {
    let budget = Budget::new(1 << 20);
    let mut outbox = Outbox::default();
    outbox.push_control(&pong(0), Tick(0));
    outbox.taken(1, &budget);
    let ping = [0x89, 0];
    for number in 1..=100 {
        outbox.push_control(&pong(number), Tick(0));
        if number == 50 {
            outbox.push_control(&ping, Tick(0));
        }
    }
    let expected = [&pong(0)[1..], &ping, &pong(99), &pong(100)].concat();
    assert_eq!(unsent(&outbox), expected, "what is partly written and the ping stay");
    assert_eq!(outbox.bytes(), expected.len());
    outbox.taken(expected.len(), &budget);
    assert!(outbox.is_empty() && outbox.control_is_out());
    for number in 0..4 {
        outbox.push_control(&pong(number), Tick(0));
    }
    outbox.push_control(&ping, Tick(0));
    assert!(unsent(&outbox).ends_with(&ping), "a ping finds room in a full lane");
}

#[test]
fn a_control_lane_that_never_runs_empty_does_not_grow() {
    let budget = Budget::new(1 << 20);
    let mut outbox = Outbox::default();
    for number in 0..100 {
        outbox.push_control(&pong(number), Tick(0));
        outbox.taken(outbox.bytes() - 1, &budget);
        assert!(outbox.control.len() <= CONTROL_LANE, "{} bytes", outbox.control.len());
    }
    for number in 100..103 {
        outbox.push_control(&pong(number), Tick(0));
    }
    let expected = [&[99][..], &pong(100), &pong(101), &pong(102)].concat();
    assert_eq!(unsent(&outbox), expected, "what has left takes no room");
}

#[test]
fn what_is_compressed_as_it_leaves_is_bound_and_what_waits_may_still_be_dropped() {
    let budget = Budget::new(1 << 20);
    let mut outbox = Outbox::default();
    outbox.push_rest(own(b"begun"), 1, true, Tick(1), &budget);
    for frame in [&b"one"[..], b"two", b"three", b"four"] {
        outbox.push(own(frame), true, Tick(2), &budget);
    }
    outbox.push_control(b"\x89\x00", Tick(3));
    let mut seen = Vec::new();
    let mut settle = |outbox: &mut Outbox, ahead: usize| {
        outbox.settle(ahead, &budget, |frame| {
            seen.push(frame.to_vec());
            (frame != b"two").then(|| own(b"!"))
        })
    };
    // What has begun to leave, "one" and "two" reach so far; the ping is a part too.
    assert_eq!(settle(&mut outbox, 8), 4);
    assert_eq!(settle(&mut outbox, 8), 4, "nothing is shown twice");
    assert_eq!(seen, [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(unsent(&outbox), b"egun\x89\x00!twothreefour");
    assert_eq!(outbox.bytes(), 19);
    assert_eq!(outbox.held() as u64, budget.used() + 2, "the ping is not charged");
    assert_eq!(outbox.drop_overdue(Tick(9), &budget), 3);
    assert_eq!(unsent(&outbox), b"egun\x89\x00!");
    assert_eq!(outbox.taken(outbox.bytes(), &budget), 2);
    assert_eq!((outbox.bytes(), budget.used()), (0, 0));
}

#[test]
fn a_shared_frame_is_charged_once() {
    let budget = Budget::new(1 << 20);
    let frame = Frame::shared(Bytes::from_static(b"0123456789"));
    let mut outboxes: Vec<Outbox> = (0..5).map(|_| Outbox::default()).collect();
    for outbox in &mut outboxes {
        outbox.push(frame.clone(), true, Tick(0), &budget);
    }
    let place = BOOKKEEPING as u64;
    assert_eq!(budget.used(), 10 + 5 * place);
    for outbox in outboxes.iter_mut().take(4) {
        outbox.taken(10, &budget);
    }
    assert_eq!(budget.used(), 10 + place);
    outboxes[4].clear(&budget);
    assert_eq!(budget.used(), 0);
}

/// Else the budget could be overspent with nobody above its share of it, whom to shed.
#[test]
fn what_is_held_is_never_less_than_what_is_charged() {
    let budget = Budget::new(1 << 20);
    let mut outbox = Outbox::default();
    outbox.push(own(b"0123456789"), true, Tick(0), &budget);
    outbox.push(own(b""), true, Tick(0), &budget);
    outbox.push(own(b"01234"), true, Tick(0), &budget);
    for _ in 0..15 {
        assert_eq!(outbox.held() as u64, budget.used());
        outbox.taken(1, &budget);
    }
    assert_eq!((outbox.held(), budget.used()), (0, 0));
}
