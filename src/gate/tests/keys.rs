//! Keys by file: each kind takes what its owner signed, and what only the owner may have is refused.
//! Not which key of a set is chosen, nor which algorithms: see the tests of the whole gate.

use super::*;

/// The RSA key of RFC 7515, appendix A.2, in both forms that PEM has for it.
const RSA_PEMS: [&str; 2] = [
    "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----
",
    "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W2
6mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMs
D1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5
z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv
b3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWNmoudF8NAco9/h9iaGNj8q2et
hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB
-----END RSA PUBLIC KEY-----
",
];

#[test]
fn a_token_that_an_rsa_key_in_pem_signed_is_good_and_a_changed_one_is_not() {
    for pem in RSA_PEMS {
        let settings = with_keys(Keys::public_pem(pem.as_bytes()).unwrap());
        let admitted = show_at(rfc::EXPIRES - 1, settings.clone(), rfc::RS256).unwrap();
        assert_eq!(admitted.claims.unwrap().get("iss"), Some(&json!("joe")));
        let (rest, last) = rfc::RS256.split_at(rfc::RS256.len() - 9);
        let changed = format!("{rest}{}", last.replace('e', "f"));
        assert_ne!(changed, rfc::RS256);
        let denied = show_at(rfc::EXPIRES - 1, settings, &changed).unwrap_err();
        assert_eq!(denied.reason, RefusedReason::TokenRefused);
    }
    let other = with_keys(Keys::public_pem(RSA_PEM.as_bytes()).unwrap());
    let denied = show_at(rfc::EXPIRES - 1, other, rfc::RS256).unwrap_err();
    assert_eq!(denied.reason, RefusedReason::TokenRefused);
}

#[test]
fn a_set_with_a_private_key_is_refused_and_one_with_a_secret_is_a_secret() {
    let with = |key: &str, member: &str| key.replacen('{', &format!("{{{member}, "), 1);
    for (key, member) in [
        (rfc::RS256_KEY, r#""d": "AQAB""#),
        (rfc::RS256_KEY, r#""p": "AQAB""#),
        (rfc::ES256_KEY, r#""d": "AQAB""#),
    ] {
        let private = format!("{{\"keys\": [{}, {}]}}", rfc::HS256_KEY, with(key, member));
        let error = Keys::jwk_set(private.as_bytes()).unwrap_err();
        assert!(matches!(error, KeyError::PrivateJwk { .. }), "{error}");
        assert!(!error.to_string().contains("AQAB"), "{error}");
    }
    assert!(set_of(&[rfc::ES256_KEY, rfc::HS256_KEY]).are_secret());
    assert!(!set_of(&[rfc::ES256_KEY, rfc::RS256_KEY]).are_secret());
}
