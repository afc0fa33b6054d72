//! The reference model: a store of plain maps behind one lock. What it does is what the contract says, in the fewest
//! words; the real stores are held against it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patchbay_core::access::{self, Verdict};
use patchbay_core::identity;
use patchbay_core::limits;
use patchbay_core::model::{
    Attached, AttachmentId, Caller, ConnectionId, KeyId, Member, Name, Person, Record, Role, Tenant, Timestamp,
    Workspace, WorkspaceId, Workspaces,
};
use patchbay_core::rotation::{Counted, Held, Place, Replacement, Sealings, Step, Unreadable, Wanted};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf, row_bytes, workspace_bytes,
};

/// A store in memory. Clones share it; nothing outlives the last one.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<HashMap<Tenant, TenantState>>>);

#[derive(Debug, Clone, Default)]
struct TenantState {
    connections: BTreeMap<Name, Kept>,
    workspaces: BTreeMap<WorkspaceId, Room>,
    /// The workspace id that was given out last.
    counter: u64,
}

#[derive(Debug, Clone)]
struct Kept {
    record: Record,
    attachments: BTreeMap<WorkspaceId, AttachmentId>,
}

#[derive(Debug, Clone)]
struct Room {
    workspace: Workspace,
    /// Ordered by person.
    members: Vec<Member>,
}

impl Room {
    fn role(&self, caller: &Caller) -> Option<Role> {
        access::role_among(caller, &self.members)
    }

    fn place(&self, person: &Person) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.person.cmp(person))
    }
}

impl TenantState {
    fn role(&self, caller: &Caller, workspace: WorkspaceId) -> Option<Role> {
        self.workspaces.get(&workspace).and_then(|room| room.role(caller))
    }

    fn attached(&self, kept: &Kept) -> Vec<Attached> {
        kept.attachments
            .keys()
            .filter_map(|id| self.workspaces.get(id))
            .map(|room| Attached {
                workspace: room.workspace.id,
                name: room.workspace.name.clone(),
            })
            .collect()
    }

    fn seen(&self, caller: &Caller, kept: &Kept) -> Option<Seen> {
        let (owner, attached) = (&kept.record.owner, self.attached(kept));
        let roles = |workspace| self.role(caller, workspace);
        access::sees_connection(caller, owner, &attached, &roles).then(|| Seen {
            record: kept.record.clone(),
            workspace_names: access::visible_names(caller, owner, &attached, &roles),
        })
    }

    fn by_id(&self, id: ConnectionId) -> Option<&Kept> {
        self.connections.values().find(|kept| kept.record.id == id)
    }

    fn list(&self, caller: &Caller, query: &ListQuery) -> ListOutcome {
        if let Some(workspace) = query.workspace {
            match self.workspaces.get(&workspace) {
                None if query.workspaces == Workspaces::Managed => return ListOutcome::NoWorkspace,
                Some(room) if !access::sees_workspace(caller, room.role(caller)) => return ListOutcome::NoWorkspace,
                _ => {}
            }
        }
        let seen = self
            .connections
            .values()
            .filter(|kept| query.after.as_ref().is_none_or(|after| kept.record.name > *after))
            .filter(|kept| query.workspace.is_none_or(|at| kept.attachments.contains_key(&at)))
            .filter_map(|kept| self.seen(caller, kept));
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for mut row in seen {
            if !query.details {
                row.record.sealed.bytes.clear();
            }
            bytes += row_bytes(&row);
            let full = query.limit.is_some_and(|limit| rows.len() >= usize::from(limit));
            if full || (bytes > query.most_bytes && !rows.is_empty()) {
                return ListOutcome::Page { rows, more: true };
            }
            rows.push(row);
        }
        ListOutcome::Page { rows, more: false }
    }

