//! Patchbay's core: the wire contract, the access rules and the sealing, without I/O.
//!
//! A home (native server, Lambda, Worker) hands [`api::Patchbay`] a request's head, then its body, and gets a
//! response back. A [`store::Store`] keeps records. Nothing else differs between the homes.

pub mod access;
pub mod adoption;
pub mod api;
pub mod audit;
mod encoded;
pub mod identity;
pub mod limits;
mod members;
pub mod model;
mod operator;
pub mod portable;
mod problem;
mod readiness;
mod registry;
pub mod rotation;
pub mod seal;
pub mod store;
mod wire;
