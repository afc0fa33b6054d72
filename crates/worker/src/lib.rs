//! Patchbay at the edge: a Worker that reads from KV, and Durable Objects that decide.
//!
//! KV alone cannot keep the contract: a change may take a minute and more to be seen, and nothing is conditional. So
//! a tenant's Durable Object ([`tenant`]) decides every write over its own SQLite, and KV follows by an outbox. A
//! Worker's store ([`edge`]) takes from KV what it can: KV may say yes, never no. All of this knows no runtime: it is
//! generic over [`surroundings`].

mod adoption;
pub mod directory;
pub mod edge;
mod entry;
#[cfg(any(test, target_arch = "wasm32"))]
mod memory;
mod outbox;
pub mod owners;
pub mod protocol;
#[cfg(target_arch = "wasm32")]
mod runtime;
pub mod settings;
pub mod surroundings;
pub mod tenant;
#[cfg(any(test, target_arch = "wasm32"))]
mod unreached;