    fn attach(&mut self, caller: &Caller, attach: &Attach) -> AttachOutcome {
        let Some(kept) = self.by_id(attach.connection) else {
            return AttachOutcome::NoConnection;
        };
        let attached = self.attached(kept);
        let roles = |workspace| self.role(caller, workspace);
        let verdict = access::attach(caller, &kept.record.owner, &attached, &roles);
        if verdict == Verdict::Invisible {
            return AttachOutcome::NoConnection;
        }
        let known = self.workspaces.contains_key(&attach.workspace);
        let exists = known || attach.workspaces == Workspaces::Open;
        if !exists || !access::sees_workspace(caller, roles(attach.workspace)) {
            return AttachOutcome::NoWorkspace;
        }
        let name = kept.record.name.clone();
        if verdict == Verdict::Forbidden {
            return AttachOutcome::Forbidden(name);
        }
        if let Some(id) = kept.attachments.get(&attach.workspace) {
            return AttachOutcome::Attached(*id, name);
        }
        if attached.len() >= limits::WORKSPACES_PER_CONNECTION {
            return AttachOutcome::TooMany(name);
        }
        if !known && !self.open(caller, attach) {
            return AttachOutcome::NoWorkspace;
        }
        if let Some(kept) = self.connections.get_mut(&name) {
            kept.attachments.insert(attach.workspace, attach.id);
        }
        AttachOutcome::Attached(attach.id, name)
    }

    /// Makes `workspace-<id>`, without members.
    fn open(&mut self, caller: &Caller, attach: &Attach) -> bool {
        let Ok(name) = Name::new(&format!("workspace-{}", attach.workspace)) else {
            return false;
        };
        let workspace = Workspace {
            id: attach.workspace,
            name,
            created_by: caller.subject.clone(),
            created_at: attach.now,
        };
        let members = Vec::new();
        self.workspaces.insert(attach.workspace, Room { workspace, members });
        true
    }

    fn detach(&mut self, caller: &Caller, connection: ConnectionId, workspace: WorkspaceId) -> DetachOutcome {
        let Some(kept) = self
            .by_id(connection)
            .filter(|kept| kept.attachments.contains_key(&workspace))
        else {
            return DetachOutcome::NotAttached;
        };
        let name = kept.record.name.clone();
        let roles = |workspace| self.role(caller, workspace);
        match access::detach(caller, &kept.record.owner, workspace, &roles) {
            Verdict::Invisible => return DetachOutcome::NotAttached,
            Verdict::Forbidden => return DetachOutcome::Forbidden(name),
            Verdict::Allowed => {}
        }
        if let Some(kept) = self.connections.get_mut(&name) {
            kept.attachments.remove(&workspace);
        }
        DetachOutcome::Detached(name)
    }

    fn delete(&mut self, caller: &Caller, name: &Name) -> DeleteOutcome {
        let Some(kept) = self.connections.get(name) else {
            return DeleteOutcome::NotFound;
        };
        let id = kept.record.id;
        let mut attached = self.attached(kept);
        let roles = |workspace| self.role(caller, workspace);
        match access::delete(caller, &kept.record.owner, &attached, &roles) {
            Verdict::Invisible => return DeleteOutcome::NotFound,
            Verdict::Forbidden => return DeleteOutcome::Forbidden(id),
            Verdict::Allowed => {}
        }
        if !attached.is_empty() {
            attached.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            return DeleteOutcome::Attached(id, attached);
        }
        self.connections.remove(name);
        DeleteOutcome::Deleted(id)
    }

    fn create_workspace(&mut self, caller: &Caller, name: Name, now: Timestamp) -> CreateWorkspaceOutcome {
        if self.workspaces.values().any(|room| room.workspace.name == name) {
            return CreateWorkspaceOutcome::NameTaken;
        }
        let among = self.workspaces.values().filter(|room| room.role(caller).is_some());
        if among.count() >= limits::WORKSPACES_PER_PERSON {
            return CreateWorkspaceOutcome::TooMany;
        }
        let free = (self.counter + 1..=limits::WORKSPACE_ID)
            .filter_map(|id| WorkspaceId::new(id).ok())
            .find(|id| !self.workspaces.contains_key(id));
        let Some(id) = free else {
            return CreateWorkspaceOutcome::TooMany;
        };
        self.counter = id.get();
        let workspace = Workspace {
            id,
            name,
            created_by: caller.subject.clone(),
            created_at: now,
        };
        let (person, role) = (Person::Subject(caller.subject.clone()), Role::Owner);
        let members = vec![Member { person, role }];
        self.workspaces.insert(id, Room { workspace, members });
        CreateWorkspaceOutcome::Created(id)
    }

