//! A store that does one thing wrong.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use patchbay_core::model::{
    AttachmentId, Caller, ConnectionId, Name, Person, Record, Role, Subject, Tenant, Timestamp, WorkspaceId, Workspaces,
};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};

use super::faults;

faults!(
    /// What a store may do wrong.
    StoreFault {
        CreateAnswersTakenAsCreated,
        CreateReplacesWhatIsThere,
        CreateForgets,
        GetSkipsAccess,
        GetIgnoresCase,
        GetSwapsDetails,
        GetLosesAByte,
        GetLeavesOutWorkspaces,
        GetReversesWorkspaces,
        GetShowsAllWorkspaces,
        GetByIdFindsNothing,
        ReadsAreStale,
        ListSkipsAccess,
        ListIsUnsorted,
        ListIgnoresWorkspace,
        ListIgnoresCursor,
        ListIncludesCursor,
        ListLosesTheLast,
        ListNeverHasMore,
        ListAlwaysHasMore,
        ListIgnoresLimit,
        ListIgnoresBytes,
        ListBringsDetailsUnasked,
        AttachSkipsAccess,
        AttachGivesNewIds,
        AttachForgets,
        AttachHasNoLimit,
        AttachOpensWorkspaces,
        AttachFindsNoOpenWorkspace,
        DetachSkipsAccess,
        DetachAlwaysSucceeds,
        DetachForgets,
        DetachForbidsTheOwner,
        DeleteSkipsAccess,
        DeleteAlwaysSucceeds,
        DeleteForgets,
        DeleteDetaches,
        DeleteNamesOneWorkspace,
        WorkspaceNameIsNotUnique,
        WorkspaceLimitIsMissing,
        WorkspacesOfOthersAreListed,
        WorkspacesAreUnsorted,
        WorkspacesIgnoreBytes,
        AddMemberSkipsAccess,
        AddMemberForgets,
        AddMemberKeepsTheRole,
        AddMemberIgnoresTheRole,
        MembersHaveNoLimit,
        MembersSkipAccess,
        MembersAreUnsorted,
        RemoveMemberSkipsAccess,
        RemoveMemberForgets,
        RemoveMemberAlwaysSucceeds,
        TheLastOwnerMayGo,
        TenantsAreMixed,
    }
);

/// A store with one fault.
#[derive(Debug, Clone)]
pub struct FaultyStore<S> {
    store: S,
    fault: StoreFault,
    /// The first answer to each lookup, for stale reads.
    stale: Arc<Mutex<HashMap<String, Option<Seen>>>>,
}

impl<S: Store> FaultyStore<S> {
    /// Breaks `store`.
    pub fn new(store: S, fault: StoreFault) -> Self {
        Self {
            store,
            fault,
            stale: Arc::default(),
        }
    }

    fn has(&self, fault: StoreFault) -> bool {
        self.fault == fault
    }

    /// The caller, or an admin where the fault leaves the check out.
    fn caller(&self, caller: &Caller, skips: StoreFault) -> Caller {
        let mut caller = caller.clone();
        caller.admin |= self.has(skips);
        if let (StoreFault::TenantsAreMixed, Ok(tenant)) = (self.fault, Tenant::new("everybody")) {
            caller.tenant = tenant;
        }
        caller
    }

    fn spoil(&self, seen: &mut Seen) {
        match self.fault {
            StoreFault::GetLosesAByte => _ = seen.record.sealed.bytes.pop(),
            StoreFault::GetLeavesOutWorkspaces => seen.workspace_names.truncate(1),
            StoreFault::GetReversesWorkspaces => seen.workspace_names.reverse(),
            _ => {}
        }
    }
}

