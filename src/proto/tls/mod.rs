//! TLS on the listeners of clients (RFC 8446 and 5246): what the server shows, and its records.
//! Not for sockets, nor for what stands inside the records.
//!
//! rustls shakes hands; then its state, several KiB for each connection, is let go, and what stays
//! is a [`Session`]: keys, sequence numbers and little else. Records are opened where they were
//! received, and sealed into a buffer that all connections of a reactor share.

mod certificate;
mod failure;
pub mod identity;
mod keys;
mod record;
mod secrets;
mod session;
mod shaking;
mod traffic;
mod validity;

#[cfg(test)]
mod tests;

pub use self::certificate::{Certificate, CertificateError};
pub use self::failure::Failure;
pub use self::identity::{Identity, IdentityError};
pub use self::record::RECORD_OVERHEAD;
pub use self::secrets::prepare;
pub use self::session::{End, Session, Unsealed};
pub use self::shaking::Handshake;
pub use self::validity::{Moment, Validity};
