//! What a home's storage must provide: one call an operation, in the words of the domain.
//!
//! A store gathers the facts, lets [`crate::access`] decide over them, and changes what is to change, all in one
//! transaction: no outcome rests on facts that changed meanwhile. Expected outcomes are values; [`StoreError`] is for
//! what went wrong. A store is handed sealed bytes only. When a change returns `Ok`, it is durable.

use std::future::{Future, ready};

use serde::{Deserialize, Serialize};

use crate::adoption::apart::Apart;
use crate::audit;
use crate::model::{
    Attached, AttachmentId, Caller, ConnectionId, Member, Name, Person, Record, Role, Subject, Timestamp, Workspace,
    WorkspaceId, Workspaces,
};
use crate::rotation::Sealings;

/// What went wrong in a store. Messages are for the log and never hold details.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum StoreError {
    /// Too much is waiting; nothing was done (429).
    #[error("storage is busy: {0}")]
    Busy(String),
    /// Storage is out of reach, full or failing; nothing was acknowledged (503).
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    /// What is stored is not what this version wrote or can read (500).
    #[error("storage is damaged: {0}")]
    Damaged(String),
}

/// How a connection is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lookup {
    /// By its name.
    Name(Name),
    /// By its id.
    Id(ConnectionId),
}

/// A connection and the workspaces it is attached to that the caller may see, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The connection.
    pub record: Record,
    /// The workspaces' names, as [`crate::access::visible_names`] gives them.
    pub workspace_names: Vec<Name>,
}

/// Outcome of [`Store::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateOutcome {
    /// It is stored.
    Created,
    /// Another connection of the tenant has this name.
    NameTaken,
}

/// What [`Store::list`] is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery {
    /// Only connections attached to this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Whether a workspace that is not stored is empty ([`Workspaces::Open`]) or does not exist.
    pub workspaces: Workspaces,
    /// Only names after this one, in byte order.
    pub after: Option<Name>,
    /// At most so many connections; `None` for all of them.
    pub limit: Option<u16>,
    /// Whether the rows come with their sealed bytes. Where not, those are empty, which opens nothing and takes no room in
    /// the answer; a store need not read them.
    pub details: bool,
    /// The bound for the answer, in bytes. A store counts [`row_bytes`] of each row and stops before the row that would
    /// pass it, but never before the first.
    pub most_bytes: usize,
}

/// What a row of `list` counts for against [`ListQuery::most_bytes`]: the bytes of its JSON and of the comma behind it.
/// Details count as they are sealed, a little more than they open to.
pub fn row_bytes(row: &Seen) -> usize {
    /// Field names, punctuation, id and time of one row.
    const FRAME: usize = 137;
    let details = match row.record.sealed.bytes.len() {
        0 => "null".len(),
        sealed => sealed,
    };
    let names = row.workspace_names.iter().map(|name| text_bytes(name.as_str()) + 1);
    FRAME
        + details
        + text_bytes(row.record.name.as_str())
        + text_bytes(row.record.connection_type.as_str())
        + names.sum::<usize>().saturating_sub(1)
}

/// A text as JSON. None has control characters, which would be escaped as well.
fn text_bytes(text: &str) -> usize {
    let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\'));
    text.len() + escaped.count() + 2
}

/// Outcome of [`Store::list`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListOutcome {
    /// The rows, ordered by name, and whether more follow.
    Page {
        /// The connections.
        rows: Vec<Seen>,
        /// Whether the caller would see more connections after the last of these.
        more: bool,
    },
    /// No such workspace, or none that this caller may see.
    NoWorkspace,
}

/// What [`Store::attach`] is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The connection.
    pub connection: ConnectionId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Whether a workspace that is not stored is made on the way, named `workspace-<id>`.
    pub workspaces: Workspaces,
    /// The attachment's id, if it comes into being now.
    pub id: AttachmentId,
    /// Now, for a workspace that comes into being.
    pub now: Timestamp,
}

