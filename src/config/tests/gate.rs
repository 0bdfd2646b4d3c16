//! Origins and tokens as they are typed: which keys belong together, and that no secret is shown.
//! Not for judging requests, which the gate's own tests do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::super::{Config, compare};
use super::{Scratch, Typed, file, flags};
use crate::gate::{Algorithm, Auth, KeySource, Keys, Place};

const SECRET: &str = "a secret that is of forty-eight bytes, no fewer..";

/// A file that nobody else may read.
fn private(content: &str) -> Scratch {
    let file = Scratch::new(content);
    fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
    file
}

#[test]
fn everything_about_tokens_may_stand_in_a_file() {
    let secret = private(SECRET);
    let text = format!(
        "auth = \"jwt\"\njwt_secret_file = \"{}\"\njwt_algorithm = \"HS384\"\n\
         jwt_audience = [\"chat\"]\njwt_issuer = [\"me\", \"you\"]\njwt_leeway = \"5s\"\n\
         token_from = [\"header\"]\nrequire_claim = [\"/echo=role=admin\"]\n\
         allow_origin = [\"https://a.test\"]\nrequire_origin = true\n",
        secret.path()
    );
    let config = file(&text).config().unwrap();
    let gate = &config.gate;
    assert_eq!((gate.auth, gate.algorithm), (Auth::Jwt, Some(Algorithm::Hs384)));
    assert_eq!(gate.keys, Some(Keys::secret(SECRET.as_bytes()).unwrap()));
    assert_eq!((&gate.audience[..], gate.issuer.len()), (&["chat".to_owned()][..], 2));
    assert_eq!((gate.leeway, &gate.token_from[..]), (Duration::from_secs(5), &[Place::Header][..]));
    assert_eq!(gate.required_claims[0].to_string(), "/echo=role=admin");
    assert!(gate.requires_origin && gate.allowed_origins[0].to_string() == "https://a.test");
    assert_eq!(config.warnings, [""; 0]);
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn the_environment_may_hold_the_secret_itself() {
    let typed = || flags(["--auth=jwt"]).variable("PULSEWHEEL_JWT_SECRET", SECRET);
    let keys = typed().config().unwrap().gate.keys.unwrap();
    assert_eq!(keys.source(), KeySource::Secret);
    assert_eq!(keys, Keys::secret(SECRET.as_bytes()).unwrap());
    let secret = private(SECRET);
    let both = typed().flags(["--jwt-secret-file", secret.path()]).problem();
    assert_eq!(
        both,
        "environment PULSEWHEEL_JWT_SECRET: the keys for tokens are given by flag \
         --jwt-secret-file too; give one secret, one public key or one set"
    );
    let short = flags(["--auth=jwt"]).variable("PULSEWHEEL_JWT_SECRET", "tiny").problem();
    assert!(short.starts_with("environment PULSEWHEEL_JWT_SECRET: a secret of 4 bytes"), "{short}");
    assert!(!short.contains("tiny"), "{short}");
    // What a compose file leaves where nothing was filled in.
    let empty = flags(["--auth=off"]).variable("PULSEWHEEL_JWT_SECRET", "");
    assert_eq!(empty.config().unwrap().gate.keys, None);
}

#[test]
fn a_flag_is_stronger_than_a_variable_and_that_than_the_file() {
    let [one, two, three] = ["1", "2", "3"].map(|n| private(&n.repeat(40)));
    let text = format!("auth = \"jwt\"\njwt_secret_file = \"{}\"\n", one.path());
    let keys = |typed: Typed| typed.config().unwrap().gate.keys.unwrap();
    let of = |n: &str| Keys::secret(n.repeat(40).as_bytes()).unwrap();
    assert_eq!(keys(file(&text)), of("1"));
    let with = || file(&text).variable("PULSEWHEEL_JWT_SECRET_FILE", two.path());
    assert_eq!(keys(with()), of("2"));
    assert_eq!(keys(with().flags(["--jwt-secret-file", three.path()])), of("3"));
}

#[test]
fn tokens_need_a_key_and_a_key_needs_that_tokens_are_asked_for() {
    assert_eq!(
        flags(["--auth=jwt"]).problem(),
        "flag --auth: jwt is asked for without a key; give --jwt-secret-file, \
         --jwt-public-key-file or --jwt-jwks-file"
    );
    let secret = private(SECRET);
    for args in [
        &["--jwt-secret-file", secret.path()][..],
        &["--jwt-algorithm", "HS256"],
        &["--jwt-audience", "chat"],
        &["--jwt-issuer", "me"],
        &["--jwt-leeway", "1s"],
        &["--require-claim", "/echo=role"],
    ] {
        let problem = flags(args.iter().copied()).problem();
        let line = "has no effect while auth is off; give --auth jwt too";
        assert_eq!(problem, format!("flag {}: {line}", args[0]));
    }
    let problem = Typed::default().variable("PULSEWHEEL_JWT_SECRET", SECRET).problem();
    assert!(problem.starts_with("environment PULSEWHEEL_JWT_SECRET: has no effect"), "{problem}");
}

#[test]
fn what_is_wrong_with_a_key_is_told_and_not_what_it_is() {
    let file = private("topsecret");
    let path = format!("{:?}", file.path());
    for (flag, line) in [
        (
            "--jwt-secret-file",
            "a secret of 9 bytes is too short for HS256, which needs 32; ".to_owned(),
        ),
        ("--jwt-public-key-file", format!("{path}: it holds no public key in PEM; ")),
        ("--jwt-jwks-file", format!("{path}: it is no JWK set: line 1 is not JSON; ")),
    ] {
        let problem = flags(["--auth=jwt", flag, file.path()]).config().unwrap_err().remove(0);
        assert!(problem.starts_with(&format!("flag {flag}: {line}")), "{problem}");
        assert!(!problem.contains("topsecret"), "{problem}");
    }
    let missing = flags(["--auth=jwt", "--jwt-secret-file", "/nowhere"]).config().unwrap_err();
    assert!(missing[0].starts_with("flag --jwt-secret-file: cannot read \"/nowhere\": "));
}

#[test]
fn words_and_lists_that_make_no_sense_are_refused() {
    for (args, line) in [
        ("--auth=jtw", "flag --auth: \"jtw\" is unknown; did you mean jwt?"),
        ("--jwt-algorithm=none", "flag --jwt-algorithm: \"none\" is unknown; write one of auto, "),
        ("--token-from=cookie", "flag --token-from: \"cookie\" is unknown; write one of header, "),
        ("--allow-origin=a.test", "flag --allow-origin: \"a.test\" is not an origin; write "),
        ("--allow-origin=https://a/x", "flag --allow-origin: \"https://a/x\" has a path, which"),
        ("--require-claim=role", "flag --require-claim: \"role\" is not PATH=NAME or PATH=NAME="),
        ("--jwt-leeway=11m", "flag --jwt-leeway: 11m is more than clocks differ by; write at "),
    ] {
        let lines = flags([args]).config().unwrap_err();
        assert!(lines[0].starts_with(line), "{lines:?}");
    }
    let secret = private(SECRET);
    let with = |more: &'static str| {
        flags(["--auth=jwt", "--jwt-secret-file", secret.path()]).flags([more]).problem()
    };
    assert_eq!(
        with("--require-claim=/nowhere=role"),
        "flag --require-claim: no route serves \"/nowhere\"; name the path of a route, or add one"
    );
    let text = "auth = \"jwt\"\ntoken_from = []\n";
    let lines = file(text).variable("PULSEWHEEL_JWT_SECRET", SECRET).problem();
    assert!(lines.starts_with("F:2 token_from: leaves no place for a token; "), "{lines}");
}

