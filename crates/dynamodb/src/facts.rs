//! A connection's two items: the record by its name, and what decisions rest on by its id. Both carry the attachments
//! and change together.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_core::access;
use patchbay_core::model::{
    Attached, AttachmentId, Caller, ConnectionId, ConnectionType, KeyId, Name, Record, Sealed, Subject, Timestamp,
    WorkspaceId,
};
use patchbay_core::store::{Seen, StoreError};

use crate::item::{Item, PK, REVISION, Reader, SK, VERSION, binary, damaged, item, number, text, workspace_of};
use crate::key::Keys;
use crate::roles::{ROLES, Roles};

pub(crate) const ID: &str = "id";
const NAME: &str = "name";
pub(crate) const OWNER: &str = "owner";
const TYPE: &str = "type";
const CREATED_AT: &str = "created_at";
pub(crate) const KEY_ID: &str = "key_id";
pub(crate) const SEALED: &str = "sealed";
/// How long the sealed bytes are.
pub(crate) const BYTES: &str = "bytes";
/// A map from a workspace's id to the attachment's id and the workspace's name, which never changes.
pub(crate) const ATTACHMENTS: &str = "attachments";

/// What decisions rest on: all attributes of a record, of roles and of workspaces that are read with it, but for the
/// sealed bytes, which are large.
pub(crate) const WITHOUT_SEALED: [&str; 10] = [PK, SK, VERSION, REVISION, ID, NAME, OWNER, BYTES, ATTACHMENTS, ROLES];

/// What a row of a list without details takes.
pub(crate) const LISTED: [&str; 12] = [
    PK,
    SK,
    VERSION,
    REVISION,
    ID,
    NAME,
    OWNER,
    BYTES,
    ATTACHMENTS,
    TYPE,
    CREATED_AT,
    KEY_ID,
];

/// What a record without its attachments takes.
pub(crate) const RECORD: [&str; 10] = [PK, SK, VERSION, ID, NAME, OWNER, TYPE, CREATED_AT, KEY_ID, SEALED];

/// What decisions about a connection rest on.
pub(crate) struct Facts {
    pub(crate) revision: u64,
    pub(crate) id: ConnectionId,
    pub(crate) name: Name,
    pub(crate) owner: Subject,
    /// How long the sealed bytes are, for the entries of lists.
    pub(crate) bytes: usize,
    pub(crate) attachments: BTreeMap<WorkspaceId, AttachmentId>,
    pub(crate) attached: Vec<Attached>,
}

impl Facts {
    /// Out of either item.
    pub(crate) fn read(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader::new(item)?;
        let (keys, map) = reader.map(ATTACHMENTS)?;
        let (mut attachments, mut attached) = (BTreeMap::new(), Vec::new());
        for key in keys {
            let workspace = workspace_of(key)?;
            let (_, attachment) = map.map(key)?;
            attachments.insert(workspace, AttachmentId::from_bytes(attachment.uuid(ID)?));
            let name = attachment.name(NAME)?;
            attached.push(Attached { workspace, name });
        }
        Ok(Self {
            revision: reader.number(REVISION)?,
            id: ConnectionId::from_bytes(reader.uuid(ID)?),
            name: reader.name(NAME)?,
            owner: reader.subject(OWNER)?,
            bytes: reader.number(BYTES)?,
            attachments,
            attached,
        })
    }
}

/// The id of the connection whose item this is.
pub(crate) fn id_of(item: &Item) -> Result<ConnectionId, StoreError> {
    Ok(ConnectionId::from_bytes(Reader::new(item)?.uuid(ID)?))
}

/// The record, if the caller may see it, with its sealed bytes if they are `wanted` and were read.
pub(crate) fn seen(item: &Item, caller: &Caller, roles: &Roles, wanted: bool) -> Result<Option<Seen>, StoreError> {
    let Facts { owner, attached, .. } = Facts::read(item)?;
    if !access::sees_connection(caller, &owner, &attached, roles) {
        return Ok(None);
    }
    let workspace_names = access::visible_names(caller, &owner, &attached, roles);
    Ok(Some(Seen {
        record: record(item, wanted)?,
        workspace_names,
    }))
}

/// The record, with its sealed bytes if they are `wanted` and were read.
pub(crate) fn record(item: &Item, wanted: bool) -> Result<Record, StoreError> {
    let reader = Reader::new(item)?;
    Ok(Record {
        id: ConnectionId::from_bytes(reader.uuid(ID)?),
        name: reader.name(NAME)?,
        connection_type: ConnectionType::new(reader.text(TYPE)?).map_err(|_| damaged(TYPE))?,
        owner: reader.subject(OWNER)?,
        created_at: Timestamp::from_micros(reader.number(CREATED_AT)?),
        sealed: Sealed {
            key_id: key_id(item)?,
            bytes: match wanted {
                true => reader.binary(SEALED)?.to_vec(),
                false => Vec::new(),
            },
        },
    })
}

/// The key that sealed the record.
pub(crate) fn key_id(item: &Item) -> Result<KeyId, StoreError> {
    KeyId::new(Reader::new(item)?.text(KEY_ID)?).map_err(|_| damaged(KEY_ID))
}

/// A connection's two items, its record and its facts, of this revision and with these attachments.
pub(crate) fn items(keys: Keys<'_>, record: Record, revision: u64, attachments: AttributeValue) -> (Item, Item) {
    let shared = [
        (REVISION, number(revision)),
        (ID, binary(*record.id.as_bytes())),
        (NAME, text(record.name.as_str())),
        (OWNER, text(record.owner.as_str())),
        (BYTES, number(record.sealed.bytes.len())),
        (ATTACHMENTS, attachments),
    ];
    let facts = item(&keys.facts(record.id), shared.clone());
    let mut whole = item(&keys.record(&record.name), shared);
    let rest = [
        (TYPE, text(record.connection_type.as_str())),
        (CREATED_AT, number(record.created_at.as_micros())),
        (KEY_ID, text(record.sealed.key_id.as_str())),
        (SEALED, binary(record.sealed.bytes)),
    ];
    whole.extend(rest.map(|(name, value)| (name.to_owned(), value)));
    (whole, facts)
}

/// An attachment to the workspace of this name, as the map has it.
pub(crate) fn attachment(id: AttachmentId, name: &Name) -> AttributeValue {
    let parts = [(ID, binary(*id.as_bytes())), (NAME, text(name.as_str()))];
    AttributeValue::M(parts.map(|(name, value)| (name.to_owned(), value)).into())
}
