//! The completion driver over a ring that answers what a test tells it to.
//! Not for whole lives of connections, which the simulator runs over a ring of its own.

use bytes::Bytes;

use super::*;
use crate::io::completion::ring::RingCounts;
use crate::proto::Peer;

const A: Token = Token { index: 0, generation: 0 };
const B: Token = Token { index: 1, generation: 0 };
const C: Token = Token { index: 2, generation: 0 };

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Accept { waits: bool },
    Receive(Token),
    Send(u32, Vec<u8>),
    Room(Token),
    End(Token),
    Cancel(Id),
    Abort(File),
    Close(File),
}

/// A ring by a script.
#[derive(Default)]
struct Script {
    asked: Vec<Asked>,
    answers: VecDeque<Completion>,
    /// Answers that each of the next waits and submissions brings.
    to_come: VecDeque<Vec<Completion>>,
    waits: usize,
    recycled: usize,
    room: usize,
    is_listening: bool,
    /// What sends that are not gathered come to, and receives beside the pool.
    sends: VecDeque<io::Result<usize>>,
    received: VecDeque<Vec<u8>>,
}

impl Ring for Script {
    fn now(&mut self) -> u64 {
        0
    }

    fn push(&mut self, id: Id, op: Op<'_>) {
        self.asked.push(match (id, op) {
            (_, Op::Accept { waits, .. }) => Asked::Accept { waits },
            (Id::Receive(token), Op::Receive(_)) => Asked::Receive(token),
            (Id::Send(ticket), Op::Send(_, part)) => Asked::Send(ticket, part.bytes().to_vec()),
            (Id::Room(token), Op::AwaitRoom(_)) => Asked::Room(token),
            (Id::End(token), Op::AwaitEnd(_)) => Asked::End(token),
            (Id::Chore, Op::Cancel(id)) => Asked::Cancel(id),
            (Id::Chore, Op::Abort(file)) => Asked::Abort(file),
            (Id::Chore, Op::Close(file)) => Asked::Close(file),
            (id, op) => panic!("{op:?} as {id:?}"),
        });
    }

    fn submit(&mut self) {
        self.answers.extend(self.to_come.pop_front().unwrap_or_default());
    }

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        self.waits += 1;
        self.submit();
        Ok(())
    }

    fn reap(&mut self) -> Option<Completion> {
        self.answers.pop_front()
    }

    fn recycle(&mut self, _: Chunk) {
        self.recycled += 1;
    }

    fn receive(&mut self, _: File, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.received.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn send(&mut self, _: File, _: &[IoSlice<'_>]) -> io::Result<usize> {
        self.sends.pop_front().expect("a send that the script knows of")
    }

    fn acknowledged(&mut self, _: File) -> Option<Acknowledged> {
        None
    }

    fn finish(&mut self, _: File) {}

    fn refuse(&mut self, _: File, _: &[u8]) {}

    fn room(&self) -> usize {
        self.room
    }

    fn listeners(&self) -> usize {
        1
    }

    fn close_listeners(&mut self) {
        self.is_listening = false;
    }

    fn counts(&self) -> RingCounts {
        RingCounts::default()
    }
}

type Scripted = CompletionDriver<Script>;

/// A driver with these connections, whose receives have been asked for; their files are their
/// slots. Nobody else may come.
fn serving(tokens: &[Token]) -> Scripted {
    let mut driver = CompletionDriver::new(Script { is_listening: true, ..Script::default() }, 8);
    for token in tokens {
        driver.doors.accepted = Some(File(token.index));
        driver.adopt(*token).unwrap();
    }
    assert_eq!(asked(&mut driver), tokens.iter().copied().map(Asked::Receive).collect::<Vec<_>>());
    driver
}

/// What was asked for since the last time.
fn asked(driver: &mut Scripted) -> Vec<Asked> {
    std::mem::take(&mut driver.ring.asked)
}

fn part(owner: &Bytes) -> Part<'_> {
    Part::new(owner, Some(owner))
}

/// The driver waits, and that comes of it.
fn wait(driver: &mut Scripted, answers: Vec<Completion>) {
    driver.ring.to_come.push_back(answers);
    driver.wait(None).unwrap();
}

fn answer(id: Id, outcome: Outcome, has_more: bool) -> Completion {
    Completion { id, outcome, has_more }
}

