//! One server takes over from another on the same ports, and nobody can take them by accident.

mod harness;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Event, PATIENCE, RawClient, Server, frame, request, run_to_end, wait_until};

/// Lets the kernel hand connections that wait at a closing listener to another one on its port;
/// restored when dropped.
struct MigratedRequests {
    before: String,
}

impl MigratedRequests {
    const PATH: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

    fn enable() -> Self {
        let before = fs::read_to_string(Self::PATH).expect("net.ipv4.tcp_migrate_req: Linux 5.14");
        if before.trim() != "1" {
            fs::write(Self::PATH, "1").expect(
                "this test needs net.ipv4.tcp_migrate_req=1: run it as root, or set it beforehand",
            );
        }
        MigratedRequests { before }
    }
}

impl Drop for MigratedRequests {
    fn drop(&mut self) {
        // A test that failed for another reason should say that reason.
        let _ = fs::write(Self::PATH, &self.before);
    }
}

/// A second server on the ports of the first one.
fn successor(first: &Server, flags: &[&str]) -> Server {
    let (address, admin) = (first.address().to_string(), first.admin().to_string());
    Server::start(&[&["--takeover", "--listen", &address, "--admin", &admin][..], flags].concat())
}

/// The process that answered one request to the admin port, as its header names it.
fn who_answers(admin: SocketAddr) -> u32 {
    let mut stream = TcpStream::connect(admin).expect("the admin port listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("the admin port reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the admin port answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let name = answer.lines().find_map(|line| line.strip_prefix("Server-Process: "));
    let pid = name.and_then(|name| name.parse().ok());
    pid.unwrap_or_else(|| panic!("no process is named in {answer}"))
}

/// Connects, upgrades, talks and leaves: what went wrong, if anything did.
fn attempt(address: SocketAddr) -> Result<(), String> {
    const HANGS: Duration = Duration::from_secs(10);
    let stream =
        TcpStream::connect_timeout(&address, HANGS).map_err(|e| format!("connect: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let mut peer = RawClient::from(stream);
    peer.try_send(request("/echo", &[]).as_bytes()).map_err(|e| format!("request: {e}"))?;
    let answer = peer.try_response(HANGS).map_err(|e| format!("answer: {e}"))?;
    if answer.status != 101 {
        return Err(format!("answered {}", answer.status));
    }
    peer.try_send(&frame::text("hello")).map_err(|e| format!("message: {e}"))?;
    match peer.next(HANGS) {
        Event::Frame(reply) if reply.payload == b"hello" => {}
        // The old server asks those to go that it has just let in, in good order.
        Event::Frame(close) if close.close_code() == Some(1001) => {}
        other => return Err(format!("no reply but {other:?}")),
    }
    peer.try_send(&frame::close(1000, "")).map_err(|e| format!("close: {e}"))
}

/// Answers the close frame of a server that goes away, and leaves.
fn leave_when_asked(mut peer: RawClient) {
    peer.next_close(1001);
    peer.send(&frame::close(1001, ""));
    assert_eq!(peer.next(PATIENCE), Event::Finished);
}

#[test]
fn no_connection_attempt_fails_while_one_server_takes_over_from_another() {
    const THREADS: usize = 4;
    let _migrated = MigratedRequests::enable();
    let drain = ["--reactors", "2", "--drain-window", "1s", "--close-timeout", "2s"];
    let mut first = Server::start(&drain);
    let (address, old) = (first.address(), first.pid());
    let (tried, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..THREADS)
        .map(|_| {
            let (tried, is_over) = (Arc::clone(&tried), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    failures.extend(attempt(address).err());
                    tried.fetch_add(1, Ordering::Relaxed);
                    // Each attempt leaves its port in TIME_WAIT, and there are 28,000 of them.
                    thread::sleep(Duration::from_millis(1));
                }
                failures
            })
        })
        .collect();
    let some_more = || {
        let goal = tried.load(Ordering::Relaxed) + 1000;
        wait_until("more attempts", || tried.load(Ordering::Relaxed) >= goal);
    };

    some_more();
    let second = successor(&first, &drain);
    some_more();
    first.signal("TERM");
    let status = first.wait_exit(PATIENCE);
    some_more();
    is_over.store(true, Ordering::Relaxed);
    let failures: Vec<String> =
        clients.into_iter().flat_map(|one| one.join().expect("clients do not panic")).collect();
    let tried = tried.load(Ordering::Relaxed);
    assert!(failures.is_empty(), "{} of {tried} failed: {failures:?}", failures.len());
    assert!(status.success(), "{:#?}", first.log());
    assert!(first.log().iter().any(|line| line.contains("drained: ")));

    assert!(second.metric("ws_connections_accepted_total", &[]) > 1000.0);
    assert_ne!(who_answers(second.admin()), old);
}

#[test]
fn both_answer_on_the_admin_port_and_say_who_they_are_until_the_old_one_is_gone() {
    let mut first = Server::start(&["--drain-window", "0s"]);
    let second = successor(&first, &[]);
    let both = HashSet::from([first.pid(), second.pid()]);
    let mut seen = HashSet::new();
    wait_until("both to answer", || {
        seen.insert(who_answers(first.admin()));
        seen == both
    });
    let named = first.metrics();
    assert!(both.iter().any(|pid| named.text().contains(&format!("pid=\"{pid}\""))));

    first.signal("TERM");
    assert!(first.wait_exit(PATIENCE).success());
    for _ in 0..20 {
        assert_eq!(who_answers(second.admin()), second.pid());
    }
}

#[test]
fn the_old_servers_connections_stay_with_it_until_it_drains() {
    let mut first = Server::start(&["--drain-window", "0s"]);
    let mut old = RawClient::open(&first, "/echo");
    let second = successor(&first, &[]);
    old.expect_echo("still served by the first");
    first.signal("TERM");
    leave_when_asked(old);
    assert!(first.wait_exit(PATIENCE).success());
    let begun = Instant::now();
    RawClient::open(&second, "/echo").expect_echo("the client came back");
    assert!(begun.elapsed() < PATIENCE / 2, "and did not have to wait");
}

#[test]
fn without_takeover_a_second_server_refuses_to_start_and_the_first_goes_on() {
    let mut first = Server::start(&[]);
    let (address, admin) = (first.address().to_string(), first.admin().to_string());
    for (listen, admin, taken) in
        [(address.as_str(), "127.0.0.1:0", &address), ("127.0.0.1:0", &admin, &admin)]
    {
        let (code, out, err) = run_to_end(["--listen", listen, "--admin", admin]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        for part in [taken, "in use", "--takeover"] {
            assert!(err.contains(part), "no {part:?} in {err}");
        }
    }
    for _ in 0..50 {
        // With a listener left behind, the kernel would hand some of these to nobody.
        RawClient::open(&first, "/echo").expect_echo("served by the first");
        assert_eq!(who_answers(first.admin()), first.pid());
    }
    first.assert_sound();
}

#[test]
fn a_port_that_was_just_left_can_be_taken_at_once() {
    let mut first = Server::start(&["--drain-window", "0s"]);
    let address = first.address().to_string();
    let peer = RawClient::open(&first, "/echo");
    first.signal("TERM");
    // The server closes first, so its port stays in TIME_WAIT.
    leave_when_asked(peer);
    assert!(first.wait_exit(PATIENCE).success());
    let second = Server::start(&["--listen", &address]);
    RawClient::open(&second, "/echo").expect_echo("back again");
}
