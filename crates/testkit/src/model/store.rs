//! A store against the reference model.

use patchbay_core::model::{
    AttachmentId, Caller, ConnectionId, ConnectionType, Invalid, KeyId, Name, Person, Record, Role, Sealed, Timestamp,
    WorkspaceId, Workspaces,
};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};
use proptest::prelude::*;

use super::cast::{CALLERS, NAMES, caller, callers};
use crate::memory::MemoryStore;

/// One operation of one caller. Callers and names are known by their place, connections by how many were made since.
#[derive(Debug, Clone)]
pub struct Step {
    who: usize,
    act: Act,
}

#[derive(Debug, Clone)]
enum Act {
    Create {
        name: usize,
        bytes: usize,
    },
    Get {
        name: usize,
    },
    GetById {
        connection: usize,
    },
    List {
        within: Option<u64>,
        after: Option<usize>,
        limit: Option<u16>,
        details: bool,
        bytes: usize,
    },
    Attach {
        connection: usize,
        workspace: u64,
    },
    Detach {
        connection: usize,
        workspace: u64,
    },
    /// A pair that was attached, counted from the last one.
    DetachAttached {
        back: usize,
    },
    Delete {
        name: usize,
    },
    CreateWorkspace {
        name: usize,
    },
    ListWorkspaces {
        of: Option<usize>,
        bytes: usize,
    },
    AddMember {
        workspace: u64,
        person: Known,
        owner: bool,
    },
    Members {
        workspace: u64,
    },
    RemoveMember {
        workspace: u64,
        person: Known,
    },
}

/// A caller by their place, as members are known.
#[derive(Debug, Clone, Copy)]
struct Known {
    who: usize,
    by_email: bool,
}

/// Up to `most` steps.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let name = || 0..NAMES.len();
    let connection = || 0..4_usize;
    // The counter gives the first of them; the last is one that it hardly comes to.
    let workspace = || prop_oneof![10 => 1..4_u64, 1 => Just((1 << 53) - 1)];
    let bytes = || prop_oneof![Just(usize::MAX), 0..1500_usize];
    let person = || (0..CALLERS, any::<bool>()).prop_map(|(who, by_email)| Known { who, by_email });
    let act = prop_oneof![
        4 => (name(), 0..300_usize).prop_map(|(name, bytes)| Act::Create { name, bytes }),
        2 => name().prop_map(|name| Act::Get { name }),
        2 => connection().prop_map(|connection| Act::GetById { connection }),
        4 => (
            prop::option::of(workspace()),
            prop::option::of(name()),
            prop::option::of(1..4_u16),
            any::<bool>(),
            bytes(),
        )
            .prop_map(|(within, after, limit, details, bytes)| Act::List { within, after, limit, details, bytes }),
        6 => (connection(), workspace()).prop_map(|(connection, workspace)| Act::Attach { connection, workspace }),
        4 => (0..6_usize).prop_map(|back| Act::DetachAttached { back }),
        2 => (connection(), workspace()).prop_map(|(connection, workspace)| Act::Detach { connection, workspace }),
        3 => name().prop_map(|name| Act::Delete { name }),
        3 => name().prop_map(|name| Act::CreateWorkspace { name }),
        1 => (prop::option::of(0..CALLERS), bytes()).prop_map(|(of, bytes)| Act::ListWorkspaces { of, bytes }),
        6 => (workspace(), person(), any::<bool>())
            .prop_map(|(workspace, person, owner)| Act::AddMember { workspace, person, owner }),
        1 => workspace().prop_map(|workspace| Act::Members { workspace }),
        2 => (workspace(), person()).prop_map(|(workspace, person)| Act::RemoveMember { workspace, person }),
    ];
    let step = (callers(), act).prop_map(|(who, act)| Step { who, act });
    prop::collection::vec(step, 1..=most)
}

