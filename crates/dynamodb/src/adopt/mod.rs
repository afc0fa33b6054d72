//! Adoption: what `anonymous` of the tenant `default` has, given to somebody.
//!
//! No transaction takes it all. Each connection, and each person's place in a workspace, goes over in one of its own, and
//! is on one side or the other at any moment. A workspace is on both sides for as long as it has something on each. What
//! has gone over is not looked at again, so that an adoption which was broken off goes on when it is begun again.

mod plan;

use patchbay_core::adoption::{self, Adopted, NewOwner, Refusal, Succession};
use patchbay_core::api::Host;
use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Name, Person, Role, Workspace, WorkspaceId};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::StoreError;

use crate::again::until_decided;
use crate::connections::{entry, listed};
use crate::facts::{self, ATTACHMENTS, Facts, WITHOUT_SEALED};
use crate::item::{Item, Reader, SK, damaged};
use crate::key::{Key, Keys};
use crate::members::Members;
use crate::reads::Reads;
use crate::roles::Granted;
use crate::store::DynamoStore;
use crate::table::Table;
use crate::transaction::{ACTIONS, Actions, When, Written};
use crate::workspaces;

/// Entries of workspaces that the transaction which takes a connection over has room for, beside two items and two
/// entries on each side.
const ENTRIES: usize = ACTIONS - 8;

/// Why not all is adopted, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// What is there, or who is to have it, does not allow it. Nothing was changed.
    #[error("nothing was adopted: {0}")]
    Refused(Refusal),
    /// Something has come into its way since it began.
    #[error(
        "the adoption is not complete: something has changed since it began; run it again, and it goes on, or says what"
    )]
    Overtaken,
    /// The table cannot be read or written.
    #[error("the table does not answer as it should; run it again, and it goes on: {0}")]
    Store(StoreError),
}

// Not #[from]: what a message says already is not given as its source too, or it would be printed twice.
impl From<Refusal> for AdoptError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for AdoptError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Gives every connection that `anonymous` of the tenant `default` owns, and every workspace that they created, to somebody
/// else. Ids, names, types, times, attachments and the other members stay; details are sealed anew, with the ring's first
/// key, since they are bound to tenant and owner. The new owner is a member wherever `anonymous` was, and an OWNER of every
/// workspace that has no other, as far as the limits of both allow. What is in the way is told before anything changes.
///
/// It may be broken off at any point, and goes on when it is run again. Others may use the table meanwhile, but nobody
/// the things of `anonymous`: what is created or attached as `anonymous` stays behind, or stops it.
///
/// A `rehearsal` changes nothing.
///
/// # Errors
/// Why not all was adopted.
pub async fn adopt(
    store: &DynamoStore,
    ring: &KeyRing,
    host: &impl Host,
    to: &NewOwner,
    rehearsal: bool,
) -> Result<Adopted, AdoptError> {
    let from = &to.previous()?;
    let adoption = Adoption {
        store,
        ring,
        host,
        from,
        to,
        old: Keys(&from.tenant),
        new: Keys(&to.tenant),
    };
    let plan = adoption.plan().await?;
    if !rehearsal {
        adoption.carry_out(&plan.connections, &plan.workspaces).await?;
    }
    let count = |things: usize| u64::try_from(things).unwrap_or(u64::MAX);
    Ok(Adopted {
        connections: count(plan.connections.len()),
        workspaces: count(plan.workspaces.len()),
        left_out: plan.left_out,
    })
}

struct Adoption<'a, H> {
    store: &'a DynamoStore,
    ring: &'a KeyRing,
    host: &'a H,
    from: &'a Caller,
    to: &'a NewOwner,
    /// Where everything is before it, and after it.
    old: Keys<'a>,
    new: Keys<'a>,
}

