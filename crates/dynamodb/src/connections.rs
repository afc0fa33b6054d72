//! The operations on single connections.

use patchbay_core::access::{self, Roles as _, Verdict};
use patchbay_core::limits;
use patchbay_core::model::{Caller, ConnectionId, Name, Record, WorkspaceId, Workspaces};
use patchbay_core::store::{
    Attach, AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, Lookup, Seen, StoreError,
};

use crate::again::until_decided;
use crate::facts::{self, Facts, WITHOUT_SEALED};
use crate::item::item;
use crate::key::{Key, Keys};
use crate::roles::Roles;
use crate::table::{Actions, Items, Table, When, Written};
use crate::workspaces;

/// An entry of a list: its key says it all.
fn entry(partition: String, name: &Name) -> Key {
    let sort = name.as_str().to_owned();
    Key { partition, sort }
}

/// In one transaction. Where the name is taken by the very connection that is to be created, an answer was lost and the
/// create is done.
pub(crate) async fn create(table: &Table, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
    let keys = Keys(&caller.tenant);
    let (id, name, owner) = (record.id, record.name.clone(), record.owner.clone());
    let (whole, facts) = facts::items(keys, record);
    until_decided(|| async {
        let mut actions = Actions::default();
        actions.put(table, whole.clone(), When::Absent);
        actions.put(table, facts.clone(), When::Absent);
        for partition in [keys.all(), keys.owned_by(&owner)] {
            actions.put(table, item(&entry(partition, &name), []), When::Always);
        }
        Ok(match table.write(actions).await? {
            Written::All => Some(CreateOutcome::Created),
            Written::Nothing(Some(taken)) if facts::id_of(&taken)? == id => Some(CreateOutcome::Created),
            Written::Nothing(Some(_)) => Some(CreateOutcome::NameTaken),
            Written::Nothing(None) => None,
        })
    })
    .await
}

/// In one read by name, and two by id.
pub(crate) async fn get(table: &Table, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
    let keys = Keys(&caller.tenant);
    let mut first = Roles::keys(caller);
    first.push(match &lookup {
        Lookup::Name(name) => keys.record(name),
        Lookup::Id(id) => keys.facts(*id),
    });
    let mut items = table.read(first, None).await?;
    let roles = Roles::take(&mut items, caller)?;
    let found = match lookup {
        Lookup::Name(name) => items.take(&keys.record(&name)),
        Lookup::Id(id) => {
            let Some(facts) = read_facts(&mut items, &keys.facts(id))? else {
                return Ok(None);
            };
            let key = keys.record(&facts.name);
            let record = table.read(vec![key.clone()], None).await?.take(&key);
            match record {
                // The name was given up and taken again meanwhile.
                Some(record) if facts::id_of(&record)? != id => None,
                record => record,
            }
        }
    };
    found.map_or(Ok(None), |found| facts::seen(&found, caller, &roles))
}

fn read_facts(items: &mut Items, key: &Key) -> Result<Option<Facts>, StoreError> {
    items.take(key).map(|item| Facts::read(&item)).transpose()
}

/// In one read and one transaction.
pub(crate) async fn attach(table: &Table, caller: &Caller, attach: &Attach) -> Result<AttachOutcome, StoreError> {
    until_decided(|| try_to_attach(table, caller, attach)).await
}

async fn try_to_attach(table: &Table, caller: &Caller, attach: &Attach) -> Result<Option<AttachOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let workspace_key = keys.workspace(attach.workspace);
    let mut wanted = Roles::keys(caller);
    wanted.extend([keys.facts(attach.connection), workspace_key.clone()]);
    let mut items = table.read(wanted, None).await?;
    let roles = Roles::take(&mut items, caller)?;

    let Some(facts) = read_facts(&mut items, &keys.facts(attach.connection))? else {
        return Ok(Some(AttachOutcome::NoConnection));
    };
    let verdict = access::attach(caller, &facts.owner, &facts.attached, &roles);
    if verdict == Verdict::Invisible {
        return Ok(Some(AttachOutcome::NoConnection));
    }
    let stored = items
        .take(&workspace_key)
        .map(|item| workspaces::read(&item))
        .transpose()?;
    let exists = stored.is_some() || attach.workspaces == Workspaces::Open;
    if !exists || !access::sees_workspace(caller, roles.role(attach.workspace)) {
        return Ok(Some(AttachOutcome::NoWorkspace));
    }
    if verdict == Verdict::Forbidden {
        return Ok(Some(AttachOutcome::Forbidden));
    }
    if let Some(id) = facts.attachments.get(&attach.workspace) {
        return Ok(Some(AttachOutcome::Attached(*id)));
    }
    if facts.attachments.len() >= limits::WORKSPACES_PER_CONNECTION {
        return Ok(Some(AttachOutcome::TooMany));
    }

    let mut actions = Actions::default();
    let workspace = match stored {
        Some(workspace) => workspace,
        None => workspaces::open(table, caller, attach.workspace, attach.now, &mut actions)?,
    };
    let attachment = facts::attachment(attach.id, &workspace.name);
    for key in [keys.facts(facts.id), keys.record(&facts.name)] {
        actions.attachment(table, &key, facts.revision, attach.workspace, Some(attachment.clone()));
    }
    let listed = entry(keys.inside(attach.workspace), &facts.name);
    actions.put(table, item(&listed, []), When::Always);
    if let Some(granted) = roles.granting(attach.workspace) {
        actions.check(table, &granted.key, granted.unchanged());
    }
    let written = table.write(actions).await?;
    Ok((written == Written::All).then_some(AttachOutcome::Attached(attach.id)))
}

