//! An adoption between two databases: what leaves the one, and arrives in the other. Each is to be run inside one
//! transaction.

use std::ops::ControlFlow;

use patchbay_core::adoption::apart::{InTheWay, Part};
use patchbay_core::limits;
use patchbay_core::model::{AttachmentId, Caller, Record, Workspace};
use patchbay_core::rotation::{Place, Step};
use patchbay_core::store::StoreError;

use super::parted;
use crate::connections::insert;
use crate::database::{Statements, Value, all, first, int, text};
use crate::facts::{
    email_beside, member, record, subject, uuid, workspace as read_workspace, workspace_id, workspace_stored,
};
use crate::members;
use crate::statements as sql;

/// Bytes that a connection's attachments come to at most, as they are sent: an id of at most eight, and one of 16.
const ATTACHMENTS: usize = limits::WORKSPACES_PER_CONNECTION * (8 + 16);

/// What is in the way where it is: where it `crosses` from one tenant to another, attachments of which one side is the
/// subject's and the other is not, which cannot go along. And how much there is.
///
/// # Errors
/// What the database reports.
pub fn in_the_way(statements: &dyn Statements, from: &Caller, crosses: bool) -> Result<InTheWay, StoreError> {
    let mut there = InTheWay::default();
    let [tenant, anonymous] = of(from);
    let most = i64::try_from(limits::ADOPTED_APART).unwrap_or(i64::MAX);
    let params = [tenant, anonymous, (most + 1).into()];
    let counts = first(statements, sql::HOW_MUCH, &params, |row| {
        Ok([int(row, 0)?, int(row, 1)?, int(row, 2)?])
    })?;
    let [connections, others, bytes] = counts.unwrap_or_default();
    there.connections = connections.unsigned_abs();
    there.too_much = connections + others > most || bytes.unsigned_abs() > limits::ADOPTED_APART_BYTES as u64;
    if crosses {
        statements.query(sql::PARTED, &[tenant, anonymous], &mut |row| {
            there.conflicts.add(parted(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(there)
}

/// `?1` and `?2` of the statements.
fn of(from: &Caller) -> [Value<'_>; 2] {
    [from.tenant.as_str().into(), from.subject.as_str().into()]
}

/// A walk over what `from` has: the counter of workspaces first, then the workspaces, each kind by itself, then the
/// connections. See [`Ask::Leaving`](patchbay_core::adoption::apart::Ask::Leaving).
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn leaving(
    statements: &dyn Statements,
    from: &Caller,
    after: Option<&Place>,
    most: u16,
) -> Result<Step<Vec<Part>>, StoreError> {
    let nowhere = || StoreError::Damaged("an adoption goes on from no place of this store".into());
    match after.map(|place| place.0.split_at_checked(1)) {
        None => counter(statements, from),
        Some(Some(("w", last))) => workspaces(statements, from, last.parse().map_err(|_| nowhere())?, most),
        Some(Some(("c", last))) => connections(statements, from, last, most),
        Some(_) => Err(nowhere()),
    }
}

fn counter(statements: &dyn Statements, from: &Caller) -> Result<Step<Vec<Part>>, StoreError> {
    let [tenant, _] = of(from);
    let last = first(statements, sql::COUNTER, &[tenant], |row| workspace_id(int(row, 0)?))?;
    Ok(Step {
        found: last.map(Part::Counter).into_iter().collect(),
        next: Some(Place("w0".into())),
    })
}

fn workspaces(statements: &dyn Statements, from: &Caller, last: i64, most: u16) -> Result<Step<Vec<Part>>, StoreError> {
    let (mut found, mut bytes, mut last) = (Vec::new(), 0_usize, last);
    let [tenant, anonymous] = of(from);
    let params = [tenant, anonymous, last.into(), i64::from(most).into()];
    let made = all(statements, sql::MADE, &params, read_workspace)?;
    let more = !made.is_empty();
    for workspace in made {
        let id = workspace_stored(workspace.id);
        let members = all(statements, sql::MEMBERS, &[tenant, id], |row| {
            Ok((member(row)?, email_beside(row, 3)?))
        })?;
        // Each has two texts at most.
        bytes = bytes.saturating_add(members.len().saturating_mul(2 * limits::SUBJECT_BYTES));
        if bytes > limits::RESEALED_BYTES && !found.is_empty() {
            break;
        }
        last = workspace.id.get().cast_signed();
        found.push(Part::Workspace(workspace, members));
    }
    let next = if more { format!("w{last}") } else { "c".to_owned() };
    Ok(Step {
        found,
        next: Some(Place(next)),
    })
}

fn connections(
    statements: &dyn Statements,
    from: &Caller,
    last: &str,
    most: u16,
) -> Result<Step<Vec<Part>>, StoreError> {
    let (mut found, mut bytes, mut next) = (Vec::new(), 0_usize, None);
    let [tenant, anonymous] = of(from);
    // One past the batch tells whether more follow.
    let params = [tenant, anonymous, last.into(), (i64::from(most) + 1).into()];
    let mut owned: Vec<(Record, i64)> = Vec::new();
    statements.query(sql::OWNED, &params, &mut |row| {
        let (record, seq) = (record(row, subject(text(row, 3)?)?)?, int(row, 7)?);
        bytes = bytes.saturating_add(record.sealed.bytes.len() + ATTACHMENTS);
        let is_full = owned.len() >= usize::from(most) || bytes > limits::RESEALED_BYTES;
        if let Some((last, _)) = owned.last().filter(|_| is_full) {
            next = Some(Place(format!("c{}", last.name)));
            return Ok(ControlFlow::Break(()));
        }
        owned.push((record, seq));
        Ok(ControlFlow::Continue(()))
    })?;
    for (record, seq) in owned {
        let params = [tenant, anonymous, seq.into()];
        let attachments = all(statements, sql::OWN_ATTACHMENTS, &params, |row| {
            Ok((workspace_id(int(row, 0)?)?, AttachmentId::from_bytes(uuid(row, 1)?)))
        })?;
        found.push(Part::Connection(record, attachments));
    }
    Ok(Step { found, next })
}

/// Puts a part where it is to be handed over, as `from`'s still. Parts come in the order of [`leaving`], and none is there
/// yet.
///
/// # Errors
/// What the database reports.
pub fn arrive(statements: &dyn Statements, from: &Caller, part: Part) -> Result<(), StoreError> {
    let tenant = from.tenant.as_str().into();
    match part {
        Part::Counter(last) => statements.execute(sql::RAISE_COUNTER, &[tenant, workspace_stored(last)]),
        Part::Workspace(workspace, members) => {
            let Workspace {
                id,
                name,
                created_by,
                created_at,
            } = &workspace;
            let (by, name, at) = (
                created_by.as_str().into(),
                name.as_str().into(),
                created_at.as_micros().into(),
            );
            let params = [tenant, by, workspace_stored(*id), name, at];
            statements.execute(sql::CREATE_WORKSPACE, &params)?;
            members
                .iter()
                .try_for_each(|(member, email)| members::put(statements, &from.tenant, *id, member, email.as_ref()))
        }
        Part::Connection(record, attachments) => {
            let record = Record {
                owner: from.subject.clone(),
                ..record
            };
            let taken = || StoreError::Damaged("a connection arrives twice".into());
            let seq = insert(statements, &from.tenant, &record)?.ok_or_else(taken)?;
            attachments.iter().try_for_each(|(workspace, id)| {
                let (name, id) = (record.name.as_str().into(), Value::Blob(id.as_bytes()));
                statements.execute(
                    sql::ATTACH,
                    &[tenant, workspace_stored(*workspace), name, seq.into(), id],
                )
            })
        }
    }
}

/// Takes up to `most` of the connections away that `from` has, and with the last ones the workspaces. Says whether there is
/// more.
///
/// # Errors
/// What the database reports.
pub fn leave(statements: &dyn Statements, from: &Caller, most: u16) -> Result<bool, StoreError> {
    let [tenant, anonymous] = of(from);
    let params = [tenant, anonymous, Value::Null, i64::from(most).into()];
    let owned = all(statements, sql::OWNED_SEQS, &params, |row| int(row, 0))?;
    for seq in &owned {
        statements.execute(sql::DETACH_ALL, &[(*seq).into()])?;
        statements.execute(sql::DELETE, &[(*seq).into()])?;
    }
    if owned.len() >= usize::from(most) {
        return Ok(true);
    }
    statements.execute(sql::DROP_MEMBERS, &[tenant, anonymous])?;
    statements.execute(sql::DROP_WORKSPACES, &[tenant, anonymous])?;
    Ok(false)
}
