//! What the admin port serves: which path and method asks what of the server, and who may.
//! Not how requests arrive or answers leave.

use super::answer::Answer;
use super::request::{Payload, Request, payload, query_value};
use super::{AdminService, Health, PublishOutcome, Ready, metrics};
use crate::config::AdminToken;

/// The paths there are, for whoever asks for another one.
const PATHS: &str = "/metrics, /healthz, /readyz (GET), /publish?path=/... (POST)";

/// A path that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /metrics`
    Metrics,
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// `POST /publish?path=PATH`
    Publish {
        /// How many bytes the body has.
        length: usize,
        /// What becomes of it.
        payload: Payload,
    },
}

/// Finds what a request asks for, before its body is read.
///
/// # Errors
///
/// The answer to a request that is not allowed, or cannot be served; its body is not worth reading.
pub(super) fn find(
    request: &Request,
    token: Option<&AdminToken>,
    max_publish_size: usize,
) -> Result<Route, Answer> {
    // Before anything else, so that a stranger does not even learn which paths exist.
    if let Some(token) = token
        && !request.bearer.as_deref().is_some_and(|presented| token.matches(presented))
    {
        return Err(Answer::error(401, "a bearer token is needed")
            .with("WWW-Authenticate", "Bearer realm=\"pulsewheel\""));
    }
    let reading = |route| match request.method.as_str() {
        "GET" | "HEAD" => Ok(route),
        _ => Err(Answer::error(405, "only GET and HEAD serve here").with("Allow", "GET, HEAD")),
    };
    match request.path.as_str() {
        "/metrics" => reading(Route::Metrics),
        "/healthz" => reading(Route::Health),
        "/readyz" => reading(Route::Ready),
        "/publish" => find_publish(request, token.is_some(), max_publish_size),
        _ => Err(Answer::error(404, &format!("the paths here are {PATHS}"))),
    }
}

fn find_publish(
    request: &Request,
    has_token: bool,
    max_publish_size: usize,
) -> Result<Route, Answer> {
    if request.method != "POST" {
        return Err(Answer::error(405, "only POST serves here").with("Allow", "POST"));
    }
    // Without a token the only guard is that the port is on the loopback, and the operator's own
    // browser passes that: any page it shows can post text to 127.0.0.1, or to a name of its own
    // that it rebinds to there. Browsers put an Origin on every POST and scripts put none, so the
    // field tells them apart.
    if request.has_origin && !has_token {
        return Err(Answer::error(403, "browsers may publish only where a token is configured"));
    }
    let Some(length) = request.content_length else {
        return Err(Answer::error(411, "the body needs a Content-Length and no transfer coding"));
    };
    let Some(payload) = request.content_type.as_deref().and_then(payload) else {
        let sentence = "the body must be text/*, application/json or application/octet-stream";
        return Err(Answer::error(415, sentence)
            .with("Accept-Post", "text/*, application/json, application/octet-stream"));
    };
    match usize::try_from(length) {
        Ok(length) if length <= max_publish_size => Ok(Route::Publish { length, payload }),
        _ => Err(Answer::error(413, "the message is too big")),
    }
}

impl Route {
    /// How many bytes of body are to be read before the route can be served.
    pub(super) fn body_length(self) -> usize {
        match self {
            Self::Publish { length, .. } => length,
            Self::Metrics | Self::Health | Self::Ready => 0,
        }
    }

    /// Asks the service and words its answer.
    pub(super) fn serve(
        self,
        request: &Request,
        body: &[u8],
        service: &dyn AdminService,
    ) -> Answer {
        match self {
            Self::Metrics => Answer::text(metrics::CONTENT_TYPE, service.metrics()),
            Self::Health => health(service.health()),
            Self::Ready => match service.ready() {
                // Whoever is stuck serves no new connection either.
                Ready::Ok => health(service.health()),
                Ready::Draining => Answer::json(503, "draining", ""),
                Ready::Full => Answer::json(503, "full", ""),
            },
            Self::Publish { payload, .. } => match query_value(&request.query, "path") {
                Ok(path) => published(service.publish(&path, payload == Payload::Text, body)),
                Err(answer) => answer,
            },
        }
    }
}

fn health(health: Health) -> Answer {
    match health {
        Health::Ok => Answer::json(200, "ok", ""),
        Health::Stuck { reactor, for_millis } => {
            let more = format!(",\"reactor\":{reactor},\"for_millis\":{for_millis}");
            Answer::json(503, "stuck", &more)
        }
    }
}

fn published(outcome: PublishOutcome) -> Answer {
    match outcome {
        PublishOutcome::Queued(connections) => {
            Answer::json(200, "queued", &format!(",\"queued\":{connections}"))
        }
        PublishOutcome::UnknownPath => Answer::error(404, "no route broadcasts on this path"),
        PublishOutcome::InvalidUtf8 => Answer::error(400, "the text is not valid UTF-8"),
        PublishOutcome::TooBig => Answer::error(413, "the message is too big"),
        PublishOutcome::Timeout => {
            Answer::error(504, "the reactors did not answer in time; some may have queued it")
        }
        PublishOutcome::Full => {
            Answer::error(503, "a mailbox is full; nothing was queued").with("Retry-After", "1")
        }
    }
}
