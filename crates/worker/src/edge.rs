//! The store of a stateless Worker.

use std::rc::Rc;

use patchbay_core::api::Host;
use patchbay_core::model::{Caller, ConnectionId, Name, Record, Timestamp, WorkspaceId};
use patchbay_core::store::{
    Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery,
    ListWorkspacesOutcome, Lookup, Seen, Store, StoreError, WorkspacesOf,
};
use serde::de::DeserializeOwned;

use crate::protocol::{Ask, AskDirectory, Operation, decode, encode};
use crate::settings::Reads;
use crate::surroundings::{Authority, Kv, Whom};

/// A store whose reads come from KV where they can, and everything else from the tenant's Durable Object: one request
/// an operation. Clones share it.
#[derive(Clone)]
pub struct EdgeStore<K, A, H> {
    inner: Rc<Inner<K, A, H>>,
}

struct Inner<K, A, H> {
    kv: K,
    authority: A,
    host: H,
    reads: Reads,
}

impl<K: Kv, A: Authority, H: Host> EdgeStore<K, A, H> {
    /// A store that reads as `reads` says.
    pub fn new(kv: K, authority: A, host: H, reads: Reads) -> Self {
        Self {
            inner: Rc::new(Inner {
                kv,
                authority,
                host,
                reads,
            }),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, caller: &Caller, operation: Operation) -> Result<T, StoreError> {
        let ask = Ask {
            caller: caller.clone(),
            operation,
        };
        let told = self.inner.authority.ask(Whom::Tenant(&caller.tenant), encode(&ask));
        decode::<Result<T, StoreError>>(&told.await?)?
    }
}

impl<K: Kv, A: Authority, H: Host> Store for EdgeStore<K, A, H> {
    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        self.ask(caller, Operation::Create(record)).await
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        self.ask(caller, Operation::Get(lookup)).await
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        self.ask(caller, Operation::List(query)).await
    }

    async fn attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        self.ask(caller, Operation::Attach(attach)).await
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        self.ask(caller, Operation::Detach(connection, workspace)).await
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        self.ask(caller, Operation::Delete(name)).await
    }

    async fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> Result<CreateWorkspaceOutcome, StoreError> {
        self.ask(caller, Operation::CreateWorkspace(name, now)).await
    }

    async fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> Result<ListWorkspacesOutcome, StoreError> {
        self.ask(caller, Operation::ListWorkspaces(of, most_bytes)).await
    }

    /// Whether the directory's object answers; the tenants' cannot all be asked.
    async fn ready(&self) -> Result<(), StoreError> {
        let told = self.inner.authority.ask(Whom::Directory, encode(&AskDirectory::Ready));
        decode::<Result<(), StoreError>>(&told.await?)?
    }
}
