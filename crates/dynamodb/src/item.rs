//! Attributes ⇄ the core's nouns.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_core::model::{Name, Role, Subject, WorkspaceId};
use patchbay_core::store::StoreError;

use crate::key::Key;

/// An item's attributes.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The partition key.
pub(crate) const PK: &str = "pk";
/// The sort key.
pub(crate) const SK: &str = "sk";
/// The version of an item's format.
pub(crate) const VERSION: &str = "v";
/// How often an item that changes has changed.
pub(crate) const REVISION: &str = "rev";

/// The token of the transaction that changed an item last, where it is marked with that.
pub(crate) const TRANSACTION: &str = "txn";

/// The format that this version writes, and the only one there has been.
const FORMAT: u64 = 1;

/// A new item with its key and format, and these attributes.
pub(crate) fn item<const N: usize>(key: &Key, attributes: [(&str, AttributeValue); N]) -> Item {
    let mut item = key.item();
    item.insert(VERSION.to_owned(), number(FORMAT));
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    item
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn binary(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// The number that stands for a role.
pub(crate) fn role_stored(role: Role) -> AttributeValue {
    number(match role {
        Role::Collaborator => 1,
        Role::Owner => 2,
    })
}

/// Reads an item's attributes, or those of a map in one.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'i>(&'i Item);

impl<'i> Reader<'i> {
    /// Of a whole item. This is the one place where an item's format is looked at: while a deploy rolls, the version
    /// before writes the format before, which is made into this one here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where its format is unknown.
    pub(crate) fn new(item: &'i Item) -> Result<Self, StoreError> {
        let reader = Self(item);
        match reader.number::<u64>(VERSION)? {
            FORMAT => Ok(reader),
            other => Err(StoreError::Damaged(format!(
                "an item has format {other}; this version knows {FORMAT}"
            ))),
        }
    }

    fn value(self, name: &str) -> Result<&'i AttributeValue, StoreError> {
        self.0.get(name).ok_or_else(|| damaged(name))
    }

    pub(crate) fn text(self, name: &str) -> Result<&'i str, StoreError> {
        self.value(name)?.as_s().map(String::as_str).map_err(|_| damaged(name))
    }

    pub(crate) fn number<N: std::str::FromStr>(self, name: &str) -> Result<N, StoreError> {
        let value = self.value(name)?.as_n().map_err(|_| damaged(name))?;
        value.parse().map_err(|_| damaged(name))
    }

    pub(crate) fn binary(self, name: &str) -> Result<&'i [u8], StoreError> {
        self.value(name)?.as_b().map(Blob::as_ref).map_err(|_| damaged(name))
    }

    pub(crate) fn uuid(self, name: &str) -> Result<[u8; 16], StoreError> {
        self.binary(name)?.try_into().map_err(|_| damaged(name))
    }

    pub(crate) fn name(self, name: &str) -> Result<Name, StoreError> {
        Name::new(self.text(name)?).map_err(|_| damaged(name))
    }

    pub(crate) fn subject(self, name: &str) -> Result<Subject, StoreError> {
        Subject::new(self.text(name)?).map_err(|_| damaged(name))
    }

    pub(crate) fn workspace(self, name: &str) -> Result<WorkspaceId, StoreError> {
        WorkspaceId::new(self.number(name)?).map_err(|_| damaged(name))
    }

    pub(crate) fn role(self, name: &str) -> Result<Role, StoreError> {
        match self.number(name)? {
            1 => Ok(Role::Collaborator),
            2 => Ok(Role::Owner),
            _ => Err(damaged(name)),
        }
    }

    /// A map's keys, and its reader.
    pub(crate) fn map(self, name: &str) -> Result<(impl Iterator<Item = &'i str>, Self), StoreError> {
        let map = self.value(name)?.as_m().map_err(|_| damaged(name))?;
        Ok((map.keys().map(String::as_str), Self(map)))
    }
}

/// A workspace's id as the key of a map.
pub(crate) fn workspace_of(key: &str) -> Result<WorkspaceId, StoreError> {
    let id = key.parse().ok().and_then(|id| WorkspaceId::new(id).ok());
    id.ok_or_else(|| damaged("workspace id"))
}

pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("a stored {what} is not one that this version writes"))
}
