//! TLS on the listeners of clients (RFC 8446 and 5246): what the server shows, and its records.
//! Not for sockets, nor for what stands inside the records.

mod certificate;
pub mod identity;
mod validity;

pub use self::certificate::{Certificate, CertificateError};
pub use self::identity::{Identity, IdentityError};
pub use self::validity::{Moment, Validity};
