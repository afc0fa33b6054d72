//! What an adoption comes to, and what is in its way.

use std::collections::{BTreeMap, BTreeSet};

use patchbay_core::adoption::{self, Conflict, Conflicts, Refusal, Succession};
use patchbay_core::api::Host;
use patchbay_core::limits;
use patchbay_core::model::{Member, Name, Person, Workspace, WorkspaceId};

use super::{AdoptError, Adoption};
use crate::facts::{self, Facts, WITHOUT_SEALED};
use crate::members::Members;
use crate::reads::Reads;
use crate::roles::Granted;
use crate::table::BATCH;
use crate::workspaces;

/// What is to be adopted.
pub(super) struct Plan {
    pub(super) connections: Vec<Name>,
    /// In the order of their ids.
    pub(super) workspaces: Vec<Workspace>,
    /// How many of them the new owner will not come to be in, although they should.
    pub(super) left_out: u64,
}

/// The members of a workspace.
struct Inside {
    /// Those who have not been taken over.
    left: Members,
    all: Vec<Member>,
}

/// What `anonymous` owns.
#[derive(Default)]
struct Owned {
    connections: Vec<Name>,
    /// Attachments to workspaces of others.
    parted: BTreeSet<(WorkspaceId, Name)>,
    /// That some of it does not open.
    closed: Option<Refusal>,
}

