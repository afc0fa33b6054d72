//! The store of the native server: one SQLite file in a data folder.

use std::path::Path;
use std::sync::Arc;

use patchbay_core::audit::{Kind, Made, Outcome, Page, Query, Record as AuditRecord};
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Timestamp, WorkspaceId};
use patchbay_core::rotation::{Counted, Held, Place, Replacement, Sealings, Step, Unreadable, Wanted};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};

use crate::audit::{self, Row, Trail, TrailThread};
use crate::database::{Database as _, Statements};
use crate::folder::{self, OpenError};
use crate::readers::Readers;
pub use crate::writer::OnCommit;
use crate::writer::Writer;
use crate::{connections, database, members, sealings, statements, workspaces};

/// How a store is opened.
#[derive(Default)]
pub struct Options {
    /// Told of each commit, for metrics.
    pub on_commit: Option<OnCommit>,
    /// Keep an audit trail beside the database; without, records go to the home's log.
    pub audit: Option<Audit>,
}

/// How the audit trail is kept; see [`mod@crate::audit`].
pub struct Audit {
    /// Bytes past which a file of it is followed by the next.
    pub file_bytes: u64,
    /// Told, in a sentence for the log, what was not as it should be with the trail at the start.
    pub warn: fn(&str),
}

/// A store over the SQLite file of a data folder. Clones share it. Changes are durable when they return: written to
/// the write-ahead log and synced. Reads see every change that was acknowledged before they began, and a list is of one
/// moment. Dropping the last clone waits until what was asked for is written; then the log is emptied into the file and
/// the folder is free.
#[derive(Clone)]
pub struct NativeStore {
    /// Before the writer, which waits for the trail's end.
    trail: Option<Trail>,
    /// The record of the request or the command that this is for.
    record: Option<Box<AuditRecord>>,
    /// Before the readers: the last connection that closes empties the log.
    writer: Writer,
    readers: Arc<Readers>,
}

impl NativeStore {
    /// Opens the folder's database, made or migrated if need be, and keeps others off the folder.
    ///
    /// # Errors
    /// Why the folder cannot be used.
    pub fn open(data: &Path, options: Options) -> Result<Self, OpenError> {
        let lock = folder::lock(data)?;
        let connection = folder::open_writer(data)?;
        let wrong = |error| OpenError::Io {
            path: data.to_owned(),
            error,
        };
        let thread = match options.audit {
            Some(Audit { file_bytes, warn }) => {
                let recovered = audit::recover(data, &connection, file_bytes)?;
                recovered.notes.iter().for_each(|note| warn(note));
                Some(TrailThread::start(recovered.appender, recovered.rows).map_err(wrong)?)
            }
            None => None,
        };
        let trail = thread.as_ref().map(|thread| thread.trail().clone());
        let readers = Arc::new(Readers::new(data.to_owned(), lock));
        let writer = Writer::start(connection, data, Arc::clone(&readers), options.on_commit, thread).map_err(wrong)?;
        Ok(Self {
            trail,
            record: None,
            writer,
            readers,
        })
    }

    /// The same for a command, whose record each of its changes keeps. Where no trail is open, it waits in the database for
    /// the next start that opens one.
    #[must_use]
    pub fn recording(self, record: AuditRecord) -> Self {
        Self {
            record: Some(Box::new(record)),
            ..self
        }
    }

    /// Makes a change. Where this has a record, that is committed with it, and in the trail, if there is one, before this
    /// returns.
    async fn change<T: Made + Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Statements) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(mut record) = self.record.clone() else {
            return self.writer.write(work).await;
        };
        if let Some(trail) = &self.trail {
            trail.ready().await?;
        }
        let noted = self.writer.write_noted(move |statements| {
            let outcome = work(statements)?;
            let row = outcome
                .made(&mut record)
                .then(|| Row::add(statements, record.to_json()));
            Ok((outcome, row.transpose()?))
        });
        let (outcome, kept) = noted.await?;
        if let Some(kept) = kept {
            kept.wait().await?;
        }
        Ok(outcome)
    }

    /// Reads a list, which may be 16 MiB.
    async fn read_list<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Statements) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        aside(move || readers.read(read)).await
    }
}

