//! The operations on single connections.

use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_core::access::{self, Roles as _, Verdict};
use patchbay_core::limits;
use patchbay_core::model::{Caller, ConnectionId, Name, Record, WorkspaceId, Workspaces};
use patchbay_core::store::{
    Attach, AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, Lookup, Seen, StoreError,
};

use crate::again::until_decided;
use crate::facts::{self, BYTES, Facts, WITHOUT_SEALED};
use crate::item::{Item, item, number};
use crate::key::{Key, Keys};
use crate::reads::Reads;
use crate::roles::Roles;
use crate::table::{Items, Table};
use crate::transaction::{Actions, When, Written};
use crate::workspaces;

/// The key of an entry of a list.
pub(crate) fn listed(partition: String, name: &Name) -> Key {
    let sort = name.as_str().to_owned();
    Key { partition, sort }
}

/// An entry of a list: its key says which connection, and the rest what reading its record takes.
pub(crate) fn entry(partition: String, name: &Name, bytes: usize) -> Item {
    item(&listed(partition, name), [(BYTES, number(bytes))])
}

/// In one transaction.
pub(crate) async fn create(table: &Table, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
    /// The place of the action that takes the name.
    const NAME: usize = 1;
    let keys = Keys(&caller.tenant);
    let (name, owner, bytes) = (record.name.clone(), record.owner.clone(), record.sealed.bytes.len());
    let (whole, facts) = facts::items(keys, record, 0, AttributeValue::M(Item::new()));
    until_decided(table, || async {
        let mut actions = Actions::new(table)?;
        actions.put(facts.clone(), When::Absent);
        actions.put(whole.clone(), When::Absent);
        for partition in [keys.all(), keys.owned_by(&owner)] {
            actions.put(entry(partition, &name, bytes), When::Always);
        }
        match actions.write().await? {
            Written::All => Ok(Some(CreateOutcome::Created)),
            // Names are given up and taken again, and then an attempt that is at large would take this one.
            Written::Nothing(lost) if lost.at_large => Err(StoreError::Unavailable(
                "whether a connection is created is not known: its name is another's, and an attempt was not answered"
                    .into(),
            )),
            Written::Nothing(lost) if lost.failed.contains(&NAME) => Ok(Some(CreateOutcome::NameTaken)),
            Written::Nothing(_) => Ok(None),
        }
    })
    .await
}

/// In one read by name, and two by id, of which the first tells whether there is something to be seen.
pub(crate) async fn get(
    table: &Table,
    reads: Reads,
    caller: &Caller,
    lookup: Lookup,
) -> Result<Option<Seen>, StoreError> {
    let keys = Keys(&caller.tenant);
    let mut first = Roles::keys(caller);
    first.push(match &lookup {
        Lookup::Name(name) => keys.record(name),
        Lookup::Id(id) => keys.facts(*id),
    });
    let mut items = table.read(first, None, reads).await?;
    let roles = Roles::take(&mut items, caller)?;
    let found = match lookup {
        Lookup::Name(name) => items.take(&keys.record(&name)),
        Lookup::Id(id) => {
            let Some(facts) = read_facts(&mut items, &keys.facts(id))? else {
                return Ok(None);
            };
            if !access::sees_connection(caller, &facts.owner, &facts.attached, &roles) {
                return Ok(None);
            }
            let key = keys.record(&facts.name);
            let record = table.read(vec![key.clone()], None, reads).await?.take(&key);
            match record {
                // The name was given up and taken again meanwhile.
                Some(record) if facts::id_of(&record)? != id => None,
                record => record,
            }
        }
    };
    found.map_or(Ok(None), |found| facts::seen(&found, caller, &roles, true))
}

fn read_facts(items: &mut Items, key: &Key) -> Result<Option<Facts>, StoreError> {
    items.take(key).map(|item| Facts::read(&item)).transpose()
}

/// In one read and one transaction.
pub(crate) async fn attach(table: &Table, caller: &Caller, attach: &Attach) -> Result<AttachOutcome, StoreError> {
    until_decided(table, || try_to_attach(table, caller, attach)).await
}