    fn list_workspaces(&self, caller: &Caller, of: &WorkspacesOf, most_bytes: usize) -> ListWorkspacesOutcome {
        let listed = |room: &&Room| match of {
            WorkspacesOf::Everybody => true,
            WorkspacesOf::Caller => room.role(caller).is_some(),
            WorkspacesOf::Person(person) => {
                let email = identity::email(person.as_str());
                room.place(&Person::Subject(person.clone())).is_ok()
                    || email.is_ok_and(|email| room.place(&Person::Email(email)).is_ok())
            }
        };
        let rooms = self.workspaces.values().filter(listed);
        let found: Vec<Workspace> = rooms.map(|room| room.workspace.clone()).collect();
        if found.iter().map(workspace_bytes).sum::<usize>() > most_bytes {
            return ListWorkspacesOutcome::TooLong;
        }
        ListWorkspacesOutcome::All(found)
    }

    fn add_member(&mut self, caller: &Caller, add: AddMember) -> AddMemberOutcome {
        let AddMember {
            workspace,
            person,
            role,
            ..
        } = add;
        let rooms = self.workspaces.values();
        let among = rooms.filter(|room| room.place(&person).is_ok()).count();
        let Some(room) = self.workspaces.get_mut(&workspace) else {
            return AddMemberOutcome::NoWorkspace;
        };
        match access::add_member(caller, room.role(caller)) {
            Verdict::Invisible => return AddMemberOutcome::NoWorkspace,
            Verdict::Forbidden => return AddMemberOutcome::Forbidden,
            Verdict::Allowed => {}
        }
        let member = Member { person, role };
        match room.place(&member.person) {
            Ok(_) if access::takes_the_last_owner(&room.members, &member.person, Some(role)) => {
                return AddMemberOutcome::LastOwner;
            }
            Ok(place) => _ = room.members.splice(place..=place, [member]),
            Err(_) if room.members.len() >= limits::MEMBERS_PER_WORKSPACE => return AddMemberOutcome::TooManyMembers,
            Err(_) if among >= limits::WORKSPACES_PER_PERSON => return AddMemberOutcome::TooManyWorkspaces,
            Err(place) => room.members.insert(place, member),
        }
        AddMemberOutcome::Added
    }

    fn members(&self, caller: &Caller, workspace: WorkspaceId) -> MembersOutcome {
        match self.workspaces.get(&workspace) {
            Some(room) if access::sees_workspace(caller, room.role(caller)) => {
                MembersOutcome::All(room.members.clone())
            }
            _ => MembersOutcome::NoWorkspace,
        }
    }

    fn remove_member(&mut self, caller: &Caller, workspace: WorkspaceId, person: &Person) -> RemoveMemberOutcome {
        let Some(room) = self.workspaces.get_mut(&workspace) else {
            return RemoveMemberOutcome::NoWorkspace;
        };
        match access::remove_member(caller, room.role(caller), person) {
            Verdict::Invisible => return RemoveMemberOutcome::NoWorkspace,
            Verdict::Forbidden => return RemoveMemberOutcome::Forbidden,
            Verdict::Allowed => {}
        }
        let Ok(place) = room.place(person) else {
            return RemoveMemberOutcome::NotAMember;
        };
        if access::takes_the_last_owner(&room.members, person, None) {
            return RemoveMemberOutcome::LastOwner;
        }
        room.members.remove(place);
        RemoveMemberOutcome::Removed
    }
}

impl MemoryStore {
    fn tenants(&self) -> MutexGuard<'_, HashMap<Tenant, TenantState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, caller: &Caller, act: impl FnOnce(&mut TenantState) -> T) -> Result<T, StoreError> {
        Ok(act(self.tenants().entry(caller.tenant.clone()).or_default()))
    }

    /// A store of its own with the same in it.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.tenants().clone())))
    }

    /// A store of its own, with all that is in this one now.
    pub fn copied(&self) -> Self {
        Self(Arc::new(Mutex::new(self.tenants().clone())))
    }
}

