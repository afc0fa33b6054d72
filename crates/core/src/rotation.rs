//! Rotation of keys: what it takes of a store, and a step of it.
//!
//! A new key is put first in the ring of every server. Where it has sealed something already, [`prove`] sees that this
//! opens; then what others sealed is sealed again, batch by batch, until [`Sealings::count_sealed`] finds nothing under the
//! old key, which no record needs any more. Each record is replaced by itself and only as it was read, so that a rotation
//! may be broken off and begun again at any time, beside any traffic.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::api::Host;
use crate::limits;
use crate::model::{ConnectionId, KeyId, Name, Record, Sealed, Subject, Tenant};
use crate::seal::{KeyRing, OpenError};
use crate::store::StoreError;

/// Where a walk over a store's records stands. Its text is the store's own matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(pub String);

/// What one step of such a walk found, and where the next one begins; `None` after the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step<T> {
    /// What it found, which may be nothing before the last step too.
    pub found: T,
    /// Where the next one begins.
    pub next: Option<Place>,
}

/// A record, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The tenant.
    pub tenant: Tenant,
    /// The record.
    pub record: Record,
}

/// How many records there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Under each key.
    pub under: BTreeMap<KeyId, u64>,
    /// Of which cannot be read under which key they are.
    pub unreadable: u64,
}

impl Counted {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, more: Self) {
        for (key, records) in more.under {
            *self.under.entry(key).or_default() += records;
        }
        self.unreadable += more.unreadable;
    }

    /// How many are not under this key, as far as can be read.
    pub fn not_under(&self, key: &KeyId) -> u64 {
        let others = self.under.iter().filter(|(id, _)| *id != key);
        others.map(|(_, records)| records).sum::<u64>() + self.unreadable
    }
}

/// A record's new sealing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// Whose record it is.
    pub tenant: Tenant,
    /// Its name.
    pub name: Name,
    /// Its id.
    pub id: ConnectionId,
    /// Whose it is in the tenant, to whom what is sealed is bound.
    pub owner: Subject,
    /// The key that sealed it when it was read.
    pub expected: KeyId,
    /// What takes the place of that.
    pub sealed: Sealed,
}

/// Something in a record's place that is no record which this version reads. Says which and why, nothing of details.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{at}: {why}")]
pub struct Unreadable {
    /// Where the store has it.
    pub at: String,
    /// What is wrong with it.
    pub why: String,
}

/// Which records a walk gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// Those that this key sealed.
    SealedWith(KeyId),
    /// Those that another key sealed.
    SealedOtherwise(KeyId),
}

/// What rotation takes of a store: over all tenants, and on nobody's behalf. A walk finds every record that exists
/// throughout.
pub trait Sealings {
    /// Counts the records under each key, as many as the store counts in one step. Copies of records that the store keeps
    /// elsewhere are in the count for as long as anybody may be answered from them: what counts nothing is needed for no
    /// answer.
    fn count_sealed(&self, after: Option<Place>) -> impl Future<Output = Result<Step<Counted>, StoreError>>;

    /// Walks over records: at most `most`, and no more than [`limits::RESEALED_BYTES`] of
    /// sealed bytes, but one where it alone has more. What cannot be read is told of in its place, and passed.
    fn sealed(
        &self,
        wanted: Wanted,
        after: Option<Place>,
        most: u16,
    ) -> impl Future<Output = Result<Step<Vec<Result<Held, Unreadable>>>, StoreError>>;

    /// Replaces sealings, and nothing else of the records, each whole or not at all. A record that is gone, that is another
    /// owner's by now, or that the expected key does not seal any more, is left alone, also where another has its name by now. Gives how many were
    /// replaced; fewer are counted than were where storage did not answer at first.
    fn replace_sealed(&self, replacements: Vec<Replacement>) -> impl Future<Output = Result<usize, StoreError>>;
}

/// Of a store that lends none: there is no value of this type.
impl Sealings for Infallible {
    async fn count_sealed(&self, _: Option<Place>) -> Result<Step<Counted>, StoreError> {
        match *self {}
    }

