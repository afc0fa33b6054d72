//! Adoption: what was stored while authentication was off, given to somebody.

use std::ops::ControlFlow;
use std::path::Path;

use patchbay_core::adoption::{self, Adopted, Conflict, Conflicts, NewOwner, Refusal, Succession};
use patchbay_core::api::Host;
use patchbay_core::audit;
use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Person, WorkspaceId};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::StoreError;

use crate::audit::Row as AuditRow;
use crate::database::{Database as _, Row, Statements, Value, all, first, int, text};
use crate::driver::store_error;
use crate::facts::{name_of, record, subject, workspace_id};
use crate::folder::{self, OpenError};
use crate::members;
use crate::statements as sql;

/// Why nothing was adopted, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is there, or who is to have it, does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
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

impl From<AdoptError> for Unkept {
    fn from(error: AdoptError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Unkept {
    fn from(error: StoreError) -> Self {
        Self::Failed(AdoptError::Store(error))
    }
}

// Not #[from]: what a message says already is not given as its source too, or it would be printed twice.
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
        // Workspaces, members, attachments and connections change their tenant one after the other. What they refer to
        // is looked up at the commit, which ends this.
        connection
            .pragma_update(None, "defer_foreign_keys", true)
            .map_err(store_error)?;
        let adopted = Adoption { statements, from, to }.run(ring, host)?;
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

struct Adoption<'a> {
    statements: &'a dyn Statements,
    from: Caller,
    to: &'a NewOwner,
}

impl Adoption<'_> {
    fn run(&self, ring: &KeyRing, host: &impl Host) -> Result<Adopted, AdoptError> {
        if self.from.tenant != self.to.tenant {
            self.refuse_conflicts()?;
        }
        let mut adopted = Adopted::default();
        for workspace in self.move_workspaces()? {
            adopted.workspaces += 1;
            if !self.join(workspace)? {
                adopted.left_out += 1;
            }
        }
        while self.move_connection(ring, host)? {
            adopted.connections += 1;
        }
        Ok(adopted)
    }

    /// `?1` to `?3` of the statements.
    fn between(&self) -> [Value<'_>; 3] {
        let (from, to) = (&self.from, self.to);
        [
            from.tenant.as_str().into(),
            from.subject.as_str().into(),
            to.tenant.as_str().into(),
        ]
    }

    fn refuse_conflicts(&self) -> Result<(), AdoptError> {
        let [from, anonymous, to] = self.between();
        let most = i64::try_from(limits::WORKSPACES_PER_PERSON).unwrap_or(i64::MAX);
        let params = [from, anonymous, to, most.into()];
        let tenant = &self.to.tenant;
        let mut conflicts = Conflicts::default();
        let mut note = |sql, conflict: &dyn Fn(&dyn Row) -> Result<Conflict, StoreError>| {
            self.statements.query(sql, &params, &mut |row| {
                conflicts.add(conflict(row)?);
                Ok(ControlFlow::Continue(()))
            })
        };
        note(sql::TAKEN_NAMES, &|row| {
            let (tenant, name) = (tenant.clone(), name_of(text(row, 0)?)?);
            Ok(Conflict::ConnectionName { tenant, name })
        })?;
        note(sql::TAKEN_WORKSPACES, &|row| {
            let (tenant, id, name) = (tenant.clone(), workspace_id(int(row, 0)?)?, name_of(text(row, 1)?)?);
            Ok(match int(row, 2)? {
                1 => Conflict::WorkspaceId { tenant, id, name },
                _ => Conflict::WorkspaceName { tenant, id, name },
            })
        })?;
        note(sql::PARTED, &|row| {
            let (name, workspace) = (name_of(text(row, 0)?)?, workspace_id(int(row, 1)?)?);
            Ok(Conflict::Parted { name, workspace })
        })?;
        note(sql::CROWDED, &|row| Ok(Conflict::Crowded(subject(text(row, 0)?)?)))?;
        Ok(conflicts.none()?)
    }

    /// Moves the workspaces with their members, and raises the counter over their ids.
    fn move_workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        let [from, anonymous, to] = self.between();
        let params = [from, anonymous, to, self.to.subject.as_str().into()];
        let moving = all(self.statements, sql::WORKSPACES_BY, &params, |row| {
            workspace_id(int(row, 0)?)
        })?;
        self.statements.execute(sql::MOVE_MEMBERS, &params)?;
        self.statements.execute(sql::MOVE_WORKSPACES, &params)?;
        if let Some(last) = first(self.statements, sql::COUNTER, &[from], |row| int(row, 0))? {
            self.statements.execute(sql::RAISE_COUNTER, &[to, last.into()])?;
        }
        Ok(moving)
    }

    /// Puts the new owner into a workspace in the place of `anonymous`. Says whether there was room.
    fn join(&self, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let NewOwner { tenant, subject } = self.to;
        let anonymous = Person::Subject(self.from.subject.clone());
        let new_owner = Person::Subject(subject.clone());
        let inside = members::every(self.statements, tenant, workspace)?;
        let among = members::workspaces_of(self.statements, tenant, &new_owner)?;
        members::delete(self.statements, tenant, workspace, &anonymous)?;
        match adoption::succession(&inside, &anonymous, &new_owner, among) {
            Succession::Stays => Ok(true),
            Succession::NoRoom => Ok(false),
            Succession::Gets(role) => {
                let person = new_owner;
                members::put(self.statements, tenant, workspace, &Member { person, role }, None)?;
                Ok(true)
            }
        }
    }

    /// Moves the first connection that is left, with its attachments; says whether there was one.
    fn move_connection(&self, ring: &KeyRing, host: &impl Host) -> Result<bool, AdoptError> {
        let [from, anonymous, to] = self.between();
        let found = first(self.statements, sql::FIRST_OWNED, &[from, anonymous], |row| {
            Ok((record(row, subject(text(row, 3)?)?)?, int(row, 7)?))
        })?;
        let Some((record, seq)) = found else {
            return Ok(false);
        };
        let sealed = self.to.record(ring, host, &self.from.tenant, record)?.sealed;
        let params = [
            to,
            self.to.subject.as_str().into(),
            sealed.key_id.as_str().into(),
            Value::Blob(&sealed.bytes),
            seq.into(),
        ];
        self.statements.execute(sql::MOVE_CONNECTION, &params)?;
        self.statements.execute(sql::MOVE_ATTACHMENTS, &params)?;
        Ok(true)
    }
}
