//! Signatures of tokens, verified: what [`patchbay_core::identity::keys::Verify`] asks of a home's cryptography. Features
//! choose which is linked. A test holds each to the other.

#[cfg(feature = "ring")]
mod by_ring;
#[cfg(feature = "rust")]
mod in_rust;

#[cfg(feature = "ring")]
pub use by_ring::verify as verify_by_ring;
#[cfg(feature = "rust")]
pub use in_rust::verify as verify_in_rust;
