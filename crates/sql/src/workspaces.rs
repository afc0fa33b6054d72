//! The operations on workspaces, each to be run inside one transaction.

use std::ops::ControlFlow;

use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Name, Person, Role, Subject, Timestamp, WorkspaceId};
use patchbay_core::store::{CreateWorkspaceOutcome, ListWorkspacesOutcome, StoreError, WorkspacesOf, workspace_bytes};

use crate::database::{Statements, Value, first, int};
use crate::facts::{role as read_role, workspace as read_workspace, workspace_id, workspace_stored};
use crate::members;
use crate::statements as sql;

/// The caller's role in a workspace: `None` if it is not stored, `Some(None)` if they are no member.
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn role(
    statements: &dyn Statements,
    caller: &Caller,
    workspace: WorkspaceId,
) -> Result<Option<Option<Role>>, StoreError> {
    let params = [
        caller.tenant.as_str().into(),
        caller.subject.as_str().into(),
        caller.email.as_ref().map(Subject::as_str).into(),
        workspace_stored(workspace),
    ];
    first(statements, sql::WORKSPACE_ROLE, &params, |row| read_role(int(row, 0)?))
}

/// Makes the workspace `workspace-<id>`, without members, which the first attach does in `open` mode. Names of that
/// form are kept for this, so it is free if the id is.
///
/// # Errors
/// What the database reports; [`StoreError::Damaged`] if the name is taken all the same.
pub(crate) fn open(
    statements: &dyn Statements,
    caller: &Caller,
    id: WorkspaceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    if insert(statements, caller, id, &format!("workspace-{id}"), now)? {
        Ok(())
    } else {
        Err(StoreError::Damaged(
            "a name that is kept for `open` mode belongs to another workspace".into(),
        ))
    }
}

/// Whether the name was free.
fn insert(
    statements: &dyn Statements,
    caller: &Caller,
    id: WorkspaceId,
    name: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let params = [
        caller.tenant.as_str().into(),
        caller.subject.as_str().into(),
        workspace_stored(id),
        name.into(),
        now.as_micros().into(),
    ];
    Ok(first(statements, sql::CREATE_WORKSPACE, &params, |row| int(row, 0))?.is_some())
}

/// [`Store::create_workspace`](patchbay_core::store::Store::create_workspace).
///
/// # Errors
/// What the database reports; [`StoreError::Unavailable`] if the counter has come to its end.
pub fn create(
    statements: &dyn Statements,
    caller: &Caller,
    name: &Name,
    now: Timestamp,
) -> Result<CreateWorkspaceOutcome, StoreError> {
    let tenant = Value::Text(caller.tenant.as_str());
    if first(
        statements,
        sql::WORKSPACE_NAMED,
        &[tenant, name.as_str().into()],
        |row| int(row, 0),
    )?
    .is_some()
    {
        return Ok(CreateWorkspaceOutcome::NameTaken);
    }
    let email = caller.email.as_ref().map(Subject::as_str);
    if members::count_of(statements, tenant, Some(caller.subject.as_str()), email)? >= limits::WORKSPACES_PER_PERSON {
        return Ok(CreateWorkspaceOutcome::TooMany);
    }
    let id = next_id(statements, tenant)?;
    if !insert(statements, caller, id, name.as_str(), now)? {
        return Ok(CreateWorkspaceOutcome::NameTaken);
    }
    let owner = Member {
        person: Person::Subject(caller.subject.clone()),
        role: Role::Owner,
    };
    members::put(statements, &caller.tenant, id, &owner, None)?;
    Ok(CreateWorkspaceOutcome::Created(id))
}

/// The next of the tenant's counter that is not taken: `open` mode may have taken any.
fn next_id(statements: &dyn Statements, tenant: Value<'_>) -> Result<WorkspaceId, StoreError> {
    let last = first(statements, sql::COUNTER, &[tenant], |row| int(row, 0))?.unwrap_or(0);
    let mut next = last.saturating_add(1);
    if first(statements, sql::WORKSPACE_EXISTS, &[tenant, next.into()], |row| {
        int(row, 0)
    })?
    .is_some()
    {
        let free = first(statements, sql::NEXT_FREE, &[tenant, next.into()], |row| int(row, 0))?;
        next = free.unwrap_or(next);
    }
    let id = workspace_id(next).map_err(|_| StoreError::Unavailable("no workspace id is left".into()))?;
    statements.execute(sql::SET_COUNTER, &[tenant, next.into()])?;
    Ok(id)
}

/// [`Store::list_workspaces`](patchbay_core::store::Store::list_workspaces). A person is matched by subject, and by
/// e-mail too, since somebody who was added by e-mail only is shown by it.
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn list(
    statements: &dyn Statements,
    caller: &Caller,
    of: &WorkspacesOf,
    most_bytes: usize,
) -> Result<ListWorkspacesOutcome, StoreError> {
    let tenant = Value::Text(caller.tenant.as_str());
    let read = |sql: &'static str, params: &[Value<'_>]| {
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        statements.query(sql, params, &mut |row| {
            let workspace = read_workspace(row)?;
            bytes = bytes.saturating_add(workspace_bytes(&workspace));
            if bytes > most_bytes {
                return Ok(ControlFlow::Break(()));
            }
            found.push(workspace);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(if bytes > most_bytes {
            ListWorkspacesOutcome::TooLong
        } else {
            ListWorkspacesOutcome::All(found)
        })
    };
    let of_both =
        |subject: &str, email: Option<&str>| read(sql::WORKSPACES_OF, &[tenant, subject.into(), email.into()]);
    match of {
        WorkspacesOf::Everybody => read(sql::WORKSPACES, &[tenant]),
        WorkspacesOf::Caller => of_both(caller.subject.as_str(), caller.email.as_ref().map(Subject::as_str)),
        WorkspacesOf::Person(person) => of_both(person.as_str(), Some(person.as_str().to_ascii_lowercase().as_str())),
    }
}
