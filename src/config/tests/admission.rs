//! Limits of addresses and users, and proxies: what their values may be.
//! Not for what is counted by them.

use super::super::{ForwardedHeader, Proxy, UserPolicy};
use super::{Scratch, file, flags};

#[test]
fn limits_and_proxies_are_read() {
    let secret = Scratch::new([7; 32]);
    let config = flags([
        "--auth=jwt",
        &format!("--jwt-secret-file={}", secret.path()),
        "--max-connections-per-user=3",
        "--user-limit-policy=replace",
        "--max-connections-per-ip=off",
        "--connect-rate-per-ip=10/s:50",
        "--trust-proxy=192.0.2.7",
        "--trust-proxy=2001:db8::/32",
        "--trust-proxy=unix",
        "--forwarded-header=forwarded",
        "--proxy-protocol",
    ]);
    let admission = config.config().unwrap().admission;
    assert_eq!(admission.max_connections_per_user, Some(3));
    assert_eq!(admission.user_limit_policy, UserPolicy::Replace);
    assert_eq!(admission.max_connections_per_ip, None);
    assert_eq!(admission.connect_rate_per_ip.map(|rate| rate.burst), Some(50));
    assert_eq!(admission.forwarded_header, ForwardedHeader::Forwarded);
    assert!(admission.proxy_protocol);
    let shown: Vec<String> = admission.trust_proxy.iter().map(Proxy::to_string).collect();
    assert_eq!(shown, ["192.0.2.7/32", "2001:db8::/32", "unix"]);
}

#[test]
fn a_proxy_is_at_the_addresses_of_its_network_and_nowhere_else() {
    for (proxy, inside, outside) in [
        ("10.0.0.0/8", Some("10.255.0.1"), Some("11.0.0.1")),
        ("192.0.2.7", Some("192.0.2.7"), Some("192.0.2.8")),
        ("2001:db8::/32", Some("2001:db8:1::"), Some("10.0.0.1")),
        ("0.0.0.0/0", Some("203.0.113.9"), Some("::1")),
        ("unix", None, Some("127.0.0.1")),
        ("10.0.0.0/8", Some("10.0.0.0"), None),
    ] {
        let is_at = |address: Option<&str>| {
            proxy.parse::<Proxy>().unwrap().is_at(address.map(|text| text.parse().unwrap()))
        };
        assert!(is_at(inside) && !is_at(outside), "{proxy}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    for (flag, problem) in [
        ("--max-connections-per-ip=0", "0 refuses every client; write 1 to 4294967295, or off"),
        (
            "--max-connections-per-user=4294967296",
            "4294967296 is too many; write 1 to 4294967295, or off",
        ),
        (
            "--max-connections-per-ip=auto",
            "\"auto\" is not a whole number; write a number like 4, or off",
        ),
        ("--max-addresses=off", "\"off\" is not a whole number; write a number like 4, or more"),
        ("--max-addresses=0", "0 addresses cannot be counted; write 1 to 67108864"),
        (
            "--connect-rate=0/s",
            "\"0/s\": a rate of 0 lets nothing through; write a rate like 100/s, or off",
        ),
        ("--user-limit-policy=replaced", "\"replaced\" is unknown; did you mean replace?"),
        (
            "--trust-proxy=nginx",
            "\"nginx\" is no network; write it like 10.0.0.0/8, 192.0.2.7, 2001:db8::/32 or unix",
        ),
        (
            "--trust-proxy=10.1.0.0/8",
            "\"10.1.0.0/8\" has bits behind its prefix; write 10.0.0.0/8 or one address",
        ),
        (
            "--trust-proxy=::ffff:10.0.0.0/104",
            "\"::ffff:10.0.0.0/104\" is an IPv4 address in IPv6 form; write it as IPv4, like \
             10.0.0.0/8",
        ),
        (
            "--max-connections-per-user=3",
            "users are told apart by their tokens, and auth is off; give --auth jwt and a key, or \
             max-connections-per-user off",
        ),
        (
            "--proxy-protocol",
            "proxy-protocol is on and no proxy is trusted to use it; give --trust-proxy with the \
             network that the proxies connect from",
        ),
    ] {
        let (name, _) = flag.split_once('=').unwrap_or((flag, ""));
        assert_eq!(flags([flag]).problem(), format!("flag {name}: {problem}"));
    }
    let twice = flags(["--trust-proxy=10.0.0.0/8", "--trust-proxy=10.0.0.0/8"]).problem();
    assert_eq!(twice, "flag --trust-proxy: 10.0.0.0/8 is given twice; write it once");
    let number = file("max_connections_per_ip = 20").config().unwrap();
    assert_eq!(number.admission.max_connections_per_ip, Some(20));
}

#[test]
fn what_is_allowed_and_hardly_meant_is_warned_of() {
    let warnings =
        |args: &[&str]| flags(args.iter().copied()).config().unwrap().warnings.join("\n");
    for everyone in ["0.0.0.0/0", "::/0"] {
        let said = warnings(&["--trust-proxy", everyone]);
        assert!(said.starts_with(&format!("trust-proxy: with {everyone} whoever")), "{said}");
    }
    assert_eq!(warnings(&["--trust-proxy=10.0.0.0/8", "--trust-proxy=unix"]), "");
    let many = ["--max-connections=1000000", "--max-connections-per-ip=5"];
    let said = warnings(&many);
    assert!(said.starts_with("max-addresses: once 262144 addresses"), "{said}");
    assert!(said.ends_with("write max-addresses 1000000"), "{said}");
    assert_eq!(warnings(&[&many[..], &["--max-addresses=1000000"]].concat()), "");
    assert_eq!(warnings(&many[..1]), "");
}
