//! Searches for the largest load, against servers whose limit the test has set.
//! Not the order of the steps; that is tested where it is decided.

mod harness;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Seen, clean_report, echo_by, echo_messages, number, run, server};

/// An echo that gives each message a place in one line, so many a second.
fn rate_limited(a_second: u32) -> SocketAddr {
    let free_at = Mutex::new(Instant::now());
    let (address, _) = echo_by(move |message, _| {
        let now = Instant::now();
        let mut free_at = free_at.lock().unwrap_or_else(PoisonError::into_inner);
        // A short burst is let through, as a real server's spare time would.
        *free_at = (*free_at).max(now) + Duration::from_secs(1) / a_second;
        let wait = free_at.saturating_duration_since(now + Duration::from_millis(50));
        drop(free_at);
        thread::sleep(wait);
        message
    });
    address
}

#[test]
fn the_rate_that_a_server_bears_is_found() {
    let line = format!(
        "search --url ws://{}/ -c 8 --start 100 --precision 0.1 --tries 2 --warmup 200ms \
         --duration 1s",
        rate_limited(600)
    );
    let report = clean_report(&line, &["--keep", "p50<150ms"]);
    let found = &report["search"];
    // Steps of 1.2 s build up a little more than the limit without being too late.
    let (best, too_much) = (number(found, "/best"), number(found, "/too_much"));
    assert!((400.0..=950.0).contains(&best) && best < too_much, "{found}");
    assert_eq!(found["over"], "rate");
    let steps = found["steps"].as_array().expect("a list");
    assert!(steps.len() >= 4 && steps[0]["kept"] == true, "{found}");
    // The report is about the best step.
    let rate = number(&report, "/messages_per_second");
    assert!((rate / best - 1.0).abs() < 0.4, "{rate} at {best}");
}

#[test]
fn the_connections_that_a_server_bears_are_found() {
    let seen = Arc::new(Seen::default());
    let address = server(move |stream| {
        let _ = stream.set_nodelay(true);
        let Ok(socket) = tungstenite::accept(stream) else { return };
        let all = Arc::clone(&seen);
        echo_messages(socket, &seen, &move |message, _| {
            if Seen::of(&all.open) > 50 {
                thread::sleep(Duration::from_millis(300));
            }
            message
        });
    });
    let line = format!(
        "search --url ws://{address}/ -c 200 --over connections --start 10 --rate 100 \
         --precision 0.1 --tries 1 --warmup 200ms --duration 700ms"
    );
    let report = clean_report(&line, &["--keep", "p50<200ms"]);
    let (best, too_much) = (number(&report, "/search/best"), number(&report, "/search/too_much"));
    assert!((40.0..=50.5).contains(&best) && (50.0..=60.0).contains(&too_much), "{report}");
    assert_eq!(number(&report, "/connections"), best.floor(), "{report}");
}

#[test]
fn errors_of_an_overload_neither_spoil_the_search_nor_fail_it() {
    // Loses connections above a rate: it hangs up on who is more than a tenth of a second early.
    let free_at = Arc::new(Mutex::new(Instant::now()));
    let address = server(move |stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if message.is_text() {
                let now = Instant::now();
                let mut free_at = free_at.lock().unwrap_or_else(PoisonError::into_inner);
                *free_at = (*free_at).max(now) + Duration::from_millis(2);
                if *free_at > now + Duration::from_millis(300) {
                    return;
                }
                drop(free_at);
                if socket.send(message).is_err() {
                    return;
                }
            }
        }
    });
    let line = format!(
        "search --url ws://{address}/ -c 4 --start 200 --most 3200 --precision 0.3 --tries 1 \
         --warmup 200ms --duration 1s"
    );
    let output = run(&line, &["--keep", "errors<1"]);
    let report = harness::parse(&line, &output);
    assert!(number(&report, "/errors/total") > 0.0, "{report}");
    let steps = report["search"]["steps"].as_array().expect("a list");
    let after_errors = steps.iter().skip_while(|step| step["kept"] == true).skip(1);
    assert!(after_errors.clone().count() > 0, "{report}");
    assert_eq!(output.status.code(), Some(0), "{report}");
}

#[test]
fn connections_that_a_server_refuses_are_not_borne_however_well_the_others_fare() {
    let seen = Arc::new(Seen::default());
    let address = server(move |stream| {
        let _ = stream.set_nodelay(true);
        if Seen::of(&seen.open) >= 30 {
            return;
        }
        let Ok(socket) = tungstenite::accept(stream) else { return };
        echo_messages(socket, &seen, &|message, _| message);
    });
    let line = format!(
        "search --url ws://{address}/ -c 200 --over connections --start 10 --rate 50 \
         --precision 0.2 --tries 1 --warmup 100ms --duration 500ms --keep p99<2s"
    );
    let report = harness::report(&line);
    let best = number(&report, "/search/best");
    assert!((10.0..=31.0).contains(&best), "{report}");
}
