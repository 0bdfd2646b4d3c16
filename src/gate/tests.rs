//! The gate as a whole: requests with tokens of every kind, and what each is told.
//! Not for single origins or places, which have tests beside their code.

use std::time::Duration;

use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::proto::parse_head;

const SECRET: &[u8] = b"a secret of these tests, which is as long as the longest of hashes";
pub(super) const NOW: u64 = 1_800_000_000;

/// The examples of RFC 7515, appendix A: one payload, made in 2011, signed in three ways.
mod rfc {
    pub const EXPIRES: u64 = 1_300_819_380;
    pub const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    pub const HS256_KEY: &str = r#"{"kty": "oct", "kid": "h", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    pub const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    pub const RS256_KEY: &str = r#"{"kty": "RSA", "kid": "r", "use": "sig", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    pub const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    pub const ES256_KEY: &str = r#"{"kty": "EC", "kid": "e", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
}

/// A public RSA key, of which every client may know each byte.
const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlc0rfRv0bZn3XxMXhzgq
dMwrEN84uBuoZ1OUkw6EjkCT0s250NBBIcc1xaA+wuLQMNrPGhyPhSLc2oyE0LRU
H52QxmO+/AuP3pcgtbM7wGnF0qtT0nUGzTyomwCQgEzjEYGfuw3nHtelGFrAVK94
UcvUYU8cNrU0AkuFOR8MMNRtM502S8kRK0xDPsS4vbDdShPwlczH3Rt3A+rdV/f4
dZGdSEnftqHXDb+XR6GR4kaeu4UOwfaSY3YWpkak1xHwHoz5rhf5dscnYK/ZTPln
57hpn5Jn+xwh8WRxV6C/AkjjdGnwlX3a7Ro4gSs2qKSNNCS+AGD54bbfD0ignC2i
2QIDAQAB
-----END PUBLIC KEY-----
";
const RSA_1024_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC4KAYXB6xwx9BLIvchLF4NvXZk
GYh4Rd0KLfnM827euH3I60V8SfK1JX5qJsrBAZ/hnr6qKH1r0PVKYfY7FY8Y52aV
S+yMSHzZUa+LbAwgTwgf7t3/+3bKwKKRZ7UsEK35d0L0DZs+P6qGPHqu7j8BGZzv
3kWdUVQBH0wQ0n9cwQIDAQAB
-----END PUBLIC KEY-----
";
const P256_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUZEXPVl/ymnZd1fm5yesF+wcIp6A
prqyeaImtPMSaXADn/sWlB1H99tgMA58zbtDDeRc+D7DJs2ypIOwdG7n3Q==
-----END PUBLIC KEY-----
";
const P384_PEM: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEk+ZjW/yd058i7mZs6RuQG6e+fjHo1cqn
05Zn/FmYLfbAA+HtgqY5x1nbVzMluKzh1z7Jwl341+yDVaVCUxSut0PyqwSDshDb
SroAI7kyI6wLT+AaooaFwQF2uWrFm4oq
-----END PUBLIC KEY-----
";
const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAwaE3i7FOYLYGhbiMZ/X17z4mGY+uBfm6yTQJKdKqUS8=
-----END PUBLIC KEY-----
";

/// Base64 for URLs, without padding (RFC 4648 section 5).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let digit = |six: &[u8]| {
        let value = six.iter().fold(0, |value, bit| value << 1 | bit) << (6 - six.len());
        char::from(DIGITS[usize::from(value)])
    };
    bits.chunks(6).map(digit).collect()
}

fn sign(header: &Value, claims: &Value, algorithm: hmac::Algorithm, secret: &[u8]) -> String {
    let (header, claims) = (header.to_string(), claims.to_string());
    let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", base64(signature.as_ref()))
}

pub(super) fn token(claims: Value) -> String {
    sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, hmac::HMAC_SHA256, SECRET)
}

/// Settings that ask for tokens made with [`SECRET`].
pub(super) fn settings() -> Settings {
    Settings { auth: Auth::Jwt, keys: Some(Keys::secret(SECRET).unwrap()), ..Settings::default() }
}

fn with_keys(keys: Keys) -> Settings {
    Settings { keys: Some(keys), ..settings() }
}

/// A set of these keys.
fn set_of(keys: &[&str]) -> Keys {
    Keys::jwk_set(format!("{{\"keys\": [{}]}}", keys.join(",")).as_bytes()).unwrap()
}

