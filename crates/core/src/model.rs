//! The nouns. A value that exists is valid: each is parsed once, at the edge.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::limits;

/// Why a value is not what its field asks for. Completes the sentence "`name` …" and never repeats the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) String);

fn text(value: &str, most: usize) -> Result<Box<str>, Invalid> {
    if value.is_empty() || value.len() > most {
        return Err(Invalid(format!("must be 1 to {most} bytes of UTF-8")));
    }
    if value.chars().any(char::is_control) {
        return Err(Invalid("must not contain control characters".into()));
    }
    if value.starts_with(char::is_whitespace) || value.ends_with(char::is_whitespace) {
        return Err(Invalid("must not begin or end with white space".into()));
    }
    Ok(value.into())
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $most:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes `value` if it keeps the rule of this type.
            pub fn new(value: &str) -> Result<Self, Invalid> {
                text(value, $most).map(Self)
            }

            /// A constant of this crate's own, which keeps the rule.
            #[allow(dead_code)] // Not every text type has constants.
            pub(crate) fn fixed(value: &'static str) -> Self {
                Self(value.into())
            }

            /// The text as given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// The name of a connection or workspace: 1 to 255 bytes of UTF-8, no control characters (Unicode Cc), no
    /// white space at either end. Compared and ordered by its bytes.
    Name, limits::NAME_BYTES
);
impl Name {
    /// The digits of a name of the form `workspace-<digits>`, which is kept for the workspace that `open` mode makes of
    /// that id.
    pub fn kept_for(&self) -> Option<&str> {
        let digits = self.0.strip_prefix("workspace-")?;
        let kept = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        kept.then_some(digits)
    }
}

text_type!(
    /// A connection's type: free text, the rule of names with at most 64 bytes.
    ConnectionType, limits::TYPE_BYTES
);
text_type!(
    /// A tenant: 1 to 128 bytes. A tenant sees nothing of another.
    Tenant, limits::TENANT_BYTES
);
text_type!(
    /// Who somebody is within their tenant: 1 to 255 bytes.
    Subject, limits::SUBJECT_BYTES
);

macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new version 4 UUID out of 16 random bytes.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// Takes any hyphenated UUID, in either case and of any version.
            pub fn parse(value: &str) -> Result<Self, Invalid> {
                if value.len() != uuid::fmt::Hyphenated::LENGTH {
                    return Err(Invalid("must be a hyphenated UUID".into()));
                }
                Uuid::try_parse(value).map(Self).map_err(|_| Invalid("must be a hyphenated UUID".into()))
            }

            /// From the 16 bytes that a store kept.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes for a store to keep.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            /// Lower case, hyphenated.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

uuid_type!(
    /// A connection's id; never reused.
    ConnectionId
);
uuid_type!(
    /// The id of a connection's attachment to a workspace; a new one each time it is attached.
    AttachmentId
);

/// A workspace's id: 1 to 2^53 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(u64);

impl WorkspaceId {
    /// Takes a number from 1 to 2^53 - 1.
    pub fn new(value: u64) -> Result<Self, Invalid> {
        if (1..=limits::WORKSPACE_ID).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Invalid("must be a positive integer below 2^53".into()))
        }
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Takes a time as RFC 3339 writes it, of any offset, whose year in UTC is one of 0 to 9999.
    pub fn parse(value: &str) -> Result<Self, Invalid> {
        let at = OffsetDateTime::parse(value, &Rfc3339).ok();
        let at = at.and_then(|at| at.checked_to_offset(UtcOffset::UTC));
        let micros = at
            .filter(|at| at.year() >= 0)
            .and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000).ok());
        micros
            .map(Self)
            .ok_or_else(|| Invalid("must be a time like 2030-01-31T00:00:00Z".into()))
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, microseconds, `Z`: `2023-05-16T16:43:05.170914Z`. Years beyond 9999 show as 1970.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.rem_euclid(1_000_000).unsigned_abs() as u32;
        let at = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1_000_000))
            .and_then(|at| at.replace_microsecond(micros))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        // Each connection in an answer has a time. `write!` would take 1,600 instructions more for its numbers.
        let mut text = *b"-00-00T00:00:00.000000Z";
        digits(&mut text[1..3], u8::from(at.month()).into());
        digits(&mut text[4..6], at.day().into());
        digits(&mut text[7..9], at.hour().into());
        digits(&mut text[10..12], at.minute().into());
        digits(&mut text[13..15], at.second().into());
        digits(&mut text[16..22], at.microsecond());
        write!(f, "{:04}{}", at.year(), str::from_utf8(&text).unwrap_or_default())
    }
}

