//! Rows ⇄ the core's nouns.

use patchbay_core::access::{self, Roles};
use patchbay_core::model::{
    Attached, Caller, ConnectionId, ConnectionType, KeyId, Member, Name, Person, Record, Role, Sealed, Subject,
    Timestamp, Workspace, WorkspaceId,
};
use patchbay_core::store::{Seen, StoreError};

use crate::database::{Row, Value, blob, int, text};

/// A connection's attachments, with the caller's role in each of their workspaces.
#[derive(Default)]
pub(crate) struct Attachments {
    /// Sorted by workspace.
    pub(crate) attached: Vec<Attached>,
    /// The roles that the caller has, sorted by workspace.
    roles: Vec<(WorkspaceId, Role)>,
}

impl Roles for Attachments {
    fn role(&self, workspace: WorkspaceId) -> Option<Role> {
        let at = self.roles.binary_search_by_key(&workspace, |(id, _)| *id).ok()?;
        self.roles.get(at).map(|(_, role)| *role)
    }
}

impl Attachments {
    /// Reads the column that the macro `attached!` of the statements makes.
    fn read(row: &dyn Row, column: usize) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let lines = match row.value(column)? {
            Value::Null => return Ok(found),
            Value::Text(lines) => lines,
            _ => return Err(damaged("attachments")),
        };
        for line in lines.split('\n') {
            let mut parts = line.splitn(3, ' ');
            let (Some(id), Some(member), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(damaged("attachments"));
            };
            let id: i64 = id.parse().map_err(|_| damaged("workspace id"))?;
            let workspace = workspace_id(id)?;
            if let Some(role) = role(member.parse().map_err(|_| damaged("role"))?)? {
                found.roles.push((workspace, role));
            }
            let name = name_of(name)?;
            found.attached.push(Attached { workspace, name });
        }
        found.attached.sort_unstable_by_key(|at| at.workspace);
        found.roles.sort_unstable_by_key(|(id, _)| *id);
        Ok(found)
    }
}

/// What decisions about a connection rest on.
pub(crate) struct Facts {
    pub(crate) seq: i64,
    pub(crate) id: ConnectionId,
    pub(crate) name: Name,
    pub(crate) owner: Subject,
    pub(crate) attachments: Attachments,
}

impl Facts {
    /// Reads the columns of the macro `facts!` of the statements.
    pub(crate) fn read(row: &dyn Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: int(row, 0)?,
            id: ConnectionId::from_bytes(uuid(row, 1)?),
            name: name_of(text(row, 2)?)?,
            owner: subject(text(row, 3)?)?,
            attachments: Attachments::read(row, 4)?,
        })
    }
}

/// Reads the columns of the macro `record!` of the statements, if the caller may see the connection.
pub(crate) fn seen(row: &dyn Row, caller: &Caller) -> Result<Option<Seen>, StoreError> {
    let owner = subject(text(row, 3)?)?;
    let attachments = Attachments::read(row, 7)?;
    if !access::sees_connection(caller, &owner, &attachments.attached, &attachments) {
        return Ok(None);
    }
    let workspace_names = access::visible_names(caller, &owner, &attachments.attached, &attachments);
    let record = record(row, owner)?;
    Ok(Some(Seen {
        record,
        workspace_names,
    }))
}

/// Reads the same columns, whoever may see the connection.
pub(crate) fn whole(row: &dyn Row) -> Result<(Record, Vec<Attached>), StoreError> {
    let owner = subject(text(row, 3)?)?;
    Ok((record(row, owner)?, Attachments::read(row, 7)?.attached))
}

/// The record in the first seven of those columns.
pub(crate) fn record(row: &dyn Row, owner: Subject) -> Result<Record, StoreError> {
    Ok(Record {
        id: ConnectionId::from_bytes(uuid(row, 0)?),
        name: name_of(text(row, 1)?)?,
        connection_type: ConnectionType::new(text(row, 2)?).map_err(|_| damaged("type"))?,
        owner,
        created_at: Timestamp::from_micros(int(row, 4)?),
        sealed: Sealed {
            key_id: KeyId::new(text(row, 5)?).map_err(|_| damaged("key id"))?,
            bytes: blob(row, 6)?.to_vec(),
        },
    })
}

/// Reads `id, name, created_by, created_at`.
pub(crate) fn workspace(row: &dyn Row) -> Result<Workspace, StoreError> {
    Ok(Workspace {
        id: workspace_id(int(row, 0)?)?,
        name: name_of(text(row, 1)?)?,
        created_by: subject(text(row, 2)?)?,
        created_at: Timestamp::from_micros(int(row, 3)?),
    })
}

/// Reads `kind, subject, role`.
pub(crate) fn member(row: &dyn Row) -> Result<Member, StoreError> {
    let subject = subject(text(row, 1)?)?;
    let person = match int(row, 0)? {
        0 => Person::Subject(subject),
        1 => Person::Email(subject),
        _ => return Err(damaged("kind of member")),
    };
    let role = role(int(row, 2)?)?.ok_or_else(|| damaged("role"))?;
    Ok(Member { person, role })
}

/// The e-mail address that is kept beside a member.
pub(crate) fn email_beside(row: &dyn Row, column: usize) -> Result<Option<Subject>, StoreError> {
    match row.value(column)? {
        Value::Null => Ok(None),
        _ => subject(text(row, column)?).map(Some),
    }
}

/// The kind and the subject that stand for a person.
pub(crate) fn person_stored(person: &Person) -> [Value<'_>; 2] {
    match person {
        Person::Subject(subject) => [Value::Int(0), subject.as_str().into()],
        Person::Email(email) => [Value::Int(1), email.as_str().into()],
    }
}

/// The role that an integer stands for; 0 is none.
pub(crate) fn role(stored: i64) -> Result<Option<Role>, StoreError> {
    match stored {
        0 => Ok(None),
        1 => Ok(Some(Role::Collaborator)),
        2 => Ok(Some(Role::Owner)),
        _ => Err(damaged("role")),
    }
}

/// The integer that stands for a role.
pub(crate) fn role_stored(role: Role) -> i64 {
    match role {
        Role::Collaborator => 1,
        Role::Owner => 2,
    }
}

/// A workspace's id, below 2^53 by its type.
pub(crate) fn workspace_stored(id: WorkspaceId) -> Value<'static> {
    Value::Int(i64::try_from(id.get()).unwrap_or(i64::MAX))
}

pub(crate) fn workspace_id(stored: i64) -> Result<WorkspaceId, StoreError> {
    u64::try_from(stored)
        .ok()
        .and_then(|id| WorkspaceId::new(id).ok())
        .ok_or_else(|| damaged("workspace id"))
}

pub(crate) fn uuid(row: &dyn Row, column: usize) -> Result<[u8; 16], StoreError> {
    blob(row, column)?.try_into().map_err(|_| damaged("id"))
}

pub(crate) fn name_of(stored: &str) -> Result<Name, StoreError> {
    Name::new(stored).map_err(|_| damaged("name"))
}

pub(crate) fn subject(stored: &str) -> Result<Subject, StoreError> {
    Subject::new(stored).map_err(|_| damaged("subject"))
}

pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("a stored {what} is not one that this version writes"))
}
