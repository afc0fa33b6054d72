//! Export and import: the store ⇄ the lines of [`patchbay_core::portable`].

use std::io::{self, BufRead, Read as _, Write};
use std::ops::ControlFlow;
use std::path::Path;

use patchbay_core::api::Host;
use patchbay_core::audit;
use patchbay_core::limits;
use patchbay_core::model::{AttachmentId, ConnectionId, Tenant, WorkspaceId};
use patchbay_core::portable::{
    ConnectionEntry, Contents, Counter, Entry, LINE_BYTES, MemberEntry, Reader, Refusal, Totals, WorkspaceEntry,
    first_line,
};
use patchbay_core::seal::{Draft, KeyRing, OpenError as SealedError};
use patchbay_core::store::StoreError;
use zeroize::Zeroizing;

use crate::audit::Row as AuditRow;
use crate::connections::insert;
use crate::database::{Database as _, Row, Statements, Value, all, first, int, text};
use crate::facts::{damaged, email_beside, member, record, subject, uuid, workspace, workspace_id, workspace_stored};
use crate::folder::{self, OpenError};
use crate::members;
use crate::statements as sql;

/// Why an export ended early, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The data folder cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is stored cannot be read.
    #[error("the export is not complete: {0}; run `patchbay check`")]
    Store(StoreError),
    /// A connection's details do not open.
    #[error("the export is not complete: connection {id}: {error}")]
    Sealed {
        /// The connection.
        id: ConnectionId,
        /// Why.
        error: SealedError,
    },
    /// The lines cannot be written.
    #[error("the export is not complete: {0}")]
    Write(io::Error),
}

// Not #[from]: what a message says already is not given as its source too, or it would be printed twice.
impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// Writes the state of this moment as lines, beside a server that may be running, with no more than a line in memory.
/// With a ring, details are in the clear; without, they stay sealed.
///
/// # Errors
/// Why the export is not complete; its last line is missing then.
pub fn export(data: &Path, clear: Option<&KeyRing>, to: &mut dyn Write) -> Result<Totals, ExportError> {
    let connection = folder::open_beside(data)?;
    connection.transaction(|statements| {
        folder::require_current(data, statements)?;
        let mut lines = Lines {
            to,
            totals: Totals::default(),
        };
        lines.line(&first_line())?;
        each(statements, sql::EVERY_COUNTER, |row| {
            lines.entry(&Entry::Counter(Counter {
                tenant: tenant(row, 0)?,
                last: workspace_id(int(row, 1)?)?,
            }))
        })?;
        each(statements, sql::EVERY_WORKSPACE, |row| {
            lines.entry(&Entry::Workspace(read_workspace(statements, row)?))
        })?;
        each(statements, sql::EVERY_CONNECTION, |row| {
            lines.entry(&Entry::Connection(read_connection(statements, row, clear)?))
        })?;
        let totals = lines.totals;
        lines.line(&totals.to_line())?;
        to.flush()?;
        Ok(totals)
    })
}

struct Lines<'w> {
    to: &'w mut dyn Write,
    totals: Totals,
}

impl Lines<'_> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.to.write_all(line)?;
        self.to.write_all(b"\n")
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), ExportError> {
        self.totals.add(entry);
        Ok(self.line(&entry.to_line())?)
    }
}

