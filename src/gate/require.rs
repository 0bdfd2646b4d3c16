//! What a token must say for a path: the claims that are required there.
//! Not for whether the token is genuine, which was checked before.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::Claims;

/// The claim whose text is a list of words (RFC 8693 section 4.2).
const SCOPE: &str = "scope";

/// A path, and a claim without which it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredClaim {
    /// The path of a route.
    pub path: String,
    /// The claim's name.
    pub name: String,
    /// What it must be or, if it is a list, contain; `None` for anything but `null` and `false`.
    pub value: Option<String>,
}

/// It is not `PATH=NAME` or `PATH=NAME=VALUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not PATH=NAME or PATH=NAME=VALUE")]
pub struct RequirementError;

impl FromStr for RequiredClaim {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let mut parts = text.trim().splitn(3, '=');
        let part = |part: Option<&str>| part.filter(|text| !text.is_empty()).map(str::to_owned);
        let path = part(parts.next()).filter(|path| path.starts_with('/'));
        let name = part(parts.next());
        let value = parts.next();
        match (path, name, value) {
            (_, _, Some("")) | (None, ..) | (_, None, _) => Err(RequirementError),
            (Some(path), Some(name), value) => {
                Ok(RequiredClaim { path, name, value: value.map(str::to_owned) })
            }
        }
    }
}

/// Writes it as it is typed.
impl fmt::Display for RequiredClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.path, self.name)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

impl RequiredClaim {
    /// Whether claims satisfy it.
    pub(super) fn is_met_by(&self, claims: &Claims) -> bool {
        let Some(claim) = claims.get(&self.name) else { return false };
        match &self.value {
            None => !matches!(claim, Value::Null | Value::Bool(false)),
            Some(wanted) => match claim {
                Value::Array(list) => list.iter().any(|claim| is(claim, wanted)),
                Value::String(words) if self.name == SCOPE => {
                    words.split(' ').any(|word| word == wanted)
                }
                claim => is(claim, wanted),
            },
        }
    }
}

/// Texts, numbers and booleans are compared as they are written.
fn is(claim: &Value, wanted: &str) -> bool {
    match claim {
        Value::String(text) => text == wanted,
        Value::Number(number) => number.to_string() == wanted,
        Value::Bool(truth) => truth.to_string() == wanted,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn is_met(requirement: &str, claims: Value) -> bool {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        let requirement: RequiredClaim = requirement.parse().unwrap();
        requirement.is_met_by(&Claims::new(claims, Duration::ZERO))
    }

    #[test]
    fn a_claim_is_compared_as_a_whole_and_lists_by_their_members() {
        use serde_json::json;
        assert!(is_met("/a=role=admin", json!({"role": "admin"})));
        assert!(is_met("/a=role=admin", json!({"role": ["user", "admin"]})));
        assert!(is_met("/a=level=3", json!({"level": 3})));
        assert!(is_met("/a=ok=true", json!({"ok": true})));
        assert!(is_met("/a=scope=read", json!({"scope": "write read"})));
        assert!(is_met("/a=url=x=y", json!({"url": "x=y"})));
        for claims in [
            json!({}),
            json!({"role": "administrator"}),
            json!({"role": "user admin"}),
            json!({"role": ["administrator"]}),
            json!({"role": [["admin"]]}),
            json!({"role": {"admin": true}}),
            json!({"role": null}),
            json!({"Role": "admin"}),
        ] {
            assert!(!is_met("/a=role=admin", claims.clone()), "{claims}");
        }
        assert!(!is_met("/a=scope=read", json!({"scope": "readwrite"})));
    }

    #[test]
    fn a_claim_without_a_value_must_be_there_and_not_be_denied() {
        use serde_json::json;
        assert!(is_met("/a=beta", json!({"beta": true})));
        assert!(is_met("/a=beta", json!({"beta": 0})));
        for claims in [json!({}), json!({"beta": null}), json!({"beta": false})] {
            assert!(!is_met("/a=beta", claims.clone()), "{claims}");
        }
    }

    #[test]
    fn what_is_typed_is_written_back_and_halves_are_refused() {
        for text in ["/a=role", "/a=role=admin", "/a=url=x=y"] {
            assert_eq!(text.parse::<RequiredClaim>().unwrap().to_string(), text);
        }
        for text in ["", "/a", "/a=", "=role", "role=admin", "/a=role=", "/a==admin"] {
            assert!(text.parse::<RequiredClaim>().is_err(), "{text}");
        }
    }
}
