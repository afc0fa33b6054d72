//! Adoption: what was stored while authentication was off, given to somebody.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use patchbay_core::api::Host;
use patchbay_core::audit;
use patchbay_core::identity::Authentication;
use patchbay_core::limits;
use patchbay_core::model::{Caller, ConnectionId, Member, Person, Role, Subject, Tenant, WorkspaceId};
use patchbay_core::seal::{Draft, KeyRing, OpenError as SealedError};
use patchbay_core::store::StoreError;

use crate::audit::Row as AuditRow;
use crate::database::{Database as _, Row, Statements, Value, all, first, int, text};
use crate::driver::store_error;
use crate::facts::{record, subject, workspace_id};
use crate::folder::{self, OpenError};
use crate::members;
use crate::statements as sql;

/// Conflicts that are named; further ones are counted.
const NAMED: usize = 20;

/// Who gets what `anonymous` of the tenant `default` has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOwner {
    /// Their tenant.
    pub tenant: Tenant,
    /// Who they are in it.
    pub subject: Subject,
}

/// What was adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adopted {
    /// Connections, each with its attachments.
    pub connections: u64,
    /// Workspaces, each with its members.
    pub workspaces: u64,
    /// How many of the workspaces had no room for the new owner, or they are in as many as there can be.
    pub left_out: u64,
}

/// What stands in an adoption's way: the first in a sentence each, and how many more.
#[derive(Debug, Default)]
pub struct Conflicts {
    named: Vec<String>,
    more: u64,
}

impl Conflicts {
    fn add(&mut self, conflict: String) {
        if self.named.len() < NAMED {
            self.named.push(conflict);
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named.join("; "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Why nothing was adopted, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is nobody to give anything to.
    #[error("`anonymous` of the tenant `default` is who has it now: name another owner")]
    NobodyElse,
    /// The tenant has, or is not to have, some of it.
    #[error("nothing was adopted: {0}")]
    Conflicts(Conflicts),
    /// A connection's details do not open, so that they cannot be sealed for another owner.
    #[error("nothing was adopted: connection {id}: {error}; run `patchbay check`")]
    Sealed {
        /// The connection.
        id: ConnectionId,
        /// Why.
        error: SealedError,
    },
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
    let from = Authentication::anonymous();
    if from.tenant == to.tenant && from.subject == to.subject {
        return Err(AdoptError::NobodyElse);
    }
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
        let mut note = |sql, describe: &dyn Fn(&dyn Row) -> Result<String, StoreError>| {
            self.statements.query(sql, &params, &mut |row| {
                conflicts.add(describe(row)?);
                Ok(ControlFlow::Continue(()))
            })
        };
        note(sql::TAKEN_NAMES, &|row| {
            Ok(format!("{tenant} has a connection `{}` of its own", text(row, 0)?))
        })?;
        note(sql::TAKEN_WORKSPACES, &|row| {
            let (id, name) = (int(row, 0)?, text(row, 1)?);
            let taken = if int(row, 2)? == 1 { "id" } else { "name" };
            Ok(format!("{tenant} has a workspace with the {taken} of {id} (`{name}`)"))
        })?;
        note(sql::PARTED, &|row| {
            let (name, id) = (text(row, 0)?, int(row, 1)?);
            Ok(format!(
                "only one of the connection `{name}` and the workspace {id}, which it is in, is anonymous's"
            ))
        })?;
        note(sql::CROWDED, &|row| {
            Ok(format!("{} would be in more than {most} workspaces", text(row, 0)?))
        })?;
        if conflicts.named.is_empty() {
            Ok(())
        } else {
            Err(AdoptError::Conflicts(conflicts))
        }
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

    /// Puts the new owner into a workspace in the place of `anonymous`, as an OWNER where there is no other. Says whether
    /// there was room.
    fn join(&self, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let NewOwner { tenant, subject } = self.to;
        let anonymous = Person::Subject(self.from.subject.clone());
        let new_owner = Person::Subject(subject.clone());
        let members = members::every(self.statements, tenant, workspace)?;
        let role_of = |person: &Person| {
            let found = members.iter().find(|member| member.person == *person);
            found.map(|member| member.role)
        };
        let (left, own) = (role_of(&anonymous), role_of(&new_owner));
        if left.is_some() {
            members::delete(self.statements, tenant, workspace, &anonymous)?;
        }
        let owners = members.iter().filter(|member| member.role == Role::Owner).count();
        let due = if owners > usize::from(left == Some(Role::Owner)) {
            left
        } else {
            Some(Role::Owner)
        };
        let Some(due) = due.filter(|_| own != Some(Role::Owner)) else {
            return Ok(true);
        };
        if own.is_none() {
            let among = members::workspaces_of(self.statements, tenant, &new_owner)?;
            let others = members.len() - usize::from(left.is_some());
            if among >= limits::WORKSPACES_PER_PERSON || others >= limits::MEMBERS_PER_WORKSPACE {
                return Ok(false);
            }
        }
        let joins = Member {
            person: new_owner,
            role: due,
        };
        members::put(self.statements, tenant, workspace, &joins, None)?;
        Ok(true)
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
        let id = record.id;
        let details = ring.open(&self.from.tenant, &record);
        let details = details.map_err(|error| AdoptError::Sealed { id, error })?;
        let draft = Draft {
            id,
            name: record.name,
            connection_type: record.connection_type,
            owner: self.to.subject.clone(),
            created_at: record.created_at,
        };
        let sealed = ring.seal(host, &self.to.tenant, draft, &details).sealed;
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
