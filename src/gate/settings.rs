//! What may be said about who comes in, as `config` fills it in.
//! Not the gate itself, which is made from this and is ready to judge.

use std::time::Duration;

use super::origin::AllowedOrigin;
use super::require::RequiredClaim;
use super::token::{Algorithm, Keys, Place};

/// Origins, and tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Pages that may connect. Without one no page may.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Whether a request without an `Origin` is refused.
    pub requires_origin: bool,
    /// What clients must show.
    pub auth: Auth,
    /// What tokens are checked with; there where `auth` is [`Auth::Jwt`], and only there.
    pub keys: Option<Keys>,
    /// What tokens must be signed with; `None` for what suits the keys.
    pub algorithm: Option<Algorithm>,
    /// Audiences of which a token must name one; with none, a token must name none.
    pub audience: Vec<String>,
    /// Issuers of which one must have made a token; with none, any may have.
    pub issuer: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Where a token may stand.
    pub token_from: Vec<Place>,
    /// Claims that paths require.
    pub required_claims: Vec<RequiredClaim>,
}

/// What clients must show before they are upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    Off,
    /// A JSON web token (RFC 7519).
    Jwt,
}

/// Pages of the same host, and no tokens.
impl Default for Settings {
    fn default() -> Self {
        Settings {
            allowed_origins: vec![AllowedOrigin::SameHost],
            requires_origin: false,
            auth: Auth::Off,
            keys: None,
            algorithm: None,
            audience: Vec::new(),
            issuer: Vec::new(),
            leeway: Duration::ZERO,
            token_from: Place::ALL.to_vec(),
            required_claims: Vec::new(),
        }
    }
}
