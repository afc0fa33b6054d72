//! The keys of items.
//!
//! A partition key is `<bytes of the tenant>#<tenant>#<kind>#<rest>`. The length makes it one tenant's whatever is in
//! the texts, and a kind has no `#`, so that no two places have one key. Sort keys are names, ordered by their bytes as
//! DynamoDB orders them, or workspaces' ids in sixteen digits, ordered by number.

use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Subject, Tenant, WorkspaceId};

use crate::item::{Item, PK, SK, text};

/// The sort key of an item that is alone in its partition.
const ALONE: &str = "-";

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) partition: String,
    pub(crate) sort: String,
}

impl Key {
    fn alone(partition: String) -> Self {
        let sort = ALONE.to_owned();
        Self { partition, sort }
    }

    /// A key that no item has.
    pub(crate) fn of_nothing() -> Self {
        Self::alone(ALONE.to_owned())
    }

    /// As attributes.
    pub(crate) fn item(&self) -> Item {
        Item::from([
            (PK.to_owned(), text(&self.partition)),
            (SK.to_owned(), text(&self.sort)),
        ])
    }

    /// The key of an item that was read.
    pub(crate) fn of(item: &Item) -> Option<Self> {
        let part = |name| {
            item.get(name)
                .and_then(|value: &AttributeValue| value.as_s().ok())
                .cloned()
        };
        Some(Self {
            partition: part(PK)?,
            sort: part(SK)?,
        })
    }
}

/// The keys of one tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'t>(pub(crate) &'t Tenant);

impl Keys<'_> {
    fn partition(self, kind: &str, rest: &str) -> String {
        let tenant = self.0.as_str();
        format!("{}#{tenant}#{kind}#{rest}", tenant.len())
    }

    /// A connection's record.
    pub(crate) fn record(self, name: &Name) -> Key {
        Key::alone(self.partition("C", name.as_str()))
    }

    /// What decisions about a connection rest on, by its id.
    pub(crate) fn facts(self, id: ConnectionId) -> Key {
        Key::alone(self.partition("I", &id.to_string()))
    }

    /// The partition with the names of all connections.
    pub(crate) fn all(self) -> String {
        self.partition("L", "all")
    }

    /// The partition with the names of the connections of an owner.
    pub(crate) fn owned_by(self, owner: &Subject) -> String {
        self.partition("LO", owner.as_str())
    }

    /// The partition with the names of the connections attached to a workspace.
    pub(crate) fn inside(self, workspace: WorkspaceId) -> String {
        self.partition("LW", &workspace.to_string())
    }

    /// The partition of the tenant's workspaces.
    pub(crate) fn workspaces(self) -> String {
        self.partition("W", "")
    }

    /// A workspace.
    pub(crate) fn workspace(self, id: WorkspaceId) -> Key {
        Key {
            partition: self.workspaces(),
            sort: sort_of_workspace(id.get()),
        }
    }

    /// Which workspace has a name.
    pub(crate) fn workspace_name(self, name: &Name) -> Key {
        Key::alone(self.partition("WN", name.as_str()))
    }

    /// A workspace's members.
    pub(crate) fn members(self, workspace: WorkspaceId) -> Key {
        Key::alone(self.partition("WM", &workspace.to_string()))
    }

    /// The last workspace id that was given.
    pub(crate) fn counter(self) -> Key {
        Key::alone(self.partition("WC", ""))
    }

    /// Somebody's roles.
    pub(crate) fn roles(self, person: &Person) -> Key {
        Key::alone(match person {
            Person::Subject(subject) => self.partition("MS", subject.as_str()),
            Person::Email(email) => self.partition("ME", email.as_str()),
        })
    }
}

/// Whose the item with this partition key is.
pub(crate) fn tenant_of(partition: &str) -> Option<Tenant> {
    let (length, rest) = partition.split_once('#')?;
    Tenant::new(rest.get(..length.parse().ok()?)?).ok()
}

/// The sort key of the workspace with this id.
pub(crate) fn sort_of_workspace(id: u64) -> String {
    format!("{id:016}")
}

