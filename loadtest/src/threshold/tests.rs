//! What the grammar takes and refuses, and how verdicts fall at the edges.
//! Not the flags that carry it.

use super::*;

fn one(text: &str) -> Threshold {
    let all = Threshold::parse(text).expect(text);
    assert_eq!(all.len(), 1, "{text}");
    all[0]
}

fn judged(text: &str, value: f64) -> Verdict {
    one(text).holds(&|_| Some(value))
}

#[test]
fn conditions_are_read_with_and_without_spaces() {
    for (text, canonical) in [
        ("p99>5ms", "p99 > 5 ms"),
        ("  p99   >=  5 ms ", "p99 >= 5 ms"),
        ("p999<1.5s", "p99.9 < 1.5 s"),
        ("p99.99 <= 250us", "p99.99 <= 250 us"),
        ("connect_p99<1s", "connect_p99 < 1 s"),
        ("max>12345us", "max > 12.345 ms"),
        ("errors>0", "errors > 0"),
        ("error_share>1%", "error_share > 1 %"),
        ("error_share>0.01", "error_share > 1 %"),
        ("rate<100000", "messages_per_second < 100,000/s"),
        ("connections>=50000", "connections >= 50,000"),
        ("cpu_us_per_message>8.25", "cpu_us_per_message > 8.25 us"),
        ("rss_bytes > 16MiB", "rss_bytes > 16 MiB"),
        ("rss_bytes_per_connection>192", "rss_bytes_per_connection > 192 bytes"),
        ("generator_cpu_share > 90%", "generator_cpu_share > 90 %"),
    ] {
        assert_eq!(one(text).to_string(), canonical);
    }
}

#[test]
fn several_are_joined_with_commas_or_and() {
    let joined = |text| {
        let all = Threshold::parse(text).expect(text);
        all.iter().map(Threshold::to_string).collect::<Vec<_>>()
    };
    let both = ["p99 < 5 ms", "errors <= 0"];
    assert_eq!(joined("p99<5ms,errors<=0"), both);
    assert_eq!(joined("p99 < 5ms and errors <= 0"), both);
    assert_eq!(joined("p99<5ms and errors<=0, rate>10").len(), 3);
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    for (text, words) in [
        ("p98>5ms", "`p98` is no metric"),
        ("P99>5ms", "`P99` is no metric"),
        (">5ms", "is no metric"),
        ("p99", "has no <"),
        ("", "empty"),
        ("p99<5ms,", "empty"),
        ("p99<5ms and", "empty"),
        ("p99=5ms", "compare with"),
        ("p99!=5ms", "compare with"),
        ("p99<5", "needs a unit"),
        ("p99<5MiB", "`MiB` is no unit"),
        ("p99<", "not nothing"),
        ("p99<-5ms", "not -5ms"),
        ("p99<fast", "not fast"),
        ("p99<1.2.3ms", "not 1.2.3ms"),
        ("p99<<5ms", "not <5ms"),
        ("errors>1%", "`%` is no unit"),
        ("errors>nan", "not nan"),
        ("rss_bytes>1TiB", "`TiB` is no unit"),
    ] {
        let said = Threshold::parse(text).expect_err(text);
        assert!(said.contains(words), "{text}: {said}");
        assert_eq!(said.lines().count(), 1, "{text}: {said}");
    }
    let said = Threshold::parse("speed>1").expect_err("no metric");
    for name in ["p50", "p99.99", "connect_p99", "rss_bytes_per_connection"] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn the_limit_itself_holds_only_where_it_is_included() {
    for (text, at_limit, below, above) in [
        ("p99<5ms", false, true, false),
        ("p99<=5ms", true, true, false),
        ("p99>5ms", false, false, true),
        ("p99>=5ms", true, false, true),
    ] {
        assert_eq!(!judged(text, 5_000.0).failed, at_limit, "{text}");
        assert_eq!(!judged(text, 4_999.0).failed, below, "{text}");
        assert_eq!(!judged(text, 5_001.0).failed, above, "{text}");
        let opposite = |value| one(text).opposite().holds(&|_| Some(value)).failed;
        for value in [4_999.0, 5_000.0, 5_001.0] {
            assert_eq!(opposite(value), !judged(text, value).failed, "{text} at {value}");
        }
    }
}

#[test]
fn what_is_not_measured_or_not_a_number_never_passes() {
    for text in ["p99<5ms", "p99<=5ms", "p99>5ms", "p99>=5ms", "rss_bytes>1"] {
        for threshold in [one(text), one(text).opposite()] {
            assert!(threshold.holds(&|_| None).failed, "{threshold}");
            assert!(threshold.holds(&|_| Some(f64::NAN)).failed, "{threshold}");
        }
    }
    let verdict = one("rss_bytes<16MiB").holds(&|_| None);
    let line = "FAILED  rss_bytes < 16 MiB: not measured (needs --server-pid)";
    assert_eq!(verdict.to_string(), line);
}

#[test]
fn a_verdict_shows_on_which_side_of_the_limit_it_fell() {
    assert_eq!(judged("p99<5ms", 1_234.0).to_string(), "ok  p99 < 5 ms: 1.23 ms");
    assert_eq!(judged("p99<5ms", 7_100.0).to_string(), "FAILED  p99 < 5 ms: 7.1 ms");
    assert_eq!(judged("p99<=5ms", 5_000.1).to_string(), "FAILED  p99 <= 5 ms: 5.0001 ms");
    assert_eq!(judged("p99<=5ms", 5_000.0).to_string(), "ok  p99 <= 5 ms: 5 ms");
    assert_eq!(
        judged("rate>=1000", 999.97).to_string(),
        "FAILED  messages_per_second >= 1,000/s: 999.97/s"
    );
}

#[test]
fn only_the_metric_that_is_meant_is_asked_for() {
    let verdict = one("connect_p99<1s")
        .holds(&|metric| (metric == Metric::Connect(Point::P99)).then_some(2e6));
    assert_eq!((verdict.measured, verdict.failed), (Some(2e6), true));
    assert_eq!(verdict.metric, "connect_p99");
}
