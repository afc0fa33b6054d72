//! What the runtime lends to the part of the Worker that knows no runtime. Time and randomness are the core's
//! [`Host`].

use std::future::Future;

use patchbay_core::api::Host;
use patchbay_core::model::{Tenant, Timestamp};
use patchbay_core::store::StoreError;

/// A call to KV that did not succeed. Whether it was done all the same is not known. The message is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("KV: {0}")]
pub struct KvError(pub String);

/// The KV namespace. Workers only read; a tenant's object alone writes, and only its own keys. An implementation gives
/// up after some seconds.
pub trait Kv {
    /// The value of a key, as some place of KV has it: a change, a key's first value included, may show a minute later
    /// and more.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, KvError>>;

    /// Sets a key, for `seconds` (at least 60), after which KV removes it by itself.
    fn put(&self, key: &str, value: Vec<u8>, seconds: u32) -> impl Future<Output = Result<(), KvError>>;

    /// Removes a key; one that is not there too.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), KvError>>;
}

/// Which Durable Object a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom<'a> {
    /// The object of this tenant: [`crate::tenant::TenantObject`].
    Tenant(&'a Tenant),
    /// The one object that lists the tenants: [`crate::directory::DirectoryObject`].
    Directory,
}

/// The way to the Durable Objects.
pub trait Authority {
    /// Sends a message of [`crate::protocol`] in one request, and gives what the object answers.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where the runtime says that the object is overloaded and did nothing,
    /// [`StoreError::Unavailable`] where no answer came.
    fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> impl Future<Output = Result<Vec<u8>, StoreError>>;

    /// As [`Self::ask`], for a request that asks many objects one after the other and keeps none of their answers: what one
    /// takes of a bounded memory is given back with it.
    fn ask_in_passing(&self, whom: Whom<'_>, message: Vec<u8>) -> impl Future<Output = Result<Vec<u8>, StoreError>> {
        self.ask(whom, message)
    }
}

/// What a Durable Object has around it, beside its database.
pub trait Around: Host {
    /// Has [`crate::tenant::TenantObject::wake`] called at this time or soon after, and not at the time that was said
    /// before. Takes effect together with what the same turn of the event loop writes to the database.
    fn wake_at(&self, at: Timestamp);

    /// Waits until everything that was committed so far is durable.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where that cannot be known.
    fn durable(&self) -> impl Future<Output = Result<(), StoreError>>;
}