/// Under what somebody may be a member: their subject, and their e-mail address if they have one.
pub(crate) fn persons(caller: &Caller) -> Vec<Person> {
    let email = caller.email.clone().map(Person::Email);
    [Person::Subject(caller.subject.clone())]
        .into_iter()
        .chain(email)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts that try to pass for more than one part of a key.
    fn nasty(most: usize) -> impl Strategy<Value = String> {
        let part = prop::sample::select(&["#", "1#", "a", "C", "I", "#C#", "12", "L", "W", "-", "ä", "\u{10ffff}"][..]);
        prop::collection::vec(part, 1..8).prop_map(move |parts| {
            let mut text = parts.concat();
            while text.len() > most {
                text.pop();
            }
            text
        })
    }

    /// Every key that there can be out of these texts.
    fn keys(tenant: &str, one: &str, id: u64) -> Vec<(&'static str, Key)> {
        let tenant = Tenant::new(tenant).unwrap();
        let (name, subject) = (Name::new(one).unwrap(), Subject::new(one).unwrap());
        let workspace = WorkspaceId::new(id).unwrap();
        let keys = Keys(&tenant);
        let entry = |partition| Key {
            partition,
            sort: one.to_owned(),
        };
        vec![
            ("record", keys.record(&name)),
            (
                "facts",
                keys.facts(ConnectionId::from_bytes(u128::from(id).to_be_bytes())),
            ),
            ("all", entry(keys.all())),
            ("owned", entry(keys.owned_by(&subject))),
            ("inside", entry(keys.inside(workspace))),
            ("workspace", keys.workspace(workspace)),
            ("workspace name", keys.workspace_name(&name)),
            ("members", keys.members(workspace)),
            ("counter", keys.counter()),
            ("subject", keys.roles(&Person::Subject(subject.clone()))),
            ("email", keys.roles(&Person::Email(subject))),
        ]
    }

    /// Takes a partition key apart into tenant, kind and rest.
    fn taken_apart(partition: &str) -> Option<(&str, &str, &str)> {
        let (length, rest) = partition.split_once('#')?;
        let (tenant, rest) = rest.split_at_checked(length.parse().ok()?)?;
        let (kind, rest) = rest.strip_prefix('#')?.split_once('#')?;
        Some((tenant, kind, rest))
    }

    proptest! {
        #[test]
        fn a_key_says_one_tenant_one_kind_and_one_thing_whatever_the_texts_are(
            tenant in nasty(128), one in nasty(255), id in 1..=patchbay_core::limits::WORKSPACE_ID,
        ) {
            for (what, key) in keys(&tenant, &one, id) {
                let (of, kind, rest) = taken_apart(&key.partition).unwrap();
                prop_assert_eq!(of, &tenant);
                let named = ["record", "owned", "workspace name", "subject", "email"].contains(&what);
                prop_assert!(!named || rest == one, "{} of kind {}: {}", what, kind, rest);
            }
        }

        #[test]
        fn no_two_places_have_one_key(
            (tenant, other) in (nasty(128), nasty(128)), (one, two) in (nasty(255), nasty(255)), id in 1..9_u64,
        ) {
            let mut all = keys(&tenant, &one, id);
            if tenant != other {
                all.extend(keys(&other, &two, id));
            }
            let distinct: std::collections::HashSet<_> = all.iter().map(|(_, key)| key).collect();
            prop_assert_eq!(distinct.len(), all.len(), "{:?}", all);
        }

        #[test]
        fn workspaces_are_in_the_order_of_their_ids(
            one in 1..=patchbay_core::limits::WORKSPACE_ID, two in 1..=patchbay_core::limits::WORKSPACE_ID,
        ) {
            prop_assert_eq!(one.cmp(&two), sort_of_workspace(one).cmp(&sort_of_workspace(two)));
        }
    }

    #[test]
    fn the_longest_keys_are_within_dynamodbs_limits() {
        let (tenant, name) = ("t".repeat(128), "n".repeat(255));
        for (what, key) in keys(&tenant, &name, patchbay_core::limits::WORKSPACE_ID) {
            assert!(key.partition.len() <= 2048 && key.sort.len() <= 1024, "{what}");
        }
    }
}