/// In one read and one transaction.
pub(crate) async fn detach(
    table: &Table,
    caller: &Caller,
    connection: ConnectionId,
    workspace: WorkspaceId,
) -> Result<DetachOutcome, StoreError> {
    until_decided(|| try_to_detach(table, caller, connection, workspace)).await
}

async fn try_to_detach(
    table: &Table,
    caller: &Caller,
    connection: ConnectionId,
    workspace: WorkspaceId,
) -> Result<Option<DetachOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let mut wanted = Roles::keys(caller);
    wanted.push(keys.facts(connection));
    let mut items = table.read(wanted, None).await?;
    let roles = Roles::take(&mut items, caller)?;

    let facts = read_facts(&mut items, &keys.facts(connection))?;
    let Some(facts) = facts.filter(|facts| facts.attachments.contains_key(&workspace)) else {
        return Ok(Some(DetachOutcome::NotAttached));
    };
    match access::detach(caller, &facts.owner, workspace, &roles) {
        Verdict::Invisible => return Ok(Some(DetachOutcome::NotAttached)),
        Verdict::Forbidden => return Ok(Some(DetachOutcome::Forbidden)),
        Verdict::Allowed => {}
    }

    let mut actions = Actions::default();
    for key in [keys.facts(facts.id), keys.record(&facts.name)] {
        actions.attachment(table, &key, facts.revision, workspace, None);
    }
    let listed = entry(keys.inside(workspace), &facts.name);
    actions.delete(table, &listed, When::Always);
    if !access::controls(caller, &facts.owner)
        && let Some(granted) = roles.granting(workspace)
    {
        actions.check(table, &granted.key, granted.unchanged());
    }
    let written = table.write(actions).await?;
    Ok((written == Written::All).then_some(DetachOutcome::Detached))
}

/// In one read and one transaction.
pub(crate) async fn delete(table: &Table, caller: &Caller, name: &Name) -> Result<DeleteOutcome, StoreError> {
    until_decided(|| try_to_delete(table, caller, name)).await
}

async fn try_to_delete(table: &Table, caller: &Caller, name: &Name) -> Result<Option<DeleteOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let record = keys.record(name);
    let mut wanted = Roles::keys(caller);
    wanted.push(record.clone());
    let mut items = table.read(wanted, Some(&WITHOUT_SEALED)).await?;
    let roles = Roles::take(&mut items, caller)?;

    let Some(mut facts) = read_facts(&mut items, &record)? else {
        return Ok(Some(DeleteOutcome::NotFound));
    };
    match access::delete(caller, &facts.owner, &facts.attached, &roles) {
        Verdict::Invisible => return Ok(Some(DeleteOutcome::NotFound)),
        Verdict::Forbidden => return Ok(Some(DeleteOutcome::Forbidden)),
        Verdict::Allowed => {}
    }
    if !facts.attached.is_empty() {
        facts.attached.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        return Ok(Some(DeleteOutcome::Attached(facts.attached)));
    }

    let mut actions = Actions::default();
    // Revisions begin anew with each connection of a name: that of the facts is of this very one.
    actions.delete(table, &keys.facts(facts.id), When::Unchanged(facts.revision));
    actions.delete(table, &record, When::Unchanged(facts.revision));
    for partition in [keys.all(), keys.owned_by(&facts.owner)] {
        actions.delete(table, &entry(partition, name), When::Always);
    }
    let written = table.write(actions).await?;
    Ok((written == Written::All).then_some(DeleteOutcome::Deleted(facts.id)))
}