impl<S: Store> Store for FaultyStore<S> {
    type Sealings = Infallible;
    type Apart = Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::TenantsAreMixed);
        match self.fault {
            StoreFault::CreateForgets => return Ok(CreateOutcome::Created),
            StoreFault::CreateReplacesWhatIsThere => _ = self.store.delete(&caller, record.name.clone()).await?,
            _ => {}
        }
        let outcome = self.store.create(&caller, record).await?;
        Ok(match self.fault {
            StoreFault::CreateAnswersTakenAsCreated => CreateOutcome::Created,
            _ => outcome,
        })
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        let asked = caller;
        let caller = self.caller(caller, StoreFault::GetSkipsAccess);
        let lookup = match lookup {
            Lookup::Name(name) if self.has(StoreFault::GetIgnoresCase) => {
                Lookup::Name(Name::new(&name.as_str().to_lowercase()).unwrap_or(name))
            }
            lookup => lookup,
        };
        if self.has(StoreFault::GetByIdFindsNothing) && matches!(lookup, Lookup::Id(_)) {
            return Ok(None);
        }
        let key = format!("{asked:?} {lookup:?}");
        let mut seen = self.store.get(&caller, lookup).await?;
        if self.has(StoreFault::ReadsAreStale) {
            let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(stale.entry(key).or_insert(seen).clone());
        }
        if let Some(seen) = &mut seen {
            self.spoil(seen);
        }
        if let (StoreFault::GetShowsAllWorkspaces, Some(seen)) = (self.fault, &mut seen) {
            let mut admin = caller.clone();
            admin.admin = true;
            let all = self.store.get(&admin, Lookup::Id(seen.record.id)).await?;
            seen.workspace_names = all.map(|all| all.workspace_names).unwrap_or_default();
        }
        if let (StoreFault::GetSwapsDetails, Some(seen)) = (self.fault, &mut seen) {
            let query = ListQuery {
                workspace: None,
                workspaces: Workspaces::Open,
                after: None,
                limit: Some(1),
                details: true,
                most_bytes: usize::MAX,
            };
            if let ListOutcome::Page { rows, .. } = self.store.list(&caller, query).await?
                && let Some(other) = rows.into_iter().next()
            {
                seen.record.sealed = other.record.sealed;
            }
        }
        Ok(seen)
    }

    async fn list(&self, caller: &Caller, mut query: ListQuery) -> Result<ListOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::ListSkipsAccess);
        match self.fault {
            StoreFault::ListIgnoresWorkspace => query.workspace = None,
            StoreFault::ListIgnoresCursor => query.after = None,
            StoreFault::ListIgnoresLimit => query.limit = None,
            StoreFault::ListBringsDetailsUnasked => query.details = true,
            StoreFault::ListIgnoresBytes => query.most_bytes = usize::MAX,
            StoreFault::ListIncludesCursor => {
                // The name just before it in byte order, near enough.
                let before = query.after.as_ref().and_then(|after| {
                    let text = after.as_str();
                    let cut = text.char_indices().next_back().map_or(0, |(at, _)| at);
                    Name::new(text.get(..cut).unwrap_or_default()).ok()
                });
                query.after = before.or(query.after);
            }
            _ => {}
        }
        let outcome = self.store.list(&caller, query).await?;
        let ListOutcome::Page { mut rows, mut more } = outcome else {
            return Ok(outcome);
        };
        match self.fault {
            StoreFault::ListIsUnsorted => rows.reverse(),
            StoreFault::ListLosesTheLast if rows.len() > 2 => _ = rows.pop(),
            StoreFault::ListNeverHasMore => more = false,
            StoreFault::ListAlwaysHasMore => more = !rows.is_empty(),
            _ => {}
        }
        rows.iter_mut().for_each(|seen| self.spoil(seen));
        Ok(ListOutcome::Page { rows, more })
    }

    async fn attach(&self, caller: &Caller, mut attach: Attach) -> Result<AttachOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::AttachSkipsAccess);
        match self.fault {
            StoreFault::AttachOpensWorkspaces => attach.workspaces = Workspaces::Open,
            StoreFault::AttachFindsNoOpenWorkspace => attach.workspaces = Workspaces::Managed,
            _ => {}
        }
        let id: AttachmentId = attach.id;
        if self.has(StoreFault::AttachForgets) {
            let seen = self.store.get(&caller, Lookup::Id(attach.connection)).await?;
            return Ok(seen.map_or(AttachOutcome::NoConnection, |seen| {
                AttachOutcome::Attached(id, seen.record.name)
            }));
        }
        let outcome = self.store.attach(&caller, attach).await?;
        Ok(match (self.fault, outcome) {
            (StoreFault::AttachGivesNewIds, AttachOutcome::Attached(_, name))
            | (StoreFault::AttachHasNoLimit, AttachOutcome::TooMany(name)) => AttachOutcome::Attached(id, name),
            (_, outcome) => outcome,
        })
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        let asked = caller;
        let caller = self.caller(caller, StoreFault::DetachSkipsAccess);
        let Some(seen) = self.store.get(&caller, Lookup::Id(connection)).await? else {
            return Ok(DetachOutcome::NotAttached);
        };
        let name = seen.record.name;
        match self.fault {
            StoreFault::DetachForgets => return Ok(DetachOutcome::Detached(name)),
            StoreFault::DetachForbidsTheOwner if !asked.admin && seen.record.owner == asked.subject => {
                return Ok(DetachOutcome::Forbidden(name));
            }
            _ => {}
        }
        let outcome = self.store.detach(&caller, connection, workspace).await?;
        Ok(match self.fault {
            StoreFault::DetachAlwaysSucceeds => DetachOutcome::Detached(name),
            _ => outcome,
        })
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::DeleteSkipsAccess);
        let nobody = ConnectionId::from_random([0; 16]);
        if self.has(StoreFault::DeleteForgets) {
            return Ok(match self.store.get(&caller, Lookup::Name(name)).await? {
                Some(seen) => DeleteOutcome::Deleted(seen.record.id),
                None => DeleteOutcome::NotFound,
            });
        }
        let outcome = self.store.delete(&caller, name.clone()).await?;
        Ok(match (self.fault, outcome) {
            (StoreFault::DeleteAlwaysSucceeds, DeleteOutcome::NotFound) => DeleteOutcome::Deleted(nobody),
            (StoreFault::DeleteNamesOneWorkspace, DeleteOutcome::Attached(id, mut to)) => {
                to.truncate(1);
                DeleteOutcome::Attached(id, to)
            }
            (StoreFault::DeleteDetaches, DeleteOutcome::Attached(id, to)) => {
                for at in to {
                    self.store.detach(&caller, id, at.workspace).await?;
                }
                self.store.delete(&caller, name).await?
            }
            (_, outcome) => outcome,
        })
    }

    async fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> Result<CreateWorkspaceOutcome, StoreError> {
        let mut caller = self.caller(caller, StoreFault::TenantsAreMixed);
        let outcome = self.store.create_workspace(&caller, name.clone(), now).await?;
        match (self.fault, outcome) {
            (StoreFault::WorkspaceNameIsNotUnique, CreateWorkspaceOutcome::NameTaken) => {
                Ok(WorkspaceId::new(1).map_or(outcome, CreateWorkspaceOutcome::Created))
            }
            (StoreFault::WorkspaceLimitIsMissing, CreateWorkspaceOutcome::TooMany) => {
                caller.subject = Subject::new("another").unwrap_or(caller.subject);
                self.store.create_workspace(&caller, name, now).await
            }
            _ => Ok(outcome),
        }
    }

    async fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> Result<ListWorkspacesOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::TenantsAreMixed);
        let of = match self.fault {
            StoreFault::WorkspacesOfOthersAreListed => WorkspacesOf::Everybody,
            _ => of,
        };
        let most_bytes = match self.fault {
            StoreFault::WorkspacesIgnoreBytes => usize::MAX,
            _ => most_bytes,
        };
        let mut outcome = self.store.list_workspaces(&caller, of, most_bytes).await?;
        if let (StoreFault::WorkspacesAreUnsorted, ListWorkspacesOutcome::All(workspaces)) = (self.fault, &mut outcome)
        {
            workspaces.reverse();
        }
        Ok(outcome)
    }

    async fn add_member(&self, caller: &Caller, mut add: AddMember) -> Result<AddMemberOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::AddMemberSkipsAccess);
        match self.fault {
            StoreFault::AddMemberForgets => return Ok(AddMemberOutcome::Added),
            StoreFault::AddMemberIgnoresTheRole => add.role = Role::Collaborator,
            StoreFault::AddMemberKeepsTheRole => {
                if let MembersOutcome::All(members) = self.store.members(&caller, add.workspace).await?
                    && let Some(member) = members.into_iter().find(|member| member.person == add.person)
                {
                    add.role = member.role;
                }
            }
            _ => {}
        }
        Ok(match self.store.add_member(&caller, add).await? {
            AddMemberOutcome::TooManyMembers | AddMemberOutcome::TooManyWorkspaces
                if self.has(StoreFault::MembersHaveNoLimit) =>
            {
                AddMemberOutcome::Added
            }
            AddMemberOutcome::LastOwner if self.has(StoreFault::TheLastOwnerMayGo) => AddMemberOutcome::Added,
            outcome => outcome,
        })
    }

    async fn members(&self, caller: &Caller, workspace: WorkspaceId) -> Result<MembersOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::MembersSkipAccess);
        let mut outcome = self.store.members(&caller, workspace).await?;
        if let (StoreFault::MembersAreUnsorted, MembersOutcome::All(members)) = (self.fault, &mut outcome) {
            members.reverse();
        }
        Ok(outcome)
    }

    async fn remove_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        person: Person,
    ) -> Result<RemoveMemberOutcome, StoreError> {
        let caller = self.caller(caller, StoreFault::RemoveMemberSkipsAccess);
        if self.has(StoreFault::RemoveMemberForgets) {
            return Ok(RemoveMemberOutcome::Removed);
        }
        Ok(
            match (self.fault, self.store.remove_member(&caller, workspace, person).await?) {
                (StoreFault::RemoveMemberAlwaysSucceeds, RemoveMemberOutcome::NotAMember)
                | (StoreFault::TheLastOwnerMayGo, RemoveMemberOutcome::LastOwner) => RemoveMemberOutcome::Removed,
                (_, outcome) => outcome,
            },
        )
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }
}
