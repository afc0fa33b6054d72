//! A store broken on purpose, each way a mistake that a store without transactions makes, to show that the check of
//! histories notices. Alone, one caller at a time, it is as good as the store inside (early acknowledgements apart).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Timestamp, WorkspaceId};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};

use crate::delegate;

/// Between a look and the act that rests on it: long enough for others to come in between.
const GAP: Duration = Duration::from_millis(1);
/// Reads that the cache remembers.
const CACHED: usize = 8;

/// The mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Race {
    /// `create` looks whether the name is free, and then writes whatever stands there.
    OverwritingCreate,
    /// `attach` looks whether the pair is attached, and then writes whatever stands there.
    OverwritingAttach,
    /// `delete` looks whether the connection is attached, and then takes it away with whatever is attached by then.
    UncheckedDelete,
    /// `get` answers every second time from what it answered before.
    StaleReads,
    /// `list` reads its rows one after the other.
    TornLists,
    /// `detach` is answered before it is done, which the next change does first.
    EarlyAcknowledgement,
}

/// A store with one of the mistakes. Clones share it.
#[derive(Debug, Clone)]
pub struct RacyStore<S> {
    store: S,
    race: Race,
    cached: Arc<Mutex<VecDeque<Read>>>,
    put_off: Arc<Mutex<Vec<(ConnectionId, WorkspaceId)>>>,
}

/// What was looked up, and what was found.
type Read = (Lookup, Option<Seen>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Store> RacyStore<S> {
    /// `store` with a mistake.
    pub fn new(store: S, race: Race) -> Self {
        Self {
            store,
            race,
            cached: Arc::default(),
            put_off: Arc::default(),
        }
    }

    async fn take_away(&self, caller: &Caller, name: &Name) -> Result<DeleteOutcome, StoreError> {
        loop {
            match self.store.delete(caller, name.clone()).await? {
                DeleteOutcome::Attached(id, to) => {
                    for at in to {
                        self.store.detach(caller, id, at.workspace).await?;
                    }
                }
                other => return Ok(other),
            }
        }
    }

    async fn overwriting_create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        let lookup = Lookup::Name(record.name.clone());
        if self.store.get(caller, lookup).await?.is_some() {
            return Ok(CreateOutcome::NameTaken);
        }
        tokio::time::sleep(GAP).await;
        while self.store.create(caller, record.clone()).await? == CreateOutcome::NameTaken {
            self.take_away(caller, &record.name).await?;
        }
        Ok(CreateOutcome::Created)
    }

    async fn overwriting_attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        let first = self.store.attach(caller, attach.clone()).await?;
        if !matches!(first, AttachOutcome::Attached(id, _) if id == attach.id) {
            return Ok(first);
        }
        self.store.detach(caller, attach.connection, attach.workspace).await?;
        tokio::time::sleep(GAP).await;
        self.store.detach(caller, attach.connection, attach.workspace).await?;
        self.store.attach(caller, attach).await
    }

    async fn put_off(&self, caller: &Caller) -> Result<(), StoreError> {
        if self.race == Race::EarlyAcknowledgement {
            let put_off = std::mem::take(&mut *locked(&self.put_off));
            for (connection, workspace) in put_off {
                self.store.detach(caller, connection, workspace).await?;
            }
        }
        Ok(())
    }
}

impl<S: Store> Store for RacyStore<S> {
    type Sealings = Infallible;
    type Apart = Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        self.put_off(caller).await?;
        if self.race == Race::OverwritingCreate {
            return self.overwriting_create(caller, record).await;
        }
        self.store.create(caller, record).await
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        if self.race != Race::StaleReads {
            return self.store.get(caller, lookup).await;
        }
        let place = locked(&self.cached).iter().position(|(known, _)| *known == lookup);
        if let Some((_, seen)) = place.and_then(|place| locked(&self.cached).remove(place)) {
            return Ok(seen);
        }
        let seen = self.store.get(caller, lookup.clone()).await?;
        let mut cached = locked(&self.cached);
        cached.push_front((lookup, seen.clone()));
        cached.truncate(CACHED);
        Ok(seen)
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        let listed = self.store.list(caller, query).await?;
        let ListOutcome::Page { rows, more } = listed else {
            return Ok(listed);
        };
        if self.race != Race::TornLists {
            return Ok(ListOutcome::Page { rows, more });
        }
        let mut read = Vec::new();
        for row in rows {
            tokio::time::sleep(GAP).await;
            read.extend(self.store.get(caller, Lookup::Id(row.record.id)).await?);
        }
        Ok(ListOutcome::Page { rows: read, more })
    }

    async fn attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        self.put_off(caller).await?;
        if self.race == Race::OverwritingAttach {
            return self.overwriting_attach(caller, attach).await;
        }
        self.store.attach(caller, attach).await
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        self.put_off(caller).await?;
        if self.race != Race::EarlyAcknowledgement {
            return self.store.detach(caller, connection, workspace).await;
        }
        // The answer is what would be right now.
        let Some(seen) = self.store.get(caller, Lookup::Id(connection)).await? else {
            return Ok(DetachOutcome::NotAttached);
        };
        let all = self.store.list_workspaces(caller, WorkspacesOf::Everybody, usize::MAX);
        let name = match all.await? {
            ListWorkspacesOutcome::All(all) => all.into_iter().find(|one| one.id == workspace).map(|one| one.name),
            ListWorkspacesOutcome::TooLong => None,
        };
        if !name.is_some_and(|name| seen.workspace_names.contains(&name)) {
            return Ok(DetachOutcome::NotAttached);
        }
        locked(&self.put_off).push((connection, workspace));
        Ok(DetachOutcome::Detached(seen.record.name))
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        self.put_off(caller).await?;
        if self.race != Race::UncheckedDelete {
            return self.store.delete(caller, name).await;
        }
        let Some(seen) = self.store.get(caller, Lookup::Name(name.clone())).await? else {
            return Ok(DeleteOutcome::NotFound);
        };
        if !seen.workspace_names.is_empty() {
            return self.store.delete(caller, name).await;
        }
        tokio::time::sleep(GAP).await;
        self.take_away(caller, &name).await
    }

    delegate!(store: create_workspace list_workspaces add_member members remove_member ready);
}