impl Store for MemoryStore {
    type Sealings = Self;
    type Apart = std::convert::Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        self.with(caller, |state| {
            if state.connections.contains_key(&record.name) {
                return CreateOutcome::NameTaken;
            }
            let attachments = BTreeMap::new();
            let name = record.name.clone();
            state.connections.insert(name, Kept { record, attachments });
            CreateOutcome::Created
        })
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        self.with(caller, |state| {
            let kept = match &lookup {
                Lookup::Name(name) => state.connections.get(name),
                Lookup::Id(id) => state.by_id(*id),
            };
            kept.and_then(|kept| state.seen(caller, kept))
        })
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        self.with(caller, |state| state.list(caller, &query))
    }

    async fn attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        self.with(caller, |state| state.attach(caller, &attach))
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        self.with(caller, |state| state.detach(caller, connection, workspace))
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        self.with(caller, |state| state.delete(caller, &name))
    }

    async fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> Result<CreateWorkspaceOutcome, StoreError> {
        self.with(caller, |state| state.create_workspace(caller, name, now))
    }

    async fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> Result<ListWorkspacesOutcome, StoreError> {
        self.with(caller, |state| state.list_workspaces(caller, &of, most_bytes))
    }

    async fn add_member(&self, caller: &Caller, add: AddMember) -> Result<AddMemberOutcome, StoreError> {
        self.with(caller, |state| state.add_member(caller, add))
    }

    async fn members(&self, caller: &Caller, workspace: WorkspaceId) -> Result<MembersOutcome, StoreError> {
        self.with(caller, |state| state.members(caller, workspace))
    }

    async fn remove_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        person: Person,
    ) -> Result<RemoveMemberOutcome, StoreError> {
        self.with(caller, |state| state.remove_member(caller, workspace, &person))
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn sealings(&self) -> Option<&Self> {
        Some(self)
    }
}

/// A walk goes by tenant and name; a place is the last of them before the next step, between which a line feed stands.
impl Sealings for MemoryStore {
    async fn count_sealed(&self, _: Option<Place>) -> Result<Step<Counted>, StoreError> {
        let mut found = Counted::default();
        for kept in self.tenants().values().flat_map(|state| state.connections.values()) {
            *found.under.entry(kept.record.sealed.key_id.clone()).or_default() += 1;
        }
        Ok(Step { found, next: None })
    }

    async fn sealed(
        &self,
        wanted: Wanted,
        after: Option<Place>,
        most: u16,
    ) -> Result<Step<Vec<Result<Held, Unreadable>>>, StoreError> {
        let is_wanted = |by: &KeyId| match &wanted {
            Wanted::SealedWith(key) => by == key,
            Wanted::SealedOtherwise(key) => by != key,
        };
        let place = |held: &Held| format!("{}\n{}", held.tenant, held.record.name);
        let tenants = self.tenants();
        let all = tenants.iter().flat_map(|(tenant, state)| {
            state.connections.values().map(|kept| Held {
                tenant: tenant.clone(),
                record: kept.record.clone(),
            })
        });
        let mut rest: Vec<Held> = all
            .filter(|held| is_wanted(&held.record.sealed.key_id))
            .filter(|held| after.as_ref().is_none_or(|after| place(held) > after.0))
            .collect();
        rest.sort_by_key(place);
        let mut bytes = 0;
        let fits = |held: &&Held| {
            bytes += held.record.sealed.bytes.len();
            bytes <= limits::RESEALED_BYTES
        };
        let taken = rest.iter().take(usize::from(most)).take_while(fits).count().max(1);
        let next = match rest.get(taken) {
            Some(_) => rest.get(taken - 1).map(|last| Place(place(last))),
            None => None,
        };
        rest.truncate(taken);
        Ok(Step {
            found: rest.into_iter().map(Ok).collect(),
            next,
        })
    }

    async fn replace_sealed(&self, replacements: Vec<Replacement>) -> Result<usize, StoreError> {
        let (mut tenants, mut replaced) = (self.tenants(), 0);
        for one in replacements {
            let state = tenants.get_mut(&one.tenant);
            let kept = state.and_then(|state| state.connections.get_mut(&one.name));
            let as_read = |kept: &&mut Kept| {
                let record = &kept.record;
                record.id == one.id && record.owner == one.owner && record.sealed.key_id == one.expected
            };
            if let Some(kept) = kept.filter(as_read) {
                kept.record.sealed = one.sealed;
                replaced += 1;
            }
        }
        Ok(replaced)
    }
}
