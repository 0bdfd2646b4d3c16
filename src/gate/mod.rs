//! Who may come in: asked after a request was understood and before a handler sees it.
//! Not for sockets, nor for what a request means, which `proto` says; nothing here reads a clock.

// A peer chooses every byte that is looked at here.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
    )
)]

pub mod addresses;
pub mod census;
mod claims;
mod origin;
pub mod pace;
mod require;
mod settings;
mod token;
pub mod users;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use http::StatusCode;

pub use self::census::{Admission, Census};
pub use self::claims::Claims;
pub use self::origin::{AllowedOrigin, OriginError, Site};
pub use self::require::{RequiredClaim, RequirementError};
pub use self::settings::{Auth, Settings};
pub use self::token::{Algorithm, KeyError, KeySource, Keys, Place};
use self::token::{Demands, Fault, Verifier};
use crate::conn::RefusedReason;
use crate::proto::{Answer, Request};

/// The rules that hold before an upgrade.
#[derive(Default)]
pub struct Gate {
    settings: Settings,
    /// There if tokens are asked for.
    verifier: Option<Verifier>,
}

/// Why a gate can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Tokens are asked for and nothing can check them.
    #[error(
        "jwt is asked for without a key; give --jwt-secret-file, --jwt-public-key-file or \
         --jwt-jwks-file"
    )]
    NoKeys,
    /// The keys are no good.
    #[error("the keys for tokens can't be used: {0}; {remedy}", remedy = .0.remedy())]
    Keys(#[from] KeyError),
}

/// Who was let in.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// What its token says, where one was asked for.
    pub claims: Option<Claims>,
    /// How long it may stay, where that is limited by its token.
    pub stay: Option<Duration>,
}

/// Why someone is not let in, and what it is told.
#[derive(Debug)]
pub(crate) struct Denied {
    pub reason: RefusedReason,
    pub answer: Answer,
}

impl Gate {
    /// A gate that lets in whom these settings admit.
    ///
    /// # Errors
    /// Tokens are asked for that can't be checked.
    pub fn new(settings: Settings) -> Result<Self, GateError> {
        let verifier = match settings.auth {
            Auth::Off => None,
            Auth::Jwt => {
                let keys = settings.keys.as_ref().ok_or(GateError::NoKeys)?;
                let demands = Demands {
                    algorithm: settings.algorithm,
                    audience: &settings.audience,
                    issuer: &settings.issuer,
                    leeway: settings.leeway,
                };
                Some(Verifier::new(keys, &demands)?)
            }
        };
        Ok(Gate { settings, verifier })
    }

    /// Judges a request for a path that exists. `clock` tells the time since 1970 began; it is
    /// read only where that matters.
    pub(crate) fn ask(
        &self,
        request: &Request<'_>,
        clock: impl FnOnce() -> Duration,
    ) -> Result<Admitted, Denied> {
        let Settings { allowed_origins, requires_origin, .. } = &self.settings;
        origin::judge(request, allowed_origins, *requires_origin).map_err(|fault| Denied {
            reason: RefusedReason::OriginRefused,
            answer: Answer::new(StatusCode::FORBIDDEN, &fault.to_string()),
        })?;
        match &self.verifier {
            None => Ok(Admitted::default()),
            Some(verifier) => self.ask_for_token(request, verifier, clock()),
        }
    }

    fn ask_for_token(
        &self,
        request: &Request<'_>,
        verifier: &Verifier,
        now: Duration,
    ) -> Result<Admitted, Denied> {
        let found = token::find(request, &self.settings.token_from).map_err(|_| {
            let advice = "two different tokens came; send one";
            Denied::with(RefusedReason::BadRequest, "invalid_request", advice)
        })?;
        let Some(found) = found else { return Err(Denied::without_token()) };
        let claims = verifier.verify(found.reveal(), now).map_err(|fault| {
            let reason = match fault {
                Fault::Expired => RefusedReason::TokenExpired,
                _ => RefusedReason::TokenRefused,
            };
            Denied::with(reason, "invalid_token", &fault.to_string())
        })?;
        let path = request.path();
        let mut required = self.settings.required_claims.iter().filter(|r| r.path == path);
        if required.any(|required| !required.is_met_by(&claims)) {
            let advice = "the token lacks a claim that this path requires";
            return Err(Denied::with(RefusedReason::ClaimMissing, "insufficient_scope", advice));
        }
        let ends = claims.expires().saturating_add(verifier.leeway());
        Ok(Admitted { stay: Some(ends.saturating_sub(now)), claims: Some(claims) })
    }

    /// Whether an offered subprotocol is a token in disguise, which is never selected.
    pub(crate) fn is_token(&self, offer: &str) -> bool {
        self.verifier.is_some() && token::is_token(offer)
    }

    /// The paths for which claims are required.
    pub(crate) fn guarded_paths(&self) -> impl Iterator<Item = &str> {
        self.settings.required_claims.iter().map(|required| required.path.as_str())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.settings).finish()
    }
}

impl Denied {
    /// Who shows no token is told what to show and no error (RFC 6750 section 3.1).
    fn without_token() -> Self {
        let reason = RefusedReason::TokenMissing;
        let answer = Answer::new(StatusCode::UNAUTHORIZED, "this server asks for a bearer token");
        Denied { reason, answer: answer.header("WWW-Authenticate: Bearer realm=\"pulsewheel\"") }
    }

    /// A refusal with the error code and description of RFC 6750 section 3. The advice is ours and
    /// holds nothing that came with the request.
    fn with(reason: RefusedReason, error: &str, advice: &str) -> Self {
        let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        let line = format!(
            "WWW-Authenticate: Bearer realm=\"pulsewheel\", error=\"{error}\", \
             error_description=\"{advice}\""
        );
        Denied { reason, answer: Answer::new(status, advice).header(&line) }
    }
}