fn bytes(token: Token, bytes: &[u8], has_more: bool) -> Completion {
    let outcome = Outcome::Received(Chunk::new(bytes.into(), bytes.len()));
    answer(Id::Receive(token), outcome, has_more)
}

fn failed_receive(token: Token, error: i32) -> Completion {
    answer(Id::Receive(token), Outcome::Failed(error), false)
}

fn ended(token: Token) -> Completion {
    answer(Id::Receive(token), Outcome::Done(0), false)
}

/// What is handed out next, in words.
fn told(done: Option<Done>) -> String {
    match done {
        None => "nothing".into(),
        Some(Done::Accepted(_)) => "accepted".into(),
        Some(Done::Received(token, mut chunk)) => {
            format!("{} {}", token.index, String::from_utf8_lossy(chunk.bytes()))
        }
        Some(Done::Sent(token, _)) => format!("{} has room", token.index),
        Some(Done::Ended(token, ending)) => format!("{} {ending:?}", token.index),
    }
}

fn next(driver: &mut Scripted) -> String {
    let done = driver.next();
    told(done)
}

fn look(driver: &mut Scripted, token: Token) -> String {
    let done = driver.look(token);
    told(done)
}

#[test]
fn a_connection_has_one_receive_however_often_it_is_turned_on() {
    let mut driver = serving(&[A]);
    driver.receive(A, true);
    driver.receive(A, true);
    wait(&mut driver, vec![bytes(A, b"one", true), bytes(A, b"two", true)]);
    driver.receive(A, true);
    assert_eq!([next(&mut driver), next(&mut driver)], ["0 one", "0 two"]);
    wait(&mut driver, vec![]);
    assert_eq!(asked(&mut driver), []);
    assert_eq!(driver.counts().requests, 1);
}

#[test]
fn who_is_turned_on_again_before_the_cancellation_is_in_is_asked_for_exactly_once_after_it() {
    let mut driver = serving(&[A]);
    driver.receive(A, false);
    driver.receive(A, false);
    assert_eq!(asked(&mut driver), [Asked::Cancel(Id::Receive(A))]);
    driver.receive(A, true);
    wait(&mut driver, vec![]);
    assert_eq!(asked(&mut driver), [], "one is still under way");
    wait(&mut driver, vec![failed_receive(A, libc::ECANCELED)]);
    driver.receive(A, true);
    assert_eq!(asked(&mut driver), [Asked::Receive(A)]);
    assert_eq!((next(&mut driver).as_str(), driver.counts().requests), ("nothing", 1));
}

#[test]
fn bytes_that_come_after_the_pause_are_handed_out_and_no_more_are_asked_for() {
    let mut driver = serving(&[A]);
    driver.receive(A, false);
    asked(&mut driver);
    wait(&mut driver, vec![bytes(A, b"late", true), failed_receive(A, libc::ECANCELED)]);
    assert_eq!([next(&mut driver), next(&mut driver)], ["0 late", "nothing"]);
    wait(&mut driver, vec![]);
    assert_eq!(asked(&mut driver), []);
    driver.receive(A, true);
    assert_eq!(asked(&mut driver), [Asked::Receive(A)]);
}

#[test]
fn a_receive_that_could_not_be_cancelled_any_more_is_asked_for_after_the_pause() {
    let mut driver = serving(&[A]);
    driver.receive(A, false);
    // It had received its share when the cancellation came.
    wait(&mut driver, vec![bytes(A, b"a share", false)]);
    wait(&mut driver, vec![answer(Id::Chore, Outcome::Failed(libc::ENOENT), false)]);
    assert_eq!(next(&mut driver), "0 a share");
    assert_eq!(asked(&mut driver), [Asked::Cancel(Id::Receive(A))]);
    driver.receive(A, true);
    wait(&mut driver, vec![]);
    assert_eq!(asked(&mut driver), [Asked::Receive(A)]);
}

