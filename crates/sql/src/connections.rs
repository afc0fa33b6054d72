//! The operations on connections, each to be run inside one transaction.

use std::ops::ControlFlow;

use patchbay_core::access::{self, Verdict};
use patchbay_core::limits;
use patchbay_core::model::{
    Attached, AttachmentId, Caller, ConnectionId, Name, Record, Subject, Tenant, WorkspaceId, Workspaces,
};
use patchbay_core::store::{
    Attach, AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery, Lookup, Seen,
    StoreError, row_bytes,
};

use crate::database::{Statements, Value, first, int};
use crate::facts::{self, Facts, seen, uuid, workspace_stored};
use crate::statements as sql;
use crate::workspaces;

/// `?1` to `?3` of the statements.
fn who(caller: &Caller) -> (Value<'_>, Value<'_>, Value<'_>) {
    (
        caller.tenant.as_str().into(),
        caller.subject.as_str().into(),
        caller.email.as_ref().map(Subject::as_str).into(),
    )
}

/// [`Store::create`](patchbay_core::store::Store::create).
///
/// # Errors
/// What the database reports.
pub fn create(statements: &dyn Statements, caller: &Caller, record: &Record) -> Result<CreateOutcome, StoreError> {
    let created = insert(statements, &caller.tenant, record)?;
    Ok(created.map_or(CreateOutcome::NameTaken, |_| CreateOutcome::Created))
}

/// The new row's seq, if the name was free.
pub(crate) fn insert(statements: &dyn Statements, tenant: &Tenant, record: &Record) -> Result<Option<i64>, StoreError> {
    let params = [
        tenant.as_str().into(),
        record.owner.as_str().into(),
        Value::Null,
        Value::Blob(record.id.as_bytes()),
        record.name.as_str().into(),
        record.connection_type.as_str().into(),
        record.created_at.as_micros().into(),
        record.sealed.key_id.as_str().into(),
        Value::Blob(&record.sealed.bytes),
    ];
    first(statements, sql::CREATE, &params, |row| int(row, 0))
}

/// The statement for a connection with everything, and its `?4`.
fn by(lookup: &Lookup) -> (&'static str, Value<'_>) {
    match lookup {
        Lookup::Name(name) => (sql::GET_BY_NAME, Value::Text(name.as_str())),
        Lookup::Id(id) => (sql::GET_BY_ID, Value::Blob(id.as_bytes())),
    }
}

/// [`Store::get`](patchbay_core::store::Store::get), in one statement.
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn get(statements: &dyn Statements, caller: &Caller, lookup: &Lookup) -> Result<Option<Seen>, StoreError> {
    let (tenant, subject, email) = who(caller);
    let (sql, key) = by(lookup);
    Ok(first(statements, sql, &[tenant, subject, email, key], |row| seen(row, caller))?.flatten())
}

/// A connection with all of its attachments, sorted by workspace, whoever may see it: for a copy that callers are
/// answered from elsewhere.
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn whole(
    statements: &dyn Statements,
    tenant: &Tenant,
    lookup: &Lookup,
) -> Result<Option<(Record, Vec<Attached>)>, StoreError> {
    let (sql, key) = by(lookup);
    // Nobody's roles are asked for.
    let params = [tenant.as_str().into(), Value::Null, Value::Null, key];
    first(statements, sql, &params, facts::whole)
}