/// What a request for `/chat` with these lines is answered at `now`.
fn ask_at(now: Duration, settings: Settings, lines: &str) -> Result<Admitted, Denied> {
    let gate = Gate::new(settings).unwrap();
    let head = format!("GET /chat HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut outcome = None;
    parse_head(head.as_bytes(), |request| outcome = Some(gate.ask(&request, || now)));
    outcome.expect("the head is whole")
}

pub(super) fn show_at(now: u64, settings: Settings, token: &str) -> Result<Admitted, Denied> {
    ask_at(Duration::from_secs(now), settings, &format!("Authorization: Bearer {token}\r\n"))
}

/// The reason why a token is refused, and what the answer says about it.
#[track_caller]
fn refusal(settings: Settings, token: &str) -> (RefusedReason, String) {
    let denied = show_at(NOW, settings, token).expect_err("the token is taken");
    assert_eq!(denied.answer.status.as_u16(), denied.reason.status());
    assert!(!token.is_empty() && !format!("{denied:?}").contains(token), "the token is told");
    let why = denied.answer.headers.split("error_description=\"").nth(1);
    (denied.reason, why.unwrap().split('"').next().unwrap().to_owned())
}

#[track_caller]
fn assert_refused(settings: Settings, token: &str, fault: Fault) {
    let reason = match fault {
        Fault::Expired => RefusedReason::TokenExpired,
        _ => RefusedReason::TokenRefused,
    };
    assert_eq!(refusal(settings, token), (reason, fault.to_string()), "{token}");
}

#[test]
fn base64_is_that_of_the_rfc() {
    for (text, encoded) in
        [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")]
    {
        assert_eq!(base64(text.as_bytes()), encoded);
    }
}

#[test]
fn the_examples_of_the_rfc_are_good_with_their_own_keys_until_they_expire() {
    let examples =
        [(rfc::HS256, rfc::HS256_KEY), (rfc::RS256, rfc::RS256_KEY), (rfc::ES256, rfc::ES256_KEY)];
    for (token, own) in examples {
        let admitted = show_at(rfc::EXPIRES - 1, with_keys(set_of(&[own])), token).unwrap();
        let claims = admitted.claims.unwrap();
        assert_eq!(claims.get("iss"), Some(&json!("joe")));
        assert_eq!(claims.expires(), Duration::from_secs(rfc::EXPIRES));
        assert_eq!(admitted.stay, Some(Duration::from_secs(1)));
        let denied = show_at(rfc::EXPIRES, with_keys(set_of(&[own])), token).unwrap_err();
        assert_eq!(denied.reason, RefusedReason::TokenExpired);
        for (_, other) in examples.iter().filter(|(_, other)| *other != own) {
            assert_refused(with_keys(set_of(&[other])), token, Fault::Algorithm);
        }
    }
}

#[test]
fn a_changed_letter_anywhere_makes_a_token_worthless() {
    for (token, key) in [(rfc::RS256, rfc::RS256_KEY), (rfc::ES256, rfc::ES256_KEY)] {
        let settings = with_keys(set_of(&[key]));
        for at in (0..token.len()).step_by(7) {
            let mut bytes = token.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(show_at(rfc::EXPIRES - 1, settings.clone(), &changed).is_err(), "at {at}");
        }
    }
}

#[test]
fn no_algorithm_of_a_tokens_own_choice_is_taken() {
    let claims = json!({"exp": NOW + 60});
    let (header, payload) = (base64(br#"{"alg":"none"}"#), base64(claims.to_string().as_bytes()));
    assert_refused(settings(), &format!("{header}.{payload}."), Fault::Header);
    for alg in ["NONE", "None", "", "HS1", "ES512"] {
        let forged = sign(&json!({"alg": alg}), &claims, hmac::HMAC_SHA256, SECRET);
        assert_refused(settings(), &forged, Fault::Header);
    }
    assert_refused(settings(), &token_without_alg(&claims), Fault::Header);
    for (alg, hash) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        let other = sign(&json!({"alg": alg}), &claims, hash, SECRET);
        assert_refused(settings(), &other, Fault::Algorithm);
    }
    for alg in ["RS256", "ES256", "EdDSA", "PS256", "RS512"] {
        let other = sign(&json!({"alg": alg}), &claims, hmac::HMAC_SHA256, SECRET);
        assert_refused(settings(), &other, Fault::Algorithm);
    }
}

fn token_without_alg(claims: &Value) -> String {
    sign(&json!({"typ": "JWT"}), claims, hmac::HMAC_SHA256, SECRET)
}

/// RFC 8725 section 2.1: what is public must not do as a secret.
#[test]
fn hmac_with_the_text_of_a_public_key_is_no_signature() {
    let claims = json!({"exp": NOW + 60});
    for pem in [RSA_PEM, P256_PEM, ED25519_PEM] {
        for secret in [pem.as_bytes(), pem.trim().as_bytes()] {
            let forged = sign(&json!({"alg": "HS256"}), &claims, hmac::HMAC_SHA256, secret);
            let keys = Keys::public_pem(pem.as_bytes()).unwrap();
            assert_refused(with_keys(keys), &forged, Fault::Algorithm);
        }
    }
    let modulus = rfc::RS256_KEY.rsplit('"').nth(1).unwrap();
    let header = json!({"alg": "HS256", "kid": "r"});
    let forged = sign(&header, &claims, hmac::HMAC_SHA256, modulus.as_bytes());
    assert_refused(with_keys(set_of(&[rfc::RS256_KEY])), &forged, Fault::Algorithm);
}

#[test]
fn each_configured_hash_is_the_only_one() {
    let claims = json!({"exp": NOW + 60});
    for (algorithm, hash) in [
        (Algorithm::Hs256, hmac::HMAC_SHA256),
        (Algorithm::Hs384, hmac::HMAC_SHA384),
        (Algorithm::Hs512, hmac::HMAC_SHA512),
    ] {
        let settings = Settings { algorithm: Some(algorithm), ..settings() };
        let good = sign(&json!({"alg": algorithm.as_str()}), &claims, hash, SECRET);
        assert!(show_at(NOW, settings.clone(), &good).is_ok(), "{algorithm}");
        let liar = sign(&json!({"alg": algorithm.as_str()}), &claims, hash, b"another secret");
        assert_refused(settings, &liar, Fault::Signature);
    }
}

#[test]
fn a_token_is_good_from_its_nbf_up_to_its_exp_and_not_in_that_second() {
    let good = token(json!({"exp": NOW + 10, "nbf": NOW - 10}));
    let reason = |now| show_at(now, settings(), &good).map(|_| ()).map_err(|denied| denied.reason);
    assert_eq!(reason(NOW - 11), Err(RefusedReason::TokenRefused));
    assert_eq!(reason(NOW - 10), Ok(()));
    assert_eq!(reason(NOW + 9), Ok(()));
    assert_eq!(reason(NOW + 10), Err(RefusedReason::TokenExpired));
    let leeway = Duration::from_secs(5);
    let lax = |now| show_at(now, Settings { leeway, ..settings() }, &good);
    assert!(lax(NOW - 16).is_err());
    assert_eq!(lax(NOW - 15).unwrap().stay, Some(Duration::from_secs(30)));
    assert_eq!(lax(NOW + 14).unwrap().stay, Some(Duration::from_secs(1)));
    assert!(lax(NOW + 15).is_err());
}

#[test]
fn fractions_of_a_second_count() {
    let good = token(json!({"exp": NOW as f64 + 0.75}));
    let at = |millis| {
        let now = Duration::from_secs(NOW) + Duration::from_millis(millis);
        ask_at(now, settings(), &format!("Authorization: Bearer {good}\r\n"))
    };
    assert_eq!(at(500).unwrap().stay, Some(Duration::from_millis(250)));
    assert!(at(750).is_err() && at(900).is_err());
}

#[test]
fn an_exp_that_is_no_date_is_none() {
    for exp in [json!(null), json!("1900000000"), json!(-1), json!(true), json!(1e300)] {
        assert_refused(settings(), &token(json!({"exp": exp})), Fault::NoExpiry);
    }
    assert_refused(settings(), &token(json!({"sub": "ada"})), Fault::NoExpiry);
    assert_refused(settings(), &token(json!({"exp": [NOW + 9]})), Fault::Malformed);
    let forever = show_at(NOW, settings(), &token(json!({"exp": u64::MAX}))).unwrap();
    assert_eq!(forever.stay, Some(Duration::from_secs(u64::MAX - NOW)));
    let odd = token(json!({"exp": NOW + 9, "nbf": "soon"}));
    assert_refused(settings(), &odd, Fault::NotBefore);
}

/// A wall clock that is set to before 1970 is read as the end of time.
#[test]
fn a_clock_without_a_time_lets_nobody_in() {
    let forever = token(json!({"exp": u64::MAX}));
    let denied = ask_at(Duration::MAX, settings(), &format!("Authorization: Bearer {forever}\r\n"));
    assert_eq!(denied.unwrap_err().reason, RefusedReason::TokenExpired);
}

#[test]
fn audience_and_issuer_must_be_those_that_are_configured() {
    let exp = NOW + 60;
    let ours = || Settings {
        audience: vec!["chat".to_owned(), "feed".to_owned()],
        issuer: vec!["https://issuer.test".to_owned()],
        ..settings()
    };
    let iss = "https://issuer.test";
    for aud in [json!("chat"), json!(["x", "feed"])] {
        let good = token(json!({"exp": exp, "aud": aud, "iss": iss}));
        assert!(show_at(NOW, ours(), &good).is_ok(), "{aud}");
    }
    for aud in [json!("other"), json!(["x"]), json!([]), json!(7), json!(null), json!("chat feed")]
    {
        let bad = token(json!({"exp": exp, "aud": aud, "iss": iss}));
        assert_refused(ours(), &bad, Fault::Audience);
    }
    assert_refused(ours(), &token(json!({"exp": exp, "iss": iss})), Fault::Audience);
    for iss in [json!("https://issuer.test/"), json!(7), json!(null)] {
        let bad = token(json!({"exp": exp, "aud": "chat", "iss": iss}));
        assert_refused(ours(), &bad, Fault::Issuer);
    }
    assert_refused(ours(), &token(json!({"exp": exp, "aud": "chat"})), Fault::Issuer);
    // Made for somebody else, who is not us (RFC 7519 section 4.1.3).
    assert_refused(settings(), &token(json!({"exp": exp, "aud": "other"})), Fault::Audience);
    assert!(show_at(NOW, settings(), &token(json!({"exp": exp, "iss": "anyone"}))).is_ok());
}

#[test]
fn a_set_is_searched_by_kid_and_a_key_does_only_what_it_is_for() {
    let claims = json!({"exp": NOW + 60});
    let hs = |kid: Value| {
        let mut header = json!({"alg": "HS256"});
        header["kid"] = kid;
        sign(&header, &claims, hmac::HMAC_SHA256, SECRET)
    };
    let secret = |kid: &str| format!(r#"{{"kty":"oct","kid":"{kid}","k":"{}"}}"#, base64(SECRET));
    let (one, two) = (secret("one"), secret("two"));
    let both = || with_keys(set_of(&[&one, &two, rfc::RS256_KEY]));
    assert!(show_at(NOW, both(), &hs(json!("two"))).is_ok());
    assert_refused(both(), &hs(json!("three")), Fault::UnknownKey);
    assert_refused(both(), &hs(json!(null)), Fault::UnknownKey);
    assert_refused(both(), &hs(json!("r")), Fault::Algorithm);
    // Of a set of one there is no doubt which key is meant.
    assert!(show_at(NOW, with_keys(set_of(&[&one])), &hs(json!(null))).is_ok());
    assert_refused(with_keys(set_of(&[&one])), &hs(json!("two")), Fault::UnknownKey);
    let pinned = Settings { algorithm: Some(Algorithm::Rs256), ..both() };
    assert_refused(pinned, &hs(json!("one")), Fault::UnknownKey);
}

#[test]
fn a_critical_header_is_not_passed_over() {
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let odd = sign(&header, &json!({"exp": NOW + 60}), hmac::HMAC_SHA256, SECRET);
    assert_refused(settings(), &odd, Fault::Critical);
}

#[test]
fn what_is_no_token_is_malformed() {
    let good = token(json!({"exp": NOW + 60}));
    for bad in [
        "x".to_owned(),
        "a.b".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        format!("{good}.x"),
        format!("{good}="),
        good.replacen('.', "%2E", 1),
        good.replacen('.', " ", 1),
        "\u{e9}.\u{e9}.\u{e9}".to_owned(),
    ] {
        let (reason, _) = refusal(settings(), &bad);
        assert_eq!(reason, RefusedReason::TokenRefused, "{bad}");
    }
    // An object, and each registered claim once.
    for payload in [&b"[]"[..], b"7", b"{\"exp\":9e9", b"{\"exp\":1,\"exp\":9000000000}", b""] {
        let message = format!("{}.{}", base64(br#"{"alg":"HS256"}"#), base64(payload));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
        let bad = format!("{message}.{}", base64(signature.as_ref()));
        assert_eq!(refusal(settings(), &bad).0, RefusedReason::TokenRefused, "{payload:?}");
    }
}

#[test]
fn who_shows_no_token_is_told_to_and_two_tokens_are_too_many() {
    let denied = ask_at(Duration::from_secs(NOW), settings(), "").unwrap_err();
    assert_eq!(denied.reason, RefusedReason::TokenMissing);
    assert_eq!(denied.answer.headers, "WWW-Authenticate: Bearer realm=\"pulsewheel\"\r\n");
    let lines = "Authorization: Bearer a\r\nSec-WebSocket-Protocol: bearer.b\r\n";
    let denied = ask_at(Duration::from_secs(NOW), settings(), lines).unwrap_err();
    assert_eq!((denied.reason, denied.answer.status.as_u16()), (RefusedReason::BadRequest, 400));
    assert!(denied.answer.headers.contains("error=\"invalid_request\""));
}

#[test]
fn a_good_token_without_the_claim_of_the_path_is_forbidden() {
    let admins = || Settings {
        required_claims: vec!["/chat=role=admin".parse().unwrap(), "/chat=sub".parse().unwrap()],
        ..settings()
    };
    let exp = NOW + 60;
    let good = token(json!({"exp": exp, "role": ["admin"], "sub": "ada"}));
    assert!(show_at(NOW, admins(), &good).is_ok());
    for lacking in [json!({"exp": exp, "role": "admin"}), json!({"exp": exp, "sub": "ada"})] {
        let denied = show_at(NOW, admins(), &token(lacking)).unwrap_err();
        assert_eq!(denied.reason, RefusedReason::ClaimMissing);
        assert_eq!(denied.answer.status.as_u16(), 403);
        assert!(denied.answer.headers.contains("error=\"insufficient_scope\""));
    }
    let elsewhere =
        || Settings { required_claims: vec!["/other=role=admin".parse().unwrap()], ..settings() };
    assert!(show_at(NOW, elsewhere(), &token(json!({"exp": exp}))).is_ok());
}

#[test]
fn a_foreign_page_is_refused_before_its_token_is_looked_at() {
    let good = token(json!({"exp": NOW + 60}));
    let lines = format!("Origin: https://evil.test\r\nAuthorization: Bearer {good}\r\n");
    let denied = ask_at(Duration::from_secs(NOW), settings(), &lines).unwrap_err();
    assert_eq!(denied.reason, RefusedReason::OriginRefused);
    assert_eq!(denied.answer.status.as_u16(), 403);
}

#[test]
fn keys_that_are_too_weak_or_of_another_kind_are_refused() {
    let long = |bytes| Keys::secret(&vec![b'x'; bytes]).unwrap();
    for (algorithm, needs) in
        [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)]
    {
        let has = needs - 1;
        let why = Err(KeyError::ShortSecret { has, needs, algorithm });
        assert_eq!(long(has).check(Some(algorithm)), why);
        assert_eq!(long(needs).check(Some(algorithm)), Ok(()));
    }
    assert_eq!(
        long(99).check(Some(Algorithm::Rs256)),
        Err(KeyError::NotForSecrets(Algorithm::Rs256))
    );
    // A line end at the end of the file is the editor's.
    assert_eq!(Keys::secret(b"abc\r\n"), Keys::secret(b"abc"));
    assert_ne!(Keys::secret(b"abc\n\n"), Keys::secret(b"abc"));
    assert_eq!(Keys::secret(b"\n"), Err(KeyError::Empty));
    for (pem, algorithm) in
        [(RSA_PEM, Algorithm::Rs256), (P256_PEM, Algorithm::Es256), (ED25519_PEM, Algorithm::EdDsa)]
    {
        let keys = Keys::public_pem(pem.as_bytes()).unwrap();
        assert_eq!(keys.to_string(), format!("a key for {algorithm}"));
        assert_eq!(keys.check(Some(algorithm)), Ok(()));
        let why = KeyError::OtherAlgorithm { key: algorithm, asked: Algorithm::Hs256 };
        assert_eq!(keys.check(Some(Algorithm::Hs256)), Err(why));
    }
    for (pem, why) in [
        (RSA_1024_PEM.to_owned(), KeyError::Unsupported),
        (P384_PEM.to_owned(), KeyError::Unsupported),
        (RSA_PEM.replace("PUBLIC", "PRIVATE"), KeyError::PrivateKey),
        (RSA_PEM.replace("PUBLIC KEY", "CERTIFICATE"), KeyError::NoPublicKey),
        (RSA_PEM.repeat(2), KeyError::NoPublicKey),
        (RSA_PEM.replace("MIIB", "!!!!"), KeyError::NoPublicKey),
        ("secret".to_owned(), KeyError::NoPublicKey),
        (" \n".to_owned(), KeyError::Empty),
    ] {
        assert_eq!(Keys::public_pem(pem.as_bytes()), Err(why), "{pem}");
    }
}

#[test]
fn a_set_says_which_of_its_keys_are_not_used_and_why() {
    let odd = [
        rfc::RS256_KEY,
        r#"{"kty":"RSA","kid":"enc","use":"enc","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"RSA","kid":"short","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"EC","kid":"p384","crv":"P-384","x":"AA","y":"AA"}"#,
        r#"{"kty":"LMS","kid":"later"}"#,
        r#"{"kty":"OKP","kid":"x","crv":"Ed25519","alg":"RS256","x":"AA"}"#,
        r#"{"kty":"oct","kid":"sign","key_ops":["sign"],"k":"AA"}"#,
        "7",
    ];
    let keys = set_of(&odd);
    assert_eq!(keys.to_string(), "r (RS256)");
    let kids = ["enc", "short", "p384", "later", "x", "sign", "none"];
    assert_eq!(keys.remarks().len(), kids.len());
    for (remark, kid) in keys.remarks().iter().zip(kids) {
        assert!(remark.contains(&format!("(kid \"{kid}\") is not used: ")), "{remark}");
    }
    let set = |text: &str| Keys::jwk_set(text.as_bytes()).unwrap_err();
    assert_eq!(set("{\"keys\": []}"), KeyError::NoUsableKey);
    assert_eq!(set(""), KeyError::Empty);
    assert!(matches!(set("[]"), KeyError::NotASet(_)));
    let broken = set("{\"keys\": [{\"k\": \"topsecret\"");
    assert!(matches!(&broken, KeyError::NotASet(why) if !why.contains("topsecret")), "{broken}");
    let twice = format!("{{\"keys\": [{0}, {0}]}}", rfc::RS256_KEY);
    let kid = "r".to_owned();
    assert_eq!(set(&twice), KeyError::SameId { kid, algorithm: Algorithm::Rs256 });
}

#[test]
fn nothing_shows_a_secret() {
    let gate = Gate::new(settings()).unwrap();
    let shown = format!("{gate:?} {:?} {}", settings(), settings().keys.unwrap());
    assert!(!shown.contains("secret of these tests") && shown.contains("redacted"), "{shown}");
    let numbers = format!("{}, {}", SECRET[0], SECRET[1]);
    assert!(!shown.contains(&numbers), "{shown}");
}

#[test]
fn tokens_that_are_asked_for_without_a_key_make_no_gate() {
    let settings = Settings { keys: None, ..settings() };
    assert!(matches!(Gate::new(settings), Err(GateError::NoKeys)));
    let short = with_keys(Keys::secret(b"short").unwrap());
    assert!(matches!(Gate::new(short), Err(GateError::Keys(_))));
}

proptest! {
    #[test]
    fn no_token_of_random_text_opens_or_panics(text in "[!-~]{0,200}", parts in any::<[u8; 24]>()) {
        let encoded = parts.chunks(8).map(base64).collect::<Vec<_>>().join(".");
        for keys in [Keys::secret(SECRET).unwrap(), set_of(&[rfc::ES256_KEY, rfc::RS256_KEY])] {
            let settings = with_keys(keys);
            prop_assert!(show_at(NOW, settings.clone(), &text).is_err());
            prop_assert!(show_at(NOW, settings, &encoded).is_err());
        }
    }
}
