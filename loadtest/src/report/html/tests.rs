//! Pages of runs that never were: what must be on them, and what must not.
//! Not how they look; that is for eyes and a browser.

use std::collections::BTreeMap;

use super::*;
use crate::report::series::{Heartbeat, MemorySample, Quantile, Second, drawn_quantiles};
use crate::report::zombies::{KindReport, Zombies};
use crate::report::{
    Errors, GeneratorAccounts, HerdReport, Latency, Pings, Reach, SearchReport, ServerAccounts,
    StepReport, Totals,
};
use crate::threshold::Threshold;

const NASTY: &str = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>";

fn pings(by_second: Vec<u64>) -> Pings {
    let total: u64 = by_second.iter().sum();
    let mean = total as f64 / by_second.len().max(1) as f64;
    let most = by_second.iter().copied().max().unwrap_or(0);
    Pings {
        total,
        min_per_second: by_second.iter().copied().min().unwrap_or(0),
        max_per_second: most,
        mean_per_second: mean,
        worst_over_mean: if total > 0 { most as f64 / mean } else { 0.0 },
        by_second,
    }
}

fn bare() -> Report {
    Report {
        scenario: "idle",
        url: "ws://127.0.0.1:9001/echo".to_owned(),
        connections: 0,
        connections_wanted: 64,
        connect_seconds: 0.0,
        connects_total: 0,
        connects_per_second: 0.0,
        connect_us: None,
        duration_seconds: 0.0,
        message_bytes: 20,
        messages_total: 0,
        messages_per_second: 0.0,
        deliveries_total: None,
        deliveries_per_second: None,
        totals: Totals { opened: 0, sent: 0, received: 0, pings: 0 },
        errors: Errors { total: 0, kinds: BTreeMap::new(), examples: Vec::new() },
        latency_us: None,
        reach_us: None,
        herd: None,
        search: None,
        pings: pings(Vec::new()),
        reaped: None,
        zombies: None,
        server: None,
        generator: GeneratorAccounts {
            cpu_seconds: 0.0,
            cpu_share: 0.0,
            busiest_thread_share: 0.0,
            cpu_us_per_message: None,
            threads: 1,
        },
        scenes: Vec::new(),
        interrupted: false,
        thresholds: Vec::new(),
        warnings: Vec::new(),
    }
}

fn scene(name: &'static str, seconds: f64, open: u64, messages: u64, rss: u64) -> SceneReport {
    SceneReport {
        name,
        from_seconds: 0.0,
        measured: name == "measure",
        seconds,
        open,
        messages,
        pings: pings(vec![2_000; seconds as usize]),
        server_cpu_seconds: Some(seconds * 0.8),
        server_rss_bytes: Some(rss),
        server_rss_bytes_per_connection: Some((rss as f64 - 3e6) / 5e4),
        kernel_bytes_per_connection: None,
    }
}

