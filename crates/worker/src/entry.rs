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
        let ((reading, facts), rest): ((Reading, T), _) = postcard::take_from_bytes(entry).ok()?;
        let good = rest.is_empty() && reading.tenant == *tenant && facts.are_of(of);
        good.then_some(Self { reading, facts })
    }
}

#[cfg(test)]
mod tests {
    use patchbay_core::model::{ConnectionId, ConnectionType, KeyId, Name, Sealed};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn subject(text: &str) -> Subject {
        Subject::new(text).unwrap()
    }

    fn tenant() -> Tenant {
        Tenant::new("t").unwrap()
    }

    fn reading() -> Reading {
        Reading {
            tenant: tenant(),
            checked_at: Timestamp::from_micros(1_000),
            since: 3,
            moment: 5,
        }
    }

    fn connection() -> Connection {
        Connection {
            record: Record {
                id: ConnectionId::from_bytes([0xab; 16]),
                name: name("c"),
                connection_type: ConnectionType::new("K").unwrap(),
                owner: subject("o"),
                created_at: Timestamp::from_micros(-1),
                sealed: Sealed {
                    key_id: KeyId::new("k1").unwrap(),
                    bytes: vec![1, 2, 3],
                },
            },
            attached: vec![Attached {
                workspace: WorkspaceId::new(300).unwrap(),
                name: name("w"),
            }],
        }
    }

    /// If this fails the format has changed: the old one is to be read as well until no Worker writes it any more.
    #[test]
    fn the_format_is_what_it_was() {
        let by_name = Of::Connection(Lookup::Name(name("c")));
        let mut expected = vec![FORMAT, 1, b't', 0xd0, 0x0f, 6, 10];
        expected.extend([0xab; 16]);
        expected.extend([
            1, b'c', 1, b'K', 1, b'o', 1, 2, b'k', b'1', 3, 1, 2, 3, 1, 0xac, 2, 1, b'w',
        ]);
        assert_eq!(Entry::encode(&reading(), &connection()), expected);
        let read = Entry::<Connection>::decode(&expected, &tenant(), &by_name).unwrap();
        assert_eq!((read.reading, read.facts), (reading(), connection()));

        let of_caller = Of::Caller(subject("s"), Some(subject("e")));
        let facts = Memberships {
            subject: subject("s"),
            email: Some(subject("e")),
            workspaces: vec![WorkspaceId::new(7).unwrap()],
        };
        let expected = [FORMAT, 1, b't', 0xd0, 0x0f, 6, 10, 1, b's', 1, 1, b'e', 1, 7];
        assert_eq!(Entry::encode(&reading(), &facts), expected);
        let read = Entry::<Memberships>::decode(&expected, &tenant(), &of_caller).unwrap();
        assert_eq!(read.facts, facts);
    }

    #[test]
    fn keys_are_what_they_were_and_none_is_anothers() {
        let (one, other) = (subject("s"), subject("e"));
        let id = ConnectionId::from_bytes(*b"0123456789abcdef");
        let keys = [
            Of::Connection(Lookup::Name(name("0123456789abcdef"))).key(&tenant()),
            Of::Connection(Lookup::Id(id)).key(&tenant()),
            Of::Connection(Lookup::Id(id)).key(&Tenant::new("u").unwrap()),
            Of::Caller(one.clone(), None).key(&tenant()),
            Of::Caller(one.clone(), Some(other.clone())).key(&tenant()),
            Of::Caller(other, Some(one)).key(&tenant()),
            Of::Caller(subject("se"), None).key(&tenant()),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(key.len(), 3 + 43);
            assert!(!keys[..place].contains(key));
        }
        assert_eq!(keys[0], "c1/CAgNxTkdQcP6RfZBUfq-Ep9Hs3ib_vgrpweBAqcfz6A");
    }

    #[test]
    fn an_entry_is_of_what_it_says_alone() {
        let value = Entry::encode(&reading(), &connection());
        let is_of =
            |tenant: &str, of: &Of| Entry::<Connection>::decode(&value, &Tenant::new(tenant).unwrap(), of).is_some();
        let by_id = |byte| Of::Connection(Lookup::Id(ConnectionId::from_bytes([byte; 16])));
        assert!(is_of("t", &Of::Connection(Lookup::Name(name("c")))));
        assert!(is_of("t", &by_id(0xab)));
        assert!(!is_of("u", &by_id(0xab)));
        assert!(!is_of("t", &by_id(0xac)));
        assert!(!is_of("t", &Of::Connection(Lookup::Name(name("d")))));
        assert!(!is_of("t", &Of::Caller(subject("o"), None)));
    }

    #[test]
    fn a_value_of_another_format_or_length_is_none() {
        let of = Of::Connection(Lookup::Name(name("c")));
        let good = Entry::encode(&reading(), &connection());
        let read = |value: &[u8]| Entry::<Connection>::decode(value, &tenant(), &of).is_some();
        assert!(read(&good));
        for length in 0..good.len() {
            assert!(!read(&good[..length]), "{length} bytes");
        }
        assert!(!read(&[good.as_slice(), &[0]].concat()));
        for format in [0, FORMAT + 1, u8::MAX] {
            assert!(!read(&[&[format], &good[1..]].concat()), "format {format}");
        }
    }

    #[test]
    fn readings_meet_where_one_moment_is_in_both() {
        let reading = |since, moment| Reading {
            since,
            moment,
            ..reading()
        };
        for (one, other, meet) in [
            ((3, 5), (5, 9), true),
            ((3, 5), (6, 9), false),
            ((3, 9), (4, 5), true),
            ((0, 0), (0, 0), true),
            ((0, 0), (1, 1), false),
        ] {
            let (one, other) = (reading(one.0, one.1), reading(other.0, other.1));
            assert_eq!(one.meets(&other), meet);
            assert_eq!(other.meets(&one), meet);
        }
    }
}
