//! A door for fuzz targets and property tests to the admin port's parser and routes.
//! Not part of the crate's interface; it changes without notice.

use super::request::{self, Payload};
use super::routes::{self, Route};
use crate::config::AdminToken;

/// What became of the bytes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head is not complete.
    Incomplete,
    /// It is answered at once, with these bytes.
    Refused(Vec<u8>),
    /// It asks for something that there is.
    Routed(Asked),
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named and documented in admin::request")]
pub struct Asked {
    pub length: usize,
    pub method: String,
    pub path: String,
    pub query: String,
    pub bearer: Option<Vec<u8>>,
    pub has_origin: bool,
    pub is_coded: bool,
    pub content_length: Option<u64>,
    pub body_length: usize,
    pub publishes: bool,
}

/// What the port does with a request whose head has arrived as far as `bytes` go.
pub fn ask(bytes: &[u8], token: Option<&AdminToken>, max_publish_size: usize) -> Outcome {
    let head = match request::parse(bytes) {
        Ok(None) => return Outcome::Incomplete,
        Ok(Some(head)) => head,
        Err(answer) => return Outcome::Refused(answer.into_bytes("door", false)),
    };
    let request = head.request;
    let head_only = request.method == "HEAD";
    match routes::find(&request, token, max_publish_size) {
        Err(answer) => Outcome::Refused(answer.into_bytes("door", head_only)),
        Ok(route) => Outcome::Routed(Asked {
            length: head.length,
            body_length: route.body_length(),
            publishes: matches!(route, Route::Publish { .. }),
            method: request.method,
            path: request.path,
            query: request.query,
            bearer: request.bearer,
            has_origin: request.has_origin,
            is_coded: request.is_coded,
            content_length: request.content_length,
        }),
    }
}

/// The value of a key in a query, or the bytes of the refusal.
///
/// # Errors
/// The answer to a query that does not have it once and well formed.
pub fn query_value(query: &str, key: &str) -> Result<String, Vec<u8>> {
    request::query_value(query, key).map_err(|answer| answer.into_bytes("door", false))
}

/// What a body of this media type is published as: text or not; `None` if it is not taken.
pub fn is_text(content_type: &str) -> Option<bool> {
    request::payload(content_type).map(|payload| payload == Payload::Text)
}