/// What a store said.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Create(CreateOutcome),
    Get(Option<Seen>),
    List(ListOutcome),
    Attach(AttachOutcome),
    Detach(DetachOutcome),
    Delete(DeleteOutcome),
    CreateWorkspace(CreateWorkspaceOutcome),
    ListWorkspaces(ListWorkspacesOutcome),
    AddMember(AddMemberOutcome),
    Members(MembersOutcome),
    RemoveMember(RemoveMemberOutcome),
}

/// Does the steps on `store` and on the reference model, in tenants of this case's own. No two cases on one store may have
/// the same number. Gives the kind of each outcome, such as `Attach Forbidden`.
///
/// # Errors
/// The first step on which they differ, and what each said.
pub async fn same_outcomes(
    store: &impl Store,
    workspaces: Workspaces,
    case: u64,
    steps: &[Step],
) -> Result<Vec<String>, String> {
    let model = MemoryStore::default();
    let mut kinds = Vec::new();
    let mut made = Made::default();
    for (place, step) in (0..).zip(steps) {
        let wrong = |invalid: Invalid| invalid.to_string();
        let moment = Moment {
            workspaces,
            case,
            place,
            made: &made,
        };
        let expected = moment.perform(&model, step).await.map_err(wrong)?;
        let said = moment.perform(store, step).await.map_err(wrong)?;
        // What goes wrong in a store never does in the model.
        match (&expected, &said) {
            (Ok(expected), Ok(said)) if expected == said => {
                kinds.push(said.kind());
                let attached = moment.attached(step);
                made.add(place, said, attached);
            }
            _ => {
                return Err(format!(
                    "step {place}, {step:?}: the model said {expected:?}, the store {said:?}"
                ));
            }
        }
    }
    Ok(kinds)
}

impl Said {
    pub(super) fn kind(&self) -> String {
        let shown = format!("{self:?}");
        let words: Vec<&str> = shown.split(|c: char| !c.is_alphanumeric()).take(2).collect();
        words.join(" ")
    }
}

/// What earlier steps made.
#[derive(Default)]
pub(super) struct Made {
    /// By the place of the step.
    connections: Vec<u64>,
    attached: Vec<(ConnectionId, u64)>,
}

impl Made {
    /// What the step in this place made, if it attaches, of this pair.
    pub(super) fn add(&mut self, place: u64, said: &Said, pair: Option<(ConnectionId, u64)>) {
        match said {
            Said::Create(CreateOutcome::Created) => self.connections.push(place),
            Said::Attach(AttachOutcome::Attached(..)) => self.attached.extend(pair),
            _ => {}
        }
    }
}

/// What a step stands for depends on when it comes.
pub(super) struct Moment<'m> {
    pub(super) workspaces: Workspaces,
    pub(super) case: u64,
    pub(super) place: u64,
    pub(super) made: &'m Made,
}

/// What tells the tenants of a case from those of others.
pub(super) fn cast_of(case: u64) -> String {
    format!("case-{case}")
}

fn name(place: usize) -> Result<Name, Invalid> {
    Name::new(NAMES.get(place).copied().unwrap_or_default())
}