/// Outcome of [`Store::attach`], with the connection's name where that is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachOutcome {
    /// Attached now or before, with this id.
    Attached(AttachmentId, Name),
    /// No such connection, or none that this caller may see.
    NoConnection,
    /// No such workspace, or none that this caller may see.
    NoWorkspace,
    /// The caller sees both, but may not do this.
    Forbidden(Name),
    /// The connection is attached to [`crate::limits::WORKSPACES_PER_CONNECTION`] workspaces already.
    TooMany(Name),
}

/// Outcome of [`Store::detach`], with the connection's name where that is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetachOutcome {
    /// No longer attached.
    Detached(Name),
    /// No such connection, workspace or attachment that this caller may see.
    NotAttached,
    /// The caller sees the attachment, but may not end it.
    Forbidden(Name),
}

/// Outcome of [`Store::delete`], with the connection's id where that is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeleteOutcome {
    /// It is gone.
    Deleted(ConnectionId),
    /// No such connection, or none that this caller may see.
    NotFound,
    /// The caller sees it, but may not delete it.
    Forbidden(ConnectionId),
    /// Still attached to these workspaces (all of them, sorted by name); nothing changed.
    Attached(ConnectionId, Vec<Attached>),
}

/// Outcome of [`Store::create_workspace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateWorkspaceOutcome {
    /// It exists, and the caller is its OWNER.
    Created(WorkspaceId),
    /// Another workspace of the tenant has this name.
    NameTaken,
    /// The caller is in [`crate::limits::WORKSPACES_PER_PERSON`] workspaces already.
    TooMany,
}

/// Whose workspaces [`Store::list_workspaces`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkspacesOf {
    /// Every workspace of the tenant.
    Everybody,
    /// Those that the caller is a member of, by subject or e-mail.
    Caller,
    /// Those that this person is a member of.
    Person(Subject),
}

/// What a workspace counts for against the bound of [`Store::list_workspaces`]: an upper estimate of its JSON.
pub fn workspace_bytes(workspace: &Workspace) -> usize {
    /// Field names, punctuation, id and time of one workspace.
    const FRAME: usize = 144;
    FRAME + text_bytes(workspace.name.as_str()) + text_bytes(workspace.created_by.as_str())
}

/// Outcome of [`Store::list_workspaces`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListWorkspacesOutcome {
    /// All of them, ordered by id.
    All(Vec<Workspace>),
    /// They come to more bytes than the answer may have.
    TooLong,
}

/// What [`Store::add_member`] is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddMember {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who is to be a member.
    pub person: Person,
    /// The e-mail address that is kept beside somebody who is known by subject. Nobody is matched by it. Where there is
    /// none, the one that was kept before stays.
    pub email: Option<Subject>,
    /// In which role.
    pub role: Role,
}

/// Outcome of [`Store::add_member`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddMemberOutcome {
    /// They are a member of this role now, whatever they were before.
    Added,
    /// No such workspace, or none that this caller may see.
    NoWorkspace,
    /// The caller is a member, but may not do this.
    Forbidden,
    /// They are the workspace's last OWNER, who stays one; nothing changed.
    LastOwner,
    /// The workspace has [`crate::limits::MEMBERS_PER_WORKSPACE`] members already.
    TooManyMembers,
    /// The person is in [`crate::limits::WORKSPACES_PER_PERSON`] workspaces already.
    TooManyWorkspaces,
}

/// Outcome of [`Store::members`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembersOutcome {
    /// All of them, ordered by person.
    All(Vec<Member>),
    /// No such workspace, or none that this caller may see.
    NoWorkspace,
}

/// Outcome of [`Store::remove_member`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoveMemberOutcome {
    /// They are no member any more.
    Removed,
    /// They were none.
    NotAMember,
    /// No such workspace, or none that this caller may see.
    NoWorkspace,
    /// The caller is a member, but may not do this.
    Forbidden,
    /// They are the workspace's last OWNER, who stays one; nothing changed.
    LastOwner,
}

/// Keeps records. Everything is within the caller's tenant. Visibility and permission are decided by
/// [`crate::access`] and nowhere else.
pub trait Store {
    /// What it lends to a rotation of keys; [`Infallible`](std::convert::Infallible) where it lends nothing.
    type Sealings: Sealings;