/// Writes a number over all of `place`, in decimal.
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A connection's details: the exact bytes of a JSON object, string or null. Secret: wiped when dropped, and not
/// shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Details(Zeroizing<Vec<u8>>);

impl Details {
    /// Takes a JSON object, string or null of at most 256 KiB, as it is written.
    pub fn from_json(json: &RawValue) -> Result<Self, Invalid> {
        let text = json.get();
        if !text.starts_with(['{', '"', 'n']) {
            return Err(Invalid("must be a JSON object, a string or null".into()));
        }
        if text.len() > limits::DETAILS_BYTES {
            return Err(Invalid(format!("must be at most {} bytes", limits::DETAILS_BYTES)));
        }
        Ok(Self::new(text.as_bytes().to_vec()))
    }

    /// What absent details are: null.
    pub fn null() -> Self {
        Self::new(b"null".to_vec())
    }

    /// Takes the bytes of one JSON value, already checked to be one.
    pub(crate) fn new(json: Vec<u8>) -> Self {
        Self(Zeroizing::new(json))
    }

    /// The bytes as sent. Name what happens to them at each call: they are secrets.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Details(..)")
    }
}

/// The id of a key in the ring: `[a-z0-9-]{1,32}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// Takes 1 to 32 of `[a-z0-9-]`.
    pub fn new(value: &str) -> Result<Self, Invalid> {
        let fits = (1..=32).contains(&value.len())
            && value
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(value.into()))
        } else {
            Err(Invalid("must be 1 to 32 of a-z, 0-9 and -".into()))
        }
    }

    /// The id as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Details as a store keeps them: ciphertext, and which key made it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The key that opens it.
    pub key_id: KeyId,
    /// Format version, nonce and ciphertext; see [`crate::seal`].
    #[serde(with = "crate::encoded::bytes")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.key_id, self.bytes.len())
    }
}

/// A connection as a store keeps it, apart from its attachments. It does not change once created, its sealing apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: ConnectionId,
    /// Its name, unique in the tenant.
    pub name: Name,
    /// Its type.
    pub connection_type: ConnectionType,
    /// Who created it.
    pub owner: Subject,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its details.
    pub sealed: Sealed,
}

/// A workspace that a connection is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: Name,
}

/// A workspace, apart from its members and connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name, unique in the tenant.
    pub name: Name,
    /// Who created it.
    pub created_by: Subject,
    /// When.
    pub created_at: Timestamp,
}

/// What a member of a workspace may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// May also detach others' connections and change the members.
    Owner,
    /// May read and attach.
    Collaborator,
}

/// How a member of a workspace is known. Subjects are ordered before e-mail addresses, and each by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Person {
    /// By subject.
    Subject(Subject),
    /// By e-mail address, in ASCII lower case.
    Email(Subject),
}

/// A member of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub person: Person,
    /// What they may do there.
    pub role: Role,
}

/// Who is calling, out of a verified token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Their tenant.
    pub tenant: Tenant,
    /// Who they are in it.
    pub subject: Subject,
    /// Their verified e-mail address, in ASCII lower case.
    pub email: Option<Subject>,
    /// Whether they are an admin of the tenant.
    pub admin: bool,
}

/// Whether workspaces come into being by being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Workspaces {
    /// Any id may be used; the first attach makes the workspace `workspace-<id>`, without members.
    Open,
    /// A workspace that was not created does not exist.
    Managed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_where_it_can_be_shown() {
        for (written, shown) in [
            ("2030-01-31T00:00:00+02:00", "2030-01-30T22:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
            ("0000-01-01T00:00:00-00:01", "0000-01-01T00:01:00.000000Z"),
        ] {
            assert_eq!(Timestamp::parse(written).unwrap().to_string(), shown);
        }
        for wrong in [
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "2030-01-31",
            "",
        ] {
            assert!(Timestamp::parse(wrong).is_err(), "{wrong}");
        }
    }
}