fn full() -> Report {
    let mut report = Report {
        scenario: "rate",
        connections: 50_000,
        connections_wanted: 50_000,
        connect_seconds: 11.42,
        duration_seconds: 90.0,
        messages_total: 9_274_113,
        messages_per_second: 103_045.7,
        errors: Errors {
            total: 212,
            kinds: BTreeMap::from([("reset", 200), ("unanswered", 12)]),
            examples: vec!["reset: Connection reset by peer (os error 104)".to_owned()],
        },
        connect_us: Some(Latency {
            p50: 212.0,
            p90: 800.0,
            p99: 3_120.0,
            p999: 9_400.0,
            p9999: 12_000.0,
            max: 15_000.0,
            mean: 300.0,
        }),
        latency_us: Some(Latency {
            p50: 412.0,
            p90: 1_130.0,
            p99: 4_310.0,
            p999: 11_800.0,
            p9999: 30_200.0,
            max: 41_700.0,
            mean: 602.0,
        }),
        pings: pings((0..90).map(|s| 1_850 + (s * 7919) % 311).collect()),
        server: Some(ServerAccounts {
            cpu_seconds: 79.4,
            cpu_share: 0.882,
            cpu_us_per_message: Some(8.56),
            cpu_us_per_delivery: None,
            cpu_us_per_connect: Some(19.2),
            rss_before_bytes: 3_100_000,
            rss_open_bytes: 9_900_000,
            rss_bytes: 10_850_000,
            rss_bytes_per_connection: 155.0,
            kernel_bytes_per_connection: Some(3_650.0),
            busiest_thread_share: 0.91,
            threads: 3,
        }),
        scenes: vec![
            scene("open", 11.42, 50_000, 0, 9_900_000),
            scene("warmup", 2.0, 50_000, 202_334, 10_100_000),
            scene("measure", 90.0, 50_000, 9_274_113, 10_850_000),
            scene("settle", 0.04, 50_000, 812, 10_850_000),
            scene("close", 3.1, 0, 0, 10_400_000),
        ],
        generator: GeneratorAccounts {
            cpu_seconds: 58.1,
            busiest_thread_share: 0.3,
            cpu_share: 0.646,
            cpu_us_per_message: Some(6.26),
            threads: 3,
        },
        ..bare()
    };
    let all = "p99<=5ms, p99.9<10ms, rss_bytes_per_connection<=192, connect_p99<1s, reaped>0";
    report.thresholds = report.judge(&Threshold::parse(all).expect("good"));
    report.warnings = vec!["ended early".to_owned()];
    report
}

fn curve(count: u64, base: f64) -> Vec<Quantile> {
    let latency_us = |quantile: f64| {
        let nines = if quantile < 1.0 { -(1.0 - quantile).log10() } else { 6.6 };
        base * (1.0 + nines).powf(2.65) * if nines > 2.5 { 1.0 + 0.2 * (nines - 2.5) } else { 1.0 }
    };
    let point = |quantile| Quantile { quantile, latency_us: latency_us(quantile) };
    drawn_quantiles(count).into_iter().map(point).collect()
}

fn second(index: u64) -> Second {
    let noise = |salt: u64| ((index * 7_919 + salt * 104_729) % 1_000) as f64 / 1_000.0;
    let (opening, stalled) = (index < 12, (60..63).contains(&index));
    let received = match (opening, stalled) {
        (true, _) => 0,
        (_, true) => 61_000,
        _ => 101_000 + (noise(1) * 4_000.0) as u64,
    };
    let slow = if stalled { 9.0 } else { 1.0 + 0.3 * noise(2) };
    Second {
        at: (index + 1) as f64,
        sent: if opening { 0 } else { 103_000 },
        received,
        opened: if opening { 4_167 } else { 0 },
        open: (index + 1).min(12) * 50_000 / 12,
        pings: 2_000,
        errors: if index == 61 { 212 } else { 0 },
        p50_us: (!opening).then_some(400.0 * slow),
        p99_us: (!opening).then_some(3_600.0 * slow),
        server_cpu_share: Some(if opening { 0.45 } else { 0.85 + 0.06 * noise(3) }),
        server_rss_bytes: Some(3_100_000 + 155 * ((index + 1).min(12) * 50_000 / 12)),
    }
}

fn full_series() -> Series {
    let sample = |step: u64| MemorySample {
        open: step * 2_000,
        rss_bytes: Some(3_100_000 + step * 2_000 * 136 + (step * 7_919 % 13) * 9_000),
        kernel_bytes: Some(step * 2_000 * 2_410 + (step * 31 % 7) * 400_000),
    };
    Series {
        seconds: (0..104).map(second).collect(),
        percentiles: curve(9_274_113, 190.0),
        connects: curve(50_000, 2_100.0),
        back: Vec::new(),
        memory: (0..=25).map(sample).collect(),
        heartbeat: Some(Heartbeat {
            interval_seconds: 25.0,
            slices: (0..50).map(|slice| 930 + (slice * 7_919) % 171).collect(),
        }),
    }
}

