//! The operations on a workspace's members: an item with all of them, and one for each person with their roles. Both
//! change together. What decides is the first, in which the caller's own role stands as well.

use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_core::access::{self, Verdict};
use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Person, Subject, WorkspaceId};
use patchbay_core::store::{AddMember, AddMemberOutcome, MembersOutcome, RemoveMemberOutcome, StoreError};

use crate::again::until_decided;
use crate::item::{Item, REVISION, Reader, damaged, item, number, role_stored};
use crate::key::{Key, Keys};
use crate::reads::Reads;
use crate::roles::Granted;
use crate::table::{Items, Table};
use crate::transaction::{Actions, When, Written};

/// A map from a person to their role.
const MEMBERS: &str = "members";

/// In one read and one transaction.
pub(crate) async fn add(table: &Table, caller: &Caller, add: &AddMember) -> Result<AddMemberOutcome, StoreError> {
    until_decided(table, || try_to_add(table, caller, add)).await
}

async fn try_to_add(table: &Table, caller: &Caller, add: &AddMember) -> Result<Option<AddMemberOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let roles_key = keys.roles(&add.person);
    let Some((members, mut items)) = read(table, keys, add.workspace, Some(roles_key.clone())).await? else {
        return Ok(Some(AddMemberOutcome::NoWorkspace));
    };
    match access::add_member(caller, access::role_among(caller, &members.all)) {
        Verdict::Invisible => return Ok(Some(AddMemberOutcome::NoWorkspace)),
        Verdict::Forbidden => return Ok(Some(AddMemberOutcome::Forbidden)),
        Verdict::Allowed => {}
    }
    let granted = Granted::take(&mut items, roles_key)?;
    if members.has(&add.person) {
        if access::takes_the_last_owner(&members.all, &add.person, Some(add.role)) {
            return Ok(Some(AddMemberOutcome::LastOwner));
        }
    } else {
        if members.all.len() >= limits::MEMBERS_PER_WORKSPACE {
            return Ok(Some(AddMemberOutcome::TooManyMembers));
        }
        if granted.roles.len() >= limits::WORKSPACES_PER_PERSON {
            return Ok(Some(AddMemberOutcome::TooManyWorkspaces));
        }
    }
    let added = Member {
        person: add.person.clone(),
        role: add.role,
    };
    let mut actions = Actions::new(table)?;
    actions.put(members.with(added), members.unchanged());
    actions.put(
        granted.with(add.workspace, add.role, add.email.as_ref()),
        granted.unchanged(),
    );
    let written = actions.write().await?;
    Ok((written == Written::All).then_some(AddMemberOutcome::Added))
}

/// In one read.
pub(crate) async fn list(table: &Table, caller: &Caller, workspace: WorkspaceId) -> Result<MembersOutcome, StoreError> {
    let found = read(table, Keys(&caller.tenant), workspace, None).await?;
    let seen = found.filter(|(members, _)| access::sees_workspace(caller, access::role_among(caller, &members.all)));
    Ok(seen.map_or(MembersOutcome::NoWorkspace, |(members, _)| {
        MembersOutcome::All(members.all)
    }))
}

/// In one read and one transaction.
pub(crate) async fn remove(
    table: &Table,
    caller: &Caller,
    workspace: WorkspaceId,
    person: &Person,
) -> Result<RemoveMemberOutcome, StoreError> {
    until_decided(table, || try_to_remove(table, caller, workspace, person)).await
}

async fn try_to_remove(
    table: &Table,
    caller: &Caller,
    workspace: WorkspaceId,
    person: &Person,
) -> Result<Option<RemoveMemberOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let roles_key = keys.roles(person);
    let Some((members, mut items)) = read(table, keys, workspace, Some(roles_key.clone())).await? else {
        return Ok(Some(RemoveMemberOutcome::NoWorkspace));
    };
    match access::remove_member(caller, access::role_among(caller, &members.all), person) {
        Verdict::Invisible => return Ok(Some(RemoveMemberOutcome::NoWorkspace)),
        Verdict::Forbidden => return Ok(Some(RemoveMemberOutcome::Forbidden)),
        Verdict::Allowed => {}
    }
    if !members.has(person) {
        return Ok(Some(RemoveMemberOutcome::NotAMember));
    }
    if access::takes_the_last_owner(&members.all, person, None) {
        return Ok(Some(RemoveMemberOutcome::LastOwner));
    }
    let granted = Granted::take(&mut items, roles_key)?;
    let mut actions = Actions::new(table)?;
    actions.put(members.without(person), members.unchanged());
    actions.put(granted.without(workspace), granted.unchanged());
    let written = actions.write().await?;
    Ok((written == Written::All).then_some(RemoveMemberOutcome::Removed))
}

