//! Certificates and keys as they are typed: pairs, files that are wrong, what a reload tells.
//! Not for handshakes, which the identity's own tests do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::super::tls::untimely;
use super::super::{Command, Config, compare};
use super::{Scratch, Typed, file, flags};
use crate::proto::tls::Certificate;

/// A certificate for a name and its key, each in a file that nobody else may read.
struct Pair {
    certificate: Scratch,
    key: Scratch,
}

impl Pair {
    fn new(name: &str) -> Self {
        Self::of(CertificateParams::new([name.to_owned()]).expect("a name"))
    }

    fn of(params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let pair =
            Self { certificate: Scratch::new(certificate), key: Scratch::new(key.serialize_pem()) };
        for file in [&pair.certificate, &pair.key] {
            fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
        }
        pair
    }

    fn flags(&self) -> [&str; 4] {
        ["--tls-cert", self.certificate.path(), "--tls-key", self.key.path()]
    }

    fn config(&self) -> Config {
        flags(self.flags()).config().unwrap()
    }
}

#[test]
fn pairs_are_put_together_in_order_wherever_they_are_typed() {
    let (a, b) = (Pair::new("a.example"), Pair::new("b.example"));
    let names = |config: Config| -> Vec<String> {
        config.tls.iter().flat_map(|one| one.names().to_vec()).collect()
    };
    let typed = flags([&a.flags()[..], &b.flags()].concat());
    assert_eq!(names(typed.config().unwrap()), ["a.example", "b.example"]);
    let toml = format!(
        "tls_cert = [\"{}\", \"{}\"]\ntls_key = [\"{}\", \"{}\"]\n",
        b.certificate.path(),
        a.certificate.path(),
        b.key.path(),
        a.key.path()
    );
    assert_eq!(names(file(&toml).config().unwrap()), ["b.example", "a.example"]);
    let typed = Typed::default()
        .variable("PULSEWHEEL_TLS_CERT", a.certificate.path())
        .variable("PULSEWHEEL_TLS_KEY", a.key.path());
    let config = typed.config().unwrap();
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(names(config), ["a.example"]);
    assert_eq!(Config::default().tls, []);
    let command = flags([&["check-config"][..], &a.flags()].concat()).command();
    assert_eq!(command, Ok(Command::CheckConfig(Vec::new())));
}

#[test]
fn each_wrong_pair_is_one_line_that_names_the_file() {
    let (a, b) = (Pair::new("a.example"), Pair::new("b.example"));
    let (cert, key) = (a.certificate.path(), a.key.path());
    for (args, parts) in [
        (vec!["--tls-cert", cert], ["flag --tls-cert: there are 1 certificates and 0", "tls-key"]),
        (vec!["--tls-key", key], ["flag --tls-key: there are 0 certificates and 1", "tls-cert"]),
        (vec!["--tls-cert", "/no", "--tls-key", key], ["flag --tls-cert: cannot read", "\"/no\""]),
        (vec!["--tls-cert", cert, "--tls-key", "/no"], ["flag --tls-key: cannot read", "\"/no\""]),
        (vec!["--tls-cert", key, "--tls-key", cert], ["flag --tls-cert:", "no certificate"]),
        (vec!["--tls-cert", cert, "--tls-key", cert], ["flag --tls-key:", "no private key"]),
        (
            vec!["--tls-cert", cert, "--tls-key", b.key.path()],
            ["flag --tls-key:", "is not that of the first certificate"],
        ),
    ] {
        let problem = flags(args).problem();
        assert!(parts.iter().all(|part| problem.contains(part)), "{problem}");
        assert!(problem.contains("; "), "says what to do: {problem}");
    }
    let both = flags([&a.flags()[..], &["--tls-cert", b.certificate.path()]].concat()).problem();
    assert!(both.contains("2 certificates and 1 keys; give one tls-key for each"), "{both}");
    let long = Scratch::new(vec![b'x'; (1 << 20) + 1]);
    let problem = flags(["--tls-cert", long.path(), "--tls-key", key]).problem();
    assert!(problem.contains("longer than 1048576 bytes"), "{problem}");
}