impl Moment<'_> {
    /// 16 bytes that nobody else has.
    fn unique(&self, of: u64) -> [u8; 16] {
        (u128::from(self.case) << 64 | u128::from(of)).to_be_bytes()
    }

    fn connection(&self, place: usize) -> ConnectionId {
        let made = self.made.connections.iter().rev().nth(place).copied();
        ConnectionId::from_bytes(self.unique(made.unwrap_or(u64::MAX)))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.place).unwrap_or(0))
    }

    fn record(&self, caller: &Caller, of: usize, bytes: usize) -> Result<Record, Invalid> {
        Ok(Record {
            id: ConnectionId::from_bytes(self.unique(self.place)),
            name: name(of)?,
            connection_type: ConnectionType::new("KAFKA")?,
            owner: caller.subject.clone(),
            created_at: self.now(),
            sealed: Sealed {
                key_id: KeyId::new("k1")?,
                bytes: (0..=u8::MAX).cycle().skip(of).take(bytes).collect(),
            },
        })
    }

    fn person(&self, known: Known) -> Result<Person, Invalid> {
        let caller = caller(&cast_of(self.case), known.who)?;
        Ok(match caller.email {
            Some(email) if known.by_email => Person::Email(email),
            _ => Person::Subject(caller.subject),
        })
    }

    /// The pair that a step attaches.
    pub(super) fn attached(&self, step: &Step) -> Option<(ConnectionId, u64)> {
        match step.act {
            Act::Attach { connection, workspace } => Some((self.connection(connection), workspace)),
            _ => None,
        }
    }

    pub(super) async fn perform(&self, store: &impl Store, step: &Step) -> Result<Result<Said, StoreError>, Invalid> {
        let case = cast_of(self.case);
        let caller = caller(&case, step.who)?;
        let workspaces = self.workspaces;
        Ok(match step.act {
            Act::Create { name, bytes } => {
                let record = self.record(&caller, name, bytes)?;
                store.create(&caller, record).await.map(Said::Create)
            }
            Act::Get { name: of } => store.get(&caller, Lookup::Name(name(of)?)).await.map(Said::Get),
            Act::GetById { connection } => {
                let id = self.connection(connection);
                store.get(&caller, Lookup::Id(id)).await.map(Said::Get)
            }
            Act::List {
                within,
                after,
                limit,
                details,
                bytes,
            } => {
                let query = ListQuery {
                    workspace: within.map(WorkspaceId::new).transpose()?,
                    workspaces,
                    after: after.map(name).transpose()?,
                    limit,
                    details,
                    most_bytes: bytes,
                };
                store.list(&caller, query).await.map(Said::List)
            }
            Act::Attach { connection, workspace } => {
                let attach = Attach {
                    connection: self.connection(connection),
                    workspace: WorkspaceId::new(workspace)?,
                    workspaces,
                    id: AttachmentId::from_bytes(self.unique(self.place)),
                    now: self.now(),
                };
                store.attach(&caller, attach).await.map(Said::Attach)
            }
            Act::Detach { connection, workspace } => {
                let (connection, workspace) = (self.connection(connection), WorkspaceId::new(workspace)?);
                store.detach(&caller, connection, workspace).await.map(Said::Detach)
            }
            Act::DetachAttached { back } => {
                let never = (self.connection(usize::MAX), 1);
                let (connection, workspace) = self.made.attached.iter().rev().nth(back).copied().unwrap_or(never);
                let detached = store.detach(&caller, connection, WorkspaceId::new(workspace)?).await;
                detached.map(Said::Detach)
            }
            Act::Delete { name: of } => store.delete(&caller, name(of)?).await.map(Said::Delete),
            Act::CreateWorkspace { name: of } => {
                let made = store.create_workspace(&caller, name(of)?, self.now()).await;
                made.map(Said::CreateWorkspace)
            }
            Act::ListWorkspaces { of, bytes } => {
                let of = match of {
                    None if caller.admin => WorkspacesOf::Everybody,
                    None => WorkspacesOf::Caller,
                    Some(person) => WorkspacesOf::Person(self::caller(&case, person)?.subject),
                };
                let listed = store.list_workspaces(&caller, of, bytes).await;
                listed.map(Said::ListWorkspaces)
            }
            Act::AddMember {
                workspace,
                person,
                owner,
            } => {
                let add = AddMember {
                    workspace: WorkspaceId::new(workspace)?,
                    person: self.person(person)?,
                    email: None,
                    role: if owner { Role::Owner } else { Role::Collaborator },
                };
                store.add_member(&caller, add).await.map(Said::AddMember)
            }
            Act::Members { workspace } => {
                let members = store.members(&caller, WorkspaceId::new(workspace)?).await;
                members.map(Said::Members)
            }
            Act::RemoveMember { workspace, person } => {
                let (workspace, person) = (WorkspaceId::new(workspace)?, self.person(person)?);
                let removed = store.remove_member(&caller, workspace, person).await;
                removed.map(Said::RemoveMember)
            }
        })
    }
}