/// The members of a workspace, if there is such a workspace, with what else was to be read.
async fn read(
    table: &Table,
    keys: Keys<'_>,
    workspace: WorkspaceId,
    besides: Option<Key>,
) -> Result<Option<(Members, Items)>, StoreError> {
    let mut wanted = vec![keys.workspace(workspace), keys.members(workspace)];
    wanted.extend(besides);
    let mut items = table.read(wanted, None, Reads::Strong).await?;
    // A workspace that `open` mode made has no members' item.
    let Some(stored) = items.take(&keys.workspace(workspace)) else {
        return Ok(None);
    };
    Reader::new(&stored)?;
    Ok(Some((Members::take(&mut items, keys.members(workspace))?, items)))
}

/// A workspace's members, as they were read.
pub(crate) struct Members {
    pub(crate) key: Key,
    /// Where the item is there.
    revision: Option<u64>,
    /// Ordered by person.
    pub(crate) all: Vec<Member>,
}

impl Members {
    /// Takes the item out of what was read; where there is none, there are no members.
    pub(crate) fn take(items: &mut Items, key: Key) -> Result<Self, StoreError> {
        let Some(found) = items.take(&key) else {
            let (revision, all) = (None, Vec::new());
            return Ok(Self { key, revision, all });
        };
        let reader = Reader::new(&found)?;
        let (names, map) = reader.map(MEMBERS)?;
        let all = names.map(|name| {
            let (person, role) = (person_of(name)?, map.role(name)?);
            Ok(Member { person, role })
        });
        let mut all = all.collect::<Result<Vec<_>, StoreError>>()?;
        all.sort_unstable_by(|one, other| one.person.cmp(&other.person));
        Ok(Self {
            revision: Some(reader.number(REVISION)?),
            all,
            key,
        })
    }

    /// That the item is still as it was read.
    pub(crate) fn unchanged(&self) -> When {
        self.revision.map_or(When::Absent, When::Unchanged)
    }

    pub(crate) fn has(&self, person: &Person) -> bool {
        self.all.iter().any(|member| member.person == *person)
    }

    /// The item with this member, in the place of who is the same person.
    pub(crate) fn with(&self, member: Member) -> Item {
        self.item(self.others(&member.person).chain([&member]))
    }

    /// The item without this member.
    pub(crate) fn without(&self, person: &Person) -> Item {
        self.item(self.others(person))
    }

    /// The members, but for this one.
    pub(crate) fn others<'m>(&'m self, person: &'m Person) -> impl Iterator<Item = &'m Member> {
        self.all.iter().filter(move |other| other.person != *person)
    }

    pub(crate) fn item<'m>(&self, members: impl Iterator<Item = &'m Member>) -> Item {
        let map = members.map(|member| (person_stored(&member.person), role_stored(member.role)));
        let revision = self.revision.map_or(0, |revision| revision.saturating_add(1));
        item(
            &self.key,
            [
                (REVISION, number(revision)),
                (MEMBERS, AttributeValue::M(map.collect())),
            ],
        )
    }
}

/// A person as the key of a map.
fn person_stored(person: &Person) -> String {
    match person {
        Person::Subject(subject) => format!("s{subject}"),
        Person::Email(email) => format!("e{email}"),
    }
}

fn person_of(key: &str) -> Result<Person, StoreError> {
    let known = |text| Subject::new(text).map_err(|_| damaged("member"));
    match key.split_at_checked(1) {
        Some(("s", subject)) => known(subject).map(Person::Subject),
        Some(("e", email)) => known(email).map(Person::Email),
        _ => Err(damaged("member")),
    }
}