#[test]
fn a_secret_that_all_may_read_and_a_key_that_all_may_write_are_warned_of() {
    let warnings = |flag: &str, mode: u32, content: &str| {
        let file = Scratch::new(content);
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let warnings = flags(["--auth=jwt", flag, file.path()]).config().unwrap().warnings;
        warnings.join("\n").replace(file.path(), "F")
    };
    let secret = "--jwt-secret-file";
    assert_eq!(warnings(secret, 0o640, SECRET), "");
    assert_eq!(
        warnings(secret, 0o644, SECRET),
        "jwt-secret-file: every user of this machine may read \"F\"; chmod o-rw would end that"
    );
    assert!(warnings(secret, 0o602, SECRET).contains("may write \"F\""));
    let set = r#"{"keys": [{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    assert_eq!(warnings("--jwt-jwks-file", 0o644, set), "");
    assert!(warnings("--jwt-jwks-file", 0o646, set).contains("may write \"F\""));
    // With a secret in it the set is one.
    let secret = r#"{"keys": [{"kty":"oct","kid":"s","k":"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"}]}"#;
    assert!(warnings("--jwt-jwks-file", 0o644, secret).contains("may read \"F\""));
    assert_eq!(warnings("--jwt-jwks-file", 0o600, secret), "");
}

#[test]
fn another_secret_is_told_and_not_shown() {
    let [one, two] = ["1", "2"].map(|n| private(&n.repeat(40)));
    let with =
        |file: &Scratch| flags(["--auth=jwt", "--jwt-secret-file", file.path()]).config().unwrap();
    let added = compare(&Config::default(), &with(&one));
    assert_eq!(added.taken, ["auth off -> jwt", "jwt-secret-file none -> redacted"]);
    let changed = compare(&with(&one), &with(&two));
    assert_eq!(changed.taken, ["jwt-secret-file holds other keys"]);
    assert_eq!(changed.needs_restart, [""; 0]);
}
