//! The store of a stateless Worker.
//!
//! A `get` is answered from KV only where the answer is a yes that was right at some moment within the lease: the
//! connection's entry is fresh, and the caller is its owner, or an admin, or in **every** workspace that it is attached
//! to by an entry of theirs that is fresh too and was true at the same moment. Everything else is asked of the tenant's
//! object: a miss, an entry of something else or of an unknown format, a caller who would see nothing or not all of the
//! workspaces' names (they may have become a member a second ago), and two entries that never were true together (so
//! that nobody sees what was attached after they had left the workspace).

mod apart;
mod sealings;

use std::rc::Rc;

use futures_util::future::join;
use patchbay_core::access;
use patchbay_core::api::Host;
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Role, Timestamp, WorkspaceId};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};
use serde::de::DeserializeOwned;

use crate::entry::{Connection, Entry, Facts, Memberships, Of};
use crate::owners::Owners;
use crate::protocol::{Ask, AskDirectory, AskTenant, Operation, decode, encode};
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
    owners: Rc<Owners>,
}

/// How far an object's clock may be ahead of this one, in microseconds.
const SKEW: i64 = 1_000_000;

impl<K: Kv, A: Authority, H: Host> EdgeStore<K, A, H> {
    /// A store that reads as `reads` says. `owners` is to outlive it, as long as the process lives.
    pub fn new(kv: K, authority: A, host: H, reads: Reads, owners: Rc<Owners>) -> Self {
        Self {
            inner: Rc::new(Inner {
                kv,
                authority,
                host,
                reads,
                owners,
            }),
        }
    }

    /// What KV can say of this connection, whose entry has this key.
    async fn seen_in_kv(&self, caller: &Caller, of: &Of, key: &str, max_age: u32) -> Option<Seen> {
        let connection = self.entry::<Connection>(caller, of, max_age);
        let (connection, memberships) = if caller.admin || self.inner.owners.knows(key, &caller.subject) {
            (connection.await, None)
        } else {
            let memberships = Of::Caller(caller.subject.clone(), caller.email.clone());
            join(connection, self.entry::<Memberships>(caller, &memberships, max_age)).await
        };
        let Entry { reading, facts } = connection?;
        let Connection { record, attached } = facts;

        let mut within = Vec::new();
        if !access::controls(caller, &record.owner) {
            // Where it is not theirs any more, the object is asked next, as where there is nothing.
            let entry = memberships?;
            if !entry.reading.meets(&reading) {
                return None;
            }
            within = entry.facts.workspaces;
        }
        let roles = |workspace| within.contains(&workspace).then_some(Role::Collaborator);
        if !access::sees_connection(caller, &record.owner, &attached, &roles) {
            return None;
        }
        let workspace_names = access::visible_names(caller, &record.owner, &attached, &roles);
        (workspace_names.len() == attached.len()).then_some(Seen {
            record,
            workspace_names,
        })
    }

    /// The entry that KV has, if it is good for an answer now.
    async fn entry<T: Facts>(&self, caller: &Caller, of: &Of, max_age: u32) -> Option<Entry<T>> {
        // Why KV has none makes no difference: the tenant's object is asked then.
        let value = self.inner.kv.get(&of.key(&caller.tenant)).await.ok()??;
        let entry = Entry::<T>::decode(&value, &caller.tenant, of)?;
        let now = self.inner.host.now().as_micros();
        let age = now.checked_sub(entry.reading.checked_at.as_micros())?;
        (-SKEW..=i64::from(max_age) * 1_000_000).contains(&age).then_some(entry)
    }

    async fn ask<T: DeserializeOwned>(&self, caller: &Caller, operation: Operation) -> Result<T, StoreError> {
        let ask = AskTenant::Store(Ask {
            caller: caller.clone(),
            operation,
        });
        let told = self.inner.authority.ask(Whom::Tenant(&caller.tenant), encode(&ask));
        decode::<Result<T, StoreError>>(&told.await?)?
    }
}

impl<K: Kv, A: Authority, H: Host> Store for EdgeStore<K, A, H> {
    type Sealings = Self;
    type Apart = Self;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        self.ask(caller, Operation::Create(record)).await
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        let Reads::Edge { max_age } = self.inner.reads else {
            return self.ask(caller, Operation::Get(lookup)).await;
        };
        let of = Of::Connection(lookup.clone());
        let key = of.key(&caller.tenant);
        let seen = match self.seen_in_kv(caller, &of, &key, max_age).await {
            Some(seen) => Some(seen),
            None => self.ask(caller, Operation::Get(lookup)).await?,
        };
        // By the answer alone: the next question must not tell of what this one did not.
        let owns = seen.as_ref().is_some_and(|seen| seen.record.owner == caller.subject);
        self.inner.owners.note(&key, &caller.subject, owns);
        Ok(seen)
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

    async fn add_member(&self, caller: &Caller, add: AddMember) -> Result<AddMemberOutcome, StoreError> {
        self.ask(caller, Operation::AddMember(add)).await
    }

    async fn members(&self, caller: &Caller, workspace: WorkspaceId) -> Result<MembersOutcome, StoreError> {
        self.ask(caller, Operation::Members(workspace)).await
    }

    async fn remove_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        person: Person,
    ) -> Result<RemoveMemberOutcome, StoreError> {
        self.ask(caller, Operation::RemoveMember(workspace, person)).await
    }

    /// Whether the directory's object answers; the tenants' cannot all be asked.
    async fn ready(&self) -> Result<(), StoreError> {
        let told = self.inner.authority.ask(Whom::Directory, encode(&AskDirectory::Ready));
        decode::<Result<(), StoreError>>(&told.await?)?
    }

    fn sealings(&self) -> Option<&Self> {
        Some(self)
    }

    fn apart(&self) -> Option<&Self> {
        Some(self)
    }
}
