//! Adoption in a data folder.

use std::path::Path;

use patchbay_core::adoption::{Adopted, Conflicts, NewOwner, Refusal};
use patchbay_core::api::Host;
use patchbay_core::audit;
use patchbay_core::model::Person;
use patchbay_core::seal::KeyRing;
use patchbay_core::store::StoreError;

use super::hand_over;
use crate::audit::Row as AuditRow;
use crate::database::Database as _;
use crate::folder::{self, OpenError};

/// Why nothing was adopted, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is there, or who is to have it, does not allow it.
    #[error("nothing was adopted: {0}")]
    Refused(Refusal),
    /// The database cannot be read or written.
    #[error("nothing was adopted: {0}")]
    Store(StoreError),
}

/// Why a transaction is not kept.
enum Unkept {
    Failed(AdoptError),
    /// It was a rehearsal.
    Rehearsed(Adopted),
}

impl From<Refusal> for Unkept {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.into())
    }
}

impl From<StoreError> for Unkept {
    fn from(error: StoreError) -> Self {
        Self::Failed(AdoptError::Store(error))
    }
}

// Not #[from]: what a message says already is not given as its source too, or it would be printed twice.
impl From<Refusal> for AdoptError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for AdoptError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Gives every connection that `anonymous` of the tenant `default` owns, and every workspace that they created, to
/// somebody else, in a folder that no server uses; all or nothing. Ids, names, types, times, attachments and the other
/// members stay; details are sealed anew, with the ring's first key, since they are bound to tenant and owner. The new
/// owner is a member wherever `anonymous` was, and an OWNER of every workspace that has no other, as far as the limits of
/// both allow. The record of it waits in the database for the audit trail.
///
/// A `rehearsal` does the same and keeps nothing of it.
///
/// # Errors
/// Why nothing was adopted.
pub fn adopt(
    data: &Path,
    ring: &KeyRing,
    host: &impl Host,
    to: &NewOwner,
    rehearsal: bool,
) -> Result<Adopted, AdoptError> {
    let from = to.previous()?;
    let _lock = folder::lock(data)?;
    let connection = folder::open_writer(data)?;
    let adopted = connection.transaction(|statements| {
        let mut seal = |record| Ok::<_, Unkept>(to.record(ring, host, &from.tenant, record)?.sealed);
        let adopted = hand_over(statements, &from, to, Conflicts::default(), &mut seal)?;
        let record = audit::Record {
            tenant: Some(to.tenant.clone()),
            member: Some(Person::Subject(to.subject.clone())),
            count: Some(adopted.connections),
            ..audit::Record::of_command(host.now(), "adopt")
        };
        AuditRow::add(statements, record.to_json())?;
        if rehearsal {
            Err(Unkept::Rehearsed(adopted))
        } else {
            Ok(adopted)
        }
    });
    match adopted {
        Ok(adopted) | Err(Unkept::Rehearsed(adopted)) => Ok(adopted),
        Err(Unkept::Failed(error)) => Err(error),
    }
}