impl<H: Host> Adoption<'_, H> {
    /// Whether it goes from one tenant to another.
    fn crosses(&self) -> bool {
        self.from.tenant != self.to.tenant
    }

    fn anonymous(&self) -> Person {
        Person::Subject(self.from.subject.clone())
    }

    fn new_owner(&self) -> Person {
        Person::Subject(self.to.subject.clone())
    }

    /// A workspace as the new owner has it.
    fn adopted(&self, workspace: &Workspace) -> Workspace {
        Workspace {
            created_by: self.to.subject.clone(),
            ..workspace.clone()
        }
    }

    /// Every step stands, whatever becomes of the next, and has a table of its own, which is patient anew.
    async fn carry_out(&self, connections: &[Name], workspaces: &[Workspace]) -> Result<(), AdoptError> {
        if self.crosses() {
            let table = &self.store.table();
            until_decided(table, || self.raise_counter(table)).await?;
            for workspace in workspaces {
                let table = &self.store.table();
                until_decided(table, || self.open_workspace(table, workspace)).await?;
            }
        }
        for name in connections {
            let table = &self.store.table();
            until_decided(table, || self.take_connection(table, name)).await?;
        }
        if self.crosses() {
            // All of them first: in how many workspaces the new owner is then decides where there is room for them.
            for workspace in workspaces {
                loop {
                    let table = &self.store.table();
                    if !until_decided(table, || self.take_member(table, workspace.id)).await? {
                        break;
                    }
                }
            }
        }
        for workspace in workspaces {
            if self.crosses() {
                self.clear(workspace.id).await?;
            }
            let table = &self.store.table();
            until_decided(table, || self.hand_over(table, workspace)).await?;
        }
        Ok(())
    }

    /// Raises the new tenant's counter over the ids of workspaces, so that it gives none of them meanwhile or later.
    async fn raise_counter(&self, table: &Table) -> Result<Option<()>, AdoptError> {
        let wanted = vec![self.old.counter(), self.new.counter()];
        let mut items = table.read(wanted, None, Reads::Strong).await?;
        let (last, _) = workspaces::counter(&mut items, self.old)?;
        let (theirs, seen) = workspaces::counter(&mut items, self.new)?;
        if last <= theirs {
            return Ok(Some(()));
        }
        let mut actions = Actions::new(table)?;
        workspaces::count(self.new, last, seen, &mut actions);
        done(actions).await
    }

    /// Makes the workspace in the new tenant, without members.
    async fn open_workspace(&self, table: &Table, workspace: &Workspace) -> Result<Option<()>, AdoptError> {
        let (key, name) = (
            self.new.workspace(workspace.id),
            self.new.workspace_name(&workspace.name),
        );
        let mut items = table.read(vec![key.clone(), name.clone()], None, Reads::Strong).await?;
        let adopted = self.adopted(workspace);
        match items.take(&key).map(|item| workspaces::read(&item)).transpose()? {
            Some(there) if there == adopted => return Ok(Some(())),
            None if items.take(&name).is_none() => {}
            _ => return Err(AdoptError::Overtaken),
        }
        let mut actions = Actions::new(table)?;
        workspaces::put(self.new, &adopted, &mut actions);
        done(actions).await
    }

    /// Takes the connection over, with its attachments. Its entries in lists of the old tenant's workspaces stay: they
    /// show nothing without it.
    async fn take_connection(&self, table: &Table, name: &Name) -> Result<Option<()>, AdoptError> {
        let (old, new) = (self.old, self.new);
        let mut wanted = vec![old.record(name)];
        if self.crosses() {
            wanted.push(new.record(name));
        }
        let mut items = table.read(wanted, None, Reads::Strong).await?;
        // It was taken over, or deleted.
        let Some(stored) = items.take(&old.record(name)) else {
            return Ok(Some(()));
        };
        let facts = Facts::read(&stored)?;
        if facts.owner != self.from.subject {
            return Ok(Some(()));
        }
        if items.take(&new.record(name)).is_some() {
            return Err(AdoptError::Overtaken);
        }
        let record = facts::record(&stored, true)?;
        let record = self.to.record(self.ring, self.host, &self.from.tenant, record)?;
        let attachments = stored.get(ATTACHMENTS).ok_or_else(|| damaged(ATTACHMENTS))?.clone();
        let (record, decisive) = facts::items(new, record, facts.revision.saturating_add(1), attachments);

        let within: Vec<Item> = match self.crosses() {
            true => facts
                .attachments
                .keys()
                .map(|workspace| entry(new.inside(*workspace), name, facts.bytes))
                .collect(),
            false => Vec::new(),
        };
        // Those for which there is no room come first, since without a connection they show nothing.
        let (together, before) = within.split_at(within.len().min(ENTRIES));
        for entries in before.chunks(ACTIONS) {
            let mut actions = Actions::new(table)?;
            put_all(&mut actions, entries);
            if done(actions).await?.is_none() {
                return Ok(None);
            }
        }
        let mut actions = Actions::new(table)?;
        for (from, item) in [(old.facts(facts.id), decisive), (old.record(name), record)] {
            let unchanged = When::Unchanged(facts.revision);
            if Key::of(&item).as_ref() == Some(&from) {
                actions.put(item, unchanged);
            } else {
                actions.put(item, When::Absent);
                actions.delete(&from, unchanged);
            }
        }
        for (from, to) in [
            (old.all(), new.all()),
            (old.owned_by(&self.from.subject), new.owned_by(&self.to.subject)),
        ] {
            if from != to {
                actions.delete(&listed(from, name), When::Always);
                actions.put(entry(to, name, facts.bytes), When::Always);
            }
        }
        put_all(&mut actions, together);
        done(actions).await
    }

    /// Takes one of the workspace's members over, `anonymous` apart, with the role that they have and the e-mail address
    /// beside them. Says whether there was one.
    async fn take_member(&self, table: &Table, workspace: WorkspaceId) -> Result<Option<bool>, AdoptError> {
        let (old, new) = (self.old, self.new);
        let wanted = vec![old.members(workspace), new.members(workspace)];
        let mut items = table.read(wanted, None, Reads::Strong).await?;
        let from = Members::take(&mut items, old.members(workspace))?;
        let to = Members::take(&mut items, new.members(workspace))?;
        let anonymous = self.anonymous();
        let Some(Member { person, role }) = from.others(&anonymous).next() else {
            return Ok(Some(false));
        };
        let wanted = vec![old.roles(person), new.roles(person)];
        let mut items = table.read(wanted, None, Reads::Strong).await?;
        let left = Granted::take(&mut items, old.roles(person))?;
        let granted = Granted::take(&mut items, new.roles(person))?;
        let role = match granted.roles.get(&workspace) {
            // Somebody made them a member meanwhile.
            Some(Role::Owner) => Role::Owner,
            Some(Role::Collaborator) => *role,
            None if to.all.len() >= limits::MEMBERS_PER_WORKSPACE
                || granted.roles.len() >= limits::WORKSPACES_PER_PERSON =>
            {
                return Err(AdoptError::Overtaken);
            }
            None => *role,
        };
        let email = left.email(workspace)?;
        let mut actions = Actions::new(table)?;
        let member = Member {
            person: person.clone(),
            role,
        };
        actions.put(to.with(member), to.unchanged());
        actions.put(granted.with(workspace, role, email.as_ref()), granted.unchanged());
        actions.put(from.without(person), from.unchanged());
        actions.put(left.without(workspace), left.unchanged());
        Ok(done(actions).await?.map(|()| true))
    }

    /// Takes away the entries that connections left behind in the old tenant's workspace.
    async fn clear(&self, workspace: WorkspaceId) -> Result<(), AdoptError> {
        let names = self.names(&self.old.inside(workspace)).await?;
        for names in names.chunks(ACTIONS) {
            let records = names.iter().map(|name| self.old.record(name)).collect();
            for item in self.read(records, Some(&WITHOUT_SEALED)).await? {
                if Facts::read(&item)?.attachments.contains_key(&workspace) {
                    return Err(AdoptError::Overtaken);
                }
            }
            let table = &self.store.table();
            until_decided(table, || async {
                let mut actions = Actions::new(table)?;
                for name in names {
                    actions.delete(&listed(self.old.inside(workspace), name), When::Always);
                }
                done(actions).await
            })
            .await?;
        }
        Ok(())
    }

    /// Puts the new owner into the place of `anonymous` in the workspace, which nobody else is left in on the old side, and
    /// ends it there.
    async fn hand_over(&self, table: &Table, workspace: &Workspace) -> Result<Option<()>, AdoptError> {
        let (old, new) = (self.old, self.new);
        let (id, anonymous, new_owner) = (workspace.id, self.anonymous(), self.new_owner());
        let mut wanted = vec![
            old.workspace(id),
            old.members(id),
            old.roles(&anonymous),
            new.roles(&new_owner),
        ];
        if self.crosses() {
            wanted.push(new.members(id));
        }
        let mut items = table.read(wanted, None, Reads::Strong).await?;
        let stored = items.take(&old.workspace(id));
        if stored.map(|item| workspaces::read(&item)).transpose()?.as_ref() != Some(workspace) {
            return Ok(Some(()));
        }
        let from = Members::take(&mut items, old.members(id))?;
        let left = Granted::take(&mut items, old.roles(&anonymous))?;
        let granted = Granted::take(&mut items, new.roles(&new_owner))?;
        let to = match self.crosses() {
            true => Some(Members::take(&mut items, new.members(id))?),
            false => None,
        };
        let all: Vec<Member> = to.iter().chain([&from]).flat_map(|side| side.all.clone()).collect();
        let gets = match adoption::succession(&all, &anonymous, &new_owner, granted.roles.len()) {
            Succession::Gets(role) => Some(role),
            Succession::Stays | Succession::NoRoom => None,
        };
        let member = gets.map(|role| Member {
            person: new_owner,
            role,
        });

        let mut actions = Actions::new(table)?;
        match to {
            Some(to) => {
                if from.others(&anonymous).next().is_some() {
                    return Err(AdoptError::Overtaken);
                }
                match member {
                    Some(member) => actions.put(to.with(member), to.unchanged()),
                    None => actions.check(&to.key, to.unchanged()),
                }
                actions.delete(&from.key, from.unchanged());
                actions.delete(&old.workspace(id), When::Always);
                actions.delete(&old.workspace_name(&workspace.name), When::Always);
            }
            None => {
                let others = from.others(&anonymous);
                let others = others.filter(|other| Some(&other.person) != member.as_ref().map(|member| &member.person));
                actions.put(from.item(others.chain(&member)), from.unchanged());
                actions.put(workspaces::stored(new, &self.adopted(workspace)), When::Always);
            }
        }
        match gets {
            Some(role) => actions.put(granted.with(id, role, None), granted.unchanged()),
            None => actions.check(&granted.key, granted.unchanged()),
        }
        if from.has(&anonymous) {
            actions.put(left.without(id), left.unchanged());
        }
        done(actions).await
    }

    /// The names in a partition of a list.
    async fn names(&self, partition: &str) -> Result<Vec<Name>, StoreError> {
        let entries = self.partition(partition).await?;
        entries.iter().map(|entry| Reader::new(entry)?.name(SK)).collect()
    }

    /// The items of a partition, in the order of their sort keys.
    async fn partition(&self, partition: &str) -> Result<Vec<Item>, StoreError> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let table = self.store.table();
            let (items, more) = table.page(partition, &after, None, Reads::Strong).await?;
            all.extend(items);
            match all.last().and_then(Key::of) {
                Some(last) if more => after = last.sort,
                _ => return Ok(all),
            }
        }
    }

    /// Those of these items that are there, in their order.
    async fn read(&self, keys: Vec<Key>, only: Option<&[&str]>) -> Result<Vec<Item>, StoreError> {
        let mut items = self.store.table().read(keys.clone(), only, Reads::Strong).await?;
        Ok(keys.iter().filter_map(|key| items.take(key)).collect())
    }
}

fn put_all(actions: &mut Actions<'_>, entries: &[Item]) {
    for entry in entries {
        actions.put(entry.clone(), When::Always);
    }
}

/// Does all actions, or gives nothing where what was read to decide them has changed.
async fn done(actions: Actions<'_>) -> Result<Option<()>, AdoptError> {
    Ok((actions.write().await? == Written::All).then_some(()))
}
