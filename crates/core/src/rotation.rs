//! Rotation of keys: what it takes of a store, and a step of it.
//!
//! A new key is put first in the ring of every server; then what others sealed is sealed again, batch by batch, until
//! [`Sealings::count_sealed`] finds nothing under the old key, which may be taken out then. Each record is replaced by
//! itself and only as it was read, so that it may be broken off and begun again at any time, beside any traffic.

use std::collections::BTreeMap;
use std::future::Future;

use crate::api::Host;
use crate::model::{ConnectionId, KeyId, Name, Record, Sealed, Tenant};
use crate::seal::{KeyRing, OpenError};
use crate::store::StoreError;

/// Where a walk over a store's records stands. Its text is the store's own matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub String);

/// What one step of such a walk found, and where the next one begins; `None` after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<T> {
    /// What it found, which may be nothing before the last step too.
    pub found: T,
    /// Where the next one begins.
    pub next: Option<Place>,
}

/// A record, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The tenant.
    pub tenant: Tenant,
    /// The record.
    pub record: Record,
}

/// A record's new sealing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Whose record it is.
    pub tenant: Tenant,
    /// Its name.
    pub name: Name,
    /// Its id.
    pub id: ConnectionId,
    /// The key that sealed it when it was read.
    pub expected: KeyId,
    /// What takes the place of that.
    pub sealed: Sealed,
}

/// What rotation takes of a store: over all tenants, and on nobody's behalf. A walk finds every record that exists
/// throughout.
pub trait Sealings {
    /// Counts the records under each key, as many as the store counts in one step.
    fn count_sealed(
        &self,
        after: Option<Place>,
    ) -> impl Future<Output = Result<Step<BTreeMap<KeyId, u64>>, StoreError>>;

    /// Records that another key than `key` sealed: at most `most`, and no more than
    /// [`limits::RESEALED_BYTES`](crate::limits::RESEALED_BYTES) of sealed bytes, but one where it alone has more.
    fn sealed_otherwise(
        &self,
        key: &KeyId,
        after: Option<Place>,
        most: u16,
    ) -> impl Future<Output = Result<Step<Vec<Held>>, StoreError>>;

    /// Replaces sealings, and nothing else of the records, each whole or not at all. A record that is gone, or that the
    /// expected key does not seal any more, is left alone, also where another has its name by now. Gives how many were
    /// replaced; fewer are counted than were where storage did not answer at first.
    fn replace_sealed(&self, replacements: Vec<Replacement>) -> impl Future<Output = Result<usize, StoreError>>;
}

/// What one batch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// Records that the ring's first key seals now.
    pub records: usize,
    /// Records that stay as they are, since they do not open.
    pub left: Vec<Left>,
    /// Where the next batch begins; `None` after the last.
    pub next: Option<Place>,
}

/// A record that does not open, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: ConnectionId,
    /// Why it does not open.
    pub error: OpenError,
}

/// Seals one batch again with the ring's first key: at most `most` records.
///
/// # Errors
/// What the store reports. What was replaced before stays so.
pub async fn reseal(
    store: &impl Sealings,
    ring: &KeyRing,
    host: &impl Host,
    after: Option<Place>,
    most: u16,
) -> Result<Resealed, StoreError> {
    let Step { found, next } = store.sealed_otherwise(ring.sealing_key(), after, most).await?;
    let (mut replacements, mut left) = (Vec::with_capacity(found.len()), Vec::new());
    for Held { tenant, record } in found {
        let id = record.id;
        match ring.reseal(host, &tenant, &record) {
            Ok(sealed) => replacements.push(Replacement {
                tenant,
                name: record.name,
                id,
                expected: record.sealed.key_id,
                sealed,
            }),
            Err(error) => left.push(Left { tenant, id, error }),
        }
    }
    let records = match replacements.is_empty() {
        true => 0,
        false => store.replace_sealed(replacements).await?,
    };
    Ok(Resealed { records, left, next })
}

/// How a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// The key.
    pub id: KeyId,
    /// Records that it seals.
    pub records: u64,
    /// Whether it is the one that seals new records.
    pub sealing: bool,
    /// Whether the ring has it.
    pub available: bool,
}

/// Every key that the ring has or a record names, ordered by id.
pub fn statuses(ring: &KeyRing, counted: &BTreeMap<KeyId, u64>) -> Vec<KeyStatus> {
    let mut all: BTreeMap<&KeyId, u64> = ring.ids().map(|id| (id, 0)).collect();
    all.extend(counted.iter().map(|(id, records)| (id, *records)));
    all.into_iter()
        .map(|(id, records)| KeyStatus {
            id: id.clone(),
            records,
            sealing: id == ring.sealing_key(),
            available: ring.contains(id),
        })
        .collect()
}
