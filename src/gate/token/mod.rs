//! Tokens: found in a request, checked with the configured keys (RFC 7519, RFC 8725).
//! Not for what a token entitles to; the gate asks its claims.

mod find;
mod jwks;
mod keys;
mod provider;
mod verify;

pub use self::find::Place;
pub(in crate::gate) use self::find::{find, is_token};
pub use self::keys::{Algorithm, KeyError, KeySource, Keys};
pub(in crate::gate) use self::verify::{Demands, Fault, Verifier};
