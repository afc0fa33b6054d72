//! What KV and the objects' databases hold, changed behind the Worker's back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use house::{CountingKv, Line, house_that_reads};
use patchbay_core::model::{Record, Tenant};
use patchbay_testkit::swaps::{Raw, are_found};
use patchbay_worker::protocol::encode;
use patchbay_worker::settings::Reads;

/// The rows of a tenant's object.
struct Rows(Line<CountingKv>);

impl Raw for Rows {
    async fn put(&self, tenant: &Tenant, before: &Record, after: &Record) {
        let sql = format!(
            "UPDATE connection SET id = X'{}', type = '{}', owner = '{}', created_at = {}, key_id = '{}', sealed = X'{}'
                WHERE name = '{}'",
            hex(after.id.as_bytes()),
            after.connection_type,
            after.owner,
            after.created_at.as_micros(),
            after.sealed.key_id,
            hex(&after.sealed.bytes),
            before.name
        );
        self.0.execute(tenant, &sql);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entries in KV.
struct Entries(CountingKv);

impl Raw for Entries {
    /// A record in an entry is written as it is in a message, behind that one's version.
    async fn put(&self, _: &Tenant, before: &Record, after: &Record) {
        let (before, after) = (encode(before).split_off(1), encode(after).split_off(1));
        let mut changed = 0;
        for value in self.0.values.borrow_mut().values_mut() {
            if let Some(at) = value.windows(before.len()).position(|part| part == before) {
                value.splice(at..at + before.len(), after.iter().copied());
                changed += 1;
            }
        }
        assert!(changed > 0, "KV does not hold the record");
    }
}

#[tokio::test]
async fn details_that_were_swapped_between_rows_of_an_object_are_refused_and_reported_as_damage() {
    let (_, kv, line) = house_that_reads(Reads::Strong);
    are_found(&line.store(kv), &Rows(line.clone()), true).await;
}

#[tokio::test]
async fn details_that_were_swapped_between_entries_of_kv_are_refused_and_reported_as_damage() {
    let (_, kv, line) = house_that_reads(Reads::Edge { max_age: 300 });
    are_found(&line.store(kv.clone()), &Entries(kv), false).await;
}