/// [`Store::list`](patchbay_core::store::Store::list), in at most two statements.
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn list(statements: &dyn Statements, caller: &Caller, query: &ListQuery) -> Result<ListOutcome, StoreError> {
    let (tenant, subject, email) = who(caller);
    let after = Value::Text(query.after.as_ref().map_or("", Name::as_str));
    let most = query.limit.map_or(usize::MAX, usize::from);
    // One row past the page tells whether more follow.
    let limit = Value::Int(query.limit.map_or(-1, |limit| i64::from(limit) + 1));
    let mut params = vec![tenant, subject, email, after, limit, i64::from(query.details).into()];
    let sql = match query.workspace {
        Some(workspace) => {
            match workspaces::role(statements, caller, workspace)? {
                None if query.workspaces == Workspaces::Open => {
                    return Ok(ListOutcome::Page {
                        rows: Vec::new(),
                        more: false,
                    });
                }
                Some(role) if access::sees_workspace(caller, role) => {}
                _ => return Ok(ListOutcome::NoWorkspace),
            }
            params.push(workspace_stored(workspace));
            sql::LIST_WORKSPACE
        }
        None if caller.admin => sql::LIST_ALL,
        None => sql::LIST_SEEN,
    };
    let mut rows = Vec::new();
    let mut bytes = 0_usize;
    let mut more = false;
    statements.query(sql, &params, &mut |row| {
        let Some(row) = seen(row, caller)? else {
            return Ok(ControlFlow::Continue(()));
        };
        bytes = bytes.saturating_add(row_bytes(&row));
        if rows.len() >= most || (bytes > query.most_bytes && !rows.is_empty()) {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ListOutcome::Page { rows, more })
}

fn facts_by_id(
    statements: &dyn Statements,
    caller: &Caller,
    connection: &ConnectionId,
) -> Result<Option<Facts>, StoreError> {
    let (tenant, subject, email) = who(caller);
    let params = [tenant, subject, email, Value::Blob(connection.as_bytes())];
    first(statements, sql::FACTS_BY_ID, &params, Facts::read)
}

/// [`Store::attach`](patchbay_core::store::Store::attach).
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn attach(statements: &dyn Statements, caller: &Caller, attach: &Attach) -> Result<AttachOutcome, StoreError> {
    let Some(facts) = facts_by_id(statements, caller, &attach.connection)? else {
        return Ok(AttachOutcome::NoConnection);
    };
    let attached = &facts.attachments.attached;
    let verdict = access::attach(caller, &facts.owner, attached, &facts.attachments);
    if verdict == Verdict::Invisible {
        return Ok(AttachOutcome::NoConnection);
    }
    let stored = workspaces::role(statements, caller, attach.workspace)?;
    if stored.is_none() && attach.workspaces == Workspaces::Managed {
        return Ok(AttachOutcome::NoWorkspace);
    }
    if !access::sees_workspace(caller, stored.flatten()) {
        return Ok(AttachOutcome::NoWorkspace);
    }
    if verdict == Verdict::Forbidden {
        return Ok(AttachOutcome::Forbidden(facts.name));
    }
    if attached.iter().any(|at| at.workspace == attach.workspace) {
        let id = existing(statements, facts.seq, attach.workspace)?;
        return Ok(AttachOutcome::Attached(id, facts.name));
    }
    if attached.len() >= limits::WORKSPACES_PER_CONNECTION {
        return Ok(AttachOutcome::TooMany(facts.name));
    }
    if stored.is_none() {
        workspaces::open(statements, caller, attach.workspace, attach.now)?;
    }
    let params = [
        caller.tenant.as_str().into(),
        workspace_stored(attach.workspace),
        facts.name.as_str().into(),
        facts.seq.into(),
        Value::Blob(attach.id.as_bytes()),
    ];
    statements.execute(sql::ATTACH, &params)?;
    Ok(AttachOutcome::Attached(attach.id, facts.name))
}

fn existing(statements: &dyn Statements, seq: i64, workspace: WorkspaceId) -> Result<AttachmentId, StoreError> {
    first(
        statements,
        sql::ATTACHMENT,
        &[seq.into(), workspace_stored(workspace)],
        |row| uuid(row, 0),
    )?
    .map(AttachmentId::from_bytes)
    .ok_or_else(|| crate::facts::damaged("attachment"))
}

/// [`Store::detach`](patchbay_core::store::Store::detach).
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn detach(
    statements: &dyn Statements,
    caller: &Caller,
    connection: ConnectionId,
    workspace: WorkspaceId,
) -> Result<DetachOutcome, StoreError> {
    let Some(facts) = facts_by_id(statements, caller, &connection)? else {
        return Ok(DetachOutcome::NotAttached);
    };
    let attached = &facts.attachments.attached;
    if !attached.iter().any(|at| at.workspace == workspace) {
        return Ok(DetachOutcome::NotAttached);
    }
    match access::detach(caller, &facts.owner, workspace, &facts.attachments) {
        Verdict::Invisible => Ok(DetachOutcome::NotAttached),
        Verdict::Forbidden => Ok(DetachOutcome::Forbidden(facts.name)),
        Verdict::Allowed => {
            let params = [
                caller.tenant.as_str().into(),
                workspace_stored(workspace),
                facts.name.as_str().into(),
            ];
            statements.execute(sql::DETACH, &params)?;
            Ok(DetachOutcome::Detached(facts.name))
        }
    }
}

/// [`Store::delete`](patchbay_core::store::Store::delete).
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn delete(statements: &dyn Statements, caller: &Caller, name: &Name) -> Result<DeleteOutcome, StoreError> {
    let (tenant, subject, email) = who(caller);
    let params = [tenant, subject, email, name.as_str().into()];
    let Some(facts) = first(statements, sql::FACTS_BY_NAME, &params, Facts::read)? else {
        return Ok(DeleteOutcome::NotFound);
    };
    let mut attachments = facts.attachments;
    match access::delete(caller, &facts.owner, &attachments.attached, &attachments) {
        Verdict::Invisible => return Ok(DeleteOutcome::NotFound),
        Verdict::Forbidden => return Ok(DeleteOutcome::Forbidden(facts.id)),
        Verdict::Allowed => {}
    }
    if !attachments.attached.is_empty() {
        attachments
            .attached
            .sort_unstable_by(|one, other| one.name.cmp(&other.name));
        return Ok(DeleteOutcome::Attached(facts.id, attachments.attached));
    }
    statements.execute(sql::DELETE, &[facts.seq.into()])?;
    Ok(DeleteOutcome::Deleted(facts.id))
}