impl<H: Host> Adoption<'_, H> {
    /// Changes nothing.
    pub(super) async fn plan(&self) -> Result<Plan, AdoptError> {
        let every = self.partition(&self.old.workspaces()).await?;
        let every: Vec<Workspace> = every.iter().map(workspaces::read).collect::<Result<_, _>>()?;
        let of_anonymous = |workspace: &Workspace| workspace.created_by == self.from.subject;
        let (workspaces, others): (Vec<_>, Vec<_>) = every.into_iter().partition(of_anonymous);
        let others = others.into_iter().map(|workspace| workspace.id).collect();
        let mut owned = self.owned(&others).await?;
        let inside = self.inside(&workspaces).await?;
        if self.crosses() {
            let mut conflicts = Conflicts::default();
            self.taken_names(&owned.connections, &mut conflicts).await?;
            self.taken_workspaces(&workspaces, &mut conflicts).await?;
            let strangers = self.strangers(&workspaces, &owned.connections).await?;
            owned.parted.extend(strangers);
            for (workspace, name) in owned.parted {
                conflicts.add(Conflict::Parted { name, workspace });
            }
            self.crowded(&inside, &mut conflicts).await?;
            conflicts.none()?;
        }
        match owned.closed {
            Some(refusal) => Err(refusal.into()),
            None => Ok(Plan {
                connections: owned.connections,
                left_out: self.left_out(&inside).await?,
                workspaces,
            }),
        }
    }

    async fn owned(&self, others: &BTreeSet<WorkspaceId>) -> Result<Owned, AdoptError> {
        let mut owned = Owned::default();
        let names = self.names(&self.old.owned_by(&self.from.subject)).await?;
        for names in names.chunks(BATCH) {
            let records = names.iter().map(|name| self.old.record(name)).collect();
            for item in self.read(records, None).await? {
                let facts = Facts::read(&item)?;
                if facts.owner != self.from.subject {
                    continue;
                }
                let parted = facts.attachments.keys().filter(|workspace| others.contains(workspace));
                owned
                    .parted
                    .extend(parted.map(|workspace| (*workspace, facts.name.clone())));
                let record = facts::record(&item, true)?;
                let sealed = self.to.record(self.ring, self.host, &self.from.tenant, record);
                owned.closed = owned.closed.or(sealed.err());
                owned.connections.push(facts.name);
            }
        }
        Ok(owned)
    }

    /// Connections whose names the new tenant has already.
    async fn taken_names(&self, connections: &[Name], conflicts: &mut Conflicts) -> Result<(), AdoptError> {
        let records = connections.iter().map(|name| self.new.record(name)).collect();
        for item in self.read(records, Some(&WITHOUT_SEALED)).await? {
            conflicts.add(Conflict::ConnectionName {
                tenant: self.to.tenant.clone(),
                name: Facts::read(&item)?.name,
            });
        }
        Ok(())
    }

    /// Workspaces whose id, or else name, the new tenant has already, but for what an adoption made that was broken off.
    async fn taken_workspaces(&self, workspaces: &[Workspace], conflicts: &mut Conflicts) -> Result<(), AdoptError> {
        let new = self.new;
        let keys = |workspace: &Workspace| [new.workspace(workspace.id), new.workspace_name(&workspace.name)];
        let wanted = workspaces.iter().flat_map(keys).collect();
        let mut items = self.store.table().read(wanted, None, Reads::Strong).await?;
        for workspace in workspaces {
            let [by_id, by_name] = keys(workspace);
            let (tenant, id, name) = (self.to.tenant.clone(), workspace.id, workspace.name.clone());
            match items.take(&by_id).map(|item| workspaces::read(&item)).transpose()? {
                Some(there) if there == self.adopted(workspace) => {}
                Some(_) => conflicts.add(Conflict::WorkspaceId { tenant, id, name }),
                None if items.take(&by_name).is_some() => conflicts.add(Conflict::WorkspaceName { tenant, id, name }),
                None => {}
            }
        }
        Ok(())
    }

    /// Attachments of others' connections to the workspaces.
    async fn strangers(
        &self,
        workspaces: &[Workspace],
        owned: &[Name],
    ) -> Result<BTreeSet<(WorkspaceId, Name)>, AdoptError> {
        let owned: BTreeSet<&Name> = owned.iter().collect();
        let mut strangers = BTreeSet::new();
        for workspace in workspaces {
            let names = self.names(&self.old.inside(workspace.id)).await?;
            let others = names.iter().filter(|name| !owned.contains(name));
            let records = others.map(|name| self.old.record(name)).collect();
            for item in self.read(records, Some(&WITHOUT_SEALED)).await? {
                let facts = Facts::read(&item)?;
                if facts.owner != self.from.subject && facts.attachments.contains_key(&workspace.id) {
                    strangers.insert((workspace.id, facts.name));
                }
            }
        }
        Ok(strangers)
    }

    /// The members of each of the workspaces, wherever they are by now.
    async fn inside(&self, workspaces: &[Workspace]) -> Result<Vec<Inside>, AdoptError> {
        let (old, new) = (self.old, self.new);
        let mut wanted: Vec<_> = workspaces.iter().map(|workspace| old.members(workspace.id)).collect();
        if self.crosses() {
            wanted.extend(workspaces.iter().map(|workspace| new.members(workspace.id)));
        }
        let mut items = self.store.table().read(wanted, None, Reads::Strong).await?;
        let mut inside = Vec::new();
        for workspace in workspaces {
            let left = Members::take(&mut items, old.members(workspace.id))?;
            let mut all = left.all.clone();
            if self.crosses() {
                all.extend(Members::take(&mut items, new.members(workspace.id))?.all);
            }
            inside.push(Inside { left, all });
        }
        Ok(inside)
    }

    /// Members who would be in too many workspaces, `anonymous` apart.
    async fn crowded(&self, inside: &[Inside], conflicts: &mut Conflicts) -> Result<(), AdoptError> {
        let anonymous = self.anonymous();
        let mut counts = BTreeMap::<&Person, usize>::new();
        for Member { person, .. } in inside.iter().flat_map(|inside| inside.left.others(&anonymous)) {
            *counts.entry(person).or_default() += 1;
        }
        let wanted = counts.keys().map(|person| self.new.roles(person)).collect();
        let mut items = self.store.table().read(wanted, None, Reads::Strong).await?;
        for (person, count) in counts {
            let already = Granted::take(&mut items, self.new.roles(person))?.roles.len();
            if already + count > limits::WORKSPACES_PER_PERSON {
                let (Person::Subject(known_by) | Person::Email(known_by)) = person;
                conflicts.add(Conflict::Crowded(known_by.clone()));
            }
        }
        Ok(())
    }

    /// How many workspaces have no room for the new owner, or are too many.
    async fn left_out(&self, inside: &[Inside]) -> Result<u64, AdoptError> {
        let (anonymous, new_owner) = (self.anonymous(), self.new_owner());
        let roles = self.new.roles(&new_owner);
        let mut items = self
            .store
            .table()
            .read(vec![roles.clone()], None, Reads::Strong)
            .await?;
        let mut among = Granted::take(&mut items, roles)?.roles.len();
        if self.crosses() {
            among += inside.iter().filter(|inside| inside.left.has(&new_owner)).count();
        }
        let mut left_out = 0;
        for Inside { all, .. } in inside {
            match adoption::succession(all, &anonymous, &new_owner, among) {
                Succession::Gets(_) => among += usize::from(all.iter().all(|member| member.person != new_owner)),
                Succession::NoRoom => left_out += 1,
                Succession::Stays => {}
            }
        }
        Ok(left_out)
    }
}