async fn try_to_attach(table: &Table, caller: &Caller, attach: &Attach) -> Result<Option<AttachOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let workspace_key = keys.workspace(attach.workspace);
    let mut wanted = Roles::keys(caller);
    wanted.extend([keys.facts(attach.connection), workspace_key.clone()]);
    let mut items = table.read(wanted, None, Reads::Strong).await?;
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
        return Ok(Some(AttachOutcome::Forbidden(facts.name)));
    }
    if let Some(id) = facts.attachments.get(&attach.workspace) {
        return Ok(Some(AttachOutcome::Attached(*id, facts.name)));
    }
    if facts.attachments.len() >= limits::WORKSPACES_PER_CONNECTION {
        return Ok(Some(AttachOutcome::TooMany(facts.name)));
    }

    let opens = stored.is_none();
    let workspace = match stored {
        Some(workspace) => workspace,
        None => workspaces::opened(caller, attach.workspace, attach.now)?,
    };
    let mut actions = Actions::new(table)?;
    let attachment = facts::attachment(attach.id, &workspace.name);
    for key in [keys.facts(facts.id), keys.record(&facts.name)] {
        actions.attachment(&key, facts.revision, attach.workspace, Some(attachment.clone()));
    }
    if opens {
        workspaces::put(keys, &workspace, &mut actions);
    }
    let partition = keys.inside(attach.workspace);
    actions.put(entry(partition, &facts.name, facts.bytes), When::Always);
    if let Some(granted) = roles.granting(attach.workspace) {
        actions.check(&granted.key, granted.unchanged());
    }
    let written = actions.write().await?;
    Ok((written == Written::All).then_some(AttachOutcome::Attached(attach.id, facts.name)))
}

/// In one read and one transaction.
pub(crate) async fn detach(
    table: &Table,
    caller: &Caller,
    connection: ConnectionId,
    workspace: WorkspaceId,
) -> Result<DetachOutcome, StoreError> {
    until_decided(table, || try_to_detach(table, caller, connection, workspace)).await
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
    let mut items = table.read(wanted, None, Reads::Strong).await?;
    let roles = Roles::take(&mut items, caller)?;

    let facts = read_facts(&mut items, &keys.facts(connection))?;
    let Some(facts) = facts.filter(|facts| facts.attachments.contains_key(&workspace)) else {
        return Ok(Some(DetachOutcome::NotAttached));
    };
    match access::detach(caller, &facts.owner, workspace, &roles) {
        Verdict::Invisible => return Ok(Some(DetachOutcome::NotAttached)),
        Verdict::Forbidden => return Ok(Some(DetachOutcome::Forbidden(facts.name))),
        Verdict::Allowed => {}
    }

    let mut actions = Actions::new(table)?;
    for key in [keys.facts(facts.id), keys.record(&facts.name)] {
        actions.attachment(&key, facts.revision, workspace, None);
    }
    actions.delete(&listed(keys.inside(workspace), &facts.name), When::Always);
    if !access::controls(caller, &facts.owner)
        && let Some(granted) = roles.granting(workspace)
    {
        actions.check(&granted.key, granted.unchanged());
    }
    let written = actions.write().await?;
    Ok((written == Written::All).then_some(DetachOutcome::Detached(facts.name)))
}

/// In one read and one transaction.
pub(crate) async fn delete(table: &Table, caller: &Caller, name: &Name) -> Result<DeleteOutcome, StoreError> {
    until_decided(table, || try_to_delete(table, caller, name)).await
}

async fn try_to_delete(table: &Table, caller: &Caller, name: &Name) -> Result<Option<DeleteOutcome>, StoreError> {
    let keys = Keys(&caller.tenant);
    let record = keys.record(name);
    let mut wanted = Roles::keys(caller);
    wanted.push(record.clone());
    let mut items = table.read(wanted, Some(&WITHOUT_SEALED), Reads::Strong).await?;
    let roles = Roles::take(&mut items, caller)?;

    let Some(mut facts) = read_facts(&mut items, &record)? else {
        return Ok(Some(DeleteOutcome::NotFound));
    };
    match access::delete(caller, &facts.owner, &facts.attached, &roles) {
        Verdict::Invisible => return Ok(Some(DeleteOutcome::NotFound)),
        Verdict::Forbidden => return Ok(Some(DeleteOutcome::Forbidden(facts.id))),
        Verdict::Allowed => {}
    }
    if !facts.attached.is_empty() {
        facts.attached.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        return Ok(Some(DeleteOutcome::Attached(facts.id, facts.attached)));
    }

    let mut actions = Actions::new(table)?;
    // Revisions begin anew with each connection of a name: that of the facts is of this very one.
    actions.delete(&keys.facts(facts.id), When::Unchanged(facts.revision));
    actions.delete(&record, When::Unchanged(facts.revision));
    for partition in [keys.all(), keys.owned_by(&facts.owner)] {
        actions.delete(&listed(partition, name), When::Always);
    }
    let written = actions.write().await?;
    Ok((written == Written::All).then_some(DeleteOutcome::Deleted(facts.id)))
}