#[test]
fn who_found_no_buffer_is_asked_for_in_order_and_before_a_greedy_peer_whose_share_has_ended() {
    let mut driver = serving(&[A, B, C]);
    let starved = |token| failed_receive(token, libc::ENOBUFS);
    wait(&mut driver, vec![bytes(A, b"a share", false), starved(C), starved(B)]);
    assert_eq!(asked(&mut driver), []);
    assert_eq!((next(&mut driver).as_str(), driver.counts().no_buffer), ("0 a share", 2));
    // To turn them on does not ask for them out of turn.
    driver.receive(A, true);
    driver.receive(B, true);
    wait(&mut driver, vec![]);
    assert_eq!(asked(&mut driver), [Asked::Receive(C), Asked::Receive(B), Asked::Receive(A)]);
    wait(&mut driver, vec![bytes(B, b"all", true), starved(B), starved(C)]);
    assert_eq!(asked(&mut driver), []);
    wait(&mut driver, vec![]);
    assert_eq!(asked(&mut driver), [Asked::Receive(C), Asked::Receive(B)], "B emptied them");
}

#[test]
fn what_comes_for_one_that_has_gone_reaches_nobody_and_gives_its_buffer_back() {
    let mut driver = serving(&[A]);
    wait(&mut driver, vec![bytes(A, b"queued", true)]);
    driver.close(A);
    let heir = Token { generation: 1, ..A };
    driver.doors.accepted = Some(File(5));
    driver.adopt(heir).unwrap();
    assert_eq!((next(&mut driver).as_str(), driver.ring.recycled), ("nothing", 1));
    asked(&mut driver);
    wait(&mut driver, vec![bytes(A, b"late", true), failed_receive(A, libc::ECANCELED)]);
    assert_eq!((next(&mut driver).as_str(), driver.ring.recycled), ("nothing", 2));
    let counts = driver.counts();
    assert_eq!((counts.late, counts.requests), (2, 1), "the heir's receive is left");
    wait(&mut driver, vec![bytes(heir, b"mine", true)]);
    assert_eq!((next(&mut driver).as_str(), asked(&mut driver)), ("0 mine", vec![]));
}

#[test]
fn what_a_gathered_send_did_not_take_is_told_by_its_ticket_and_nothing_overtakes_it() {
    let mut driver = serving(&[A, B]);
    let gathered = [
        driver.gather(3, A, part(&Bytes::from_static(b"short"))),
        driver.gather(4, B, part(&Bytes::from_static(b"whole"))),
    ];
    assert_eq!(gathered, [Sending::Gathered; 2]);
    let sends = [Asked::Send(3, b"short".to_vec()), Asked::Send(4, b"whole".to_vec())];
    assert_eq!(asked(&mut driver), sends);
    driver.ring.to_come.push_back(vec![answer(Id::Send(3), Outcome::Done(2), false)]);
    // The script knows of no other send: were one tried, it would panic.
    assert_eq!(driver.send(A, &[IoSlice::new(b"next")]), Sending::Pending);
    assert_eq!(driver.unsent(), Some(Unsent { ticket: 3, taken: Ok(2) }));
    assert_eq!(driver.unsent(), None);
    wait(&mut driver, vec![]);
    assert_eq!(next(&mut driver), "0 has room");
    driver.ring.sends.push_back(Ok(4));
    assert_eq!(driver.send(A, &[IoSlice::new(b"next")]), Sending::Taken(4));
}

#[test]
fn a_gathered_send_that_fails_is_told_as_the_failure_it_is() {
    let mut driver = serving(&[A]);
    for (error, taken) in
        [(libc::EAGAIN, Ok(0)), (libc::ECONNRESET, Err(io::ErrorKind::ConnectionReset))]
    {
        driver.gather(0, A, part(&Bytes::from_static(b"bytes")));
        wait(&mut driver, vec![answer(Id::Send(0), Outcome::Failed(error), false)]);
        assert_eq!(driver.unsent(), Some(Unsent { ticket: 0, taken }));
    }
    assert_eq!((driver.counts().short_sends, driver.counts().requests), (2, 1));
}

#[test]
fn who_finds_no_room_waits_for_it_once_and_is_told() {
    let mut driver = serving(&[A]);
    for _ in 0..2 {
        driver.ring.sends.push_back(Err(io::ErrorKind::WouldBlock.into()));
        assert_eq!(driver.send(A, &[IoSlice::new(b"x")]), Sending::Pending);
    }
    assert_eq!(asked(&mut driver), [Asked::Room(A)]);
    wait(&mut driver, vec![answer(Id::Room(A), Outcome::Done(4), false)]);
    assert_eq!((next(&mut driver).as_str(), driver.counts().requests), ("0 has room", 1));
}