/// Hands every row to `take`, whose own error ends the walk.
fn each(
    statements: &dyn Statements,
    sql: &'static str,
    mut take: impl FnMut(&dyn Row) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut failed = None;
    statements.query(sql, &[], &mut |row| {
        Ok(match take(row) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
    })?;
    failed.map_or(Ok(()), Err)
}

fn tenant(row: &dyn Row, column: usize) -> Result<Tenant, StoreError> {
    Tenant::new(text(row, column)?).map_err(|_| damaged("tenant"))
}

fn read_workspace(statements: &dyn Statements, row: &dyn Row) -> Result<WorkspaceEntry, StoreError> {
    let (tenant, workspace) = (tenant(row, 4)?, workspace(row)?);
    let params = [tenant.as_str().into(), workspace_stored(workspace.id)];
    let members = all(statements, sql::MEMBERS, &params, |row| {
        let (member, email) = (member(row)?, email_beside(row, 3)?);
        Ok(MemberEntry { member, email })
    })?;
    Ok(WorkspaceEntry {
        tenant,
        workspace,
        members,
    })
}

fn read_connection(
    statements: &dyn Statements,
    row: &dyn Row,
    clear: Option<&KeyRing>,
) -> Result<ConnectionEntry, ExportError> {
    let tenant = tenant(row, 7)?;
    let record = record(row, subject(text(row, 3)?)?)?;
    let attachments = all(statements, sql::ATTACHMENTS, &[int(row, 8)?.into()], |row| {
        Ok((workspace_id(int(row, 0)?)?, AttachmentId::from_bytes(uuid(row, 1)?)))
    })?;
    let contents = match clear {
        None => Contents::Sealed(record.sealed),
        Some(ring) => Contents::Clear(
            ring.open(&tenant, &record)
                .map_err(|error| ExportError::Sealed { id: record.id, error })?,
        ),
    };
    let draft = Draft {
        id: record.id,
        name: record.name,
        connection_type: record.connection_type,
        owner: record.owner,
        created_at: record.created_at,
    };
    Ok(ConnectionEntry {
        tenant,
        draft,
        contents,
        attachments,
    })
}

/// Why nothing was imported, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A line is refused.
    #[error("line {line}: {refusal}; nothing was imported")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The database cannot be written.
    #[error("nothing was imported: {0}")]
    Store(StoreError),
    /// The lines cannot be read.
    #[error("the export cannot be read: {0}; nothing was imported")]
    Read(io::Error),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Adds everything that the lines hold, with their ids, to a folder that no server uses, all or nothing. What is sealed
/// must open with the ring; what is in the clear is sealed with its first key. The record of it waits in the database for
/// the audit trail.
///
/// # Errors
/// Why nothing was imported.
pub fn import(data: &Path, ring: &KeyRing, host: &impl Host, mut from: impl BufRead) -> Result<Totals, ImportError> {
    let _lock = folder::lock(data)?;
    let connection = folder::open_writer(data)?;
    connection.transaction(|statements| {
        let mut reader = Reader::default();
        let mut number = 0_u64;
        loop {
            number += 1;
            let refused = |refusal| ImportError::Line { line: number, refusal };
            let Some(line) = next_line(&mut from, refused)? else {
                let totals = reader.finish().map_err(refused)?;
                let record = audit::Record {
                    count: Some(totals.connections),
                    ..audit::Record::of_command(host.now(), "import")
                };
                AuditRow::add(statements, record.to_json())?;
                return Ok(totals);
            };
            let kept = match reader.line(&line).map_err(refused)? {
                None => Ok(()),
                Some(Entry::Counter(counter)) => keep_counter(statements, &counter),
                Some(Entry::Workspace(entry)) => keep_workspace(statements, &entry),
                Some(Entry::Connection(entry)) => keep_connection(statements, ring, host, entry),
            };
            kept.map_err(|error| match error {
                Unkept::Refused(refusal) => refused(refusal),
                Unkept::Failed(error) => ImportError::Store(error),
            })?;
        }
    })
}

/// The next line without its line feed, `None` at the end.
fn next_line(
    from: &mut impl BufRead,
    refused: impl Fn(Refusal) -> ImportError,
) -> Result<Option<Zeroizing<Vec<u8>>>, ImportError> {
    let mut line = Zeroizing::new(Vec::new());
    let most = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
    if from.by_ref().take(most + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() > LINE_BYTES {
        return Err(refused(Refusal::new(format!("is longer than {LINE_BYTES} bytes"))));
    }
    Ok(Some(line))
}

/// Why a line's entry was not kept.
enum Unkept {
    Refused(Refusal),
    Failed(StoreError),
}

impl From<StoreError> for Unkept {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, Unkept> {
    Err(Unkept::Refused(Refusal::new(reason)))
}

fn exists(statements: &dyn Statements, sql: &'static str, params: &[Value<'_>]) -> Result<bool, StoreError> {
    Ok(first(statements, sql, params, |_| Ok(()))?.is_some())
}

fn keep_counter(statements: &dyn Statements, counter: &Counter) -> Result<(), Unkept> {
    let params = [counter.tenant.as_str().into(), workspace_stored(counter.last)];
    Ok(statements.execute(sql::RAISE_COUNTER, &params)?)
}

fn keep_workspace(statements: &dyn Statements, entry: &WorkspaceEntry) -> Result<(), Unkept> {
    let (tenant, workspace) = (Value::Text(entry.tenant.as_str()), &entry.workspace);
    let (id, name) = (workspace_stored(workspace.id), Value::Text(workspace.name.as_str()));
    if exists(statements, sql::WORKSPACE_EXISTS, &[tenant, id])? {
        return refuse("`id` is taken by another workspace of the tenant");
    }
    if exists(statements, sql::WORKSPACE_NAMED, &[tenant, name])? {
        return refuse("`name` is taken by another workspace of the tenant");
    }
    let counter = first(statements, sql::COUNTER, &[tenant], |row| int(row, 0))?.unwrap_or(0);
    let opened = workspace.name.as_str() == format!("workspace-{}", workspace.id);
    if !opened && i64::try_from(workspace.id.get()).unwrap_or(i64::MAX) > counter {
        return refuse("`id` is beyond the tenant's counter, which must stand above");
    }
    let created_by = workspace.created_by.as_str().into();
    let params = [tenant, created_by, id, name, workspace.created_at.as_micros().into()];
    statements.execute(sql::CREATE_WORKSPACE, &params)?;
    for MemberEntry { member, email } in &entry.members {
        members::put(statements, &entry.tenant, workspace.id, member, email.as_ref())?;
        if members::workspaces_of(statements, &entry.tenant, &member.person)? > limits::WORKSPACES_PER_PERSON {
            return refuse(format!(
                "`members`: somebody would be in more than {} workspaces",
                limits::WORKSPACES_PER_PERSON
            ));
        }
    }
    Ok(())
}

fn keep_connection(
    statements: &dyn Statements,
    ring: &KeyRing,
    host: &impl Host,
    mut entry: ConnectionEntry,
) -> Result<(), Unkept> {
    let attachments = std::mem::take(&mut entry.attachments);
    let tenant = entry.tenant.clone();
    let record = entry.into_record(ring, host).map_err(Unkept::Refused)?;
    let name = Value::Text(record.name.as_str());
    if exists(statements, sql::CONNECTION_EXISTS, &[Value::Blob(record.id.as_bytes())])? {
        return refuse("`id` is taken by another connection");
    }
    let Some(seq) = insert(statements, &tenant, &record)? else {
        return refuse("`name` is taken by another connection of the tenant");
    };
    for (workspace, id) in attachments {
        attach(statements, &tenant, name, seq, workspace, id)?;
    }
    Ok(())
}

fn attach(
    statements: &dyn Statements,
    tenant: &Tenant,
    name: Value<'_>,
    seq: i64,
    workspace: WorkspaceId,
    id: AttachmentId,
) -> Result<(), Unkept> {
    let (tenant, workspace, id) = (
        Value::Text(tenant.as_str()),
        workspace_stored(workspace),
        Value::Blob(id.as_bytes()),
    );
    if !exists(statements, sql::WORKSPACE_EXISTS, &[tenant, workspace])? {
        return refuse("`attachments`: `workspace_id` names no workspace of the tenant");
    }
    if exists(statements, sql::ATTACHMENT_EXISTS, &[id])? {
        return refuse("`attachments`: `id` is taken by another attachment");
    }
    Ok(statements.execute(sql::ATTACH, &[tenant, workspace, name, seq.into(), id])?)
}
