//! What a Worker asks a Durable Object, and what it is told: a byte for the version, then postcard.
//!
//! An answer is the `Result` that [`Store`](patchbay_core::store::Store) gives for the operation asked for. A deploy
//! runs two versions side by side for some seconds. Where one does not understand the other the request is refused as
//! unavailable, and nothing was done, or for an answer that is not understood, it may have been done.

use patchbay_core::model::{Caller, ConnectionId, Name, Record, Tenant, Timestamp, WorkspaceId};
use patchbay_core::store::{Attach, ListQuery, Lookup, StoreError, WorkspacesOf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of messages, both ways. It rises when anything in them changes, the core's nouns included.
const VERSION: u8 = 1;

/// What a tenant's object is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks.
    pub caller: Caller,
    /// For what.
    pub operation: Operation,
}

/// One operation of [`Store`](patchbay_core::store::Store).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// `create`.
    Create(Record),
    /// `get`.
    Get(Lookup),
    /// `list`.
    List(ListQuery),
    /// `attach`.
    Attach(Attach),
    /// `detach`.
    Detach(ConnectionId, WorkspaceId),
    /// `delete`.
    Delete(Name),
    /// `create_workspace`.
    CreateWorkspace(Name, Timestamp),
    /// `list_workspaces`.
    ListWorkspaces(WorkspacesOf, usize),
}

impl Operation {
    /// Whether it can change anything.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Get(_) | Self::List(_) | Self::ListWorkspaces(..))
    }
}

/// What the directory is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskDirectory {
    /// Whether it answers: told `()`.
    Ready,
    /// To list this tenant from now on: told `()`.
    Enter(Tenant),
    /// For up to so many tenants after this one, in byte order: told a `Vec<Tenant>`.
    Tenants(Option<Tenant>, u16),
}

/// A message in bytes.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    // Nothing in a message can refuse to be written: it has no map of unknown length, and memory grows.
    postcard::to_extend(message, vec![VERSION]).unwrap_or_default()
}

/// The message in these bytes.
///
/// # Errors
/// [`StoreError::Unavailable`] where another version of the program wrote them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, message)) => postcard::from_bytes(message)
            .map_err(|error| StoreError::Unavailable(format!("a message is unreadable: {error}"))),
        Some((version, _)) => Err(StoreError::Unavailable(format!(
            "a message has version {version}, and {VERSION} is understood: a deploy is under way"
        ))),
        None => Err(StoreError::Unavailable("a message is empty".into())),
    }
}
