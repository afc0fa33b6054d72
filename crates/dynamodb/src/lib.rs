//! Patchbay's [`Store`](patchbay_core::store::Store) on one DynamoDB table.
//!
//! The README beside this crate draws the table. Every change is one transaction, and what was read to decide it is a
//! condition of it: a lost race is read and decided again. Every read is strongly consistent. The crate runs inside
//! tokio, whose clock the pauses between attempts use.

mod again;
#[cfg(feature = "client")]
pub mod client;
mod connections;
mod facts;
mod item;
mod key;
mod list;
mod make;
mod roles;
mod store;
mod table;
mod workspaces;

pub use make::{Made, make_table};
pub use store::DynamoStore;
pub use table::definition;
