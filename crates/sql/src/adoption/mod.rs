//! Adoption: what was stored while authentication was off, given to somebody. Here it is within one database; where the
//! one who gets it has a database of their own, [`apart`] takes it there first.

pub mod apart;
#[cfg(feature = "native")]
mod native;

use std::ops::ControlFlow;

use patchbay_core::adoption::{self, Adopted, Conflict, Conflicts, NewOwner, Refusal, Succession};
use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Person, Record, Sealed, WorkspaceId};
use patchbay_core::store::StoreError;

#[cfg(feature = "native")]
pub use self::native::{AdoptError, adopt};
use crate::database::{Row, Statements, Value, all, first, int, text};
use crate::facts::{name_of, record, subject, workspace_id};
use crate::members;
use crate::statements as sql;

/// Gives every connection that `from` owns, and every workspace that they created, to `to`, inside one transaction.
/// `conflicts` are those that are known already, and `seal` seals a record's details for its new owner.
///
/// # Errors
/// A [`Refusal`], what `seal` reports, or the database; the transaction must then be given up.
pub fn hand_over<E: From<Refusal> + From<StoreError>>(
    statements: &dyn Statements,
    from: &Caller,
    to: &NewOwner,
    conflicts: Conflicts,
    seal: &mut dyn FnMut(Record) -> Result<Sealed, E>,
) -> Result<Adopted, E> {
    let adoption = Adoption { statements, from, to };
    let conflicts = match adoption.crosses() {
        true => adoption.conflicts(conflicts)?,
        false => conflicts,
    };
    conflicts.none()?;
    let mut adopted = Adopted::default();
    let workspaces = adoption.workspaces()?;
    adoption.open_workspaces()?;
    for workspace in workspaces {
        adopted.workspaces += 1;
        if !adoption.join(workspace)? {
            adopted.left_out += 1;
        }
    }
    while let Some((record, seq)) = adoption.next_connection()? {
        adoption.move_connection(seq, &seal(record)?)?;
        adopted.connections += 1;
    }
    adoption.close_workspaces()?;
    Ok(adopted)
}

struct Adoption<'a> {
    statements: &'a dyn Statements,
    from: &'a Caller,
    to: &'a NewOwner,
}

impl Adoption<'_> {
    /// Whether it goes from one tenant to another.
    fn crosses(&self) -> bool {
        self.from.tenant != self.to.tenant
    }

    /// `?1` to `?4` of the statements.
    fn between(&self) -> [Value<'_>; 4] {
        let (from, to) = (self.from, self.to);
        [
            from.tenant.as_str().into(),
            from.subject.as_str().into(),
            to.tenant.as_str().into(),
            to.subject.as_str().into(),
        ]
    }

    fn conflicts(&self, mut conflicts: Conflicts) -> Result<Conflicts, StoreError> {
        let [from, anonymous, to, _] = self.between();
        let most = i64::try_from(limits::WORKSPACES_PER_PERSON).unwrap_or(i64::MAX);
        let params = [from, anonymous, to, most.into()];
        let tenant = &self.to.tenant;
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
        note(sql::PARTED, &parted)?;
        note(sql::CROWDED, &|row| Ok(Conflict::Crowded(subject(text(row, 0)?)?)))?;
        Ok(conflicts)
    }

    fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        all(self.statements, sql::WORKSPACES_BY, &self.between(), |row| {
            workspace_id(int(row, 0)?)
        })
    }

    /// Makes the workspaces the new owner's, with their members, and raises the counter over their ids.
    fn open_workspaces(&self) -> Result<(), StoreError> {
        let params = self.between();
        if !self.crosses() {
            return self.statements.execute(sql::HAND_WORKSPACES, &params);
        }
        self.statements.execute(sql::COPY_WORKSPACES, &params)?;
        self.statements.execute(sql::MOVE_MEMBERS, &params)?;
        let [from, _, to, _] = params;
        if let Some(last) = first(self.statements, sql::COUNTER, &[from], |row| int(row, 0))? {
            self.statements.execute(sql::RAISE_COUNTER, &[to, last.into()])?;
        }
        Ok(())
    }

    /// Ends the workspaces where they were, once nothing is in them there.
    fn close_workspaces(&self) -> Result<(), StoreError> {
        match self.crosses() {
            true => self.statements.execute(sql::DROP_WORKSPACES, &self.between()),
            false => Ok(()),
        }
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

    /// The first connection that is left, and its seq.
    fn next_connection(&self) -> Result<Option<(Record, i64)>, StoreError> {
        let [from, anonymous, ..] = self.between();
        let params = [from, anonymous, Value::Text(""), Value::Int(1)];
        first(self.statements, sql::OWNED, &params, |row| {
            Ok((record(row, subject(text(row, 3)?)?)?, int(row, 7)?))
        })
    }

    /// Moves a connection with its attachments.
    fn move_connection(&self, seq: i64, sealed: &Sealed) -> Result<(), StoreError> {
        let [from, anonymous, to, new_owner] = self.between();
        let (key, bytes) = (sealed.key_id.as_str().into(), Value::Blob(&sealed.bytes));
        let params = [from, anonymous, to, new_owner, seq.into(), key, bytes];
        self.statements.execute(sql::MOVE_CONNECTION, &params)?;
        self.statements.execute(sql::MOVE_ATTACHMENTS, &params)
    }
}

/// Reads a row of [`sql::PARTED`].
fn parted(row: &dyn Row) -> Result<Conflict, StoreError> {
    let (name, workspace) = (name_of(text(row, 0)?)?, workspace_id(int(row, 1)?)?);
    Ok(Conflict::Parted { name, workspace })
}
