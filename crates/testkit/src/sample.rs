//! Callers, records and the like for tests of stores, each said in a few words.

#![allow(clippy::expect_used, reason = "what a test says wrongly fails it")]

use patchbay_core::model::{
    AttachmentId, Caller, ConnectionId, ConnectionType, Details, KeyId, Name, Person, Record, Role, Sealed, Subject,
    Tenant, Timestamp, WorkspaceId, Workspaces,
};
use patchbay_core::seal::{Draft, KeyRing};
use patchbay_core::store::{AddMember, Attach, CreateWorkspaceOutcome, ListOutcome, ListQuery, Store};
use serde_json::value::RawValue;

use crate::target::SystemHost;

/// A caller without an e-mail address.
pub fn caller(tenant: &str, subject: &str, admin: bool) -> Caller {
    Caller {
        tenant: Tenant::new(tenant).expect("a tenant"),
        subject: Subject::new(subject).expect("a subject"),
        email: None,
        admin,
    }
}

/// A name.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Somebody as a member who is known by subject.
pub fn person(caller: &Caller) -> Person {
    Person::Subject(caller.subject.clone())
}

/// A person in this role.
pub fn add_member(workspace: WorkspaceId, person: Person, role: Role) -> AddMember {
    AddMember {
        workspace,
        person,
        email: None,
        role,
    }
}

/// A workspace's id.
pub fn workspace(id: u64) -> WorkspaceId {
    WorkspaceId::new(id).expect("a workspace's id")
}

/// A connection whose id is of this number, with so many sealed bytes.
pub fn record(number: u128, name: &str, owner: &Caller, sealed: usize) -> Record {
    let [.., last] = number.to_be_bytes();
    Record {
        id: ConnectionId::from_random(number.to_be_bytes()),
        name: self::name(name),
        connection_type: ConnectionType::new("KAFKA").expect("a type"),
        owner: owner.subject.clone(),
        created_at: Timestamp::from_micros(1),
        sealed: Sealed {
            key_id: KeyId::new("k1").expect("a key's id"),
            bytes: vec![last; sealed],
        },
    }
}

/// Details that say whose they are.
pub fn details(text: &str) -> Details {
    let json = RawValue::from_string(format!("\"details of {text}\"")).expect("JSON");
    Details::from_json(&json).expect("details")
}

/// A connection whose details say its name, sealed with the ring's first key; its id is of this number.
pub fn sealed(ring: &KeyRing, owner: &Caller, number: u128, name: &str) -> Record {
    let draft = Draft {
        id: ConnectionId::from_random(number.to_be_bytes()),
        name: self::name(name),
        connection_type: ConnectionType::new("KAFKA").expect("a type"),
        owner: owner.subject.clone(),
        created_at: Timestamp::from_micros(1),
    };
    ring.seal(&SystemHost, &owner.tenant, draft, &details(name))
}

/// An attach in `open` mode, whose attachment's id is of this number.
pub fn attach(connection: ConnectionId, workspace: WorkspaceId, number: u128) -> Attach {
    Attach {
        connection,
        workspace,
        workspaces: Workspaces::Open,
        id: AttachmentId::from_random(number.to_be_bytes()),
        now: Timestamp::from_micros(2),
    }
}

/// Everything that the caller sees, in one page.
pub fn all() -> ListQuery {
    ListQuery {
        workspace: None,
        workspaces: Workspaces::Open,
        after: None,
        limit: None,
        details: true,
        most_bytes: usize::MAX,
    }
}

/// A new workspace.
pub async fn make_workspace(store: &impl Store, caller: &Caller, text: &str) -> WorkspaceId {
    let made = store
        .create_workspace(caller, name(text), Timestamp::from_micros(3))
        .await;
    match made {
        Ok(CreateWorkspaceOutcome::Created(id)) => id,
        other => panic!("{other:?}"),
    }
}

/// The names of a page, and whether more follow.
pub async fn names(store: &impl Store, caller: &Caller, query: ListQuery) -> (Vec<String>, bool) {
    match store.list(caller, query).await {
        Ok(ListOutcome::Page { rows, more }) => (rows.iter().map(|row| row.record.name.to_string()).collect(), more),
        other => panic!("{other:?}"),
    }
}
