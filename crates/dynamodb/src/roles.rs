//! What somebody may do in workspaces: an item for each way in which they are known.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_core::access;
use patchbay_core::model::{Caller, Role, WorkspaceId};
use patchbay_core::store::StoreError;

use crate::item::{Item, REVISION, Reader, item, number, role_stored, workspace_of};
use crate::key::{Key, Keys, persons};
use crate::table::Items;
use crate::transaction::When;

/// A map from a workspace's id to the role there.
pub(crate) const ROLES: &str = "roles";

/// The roles that one item gives.
pub(crate) struct Granted {
    pub(crate) key: Key,
    /// Where the item is there.
    revision: Option<u64>,
    pub(crate) roles: BTreeMap<WorkspaceId, Role>,
}

impl Granted {
    /// Takes the item out of what was read; where there is none, there are no roles.
    pub(crate) fn take(items: &mut Items, key: Key) -> Result<Self, StoreError> {
        let Some(found) = items.take(&key) else {
            let (revision, roles) = (None, BTreeMap::new());
            return Ok(Self { key, revision, roles });
        };
        let reader = Reader::new(&found)?;
        let (keys, map) = reader.map(ROLES)?;
        let roles = keys.map(|key| Ok((workspace_of(key)?, map.role(key)?)));
        Ok(Self {
            revision: Some(reader.number(REVISION)?),
            roles: roles.collect::<Result<_, StoreError>>()?,
            key,
        })
    }

    /// That the item is still as it was read.
    pub(crate) fn unchanged(&self) -> When {
        self.revision.map_or(When::Absent, When::Unchanged)
    }

    /// The item with this role in `workspace`.
    pub(crate) fn with(&self, workspace: WorkspaceId, role: Role) -> Item {
        let mut roles: Item = self
            .roles
            .iter()
            .map(|(id, role)| (id.to_string(), role_stored(*role)))
            .collect();
        roles.insert(workspace.to_string(), role_stored(role));
        let revision = self.revision.map_or(0, |revision| revision + 1);
        item(
            &self.key,
            [(REVISION, number(revision)), (ROLES, AttributeValue::M(roles))],
        )
    }
}

/// The caller's roles, by subject and by e-mail. An admin's are not read, since nothing depends on them.
#[derive(Default)]
pub(crate) struct Roles(pub(crate) Vec<Granted>);

impl Roles {
    /// What is to be read for them.
    pub(crate) fn keys(caller: &Caller) -> Vec<Key> {
        match caller.admin {
            true => Vec::new(),
            false => persons(caller)
                .iter()
                .map(|person| Keys(&caller.tenant).roles(person))
                .collect(),
        }
    }

    pub(crate) fn take(items: &mut Items, caller: &Caller) -> Result<Self, StoreError> {
        let granted = Self::keys(caller).into_iter().map(|key| Granted::take(items, key));
        Ok(Self(granted.collect::<Result<_, _>>()?))
    }

    /// The item that gives the caller's role in `workspace`.
    pub(crate) fn granting(&self, workspace: WorkspaceId) -> Option<&Granted> {
        let by = |role| {
            self.0
                .iter()
                .find(move |granted| granted.roles.get(&workspace) == Some(&role))
        };
        by(Role::Owner).or_else(|| by(Role::Collaborator))
    }

    /// The workspaces that the caller is in, in the order of their ids.
    pub(crate) fn workspaces(&self) -> Vec<WorkspaceId> {
        let mut ids: Vec<_> = self
            .0
            .iter()
            .flat_map(|granted| granted.roles.keys().copied())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl access::Roles for Roles {
    fn role(&self, workspace: WorkspaceId) -> Option<Role> {
        self.granting(workspace)?.roles.get(&workspace).copied()
    }
}
