//! Patchbay's [`Store`](patchbay_core::store::Store) in SQL.
//!
//! The SQL is written once ([`statements`], [`connections`], [`workspaces`], [`members`], [`schema`]) over the small synchronous
//! seam of [`database`], so that it runs over any SQLite: the file of the native server (feature `native`), or the one
//! inside a Durable Object. It uses no BEGIN, SAVEPOINT, PRAGMA or LIKE, at most 100 bound parameters a statement, and
//! integers below 2^53.

pub mod adoption;
pub mod connections;
pub mod database;
mod facts;
pub mod members;
pub mod schema;
pub mod sealings;
pub mod statements;
pub mod workspaces;

#[cfg(feature = "native")]
pub mod audit;
#[cfg(feature = "native")]
mod backup;
#[cfg(feature = "native")]
mod check;
#[cfg(feature = "native")]
mod driver;
#[cfg(feature = "native")]
mod folder;
#[cfg(feature = "native")]
mod native;
#[cfg(feature = "native")]
mod portable;
#[cfg(feature = "native")]
mod readers;
#[cfg(feature = "native")]
mod shape;
#[cfg(feature = "native")]
mod writer;

#[cfg(feature = "native")]
pub use adoption::{AdoptError, adopt};
#[cfg(feature = "native")]
pub use backup::{BackupError, RestoreError, backup, restore};
#[cfg(feature = "native")]
pub use check::{Report, check};
#[cfg(feature = "native")]
pub use folder::{DATABASE_FILE, OpenError, has_database, is_inside, make as make_folder};
#[cfg(feature = "native")]
pub use native::{Audit, NativeStore, OnCommit, Options, count_sealed};
#[cfg(feature = "native")]
pub use portable::{ExportError, ImportError, export, import};
