//! The operations on workspaces.

use patchbay_core::identity;
use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Name, Person, Role, Timestamp, Workspace, WorkspaceId};
use patchbay_core::store::{CreateWorkspaceOutcome, ListWorkspacesOutcome, StoreError, WorkspacesOf, workspace_bytes};

use crate::again::until_decided;
use crate::item::{Item, REVISION, Reader, damaged, item, number, text};
use crate::key::{Key, Keys, persons, sort_of_workspace};
use crate::members::Members;
use crate::reads::Reads;
use crate::roles::{Granted, Roles};
use crate::table::{Items, Table};
use crate::transaction::{Actions, When, Written};

const ID: &str = "id";
const NAME: &str = "name";
const CREATED_BY: &str = "created_by";
const CREATED_AT: &str = "created_at";
const LAST: &str = "last";

/// Workspaces that are read at a time to find a free id.
const WALK: i32 = 100;

/// A workspace's item as it is read.
pub(crate) fn read(item: &Item) -> Result<Workspace, StoreError> {
    let reader = Reader::new(item)?;
    Ok(Workspace {
        id: reader.workspace(ID)?,
        name: reader.name(NAME)?,
        created_by: reader.subject(CREATED_BY)?,
        created_at: Timestamp::from_micros(reader.number(CREATED_AT)?),
    })
}

/// Puts a workspace and its name where neither is there.
pub(crate) fn put(keys: Keys<'_>, workspace: &Workspace, actions: &mut Actions<'_>) {
    let name = item(&keys.workspace_name(&workspace.name), [(ID, number(workspace.id))]);
    actions.put(name, When::Absent);
    actions.put(stored(keys, workspace), When::Absent);
}

/// A workspace's item.
pub(crate) fn stored(keys: Keys<'_>, workspace: &Workspace) -> Item {
    item(
        &keys.workspace(workspace.id),
        [
            (ID, number(workspace.id)),
            (NAME, text(workspace.name.as_str())),
            (CREATED_BY, text(workspace.created_by.as_str())),
            (CREATED_AT, number(workspace.created_at.as_micros())),
        ],
    )
}

/// The workspace `workspace-<id>`, which the first attach makes in `open` mode.
pub(crate) fn opened(caller: &Caller, id: WorkspaceId, now: Timestamp) -> Result<Workspace, StoreError> {
    Ok(Workspace {
        id,
        name: Name::new(&format!("workspace-{id}")).map_err(|_| damaged("workspace id"))?,
        created_by: caller.subject.clone(),
        created_at: now,
    })
}

/// In two reads and one transaction.
pub(crate) async fn create(
    table: &Table,
    caller: &Caller,
    name: &Name,
    now: Timestamp,
) -> Result<CreateWorkspaceOutcome, StoreError> {
    until_decided(table, || try_to_create(table, caller, name, now)).await
}

async fn try_to_create(
    table: &Table,
    caller: &Caller,
    name: &Name,
    now: Timestamp,
) -> Result<Option<CreateWorkspaceOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let persons: Vec<Key> = persons(caller).iter().map(|person| keys.roles(person)).collect();
    let mut wanted = persons.clone();
    wanted.extend([keys.workspace_name(name), keys.counter()]);
    let mut items = table.read(wanted, None, Reads::Strong).await?;
    if items.take(&keys.workspace_name(name)).is_some() {
        return Ok(Some(CreateWorkspaceOutcome::NameTaken));
    }
    let granted = persons.into_iter().map(|key| Granted::take(&mut items, key));
    let roles = Roles(granted.collect::<Result<_, _>>()?);
    if roles.workspaces().len() >= limits::WORKSPACES_PER_PERSON {
        return Ok(Some(CreateWorkspaceOutcome::TooMany));
    }
    let (last, counter) = counter(&mut items, keys)?;
    let id = next_free(table, keys, last).await?;

    let mut actions = Actions::new(table)?;
    let workspace = Workspace {
        id,
        name: name.clone(),
        created_by: caller.subject.clone(),
        created_at: now,
    };
    put(keys, &workspace, &mut actions);
    count(keys, id.get(), counter, &mut actions);
    let owner = Member {
        person: Person::Subject(caller.subject.clone()),
        role: Role::Owner,
    };
    let members = Members::take(&mut items, keys.members(id))?;
    actions.put(members.with(owner), members.unchanged());
    let mut granted = roles.0.iter();
    if let Some(by_subject) = granted.next() {
        actions.put(by_subject.with(id, Role::Owner, None), by_subject.unchanged());
    }
    // Whom the e-mail address makes a member counts as well.
    for by_email in granted {
        actions.check(&by_email.key, by_email.unchanged());
    }
    let written = actions.write().await?;
    Ok((written == Written::All).then_some(CreateWorkspaceOutcome::Created(id)))
}

