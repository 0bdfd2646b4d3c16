//! Autobahn's 301 cases for plain WebSocket, its groups 1 to 7, 9 and 10, by number.
//! Not Autobahn: the rows are this project's own, and ask for exact bytes where it asks for less.

mod closing;
mod fragments;
mod framing;
mod limits;
mod utf8;

use crate::case::{Case, Cut};
use crate::wire::Stage;

/// The longest message of group 9.
const LARGEST: usize = 16 << 20;

/// Cases that send more are not sent byte by byte.
const LONG: usize = 2_000;

/// Cases that send more are not cut at every place.
const SMALL: usize = 160;

/// How many cases each group has, in Autobahn's order.
const GROUPS: [(&str, usize); 44] = [
    ("1.1", 8),
    ("1.2", 8),
    ("2", 11),
    ("3", 7),
    ("4.1", 5),
    ("4.2", 5),
    ("5", 20),
    ("6.1", 3),
    ("6.2", 4),
    ("6.3", 2),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 11),
    ("6.7", 4),
    ("6.8", 2),
    ("6.9", 4),
    ("6.10", 3),
    ("6.11", 5),
    ("6.12", 8),
    ("6.13", 5),
    ("6.14", 10),
    ("6.15", 1),
    ("6.16", 3),
    ("6.17", 5),
    ("6.18", 5),
    ("6.19", 5),
    ("6.20", 7),
    ("6.21", 8),
    ("6.22", 34),
    ("6.23", 7),
    ("7.1", 6),
    ("7.3", 6),
    ("7.5", 1),
    ("7.7", 13),
    ("7.9", 9),
    ("7.13", 2),
    ("9.1", 6),
    ("9.2", 6),
    ("9.3", 9),
    ("9.4", 9),
    ("9.5", 6),
    ("9.6", 6),
    ("9.7", 6),
    ("9.8", 6),
];

/// All but group 9, whose messages are large.
fn usual_cases() -> Vec<Case> {
    let mut cases = framing::cases();
    cases.extend(fragments::cases());
    cases.extend(utf8::cases());
    cases.extend(closing::cases());
    cases.push(limits::auto_fragmented());
    cases
}

/// The cases that send at most so many bytes, each in one cut after the other.
fn cut(limit: usize, cuts: impl Fn(&Case) -> Vec<Cut>) -> Vec<crate::wire::Plan> {
    let cases = usual_cases();
    let short = cases.iter().filter(|case| case.length() <= limit);
    short.flat_map(|case| cuts(case).into_iter().map(|cut| case.plan(cut))).collect()
}

#[test]
fn every_number_of_the_groups_is_there_once() {
    let mut wanted: Vec<String> = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |n| format!("{group}.{n}")))
        .collect();
    wanted.push("10.1.1".to_owned());
    assert_eq!(wanted.len(), 301);
    let cases = usual_cases().into_iter().chain(limits::cases());
    let mut found: Vec<String> = cases.map(|case| case.name).collect();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[test]
fn usual_cases_pass_in_whole_frames() {
    Stage::new(LARGEST).play(cut(usize::MAX, |_| vec![Cut::Own, Cut::Whole]));
}

#[test]
fn usual_cases_pass_one_byte_at_a_time() {
    Stage::new(LARGEST).play(cut(LONG, |_| vec![Cut::Bytes]));
}

#[test]
fn small_cases_pass_at_every_split_point() {
    Stage::new(LARGEST).play(cut(SMALL, |case| (1..case.length()).map(Cut::At).collect()));
}

/// One at a time, since each fills memory on both sides.
#[test]
fn large_messages_pass_whole_and_in_fragments() {
    let mut stage = Stage::new(LARGEST);
    for case in limits::large() {
        stage.play([case.plan(Cut::Own)]);
    }
}

#[test]
fn chopped_messages_and_thousands_of_round_trips_pass() {
    let cases = limits::chopped().into_iter().chain(limits::round_trips());
    Stage::new(LARGEST).play(cases.map(|case| case.plan(Cut::Own)).collect::<Vec<_>>());
}