    /// What it lends to an adoption where its tenants are apart; [`Infallible`](std::convert::Infallible) elsewhere.
    type Apart: Apart;

    /// Keeps a new connection owned by the caller. Of N at once with one name exactly one is `Created`.
    fn create(&self, caller: &Caller, record: Record) -> impl Future<Output = Result<CreateOutcome, StoreError>>;

    /// The connection, if it exists and the caller may see it. Sees every change acknowledged before the call.
    fn get(&self, caller: &Caller, lookup: Lookup) -> impl Future<Output = Result<Option<Seen>, StoreError>>;

    /// Connections that the caller may see, ordered by name in byte order. Each row, and each row's absence, is right at
    /// some moment of the call: what exists and may be seen throughout is neither skipped nor given twice. A store says
    /// whether that is one moment for all rows.
    fn list(&self, caller: &Caller, query: ListQuery) -> impl Future<Output = Result<ListOutcome, StoreError>>;

    /// Attaches a connection to a workspace; a pair that is attached stays so, with its id.
    fn attach(&self, caller: &Caller, attach: Attach) -> impl Future<Output = Result<AttachOutcome, StoreError>>;

    /// Detaches a connection from a workspace.
    fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> impl Future<Output = Result<DetachOutcome, StoreError>>;

    /// Deletes a connection that is attached nowhere.
    fn delete(&self, caller: &Caller, name: Name) -> impl Future<Output = Result<DeleteOutcome, StoreError>>;

    /// Makes a workspace with the caller as its OWNER. Its id is the next of a counter that is not taken.
    fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> impl Future<Output = Result<CreateWorkspaceOutcome, StoreError>>;

    /// Workspaces, ordered by id. The caller's right to ask for somebody else's is already settled. A store counts
    /// [`workspace_bytes`] of each, and reads no further once they come to more than `most_bytes`.
    fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> impl Future<Output = Result<ListWorkspacesOutcome, StoreError>>;

    /// Makes somebody a member of a workspace, or gives a member another role. A workspace that has an OWNER keeps one,
    /// whoever changes its members at once.
    fn add_member(&self, caller: &Caller, add: AddMember)
    -> impl Future<Output = Result<AddMemberOutcome, StoreError>>;

    /// A workspace's members, as they are at one moment.
    fn members(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
    ) -> impl Future<Output = Result<MembersOutcome, StoreError>>;

    /// Ends somebody's membership; with the promise of [`Store::add_member`].
    fn remove_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        person: Person,
    ) -> impl Future<Output = Result<RemoveMemberOutcome, StoreError>>;

    /// Whether storage answers.
    fn ready(&self) -> impl Future<Output = Result<(), StoreError>>;

    /// What rotation of keys takes of it; `None` where this store cannot lend it.
    fn sealings(&self) -> Option<&Self::Sealings> {
        None
    }

    /// What an adoption takes of it where its tenants are apart; `None` elsewhere, where it is a command's work.
    fn apart(&self) -> Option<&Self::Apart> {
        None
    }

    /// This store for one request, whose record is `record` as far as it is known. A store that keeps an audit trail gives
    /// one whose changes, those of its sealings too, keep the record in their own transaction, completed by
    /// [`audit::Made`], and return once the trail has it; what was not made leaves it to [`Store::note`]. `None` where the store keeps none.
    fn noting(&self, record: &audit::Record) -> Option<Self>
    where
        Self: Sized,
    {
        _ = record;
        None
    }

    /// Keeps the record of an operation before it is answered: durable when this returns. One of a change that was made, of
    /// more than nought connections where it counts them, is kept already. Given back where the store keeps no trail: the home's log is to have it.
    fn note(&self, record: audit::Record) -> impl Future<Output = Result<Option<audit::Record>, StoreError>> {
        ready(Ok(Some(record)))
    }

    /// Records of the trail, newest first; `None` where the store keeps none. Looks at a bounded part of the trail in one
    /// call: a page may be shorter than asked for, or empty, and [`audit::Page::before`] alone says whether more may follow.
    fn records(&self, query: audit::Query) -> impl Future<Output = Result<Option<audit::Page>, StoreError>> {
        _ = query;
        ready(Ok(None))
    }
}