/// The last id that was given, 0 if none was, and the counter's condition.
pub(crate) fn counter(items: &mut Items, keys: Keys<'_>) -> Result<(u64, When), StoreError> {
    let Some(item) = items.take(&keys.counter()) else {
        return Ok((0, When::Absent));
    };
    let reader = Reader::new(&item)?;
    Ok((reader.number(LAST)?, When::Unchanged(reader.number(REVISION)?)))
}

/// Sets the counter, which was `seen` so, to the last id that was given.
pub(crate) fn count(keys: Keys<'_>, last: u64, seen: When, actions: &mut Actions<'_>) {
    let revision = match seen {
        When::Unchanged(revision) => revision.saturating_add(1),
        _ => 0,
    };
    let given = [(REVISION, number(revision)), (LAST, number(last))];
    actions.put(item(&keys.counter(), given), seen);
}

/// The first id after `last` that is not taken: `open` mode may have taken any.
async fn next_free(table: &Table, keys: Keys<'_>, last: u64) -> Result<WorkspaceId, StoreError> {
    let mut next = last.saturating_add(1);
    loop {
        let after = sort_of_workspace(next.saturating_sub(1));
        let (taken, more) = table
            .page(&keys.workspaces(), &after, Some(WALK), Reads::Strong)
            .await?;
        let before = next;
        for item in &taken {
            if read(item)?.id.get() == next {
                next = next.saturating_add(1);
            }
        }
        let all_were = next - before == taken.len() as u64;
        if !all_were || !more {
            return WorkspaceId::new(next).map_err(|_| StoreError::Unavailable("no workspace id is left".into()));
        }
    }
}

/// In one read for each MiB of all workspaces; somebody's in one read and another for each hundred. A person is matched
/// by subject, and by e-mail too, since somebody who was added by e-mail only is shown by it.
pub(crate) async fn list(
    table: &Table,
    caller: &Caller,
    of: WorkspacesOf,
    most_bytes: usize,
) -> Result<ListWorkspacesOutcome, StoreError> {
    let keys = Keys(&caller.tenant);
    let persons = match of {
        WorkspacesOf::Everybody => return all(table, keys, most_bytes).await,
        WorkspacesOf::Caller => persons(caller),
        WorkspacesOf::Person(person) => {
            let email = identity::email(person.as_str()).map(Person::Email);
            [Person::Subject(person)].into_iter().chain(email.ok()).collect()
        }
    };
    let wanted: Vec<Key> = persons.iter().map(|person| keys.roles(person)).collect();
    let mut items = table.read(wanted.clone(), None, Reads::Strong).await?;
    let granted = wanted.into_iter().map(|key| Granted::take(&mut items, key));
    let ids = Roles(granted.collect::<Result<_, _>>()?).workspaces();
    let wanted: Vec<Key> = ids.into_iter().map(|id| keys.workspace(id)).collect();
    let mut items = table.read(wanted.clone(), None, Reads::Strong).await?;
    let found = wanted.iter().filter_map(|key| items.take(key));
    let workspaces: Vec<Workspace> = found.map(|item| read(&item)).collect::<Result<_, _>>()?;
    Ok(if fit(&workspaces, most_bytes) {
        ListWorkspacesOutcome::All(workspaces)
    } else {
        ListWorkspacesOutcome::TooLong
    })
}

fn fit(workspaces: &[Workspace], most_bytes: usize) -> bool {
    workspaces.iter().map(workspace_bytes).sum::<usize>() <= most_bytes
}

async fn all(table: &Table, keys: Keys<'_>, most_bytes: usize) -> Result<ListWorkspacesOutcome, StoreError> {
    let (mut workspaces, mut after) = (Vec::new(), String::new());
    loop {
        let (items, more) = table.page(&keys.workspaces(), &after, None, Reads::Strong).await?;
        for item in &items {
            workspaces.push(read(item)?);
        }
        if !fit(&workspaces, most_bytes) {
            return Ok(ListWorkspacesOutcome::TooLong);
        }
        match workspaces.last() {
            Some(last) if more => after = sort_of_workspace(last.id.get()),
            _ => return Ok(ListWorkspacesOutcome::All(workspaces)),
        }
    }
}
