//! No statement reads a whole table.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use patchbay_sql::{DATABASE_FILE, NativeStore, Options, statements};

/// Whether a step of a plan reads a table, by its name or by the alias that the statements give it, from end to end.
fn is_whole_read(step: &str) -> bool {
    // `SCAN key`, `SCAN m` and the like walk what a search gave already.
    let tables = [
        "workspace",
        "member",
        "connection",
        "attachment",
        "counter",
        "audit",
        "audit_head",
    ];
    let aliases = ["w", "x", "s", "e", "c", "k", "a", "l"];
    step.split_once("SCAN ").is_some_and(|(_, rest)| {
        let name = rest.split_whitespace().next().unwrap_or_default();
        tables.contains(&name) || aliases.contains(&name)
    })
}

#[test]
fn no_statement_scans_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let _store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let mut steps = 0;
    for (name, sql) in statements::ALL {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; plan.parameter_count()];
        let mut rows = plan.query(rusqlite::params_from_iter(nulls)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            assert!(!is_whole_read(&step), "{name}: {step}");
            steps += 1;
        }
    }
    assert!(steps > statements::ALL.len());
}
