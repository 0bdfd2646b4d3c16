//! Durations, sizes, rates, addresses and the token by themselves: what is read, what is refused,
//! that nothing panics, and that what is written back reads as the same.
//! Not for which key takes which of them.

use std::time::Duration;

use proptest::prelude::*;

use super::super::address::parse_admin;
use super::super::quantity::{parse_duration, parse_size, show_duration, show_size};
use super::super::{AdminToken, ListenAddress, Rate};
use super::Scratch;

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, millis) in [
        ("0", 0),
        ("0s", 0),
        ("250ms", 250),
        ("25s", 25_000),
        ("1.5s", 1_500),
        ("0.25s", 250),
        ("1m30s", 90_000),
        ("1m 30s", 90_000),
        ("2 h", 7_200_000),
        ("1d2h3m4s5ms", 93_784_005),
        (" 5s ", 5_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn a_bad_duration_says_what_is_bad_about_it() {
    for (text, why) in [
        ("", "is not a duration"),
        ("fast", "is not a duration"),
        ("-5s", "is not a duration"),
        ("+5s", "is not a duration"),
        ("5;", "is not a duration"),
        ("5s;", "is not a duration"),
        ("1.s", "is not a duration"),
        (".5s", "is not a duration"),
        ("2 5s", "is not a duration"),
        ("1e3s", "has an unknown unit"),
        ("25", "lacks a unit"),
        ("1m30", "lacks a unit"),
        ("00", "lacks a unit"),
        ("5sec", "has an unknown unit"),
        ("5S", "has an unknown unit"),
        ("1M", "has an unknown unit"),
        ("5us", "has an unknown unit"),
        ("30s1m", "out of order"),
        ("1s1s", "out of order"),
        ("0.5ms", "is finer than a millisecond"),
        ("0.0000000000000000001s", "is finer than a millisecond"),
        ("18446744073709551615d", "is too long"),
        ("18446744073709551616ms", "is too long"),
        ("18446744073709551s999999ms", "is too long"),
        ("٣s", "is not a duration"),
    ] {
        let refusal = parse_duration(text).expect_err(text);
        assert!(refusal.wrong.contains(why), "{text:?}: {refusal}");
        assert_eq!(refusal.remedy, "write it like 25s, 1m30s or 250ms");
    }
}

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, bytes) in [
        ("0", 0),
        ("65536", 65_536),
        ("64B", 64),
        ("256KiB", 262_144),
        ("256kib", 262_144),
        ("256 KiB", 262_144),
        ("1MiB", 1 << 20),
        ("1.5MiB", 1_572_864),
        ("64KB", 64_000),
        ("64kB", 64_000),
        ("2GB", 2_000_000_000),
        ("1TiB", 1 << 40),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
}

#[test]
fn a_bad_size_says_what_is_bad_about_it() {
    for (text, why) in [
        ("", "is not a size"),
        ("big", "is not a size"),
        ("-1", "is not a size"),
        ("0x10", "is not a size"),
        ("1MiB1KiB", "is not a size"),
        ("1_000", "is not a size"),
        ("256K", "has an unknown unit"),
        ("1EiB", "has an unknown unit"),
        ("0.5", "is no whole number of bytes"),
        ("18446744073709551615MiB", "is too large"),
        ("18446744073709551616", "is too large"),
        ("99999999999999999999999999", "is too large"),
    ] {
        let refusal = parse_size(text).expect_err(text);
        assert!(refusal.wrong.contains(why), "{text:?}: {refusal}");
        assert_eq!(refusal.remedy, "write it like 256KiB, 1MiB, 64KB or 65536 (bytes)");
    }
}

#[test]
fn rates_are_read_with_and_without_a_burst() {
    for (text, per_second, burst) in [
        ("100/s", 100.0, 100),
        ("100/s:200", 100.0, 200),
        ("100/s:1", 100.0, 1),
        ("90/m", 1.5, 2),
        ("6/m", 0.1, 1),
        ("0.5/s", 0.5, 1),
        ("3600/h:7", 1.0, 7),
        (" 5/s ", 5.0, 5),
        ("1000000000/s", 1e9, 1_000_000_000),
    ] {
        assert_eq!(text.parse(), Ok(Rate { per_second, burst }), "{text}");
    }
}

#[test]
fn a_bad_rate_says_what_is_bad_about_it() {
    for (text, why) in [
        ("", "is not a rate"),
        ("100", "is not a rate"),
        ("/s", "is not a rate"),
        ("-1/s", "is not a rate"),
        ("inf/s", "is not a rate"),
        ("nan/s", "is not a rate"),
        ("1e3/s", "is not a rate"),
        ("1.2.3/s", "is not a rate"),
        ("100/x", "unknown unit"),
        ("100/", "unknown unit"),
        ("100/s:", "a burst that is no whole number"),
        ("100/s:1.5", "a burst that is no whole number"),
        ("100/s:-1", "a burst that is no whole number"),
        ("100/s:4294967296", "a burst above 4294967295"),
        ("100/s:0", "a burst of 0"),
        ("0/s", "a rate of 0"),
        ("0.01/h", "\"0.01/h\": the rate is out of bounds"),
        ("0.00001/s", "out of bounds"),
        ("1000000001/s", "out of bounds"),
    ] {
        let refusal = text.parse::<Rate>().expect_err(text);
        assert!(refusal.wrong.contains(why), "{text:?}: {refusal}");
    }
    let huge = format!("{}/s", "9".repeat(400));
    assert!(huge.parse::<Rate>().unwrap_err().wrong.contains("out of bounds"));
}

#[test]
fn addresses_are_written_back_as_they_are_typed() {
    for text in [
        "127.0.0.1:9001",
        "0.0.0.0:0",
        "[::]:9001",
        "[fe80::1%2]:80",
        "unix:/run/a.sock",
        "unix:rel",
    ] {
        assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
    }
    assert_eq!(parse_admin("off"), Ok(None));
    assert_eq!(parse_admin("[::1]:9002"), Ok(Some("[::1]:9002".parse().unwrap())));
}

#[test]
fn a_bad_address_says_what_was_probably_meant() {
    let long = format!("unix:/{}", "a".repeat(107));
    for (text, line) in [
        ("9001", "\"9001\" lacks an address; write 127.0.0.1:9001 for this machine alone"),
        (":9001", "\":9001\" lacks an address; write 127.0.0.1:9001"),
        ("10.0.0.1", "\"10.0.0.1\" lacks a port; write it like 10.0.0.1:9001"),
        ("::1", "\"::1\" lacks a port; write it like [::1]:9001"),
        ("::1:8080", "\"::1:8080\" lacks a port; write it like [::1]:8080"),
        ("localhost:9001", "names are not resolved"),
        ("1.2.3.4:99999", "is not an IP address with a port"),
        ("unix:", "\"\" is no path of a socket"),
        ("unix:/a\0b", "is no path of a socket"),
        (long.as_str(), "is too long for a socket's path; write at most 107 bytes"),
        ("", "\"\" is not an IP address with a port"),
    ] {
        let refusal = text.parse::<ListenAddress>().expect_err(text).to_string();
        assert!(refusal.contains(line), "{text:?}: {refusal}");
    }
    assert!(parse_admin("unix:/run/a.sock").unwrap_err().remedy.contains("or off"));
}

#[test]
fn addresses_meet_where_one_answers_for_the_other() {
    for (a, b, meet) in [
        ("127.0.0.1:1", "127.0.0.1:1", true),
        ("127.0.0.1:1", "127.0.0.1:2", false),
        ("127.0.0.1:1", "127.0.0.2:1", false),
        ("0.0.0.0:1", "127.0.0.1:1", true),
        ("0.0.0.0:1", "[::1]:1", false),
        ("[::]:1", "127.0.0.1:1", true),
        ("[::]:1", "0.0.0.0:1", true),
        ("[::1]:1", "127.0.0.1:1", false),
        ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
        ("[fe80::1%1]:1", "[fe80::1%2]:1", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
        ("unix:/a//b", "unix:/a/b", true),
        ("unix:/a", "unix:/b", false),
        ("unix:/a", "127.0.0.1:1", false),
    ] {
        let (x, y): (ListenAddress, ListenAddress) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(x.meets(&y), meet, "{a} and {b}");
        assert_eq!(y.meets(&x), meet, "{b} and {a}");
    }
}

#[test]
fn a_token_matches_itself_alone_and_is_never_printed() {
    let token = AdminToken::new(b"  s3cret-token\n").unwrap();
    assert!(token.matches(b"s3cret-token"));
    for other in [&b""[..], b"s3cret-tokem", b"s3cret-toke", b"s3cret-tokens", b"S3cret-token"] {
        assert!(!token.matches(other), "{other:?}");
    }
    assert!(!token.matches(b"s3cret-tokens3cret-token"), "the token twice");
    assert!(!format!("{token:?} {token}").contains("s3cret"));
}

#[test]
fn a_token_that_no_client_could_send_is_refused() {
    for (text, why) in [
        (&b""[..], "empty"),
        (b" \r\n\t", "empty"),
        (b"two words", "a space"),
        (b"one\ntwo", "a line break"),
        (b"caf\xc3\xa9", "not visible ASCII"),
    ] {
        assert!(AdminToken::new(text).unwrap_err().wrong.contains(why), "{text:?}");
    }
    let long = Scratch::new("x".repeat(5000));
    assert!(AdminToken::read(long.path()).unwrap_err().wrong.contains("longer than 4096"));
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        let _ = parse_duration(&text);
        let _ = parse_size(&text);
        let _ = text.parse::<Rate>();
        let _ = text.parse::<ListenAddress>();
        let _ = format!("unix:{text}").parse::<ListenAddress>();
        let _ = parse_admin(&text);
        let _ = AdminToken::new(text.as_bytes());
    }

    #[test]
    fn nothing_that_looks_like_a_quantity_makes_a_parser_panic(
        text in "([0-9]{0,25}(\\.[0-9]{0,20})? ?(ms|s|m|h|d|KiB|TiB|TB)?(/[smh])?:?){0,4}",
    ) {
        let _ = parse_duration(&text);
        let _ = parse_size(&text);
        let _ = text.parse::<Rate>();
    }

    #[test]
    fn a_duration_written_back_reads_as_the_same(millis in any::<u64>()) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
    }

    #[test]
    fn a_size_written_back_reads_as_the_same(bytes in any::<u64>(), shift in 0..64u32) {
        for bytes in [bytes, bytes >> shift << shift, bytes >> shift] {
            prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn a_rate_written_back_reads_as_the_same(
        per_second in 0.0001f64..1e9,
        amount in 1..1_000_000u32,
        unit in prop::sample::select(vec![1.0, 60.0, 3600.0]),
        burst in 1..=u32::MAX,
    ) {
        let typed: Rate = format!("{per_second}/s").parse().unwrap();
        let whole = f64::from(amount) / unit;
        for rate in [typed, Rate { per_second, burst }, Rate { per_second: whole, burst }] {
            prop_assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
        }
    }

    #[test]
    fn an_address_written_back_reads_as_the_same(
        ip in any::<std::net::IpAddr>(),
        port in any::<u16>(),
        path in "[a-zA-Z0-9./_ -]{1,60}",
    ) {
        let tcp = ListenAddress::Tcp((ip, port).into());
        let unix = ListenAddress::Unix(path.trim_end().to_string().into());
        prop_assert_eq!(tcp.to_string().parse::<ListenAddress>(), Ok(tcp));
        if unix != ListenAddress::Unix("".into()) {
            prop_assert_eq!(unix.to_string().parse::<ListenAddress>(), Ok(unix));
        }
    }
}
