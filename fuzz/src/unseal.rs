//! Opening what a store gives. The input is a record: tenant, id, name, type, owner, time in microseconds and key id, a
//! line each, and then the sealed bytes.

use std::sync::LazyLock;

use patchbay_core::model::{
    ConnectionId, ConnectionType, Details, KeyId, Name, Record, Sealed, Subject, Tenant, Timestamp,
};
use patchbay_core::seal::{Draft, KeyRing, OpenError};
use serde_json::value::RawValue;

use crate::still::{NOW, Still};

/// Opens a record's details.
type Open = fn(&KeyRing, &Tenant, &Record) -> Result<Details, OpenError>;

struct World {
    ring: KeyRing,
    /// All that was ever sealed.
    sealed: Vec<(Tenant, Record, Details)>,
}

/// Something to be sealed.
#[allow(clippy::expect_used, reason = "constants")]
pub(crate) fn draft() -> (Tenant, Draft) {
    let draft = Draft {
        id: ConnectionId::from_random([7; 16]),
        name: Name::new("warehouse").expect("a name"),
        connection_type: ConnectionType::new("BIGQUERY").expect("a type"),
        owner: Subject::new("ann").expect("a subject"),
        created_at: NOW,
    };
    (Tenant::new("t").expect("a tenant"), draft)
}

#[allow(clippy::expect_used, reason = "constants")]
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (old, new) = (
        "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
    );
    let mut sealed = Vec::new();
    let host = Still::default();
    for (ring, tenant, owner, number) in [
        (old, "t", "ann", 7),
        (old, "t", "bob", 8),
        (old, "u", "ann", 9),
        (new, "t", "ann", 10),
    ] {
        let ring = KeyRing::parse(ring).expect("a ring");
        let (tenant, mut draft) = (Tenant::new(tenant).expect("a tenant"), draft().1);
        draft.id = ConnectionId::from_random([number; 16]);
        draft.owner = Subject::new(owner).expect("a subject");
        let details = RawValue::from_string(format!("{{\"password\":\"{number}\"}}")).expect("JSON");
        let details = Details::from_json(&details).expect("details");
        let record = ring.seal(&host, &tenant, draft, &details);
        sealed.push((tenant, record, details));
    }
    World {
        ring: KeyRing::parse(&format!("{new},{old}")).expect("a ring"),
        sealed,
    }
});

pub(crate) fn check(input: &[u8]) {
    hold(input, KeyRing::open);
}

/// Of the time, milliseconds alone are bound.
pub(crate) fn planted(input: &[u8]) {
    hold(input, |ring, tenant, record| {
        let mut near = record.clone();
        let millis = record.created_at.as_micros() / 1_000;
        near.created_at = Timestamp::from_micros(millis.saturating_mul(1_000).saturating_add(NOW.as_micros() % 1_000));
        ring.open(tenant, &near)
    });
}

/// Details open if, and only if, every part of the record is as it was sealed.
fn hold(input: &[u8], open: Open) {
    let Some((tenant, record)) = record(input) else { return };
    let was_sealed = |(owner, original, _): &&(Tenant, Record, Details)| *owner == tenant && *original == record;
    let expected = WORLD.sealed.iter().find(was_sealed).map(|(_, _, details)| details);
    assert_eq!(open(&WORLD.ring, &tenant, &record).ok().as_ref(), expected);
}

fn record(input: &[u8]) -> Option<(Tenant, Record)> {
    let mut parts = input.splitn(8, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let tenant = Tenant::new(text()?).ok()?;
    let record = Record {
        id: ConnectionId::parse(text()?).ok()?,
        name: Name::new(text()?).ok()?,
        connection_type: ConnectionType::new(text()?).ok()?,
        owner: Subject::new(text()?).ok()?,
        created_at: Timestamp::from_micros(text()?.parse().ok()?),
        sealed: Sealed {
            key_id: KeyId::new(text()?).ok()?,
            bytes: parts.next()?.to_vec(),
        },
    };
    Some((tenant, record))
}

/// Each record that opens, as an input: where the engine begins.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let input = |(tenant, record, _): &(Tenant, Record, Details)| {
        let text = format!(
            "{tenant}\n{}\n{}\n{}\n{}\n{}\n{}\n",
            record.id,
            record.name,
            record.connection_type,
            record.owner,
            record.created_at.as_micros(),
            record.sealed.key_id
        );
        [text.as_bytes(), &record.sealed.bytes].concat()
    };
    WORLD.sealed.iter().map(input).collect()
}
