//! Group 5: messages in fragments, controls between them, and continuations of nothing.
//! Not for UTF-8 across fragments.

use crate::case::Case;
use crate::harness::frame::{PING, PONG, TEXT};

const ONE: &[u8] = b"fragment1";
const TWO: &[u8] = b"fragment2";

/// A text message begins, and more of it follows.
const BEGIN: u8 = 0x01;
/// More of a message, which goes on.
const GO_ON: u8 = 0x00;
/// The last of a message.
const END: u8 = 0x80;

/// The cases of group 5, all about section 5.4.
pub fn cases() -> Vec<Case> {
    let case = |n: u8| Case::new(format!("5.{n}"), "5.4");
    let fragmented = |n: u8, control: u8| {
        Case::new(format!("5.{n}"), "5.5").frame(control & 0x0f, ONE).frame(END, TWO).fails(1002)
    };
    let in_two = |n: u8| case(n).fragments(TEXT, &[ONE, TWO]).closes();
    let with_ping = |n: u8| {
        let begun = case(n).frame(BEGIN, ONE).ping(b"ping payload");
        begun.frame(END, TWO).reply(TEXT, &[ONE, TWO].concat()).closes()
    };
    let of_nothing = |n: u8, first: u8| {
        let wrong = case(n).frame(first, b"non-continuation payload");
        wrong.frame(TEXT, b"Hello, world!").fails(1002)
    };
    let twice = |n: u8, first: u8| {
        let mut case = case(n);
        for _ in 0..2 {
            case = case.frame(first, ONE).frame(BEGIN, TWO).frame(END, b"fragment3");
        }
        case.fails(1002)
    };
    vec![
        fragmented(1, PING),
        fragmented(2, PONG),
        in_two(3),
        in_two(4),
        in_two(5).chopped(1),
        with_ping(6),
        with_ping(7),
        with_ping(8).chopped(1),
        of_nothing(9, END),
        of_nothing(10, END),
        of_nothing(11, END).chopped(1),
        of_nothing(12, GO_ON),
        of_nothing(13, GO_ON),
        of_nothing(14, GO_ON).chopped(1),
        case(15)
            .fragments(TEXT, &[ONE, TWO])
            .frame(GO_ON, b"fragment3")
            .frame(TEXT, b"fragment4")
            .fails(1002),
        twice(16, GO_ON),
        twice(17, END),
        case(18).frame(BEGIN, ONE).frame(TEXT, TWO).fails(1002),
        in_five(case(19)),
        in_five(case(20)),
    ]
}

/// The first ping is answered long before the message ends.
fn in_five(case: Case) -> Case {
    let begun = case.frame(BEGIN, ONE).frame(GO_ON, TWO).ping(b"pongme 1!").wait();
    let more = begun.frame(GO_ON, b"fragment3").frame(GO_ON, b"fragment4").ping(b"pongme 2!");
    let all = b"fragment1fragment2fragment3fragment4fragment5";
    more.frame(END, b"fragment5").reply(TEXT, all).closes()
}
