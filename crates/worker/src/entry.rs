//! What KV holds: entries that say what was so at a moment, each under a key of its own.
//!
//! A value is a byte for the format, then postcard. A reader takes the current format and the one before; there is one
//! so far. Keys are hashes, since KV's end at 512 bytes and names may be longer; so a value says what it is of, and a
//! reader compares.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use patchbay_core::model::{Attached, Record, Subject, Tenant, Timestamp, WorkspaceId};
use patchbay_core::store::Lookup;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The format of values. It rises when anything in them changes, the core's nouns included.
const FORMAT: u8 = 1;

/// What an entry is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Of {
    /// A connection. By name and by id it has an entry each.
    Connection(Lookup),
    /// The workspaces of a caller, known by subject and perhaps e-mail.
    Caller(Subject, Option<Subject>),
}

impl Of {
    /// The key of its entry.
    pub(crate) fn key(&self, tenant: &Tenant) -> String {
        let tenant = tenant.as_str().as_bytes();
        match self {
            Self::Connection(Lookup::Name(name)) => key("c1/", &[tenant, b"name", name.as_str().as_bytes()]),
            Self::Connection(Lookup::Id(id)) => key("c1/", &[tenant, b"id", id.as_bytes()]),
            Self::Caller(subject, email) => {
                let email = email.as_ref().map_or("", Subject::as_str);
                key("m1/", &[tenant, subject.as_str().as_bytes(), email.as_bytes()])
            }
        }
    }
}

fn key(kind: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("{kind}{}", BASE64_URL_SAFE_NO_PAD.encode(hash.finalize()))
}

/// When something was read, and for which moments it holds: the tenant's object counts every change of an attachment
/// or a membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) tenant: Tenant,
    /// When it was read, by the object's clock.
    pub(crate) checked_at: Timestamp,
    /// The moment of the last change of its attachments or memberships.
    pub(crate) since: i64,
    /// The moment at which it was read. What was read was so from `since` on up to here.
    pub(crate) moment: i64,
}

impl Reading {
    /// Whether there is a moment at which both were so.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.since.max(other.since) <= self.moment.min(other.moment)
    }
}

/// Something as the tenant's object read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<T> {
    pub(crate) reading: Reading,
    pub(crate) facts: T,
}

/// A connection with its attachments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) record: Record,
    pub(crate) attached: Vec<Attached>,
}

/// The workspaces that a caller is in. Which role they have there is of no matter to a read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memberships {
    pub(crate) subject: Subject,
    pub(crate) email: Option<Subject>,
    /// Sorted.
    pub(crate) workspaces: Vec<WorkspaceId>,
}

/// Facts that say what they are of.
pub(crate) trait Facts: Serialize + DeserializeOwned {
    fn are_of(&self, of: &Of) -> bool;
}

impl Facts for Connection {
    fn are_of(&self, of: &Of) -> bool {
        match of {
            Of::Connection(Lookup::Name(name)) => self.record.name == *name,
            Of::Connection(Lookup::Id(id)) => self.record.id == *id,
            Of::Caller(..) => false,
        }
    }
}

impl Facts for Memberships {
    fn are_of(&self, of: &Of) -> bool {
        matches!(of, Of::Caller(subject, email) if self.subject == *subject && self.email == *email)
    }
}

impl<T: Facts> Entry<T> {
    /// The value for KV.
    pub(crate) fn encode(reading: &Reading, facts: &T) -> Vec<u8> {
        // Nothing in an entry can refuse to be written, and memory grows. An empty value would be taken for a miss.
        postcard::to_extend(&(reading, facts), vec![FORMAT]).unwrap_or_default()
    }

    /// The entry in a value, if this version can read it and it is of what was looked for.
    pub(crate) fn decode(value: &[u8], tenant: &Tenant, of: &Of) -> Option<Self> {
        let (&FORMAT, entry) = value.split_first()? else {
            return None;
        };
        let (reading, facts): (Reading, T) = postcard::from_bytes(entry).ok()?;
        (reading.tenant == *tenant && facts.are_of(of)).then_some(Self { reading, facts })
    }
}
