//! Tokens with claims at random, judged by the gate and by a plain reading of the rules.
//! Not for signatures, which are all good here.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::tests::{NOW, settings, show_at, token};
use super::*;

/// Times about now, and what is no time.
fn time() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-90..90i64).prop_map(|off| json!(NOW as i64 + off)),
        2 => (-900..900i64).prop_map(|off| json!(NOW as f64 + off as f64 / 10.0)),
        1 => select(vec![json!(0), json!(-1), json!(u64::MAX), json!(1e300), json!(-0.5)]),
        1 => select(vec![json!(null), json!("1900000000"), json!([NOW]), json!({}), json!(true)]),
    ]
}

fn audience() -> impl Strategy<Value = Value> {
    select(vec![
        json!("chat"),
        json!("Chat"),
        json!("mail"),
        json!(["mail", "chat"]),
        json!(["mail"]),
    ])
}

prop_compose! {
    /// Each claim is there or is not.
    fn claims()(
        exp in prop::option::weighted(0.9, time()),
        nbf in prop::option::of(time()),
        aud in prop::option::of(audience()),
        iss in prop::option::of(select(vec![json!("me"), json!("you"), json!("ME")])),
    ) -> Map<String, Value> {
        let named = [("exp", exp), ("nbf", nbf), ("aud", aud), ("iss", iss)];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

prop_compose! {
    fn demands()(
        chat in any::<bool>(),
        me in any::<bool>(),
        leeway in select(vec![0, 1, 30]),
    ) -> Settings {
        Settings {
            audience: if chat { vec!["feed".into(), "chat".into()] } else { vec![] },
            issuer: if me { vec!["me".into()] } else { vec![] },
            leeway: Duration::from_secs(leeway),
            ..settings()
        }
    }
}

/// What the README says, word by word.
fn is_good(claims: &Map<String, Value>, demands: &Settings) -> bool {
    let (now, leeway) = (NOW as f64, demands.leeway.as_secs_f64());
    // Half a trillion years are no time any more.
    let time = |value: &Value| value.as_f64().filter(|time| (0.0..=u64::MAX as f64).contains(time));
    let is_ahead = |exp: &Value| time(exp).is_some_and(|exp| now < exp + leeway);
    let has_come = |nbf: &Value| time(nbf).is_some_and(|nbf| nbf <= now + leeway);
    let names = |value: &Value, wanted: &[String]| match value {
        Value::Array(all) => all.iter().any(|one| wanted.iter().any(|name| one == name)),
        one => wanted.iter().any(|name| one == name),
    };
    let aud = match (claims.get("aud"), &demands.audience[..]) {
        (None, wanted) => wanted.is_empty(),
        (Some(_), []) => false,
        (Some(aud), wanted) => names(aud, wanted),
    };
    let iss = demands.issuer.is_empty()
        || claims.get("iss").is_some_and(|iss| names(iss, &demands.issuer));
    claims.get("exp").is_some_and(is_ahead) && claims.get("nbf").is_none_or(has_come) && aud && iss
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_token_is_taken_if_its_claims_are_good_and_stays_as_long_as_they_are(
        claims in claims(), demands in demands(),
    ) {
        let leeway = demands.leeway;
        let expected = is_good(&claims, &demands);
        let signed = token(Value::Object(claims.clone()));
        match show_at(NOW, demands, &signed) {
            Ok(admitted) => {
                prop_assert!(expected, "{:?} is taken", claims);
                let left = claims["exp"].as_f64().unwrap() - NOW as f64 + leeway.as_secs_f64();
                let stay = admitted.stay.unwrap().as_secs_f64();
                prop_assert!((stay - left).abs() <= 1e-6 * left, "{} for {}", stay, left);
            }
            Err(denied) => {
                prop_assert!(!expected, "{:?} is refused: {:?}", claims, denied);
                prop_assert_eq!(denied.answer.status.as_u16(), 401);
            }
        }
    }
}
