//! The store.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Timestamp, WorkspaceId};
use patchbay_core::rotation::{Counted, Held, Place, Replacement, Sealings, Step, Unreadable, Wanted};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};

use crate::again::{Pace, Patience, SERVING, UNHURRIED};
use crate::key::Key;
use crate::reads::Reads;
use crate::table::Table;
use crate::{connections, list, members, sealings, workspaces};

/// Time to open a connection, and for one attempt, where nobody waits for an answer.
const CONNECT: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_secs(30);

/// A store on one table. Clones share the client. Nothing is kept between calls, so that any number of processes may
/// use one table.
///
/// Time-outs of single attempts are the client's. Trying again is not: the store must know of each attempt whether it was
/// answered. After [`StoreError::Busy`] nothing was done. After [`StoreError::Unavailable`] a change may have been done.
/// Nothing is tried again later than four seconds after the first attempt of a call that failed.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: Arc<str>,
    reads: Reads,
    pace: Pace,
}

impl DynamoStore {
    /// The store on the table of this name, which [`crate::definition`] says how to make. The client should give an
    /// attempt up after a second or two.
    pub fn new(client: Client, table: impl Into<Arc<str>>) -> Self {
        let once = client.config().to_builder().retry_config(RetryConfig::disabled());
        Self {
            client: Client::from_conf(once.build()),
            table: table.into(),
            reads: Reads::default(),
            pace: SERVING,
        }
    }

    /// The same store with such reads.
    #[must_use]
    pub fn with_reads(self, reads: Reads) -> Self {
        Self { reads, ..self }
    }

    /// The same store for what an operator does from their machine, to all of the table: an attempt takes as long as a page of a busy table
    /// may, and is repeated for three minutes with pauses of up to ten seconds.
    #[must_use]
    pub fn unhurried(self) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT);
        let config = self.client.config().to_builder().timeout_config(timeouts.build());
        Self {
            client: Client::from_conf(config.build()),
            pace: UNHURRIED,
            ..self
        }
    }

    /// The table, for one call.
    pub(crate) fn table(&self) -> Table {
        Table {
            client: self.client.clone(),
            name: Arc::clone(&self.table),
            patience: Patience::new(self.pace),
        }
    }
}

impl Store for DynamoStore {
    type Sealings = Self;
    type Apart = std::convert::Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        connections::create(&self.table(), caller, record).await
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        connections::get(&self.table(), self.reads, caller, lookup).await
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        list::list(&self.table(), self.reads, caller, &query).await
    }

    async fn attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        connections::attach(&self.table(), caller, &attach).await
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        connections::detach(&self.table(), caller, connection, workspace).await
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        connections::delete(&self.table(), caller, &name).await
    }

    async fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> Result<CreateWorkspaceOutcome, StoreError> {
        workspaces::create(&self.table(), caller, &name, now).await
    }

    async fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> Result<ListWorkspacesOutcome, StoreError> {
        workspaces::list(&self.table(), caller, of, most_bytes).await
    }

    async fn add_member(&self, caller: &Caller, add: AddMember) -> Result<AddMemberOutcome, StoreError> {
        members::add(&self.table(), caller, &add).await
    }

    async fn members(&self, caller: &Caller, workspace: WorkspaceId) -> Result<MembersOutcome, StoreError> {
        members::list(&self.table(), caller, workspace).await
    }

    async fn remove_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        person: Person,
    ) -> Result<RemoveMemberOutcome, StoreError> {
        members::remove(&self.table(), caller, workspace, &person).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let nothing = vec![Key::of_nothing()];
        self.table().read(nothing, None, Reads::Strong).await.map(|_| ())
    }

    fn sealings(&self) -> Option<&Self> {
        Some(self)
    }
}

impl Sealings for DynamoStore {
    async fn count_sealed(&self, after: Option<Place>) -> Result<Step<Counted>, StoreError> {
        sealings::count(&self.table(), after).await
    }

    /// Counts items of every kind against `most`, so that a step may find few records or none.
    async fn sealed(
        &self,
        wanted: Wanted,
        after: Option<Place>,
        most: u16,
    ) -> Result<Step<Vec<Result<Held, Unreadable>>>, StoreError> {
        sealings::sealed(&self.table(), &wanted, after, most).await
    }

    async fn replace_sealed(&self, replacements: Vec<Replacement>) -> Result<usize, StoreError> {
        sealings::replace(&self.table(), replacements).await
    }
}