fn rendered(report: &Report, series: &Series) -> String {
    render(report, series, &Making { command: "x echo", finished: "2030-01-01 12:00:00 UTC" })
}

#[test]
fn what_comes_from_outside_is_escaped_wherever_it_is_shown() {
    let mut report = full();
    report.url = format!("ws://h/?{NASTY}");
    report.warnings = vec![NASTY.to_owned()];
    report.errors.examples = vec![format!("refused: {NASTY}")];
    report.errors.kinds.insert(NASTY, 1);
    report.scenes[0].name = NASTY;
    report.thresholds[0].text = NASTY.to_owned();
    report.thresholds[0].found = NASTY.to_owned();
    let page = render(&report, &full_series(), &Making { command: NASTY, finished: NASTY });
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "markup came through");
    // Title, heading, warning, example, kind, scene, verdict's two, command, footer.
    assert_eq!(page.matches("&lt;img src=x").count(), 10);
    assert_eq!(page.matches("<script>").count(), 1, "only the page's own script");
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = rendered(&full(), &full_series());
    for part in ["src=\"", "@import", "url(", "https://", "fetch("] {
        assert!(!page.contains(part), "{part}");
    }
    // A name in the script, not an address that is asked.
    let foreign = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!foreign.contains("http://"));
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn plots_without_data_are_left_out() {
    let page = rendered(&bare(), &Series::default());
    assert!(!page.contains("<figure") && !page.contains("<h2>Plots"), "{page}");
    let one = Series { memory: full_series().memory, ..Series::default() };
    let page = rendered(&bare(), &one);
    assert_eq!(page.matches("<figure").count(), 2);
}