#[test]
fn a_look_finds_what_is_queued_out_of_turn() {
    let mut driver = serving(&[A, B]);
    wait(&mut driver, vec![bytes(A, b"a", true), bytes(B, b"b", true), bytes(B, b"c", true)]);
    assert_eq!([look(&mut driver, B), look(&mut driver, B)], ["1 b", "1 c"]);
    assert_eq!([next(&mut driver), look(&mut driver, B)], ["0 a", "nothing"]);
}

#[test]
fn a_look_takes_in_what_is_done_once_for_all_looks_of_a_turn() {
    let mut driver = serving(&[A, B]);
    wait(&mut driver, vec![]);
    driver.ring.to_come.push_back(vec![bytes(B, b"b", true)]);
    assert_eq!([look(&mut driver, A), look(&mut driver, B)], ["nothing", "1 b"]);
    let waits = driver.ring.waits;
    assert_eq!((look(&mut driver, B).as_str(), driver.ring.waits), ("nothing", waits));
}

#[test]
fn a_look_at_one_that_is_held_back_reads_once_its_receive_has_ended() {
    let mut driver = serving(&[A]);
    driver.receive(A, false);
    wait(&mut driver, vec![]);
    asked(&mut driver);
    driver.ring.to_come.push_back(vec![failed_receive(A, libc::ECANCELED)]);
    driver.ring.received.push_back(b"here".to_vec());
    assert_eq!(look(&mut driver, A), "0 here");
    assert_eq!((asked(&mut driver), driver.counts().requests), (vec![], 0));
}

#[test]
fn a_look_waits_again_for_a_receive_that_was_just_being_cancelled() {
    let mut driver = serving(&[A, B]);
    driver.receive(B, false);
    driver.receive(B, true);
    wait(&mut driver, vec![]);
    driver.ring.to_come.push_back(vec![failed_receive(B, libc::ECANCELED)]);
    driver.ring.to_come.push_back(vec![bytes(B, b"here", true)]);
    assert_eq!([look(&mut driver, A), look(&mut driver, B)], ["nothing", "1 here"]);
}

#[test]
fn a_look_reads_though_no_buffer_is_left() {
    let mut driver = serving(&[A]);
    wait(&mut driver, vec![]);
    driver.ring.to_come.push_back(vec![failed_receive(A, libc::ENOBUFS)]);
    driver.ring.received.extend([b"here".to_vec(), vec![]]);
    assert_eq!([look(&mut driver, A), look(&mut driver, A)], ["0 here", "0 Finished"]);
    wait(&mut driver, vec![]);
    assert_eq!(driver.counts().requests, 1, "it has ended, and its end is awaited");
}

#[test]
fn after_the_peers_end_each_step_towards_the_end_of_all_is_told_once_more() {
    let mut driver = serving(&[A]);
    wait(&mut driver, vec![ended(A)]);
    assert_eq!(
        (next(&mut driver).as_str(), asked(&mut driver)),
        ("0 Finished", vec![]),
        "it may be closed at once"
    );
    wait(&mut driver, vec![answer(Id::End(A), Outcome::Done(0), true)]);
    assert_eq!(asked(&mut driver), [Asked::End(A)]);
    assert_eq!((next(&mut driver).as_str(), asked(&mut driver)), ("0 Finished", vec![]));
    wait(&mut driver, vec![answer(Id::End(A), Outcome::Done(0), false)]);
    assert_eq!(
        (next(&mut driver).as_str(), asked(&mut driver)),
        ("0 Finished", vec![Asked::End(A)])
    );
    wait(&mut driver, vec![answer(Id::End(A), Outcome::Failed(libc::ECONNRESET), false)]);
    assert_eq!(next(&mut driver), "0 Failed(ConnectionReset)");
    assert_eq!((asked(&mut driver), driver.counts().requests), (vec![], 0));
}

