//! Rows that were changed behind the store's back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use patchbay_core::model::{Record, Tenant};
use patchbay_sql::{DATABASE_FILE, NativeStore, Options};
use patchbay_testkit::swaps::{Raw, are_found};
use rusqlite::{Connection, params};
use tempfile::TempDir;

struct Rows(Connection);

impl Raw for Rows {
    async fn put(&self, tenant: &Tenant, before: &Record, after: &Record) {
        let sql = "UPDATE connection SET id = ?3, type = ?4, owner = ?5, created_at = ?6, key_id = ?7, sealed = ?8
            WHERE tenant = ?1 AND name = ?2";
        let params = params![
            tenant.as_str(),
            before.name.as_str(),
            after.id.as_bytes(),
            after.connection_type.as_str(),
            after.owner.as_str(),
            after.created_at.as_micros(),
            after.sealed.key_id.as_str(),
            after.sealed.bytes
        ];
        assert_eq!(self.0.execute(sql, params).unwrap(), 1);
    }
}

#[tokio::test]
async fn details_that_were_swapped_between_rows_are_refused_and_reported_as_damage() {
    let folder = TempDir::new().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let rows = Rows(Connection::open(folder.path().join(DATABASE_FILE)).unwrap());
    are_found(&store, &rows, true).await;
}