#[test]
fn a_full_page_has_every_plot_once_and_no_nonsense() {
    let page = rendered(&full(), &full_series());
    let ids = "percentiles latency throughput open memory kernel heartbeat connects opened cpu rss";
    for id in ids.split(' ') {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    for nonsense in ["NaN", "inf", "-0"] {
        let drawn =
            page.split("<figure").skip(1).any(|figure| figure.contains(&format!("{nonsense} ")));
        assert!(!drawn, "{nonsense}");
    }
    for said in ["50,000", "p99.9", "FAILED", "not measured", "Connection reset", "x echo"] {
        assert!(page.contains(said), "{said}");
    }
    assert!(page.len() < 400_000, "{} bytes", page.len());
}

fn latency(p50: f64) -> Latency {
    let (p90, p99, p999) = (2.0 * p50, 4.0 * p50, 8.0 * p50);
    Latency { p50, p90, p99, p999, p9999: p999, max: 2.0 * p999, mean: p50 }
}

fn searched() -> Report {
    let keep = Threshold::parse("p99<5ms").expect("good");
    let step = |load: f64, p50: f64| {
        let verdicts = vec![keep[0].holds(&|_| Some(4.0 * p50))];
        StepReport {
            load,
            kept: !verdicts[0].failed,
            messages_per_second: load,
            errors: 0,
            connections: 64,
            latency_us: Some(latency(p50)),
            cpu_us_per_message: Some(8.5),
            rss_bytes: None,
            verdicts,
        }
    };
    let steps = vec![step(1e3, 90.0), step(2e3, 100.0), step(4e3, 9_000.0), step(3e3, 700.0)];
    let keep = vec![keep[0].to_string()];
    let (best, too_much) = (Some(3e3), Some(4e3));
    Report {
        scenario: "search",
        search: Some(SearchReport { over: "rate", keep, best, too_much, steps }),
        ..bare()
    }
}

#[test]
fn a_search_shows_each_step_in_a_plot_and_in_a_table() {
    let page = rendered(&searched(), &Series::default());
    assert_eq!(page.matches("id=\"search\"").count(), 1);
    assert!(page.contains("class=\"crosses s1\"") && page.contains("not kept"));
    assert_eq!(page.matches("\u{2713} kept").count(), 3);
    assert!(page.contains("p99 was 36 ms"), "{page}");
    let found = "p99 &lt; 5 ms holds up to 3,000/s, and not at 4,000/s";
    assert!(page.contains(&found.replace(' ', "\u{a0}")) || page.contains(found), "{page}");
}

#[test]
fn a_search_without_answers_has_no_plot() {
    let mut report = searched();
    for step in report.search.iter_mut().flat_map(|search| &mut search.steps) {
        step.latency_us = None;
    }
    let page = rendered(&report, &Series::default());
    assert!(!page.contains("<figure") && page.contains("Steps of the search"));
}

#[test]
fn a_herd_and_a_broadcast_tell_how_soon_everybody_had_something() {
    let report = Report {
        herd: Some(HerdReport {
            dropped: 200,
            back: 100,
            attempts: 150,
            failed_attempts: 50,
            refused_attempts: 20,
            p50_seconds: 1.0,
            p99_seconds: 2.0,
            max_seconds: 2.5,
        }),
        reach_us: Some(Reach { median: latency(10.0), p99: latency(20.0), last: latency(30.0) }),
        ..bare()
    };
    let back = [(0.5, 1e6), (1.0, 2.5e6)];
    let back = back.map(|(quantile, latency_us)| Quantile { quantile, latency_us }).to_vec();
    let page = rendered(&report, &Series { back, ..Series::default() });
    // Half of those that dropped never came back.
    assert!(page.contains("id=\"herd\"") && page.contains("&quot;50\u{a0}%&quot;"), "{page}");
    for said in ["refused by HTTP", "Reach of a broadcast", "to the last"] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn zombies_stand_in_a_table_and_unjudged_ones_are_no_success() {
    let kind = KindReport {
        kind: "no-pong",
        count: 7,
        noticed: Some(4),
        late: 1,
        not_noticed: None,
        unopened: 0,
        unjudged: 3,
        deadline_seconds: 35.0,
        min_seconds: Some(0.000_2),
        p50_seconds: Some(35.1),
        p99_seconds: None,
        max_seconds: None,
        signs: BTreeMap::from([(NASTY.to_owned(), 4)]),
        note: Some("not visible".to_owned()),
    };
    let zombies = Zombies { kinds: vec![kind], unjudged: 3, healthy_errors: 0, grace_seconds: 1.0 };
    let page = rendered(&Report { zombies: Some(zombies), ..bare() }, &Series::default());
    for said in ["no-pong", "35\u{a0}s", "not visible", "3 not judged", "3 zombies not judged"] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("no errors") && !page.contains("<img"));
}

#[test]
fn values_that_are_no_numbers_do_not_break_the_page() {
    let mut series = full_series();
    for second in &mut series.seconds {
        (second.p50_us, second.p99_us) = (Some(f64::NAN), Some(f64::INFINITY));
        second.server_cpu_share = Some(f64::NAN);
    }
    for point in &mut series.percentiles {
        point.latency_us = f64::NAN;
    }
    series.heartbeat = Some(Heartbeat { interval_seconds: f64::NAN, slices: vec![1, 2] });
    let page = rendered(&full(), &series);
    assert!(!page.contains("NaN") && !page.contains("id=\"latency\""));
}

#[test]
fn a_report_without_a_place_is_told_before_the_run() {
    let folder = std::env::temp_dir();
    for path in [folder.join("no/such/folder/report.html"), folder.clone()] {
        let said = check(&path).expect_err("no place").to_string();
        assert!(said.contains(&path.display().to_string()), "{said}");
    }
    check(&folder.join("pulsewheel-report-that-nobody-writes.html")).expect("a place");
    check(Path::new("report-that-nobody-writes.html")).expect("a place");
}