#[test]
fn a_close_cancels_all_that_the_ring_has_of_the_connection_and_comes_last() {
    let mut driver = serving(&[A, B, C]);
    driver
        .ring
        .sends
        .extend([Err(io::ErrorKind::WouldBlock.into()), Err(io::ErrorKind::WouldBlock.into())]);
    driver.send(A, &[IoSlice::new(b"x")]);
    driver.send(B, &[IoSlice::new(b"x")]);
    driver.receive(C, false);
    wait(&mut driver, vec![ended(B)]);
    wait(&mut driver, vec![]);
    asked(&mut driver);
    driver.reset(A);
    let cancel = Asked::Cancel;
    let expected =
        [Asked::Abort(File(0)), cancel(Id::Receive(A)), cancel(Id::Room(A)), Asked::Close(File(0))];
    assert_eq!(asked(&mut driver), expected);
    driver.close(B);
    assert_eq!(
        asked(&mut driver),
        [cancel(Id::Room(B)), cancel(Id::End(B)), Asked::Close(File(1))]
    );
    driver.close(C);
    assert_eq!(asked(&mut driver), [Asked::Close(File(2))], "its receive is being cancelled");
    let last = |id| answer(id, Outcome::Failed(libc::ECANCELED), false);
    let ids = [Id::Receive(A), Id::Room(A), Id::Room(B), Id::End(B), Id::Receive(C)];
    wait(&mut driver, ids.map(last).into());
    assert_eq!((next(&mut driver).as_str(), driver.counts().requests), ("nothing", 0));
}

/// Waits, with that room in the ring's table; how many accepts are asked for.
fn accepts(driver: &mut Scripted, room: usize, answers: Vec<Completion>) -> usize {
    driver.ring.room = room;
    wait(driver, answers);
    let accepts = asked(driver);
    assert!(accepts.iter().all(|asked| matches!(asked, Asked::Accept { .. })), "{accepts:?}");
    accepts.len()
}

fn arrival(place: u32) -> Completion {
    answer(Id::Accept(place), Outcome::Accepted(File(place), Peer::UNIX), false)
}

#[test]
fn never_more_are_let_in_than_there_is_room_for() {
    let mut driver = serving(&[]);
    assert_eq!(accepts(&mut driver, 100, vec![]), waiting(1));
    let mut driver = serving(&[A]);
    assert_eq!(accepts(&mut driver, 4, vec![arrival(0), arrival(1)]), 3);
    // One is served and two have come or may come.
    assert_eq!(accepts(&mut driver, 4, vec![]), 0);
    assert_eq!(next(&mut driver), "accepted");
    driver.adopt(B).unwrap();
    asked(&mut driver);
    assert_eq!(accepts(&mut driver, 4, vec![]), 0);
    driver.close(B);
    asked(&mut driver);
    assert_eq!(accepts(&mut driver, 4, vec![]), 1);
}

#[test]
fn a_full_table_starves_the_listener_until_accepting_is_resumed() {
    for cause in ["a full table", "no descriptors"] {
        let mut driver = serving(&[A]);
        if cause == "a full table" {
            assert_eq!(accepts(&mut driver, 1, vec![]), 0);
        } else {
            let failed = answer(Id::Accept(0), Outcome::Failed(libc::EMFILE), false);
            assert_eq!(accepts(&mut driver, 2, vec![failed]), 1);
        }
        assert_eq!(driver.accepting(), Accepting::Starved, "{cause}");
        assert_eq!(accepts(&mut driver, 9, vec![]), 0);
        driver.resume_accepting();
        assert_eq!(driver.accepting(), Accepting::On);
        assert_eq!(accepts(&mut driver, 3, vec![]), 2);
    }
}

#[test]
fn who_stands_at_the_listener_is_let_in_before_it_is_closed() {
    let mut driver = serving(&[]);
    assert_eq!(accepts(&mut driver, 2, vec![]), 2);
    driver.stop_listening();
    let cancel = |place| Asked::Cancel(Id::Accept(place));
    assert_eq!(asked(&mut driver), [cancel(0), cancel(1)]);
    // One came before the cancellation did.
    let cancelled = answer(Id::Accept(1), Outcome::Failed(libc::ECANCELED), false);
    wait(&mut driver, vec![arrival(0), cancelled]);
    assert_eq!(next(&mut driver), "accepted");
    driver.refuse(b"");
    assert_eq!(next(&mut driver), "nothing");
    wait(
        &mut driver,
        vec![arrival(0), answer(Id::Accept(1), Outcome::Failed(libc::EAGAIN), false)],
    );
    assert_eq!(
        asked(&mut driver),
        [Asked::Accept { waits: false }, Asked::Accept { waits: false }]
    );
    assert!(driver.ring.is_listening, "somebody is left to be let in");
    assert_eq!(next(&mut driver), "accepted");
    driver.refuse(b"");
    assert_eq!(next(&mut driver), "nothing");
    assert_eq!((driver.accepting(), driver.ring.is_listening), (Accepting::Over, false));
}
