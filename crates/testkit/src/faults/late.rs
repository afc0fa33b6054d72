//! A store that is late, to show which lateness a suite bears with and which it does not.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Timestamp, WorkspaceId};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};
use tokio::time::Instant;

use crate::delegate;

/// What is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// `get`, where it finds something.
    Reads,
    /// `get`, where it finds nothing.
    Refusals,
    /// `list`.
    Lists,
}

/// A store that gives an answer again for so long, by tokio's clock, whatever has changed since. Clones share it.
#[derive(Debug, Clone)]
pub struct LateStore<S> {
    store: S,
    late: Late,
    by: Duration,
    read: Remembered<Option<Seen>>,
    listed: Remembered<ListOutcome>,
}

/// Answers by caller and question, each with the moment at which it was right.
type Remembered<A> = Arc<Mutex<HashMap<String, (A, Instant)>>>;

impl<S: Store> LateStore<S> {
    /// Makes `store` late.
    pub fn new(store: S, late: Late, by: Duration) -> Self {
        Self {
            store,
            late,
            by,
            read: Arc::default(),
            listed: Arc::default(),
        }
    }

    /// The answer that is remembered, unless it is too old; otherwise the right one, which is remembered if it may be.
    fn answer<A: Clone>(&self, remembered: &Remembered<A>, question: String, right: A, may_be: bool) -> A {
        let now = Instant::now();
        let mut remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
        match remembered.get(&question) {
            Some((answer, at)) if now.duration_since(*at) < self.by => answer.clone(),
            _ => {
                if may_be {
                    remembered.insert(question, (right.clone(), now));
                }
                right
            }
        }
    }
}

impl<S: Store> Store for LateStore<S> {
    type Sealings = Infallible;
    type Apart = Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        let lookups = [Lookup::Name(record.name.clone()), Lookup::Id(record.id)];
        let outcome = self.store.create(caller, record).await?;
        // Remembered from the first, so that whatever is changed later is seen late.
        for lookup in lookups {
            self.get(caller, lookup).await?;
        }
        Ok(outcome)
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        let question = format!("{caller:?} {lookup:?}");
        let right = self.store.get(caller, lookup).await?;
        let may_be = match self.late {
            Late::Reads => right.is_some(),
            Late::Refusals => right.is_none(),
            Late::Lists => false,
        };
        Ok(self.answer(&self.read, question, right, may_be))
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        let question = format!("{caller:?} {query:?}");
        let right = self.store.list(caller, query).await?;
        Ok(self.answer(&self.listed, question, right, self.late == Late::Lists))
    }

    delegate!(store: attach detach delete create_workspace list_workspaces add_member members remove_member ready);
}
