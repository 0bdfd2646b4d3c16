//! What a verified token says about a client.
//! Not for verifying: whoever holds these claims has them from a token that was checked.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// The claims of a verified token (RFC 7519 section 4).
///
/// They come from whoever signed the token, so they are as trustworthy as that signer is.
#[derive(Clone, PartialEq)]
pub struct Claims {
    all: Map<String, Value>,
    expires: Duration,
}

impl Claims {
    /// The claims of a token whose signature has been verified and that expires at `expires`.
    pub(crate) fn new(all: Map<String, Value>, expires: Duration) -> Self {
        Claims { all, expires }
    }

    /// Whom the token is about: its `sub`, if it is a text.
    pub fn subject(&self) -> Option<&str> {
        self.get("sub").and_then(Value::as_str)
    }

    /// When the token expires: its `exp`, as the time since 1970 began (UTC).
    pub fn expires(&self) -> Duration {
        self.expires
    }

    /// One claim by its name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// All claims, as the JSON object that they came in.
    pub fn as_json(&self) -> &Map<String, Value> {
        &self.all
    }
}

/// Shows the names alone: what claims say about a person belongs into no log.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")?;
        f.debug_set().entries(self.all.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_found_by_name_and_shown_by_name_alone() {
        let all = serde_json::json!({"sub": "ada", "role": ["admin"], "exp": 7});
        let Value::Object(all) = all else { panic!("it is an object") };
        let claims = Claims::new(all, Duration::from_secs(7));
        assert_eq!(claims.subject(), Some("ada"));
        assert_eq!(claims.get("role"), Some(&serde_json::json!(["admin"])));
        assert_eq!((claims.get("nothing"), claims.as_json().len()), (None, 3));
        assert_eq!(claims.expires(), Duration::from_secs(7));
        let shown = format!("{claims:?}");
        assert!(shown.contains("sub") && !shown.contains("ada") && !shown.contains("admin"));
    }

    #[test]
    fn a_subject_that_is_no_text_is_none() {
        let mut all = Map::new();
        all.insert("sub".to_owned(), Value::from(7));
        assert_eq!(Claims::new(all, Duration::ZERO).subject(), None);
    }
}
