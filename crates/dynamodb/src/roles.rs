//! What somebody may do in workspaces: an item for each way in which they are known.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_core::access;
use patchbay_core::model::{Caller, Role, Subject, WorkspaceId};
use patchbay_core::store::StoreError;

use crate::item::{Item, REVISION, Reader, damaged, item, number, role_stored, text, workspace_of};
use crate::key::{Key, Keys, persons};
use crate::table::Items;
use crate::transaction::When;

/// A map from a workspace's id to the role there.
pub(crate) const ROLES: &str = "roles";
/// A map from a workspace's id to the e-mail address that is kept beside the person there. There is none where nobody
/// ever gave one.
const EMAILS: &str = "emails";

/// The roles that one item gives.
pub(crate) struct Granted {
    pub(crate) key: Key,
    /// Where the item is there.
    revision: Option<u64>,
    pub(crate) roles: BTreeMap<WorkspaceId, Role>,
    /// As it was read.
    emails: Item,
}

impl Granted {
    /// Takes the item out of what was read; where there is none, there are no roles.
    pub(crate) fn take(items: &mut Items, key: Key) -> Result<Self, StoreError> {
        let Some(found) = items.take(&key) else {
            return Ok(Self {
                key,
                revision: None,
                roles: BTreeMap::new(),
                emails: Item::new(),
            });
        };
        let reader = Reader::new(&found)?;
        let (keys, map) = reader.map(ROLES)?;
        let roles = keys.map(|key| Ok((workspace_of(key)?, map.role(key)?)));
        Ok(Self {
            revision: Some(reader.number(REVISION)?),
            roles: roles.collect::<Result<_, StoreError>>()?,
            emails: match found.get(EMAILS) {
                Some(emails) => emails.as_m().map_err(|_| damaged(EMAILS))?.clone(),
                None => Item::new(),
            },
            key,
        })
    }

    /// That the item is still as it was read.
    pub(crate) fn unchanged(&self) -> When {
        self.revision.map_or(When::Absent, When::Unchanged)
    }

    /// The e-mail address that is kept beside them in `workspace`.
    pub(crate) fn email(&self, workspace: WorkspaceId) -> Result<Option<Subject>, StoreError> {
        let email = self.emails.get(&workspace.to_string()).map(AttributeValue::as_s);
        let email = email.map(|email| email.ok().and_then(|email| Subject::new(email).ok()));
        email.map(|email| email.ok_or_else(|| damaged(EMAILS))).transpose()
    }

    /// The item with this role in `workspace`, and this e-mail address beside it where there is one.
    pub(crate) fn with(&self, workspace: WorkspaceId, role: Role, email: Option<&Subject>) -> Item {
        let (mut roles, mut emails) = (self.roles_stored(), self.emails.clone());
        roles.insert(workspace.to_string(), role_stored(role));
        emails.extend(email.map(|email| (workspace.to_string(), text(email.as_str()))));
        self.item(roles, emails)
    }

    /// The item without a role in `workspace`.
    pub(crate) fn without(&self, workspace: WorkspaceId) -> Item {
        let (mut roles, mut emails) = (self.roles_stored(), self.emails.clone());
        roles.remove(&workspace.to_string());
        emails.remove(&workspace.to_string());
        self.item(roles, emails)
    }

    fn roles_stored(&self) -> Item {
        let roles = self.roles.iter();
        roles.map(|(id, role)| (id.to_string(), role_stored(*role))).collect()
    }

    fn item(&self, roles: Item, emails: Item) -> Item {
        let revision = self.revision.map_or(0, |revision| revision.saturating_add(1));
        let mut item = item(
            &self.key,
            [(REVISION, number(revision)), (ROLES, AttributeValue::M(roles))],
        );
        if !emails.is_empty() {
            item.insert(EMAILS.to_owned(), AttributeValue::M(emails));
        }
        item
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