#[test]
fn a_key_that_others_may_read_and_a_certificate_that_they_may_write_are_warned_of() {
    let pair = Pair::new("a.example");
    fs::set_permissions(pair.key.path(), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(pair.certificate.path(), Permissions::from_mode(0o646)).unwrap();
    let warnings = pair.config().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("tls-cert: every user of this machine may write"));
    assert!(warnings[1].starts_with("tls-key: every user of this machine may read"));
    fs::set_permissions(pair.certificate.path(), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(pair.key.path(), Permissions::from_mode(0o640)).unwrap();
    assert_eq!(pair.config().warnings, [""; 0], "certificates are shown to everyone anyway");
}

#[test]
fn a_certificate_that_clients_will_refuse_is_warned_of_and_served() {
    let dated = |from, until| {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (from, until);
        Pair::of(params).config()
    };
    let past = dated(date_time_ymd(2001, 1, 1), date_time_ymd(2002, 2, 3));
    assert_eq!(past.warnings.len(), 1);
    let parts = ["tls-cert: ", "has expired (2002-02-03 00:00:00 UTC)"];
    assert!(parts.iter().all(|part| past.warnings[0].contains(part)), "{:?}", past.warnings);
    let future = dated(date_time_ymd(2101, 1, 1), date_time_ymd(2102, 2, 3));
    assert!(future.warnings[0].contains("is not valid before 2101-01-01"), "{:?}", future.warnings);

    let certificate: &Certificate = &past.tls[0];
    let (first, last) = (978_307_200, 1_012_694_400);
    assert!(untimely(certificate, first - 1).is_some_and(|said| said.contains("not valid before")));
    assert_eq!(untimely(certificate, first), None);
    assert_eq!(untimely(certificate, last), None, "the last second counts");
    assert!(untimely(certificate, last + 1).is_some_and(|said| said.contains("has expired")));
}

#[test]
fn a_further_certificate_that_nobody_can_ask_for_is_warned_of() {
    let (named, other) = (Pair::new("a.example"), Pair::new("b.example"));
    let nameless = Pair::of(CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address"));
    let warnings = |first: &Pair, second: &Pair| {
        flags([first.flags(), second.flags()].concat()).config().unwrap().warnings
    };
    let said = warnings(&named, &nameless);
    let is_named = said.iter().any(|said| said.contains(nameless.certificate.path()));
    assert!(said.len() == 1 && is_named && said[0].contains("no DNS name"), "{said:?}");
    assert_eq!(warnings(&nameless, &named), [""; 0], "the first is for all who ask for no other");
    assert_eq!(warnings(&named, &other), [""; 0]);
}

#[test]
fn a_reload_tells_of_other_files_and_of_other_content() {
    let (a, b) = (Pair::new("a.example"), Pair::new("b.example"));
    let (before, other) = (a.config(), b.config());
    let moved = compare(&before, &other);
    assert_eq!(moved.needs_restart, [""; 0]);
    assert_eq!(
        moved.taken,
        [
            format!("tls-cert {} -> {}", a.certificate.path(), b.certificate.path()),
            format!("tls-key {} -> {}", a.key.path(), b.key.path()),
        ]
    );
    let renewed = Pair::new("a.example");
    fs::copy(renewed.certificate.path(), a.certificate.path()).unwrap();
    fs::copy(renewed.key.path(), a.key.path()).unwrap();
    let told = format!("tls-cert {} holds another certificate or has another key", {
        a.certificate.path()
    });
    assert_eq!(compare(&before, &a.config()).taken, [told]);
    assert_eq!(compare(&a.config(), &a.config()), compare(&other, &b.config()));
}

#[test]
fn tls_can_only_be_turned_on_or_off_by_a_restart() {
    let pair = Pair::new("a.example");
    let (plain, secure) = (flags([]).config().unwrap(), pair.config());
    for (from, to) in [(&plain, &secure), (&secure, &plain)] {
        let told = compare(from, to);
        assert_eq!(told.taken, [""; 0]);
        assert_eq!(told.needs_restart.len(), 2, "{told:?}");
        assert!(told.needs_restart[0].starts_with("tls-cert "), "{told:?}");
        assert!(told.needs_restart[1].starts_with("tls-key "), "{told:?}");
    }
}

#[test]
fn no_more_pairs_are_taken_than_can_be_searched() {
    let mut config = Pair::new("a.example").config();
    config.tls = vec![config.tls[0].clone(); 257];
    let errors = config.check(&super::HANDLERS).expect_err("too many").to_string();
    assert!(errors.contains("tls-cert: there are 257 certificates"), "{errors}");
}
