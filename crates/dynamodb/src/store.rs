//! The store.

use aws_sdk_dynamodb::Client;
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Role, Tenant, Timestamp, WorkspaceId};
use patchbay_core::store::{
    Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery,
    ListWorkspacesOutcome, Lookup, Seen, Store, StoreError, WorkspacesOf,
};

use crate::key::Key;
use crate::table::Table;
use crate::{connections, list, workspaces};

/// A store on one table. Clones share the client. Nothing is kept between calls, so that any number of processes may
/// use one table.
///
/// Time-outs and retries of single requests are the client's. All attempts of one change carry one token, so that a lost
/// answer is asked for again and the change done once; where no attempt is answered, the change may have been done all
/// the same, and the error is [`StoreError::Unavailable`]. After [`StoreError::Busy`] nothing was done.
#[derive(Debug, Clone)]
pub struct DynamoStore(Table);

impl DynamoStore {
    /// The store on the table of this name, which [`crate::definition`] says how to make.
    pub fn new(client: Client, table_name: impl Into<String>) -> Self {
        let name = table_name.into();
        Self(Table { client, name })
    }

    /// Makes somebody a member of a workspace, or gives a member another role; says whether the workspace exists. Asks
    /// for nobody's permission.
    ///
    /// # Errors
    /// As those of the store's operations.
    pub async fn put_member(
        &self,
        tenant: &Tenant,
        workspace: WorkspaceId,
        person: &Person,
        role: Role,
    ) -> Result<bool, StoreError> {
        workspaces::put_member(&self.0, tenant, workspace, person, role).await
    }
}

impl Store for DynamoStore {
    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        connections::create(&self.0, caller, record).await
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        connections::get(&self.0, caller, lookup).await
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        list::list(&self.0, caller, &query).await
    }

    async fn attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        connections::attach(&self.0, caller, &attach).await
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        connections::detach(&self.0, caller, connection, workspace).await
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        connections::delete(&self.0, caller, &name).await
    }

    async fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> Result<CreateWorkspaceOutcome, StoreError> {
        workspaces::create(&self.0, caller, &name, now).await
    }

    async fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> Result<ListWorkspacesOutcome, StoreError> {
        workspaces::list(&self.0, caller, of, most_bytes).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.0.read(vec![Key::of_nothing()], None).await.map(|_| ())
    }
}
