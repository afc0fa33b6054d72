//! Patchbay's [`Store`](patchbay_core::store::Store) on one DynamoDB table.
//!
//! The README beside this crate draws the table. Every change is one transaction, and what was read to decide it is a
//! condition of it: a lost race is read and decided again. Every read is strongly consistent, unless [`Reads`]
//! says otherwise. The crate runs inside tokio, whose clock the pauses between attempts use.

mod adopt;
mod again;
#[cfg(feature = "client")]
pub mod client;
mod connections;
mod definition;
mod facts;
mod failure;
mod item;
mod key;
mod list;
mod make;
mod members;
mod reads;
mod roles;
mod sealings;
mod store;
mod table;
mod transaction;
mod workspaces;

pub use adopt::{AdoptError, adopt};
pub use definition::definition;
pub use make::{Made, make_table};
pub use reads::{Reads, WrongReads};
pub use store::DynamoStore;