/// How many records of a folder's database each key seals, beside a server that may be running.
///
/// # Errors
/// Where there is no database of this version to read.
pub fn count_sealed(data: &Path) -> Result<Counted, OpenError> {
    let connection = folder::open_beside(data)?;
    let counted = connection.transaction(|statements| {
        Ok::<_, StoreError>(match folder::require_current(data, statements) {
            Ok(()) => Ok(sealings::count(statements)?),
            Err(error) => Err(error),
        })
    });
    counted.unwrap_or_else(|error| {
        let path = data.join(folder::DATABASE_FILE);
        Err(OpenError::Database { path, error })
    })
}

impl Store for NativeStore {
    type Sealings = Self;
    type Apart = std::convert::Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        let caller = caller.clone();
        self.change(move |statements| connections::create(statements, &caller, &record))
            .await
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        self.readers
            .read_one(|statements| connections::get(statements, caller, &lookup))
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        let caller = caller.clone();
        self.read_list(move |statements| connections::list(statements, &caller, &query))
            .await
    }

    async fn attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        let caller = caller.clone();
        self.change(move |statements| connections::attach(statements, &caller, &attach))
            .await
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        let caller = caller.clone();
        self.change(move |statements| connections::detach(statements, &caller, connection, workspace))
            .await
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        let caller = caller.clone();
        self.change(move |statements| connections::delete(statements, &caller, &name))
            .await
    }

    async fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> Result<CreateWorkspaceOutcome, StoreError> {
        let caller = caller.clone();
        self.change(move |statements| workspaces::create(statements, &caller, &name, now))
            .await
    }

    async fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> Result<ListWorkspacesOutcome, StoreError> {
        let caller = caller.clone();
        self.read_list(move |statements| workspaces::list(statements, &caller, &of, most_bytes))
            .await
    }

    async fn add_member(&self, caller: &Caller, add: AddMember) -> Result<AddMemberOutcome, StoreError> {
        let caller = caller.clone();
        self.change(move |statements| members::add(statements, &caller, &add))
            .await
    }

    async fn members(&self, caller: &Caller, workspace: WorkspaceId) -> Result<MembersOutcome, StoreError> {
        self.readers
            .read(|statements| members::list(statements, caller, workspace))
    }

    async fn remove_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        person: Person,
    ) -> Result<RemoveMemberOutcome, StoreError> {
        let caller = caller.clone();
        self.change(move |statements| members::remove(statements, &caller, workspace, &person))
            .await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let read = |statements: &dyn database::Statements| {
            database::first(statements, statements::READY, &[], |row| database::int(row, 0))
        };
        self.readers.read(read).map(|_| ())
    }

    fn noting(&self, record: &AuditRecord) -> Option<Self> {
        self.trail.as_ref()?;
        Some(Self {
            record: Some(Box::new(record.clone())),
            ..self.clone()
        })
    }

    async fn note(&self, record: AuditRecord) -> Result<Option<AuditRecord>, StoreError> {
        let Some(trail) = &self.trail else {
            return Ok(Some(record));
        };
        // What was made was kept with it.
        let made = (record.kind, record.outcome) == (Kind::Change, Outcome::Done) && record.count != Some(0);
        if !made {
            trail.keep(record.to_json()).await?;
        }
        Ok(None)
    }

    async fn records(&self, query: Query) -> Result<Option<Page>, StoreError> {
        let Some(trail) = self.trail.clone() else {
            return Ok(None);
        };
        aside(move || trail.list(&query)).await.map(Some)
    }

    fn sealings(&self) -> Option<&Self> {
        Some(self)
    }
}

/// Reads what may be long: not on a thread that others' requests wait for.
async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let listed = tokio::task::spawn_blocking(read).await;
    listed.unwrap_or_else(|error| Err(StoreError::Damaged(format!("a list did not end: {error}"))))
}

impl Sealings for NativeStore {
    async fn count_sealed(&self, _: Option<Place>) -> Result<Step<Counted>, StoreError> {
        let found = self.read_list(|statements| sealings::count(statements)).await?;
        Ok(Step { found, next: None })
    }

    async fn sealed(
        &self,
        wanted: Wanted,
        after: Option<Place>,
        most: u16,
    ) -> Result<Step<Vec<Result<Held, Unreadable>>>, StoreError> {
        self.read_list(move |statements| sealings::sealed(statements, &wanted, after.as_ref(), most))
            .await
    }

    async fn replace_sealed(&self, replacements: Vec<Replacement>) -> Result<usize, StoreError> {
        self.change(move |statements| sealings::replace(statements, &replacements))
            .await
    }
}