    async fn sealed(
        &self,
        _: Wanted,
        _: Option<Place>,
        _: u16,
    ) -> Result<Step<Vec<Result<Held, Unreadable>>>, StoreError> {
        match *self {}
    }

    async fn replace_sealed(&self, _: Vec<Replacement>) -> Result<usize, StoreError> {
        match *self {}
    }
}

/// What there is to show that the ring has the sealing key's right secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A record that it sealed opens.
    Opens,
    /// Nothing yet: this is where the search goes on.
    Search(Search),
    /// It has sealed no record so far.
    Nothing,
}

/// How far the search for a record is that the sealing key sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Where it goes on; `None` at its beginning.
    pub after: Option<Place>,
    /// Records that name the key and do not open.
    pub failed: u32,
}

/// Records that name the key and do not open, after which there is no hope that the next one does.
const HOPELESS: u32 = 100;

/// Why a rotation must not begin.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// The ring's secret is not the one that sealed.
    #[error(
        "{failed} of the records name the key `{key}`, and the secret that the ring has for it opens none of them: give \
         the ring the secret that sealed them, or another key first, with an id of its own"
    )]
    WrongSecret {
        /// The sealing key.
        key: KeyId,
        /// Records that it does not open.
        failed: u32,
    },
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes one step to find out, before the first batch, whether the ring's secret for the sealing key is the one that
/// sealed already: what would be sealed with another one under the same id, nobody else could open.
///
/// # Errors
/// That it is not, or what the store reports.
pub async fn prove(store: &impl Sealings, ring: &KeyRing, search: Search) -> Result<Proof, Unproved> {
    let Search { after, mut failed } = search;
    let key = ring.sealing_key();
    let wanted = Wanted::SealedWith(key.clone());
    let step = store.sealed(wanted, after, limits::RESEALED).await?;
    for Held { tenant, record } in step.found.iter().flatten() {
        if ring.open(tenant, record).is_ok() {
            return Ok(Proof::Opens);
        }
        failed += 1;
    }
    match step.next {
        after @ Some(_) if failed < HOPELESS => Ok(Proof::Search(Search { after, failed })),
        _ if failed > 0 => Err(Unproved::WrongSecret {
            key: key.clone(),
            failed,
        }),
        _ => Ok(Proof::Nothing),
    }
}

/// What one batch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// Records that the ring's first key seals now.
    pub records: usize,
    /// What stays as it is.
    pub left: Vec<Left>,
    /// Where the next batch begins; `None` after the last.
    pub next: Option<Place>,
}

/// What is not sealed again, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Left {
    /// A record whose details do not open.
    #[error("connection {id} of the tenant {tenant}: {error}")]
    Closed {
        /// Whose it is.
        tenant: Tenant,
        /// Its id.
        id: ConnectionId,
        /// Why it does not open.
        error: OpenError,
    },
    /// What is no record that this version reads.
    #[error(transparent)]
    Unreadable(Unreadable),
}

/// Seals one batch again with the ring's first key: at most `most` records, each of which is opened with the key that
/// sealed it first, and once more as it is to be kept.
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
    let wanted = Wanted::SealedOtherwise(ring.sealing_key().clone());
    let Step { found, next } = store.sealed(wanted, after, most).await?;
    let (mut replacements, mut left) = (Vec::with_capacity(found.len()), Vec::new());
    for found in found {
        let Held { tenant, record } = match found {
            Ok(held) => held,
            Err(unreadable) => {
                left.push(Left::Unreadable(unreadable));
                continue;
            }
        };
        let id = record.id;
        match ring.reseal(host, &tenant, &record) {
            Ok(sealed) => replacements.push(Replacement {
                tenant,
                name: record.name,
                id,
                owner: record.owner,
                expected: record.sealed.key_id,
                sealed,
            }),
            Err(error) => left.push(Left::Closed { tenant, id, error }),
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
