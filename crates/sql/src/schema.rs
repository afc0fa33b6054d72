//! The tables, and how a database of an older version becomes one of this version.
//!
//! The schema's version is a row of the table `meta`. It is the stored forms' format version as well: rows are
//! rewritten when it rises, so that a reader never meets two forms. (What is sealed carries its own.)

use patchbay_core::store::StoreError;

use crate::database::{Database, Statements, first, int};

const STEPS: &[&[&str]] = &[
    &[
        "CREATE TABLE workspace (
        tenant TEXT NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL,
        created_by TEXT NOT NULL, created_at INTEGER NOT NULL,
        PRIMARY KEY (tenant, id), UNIQUE (tenant, name)) STRICT, WITHOUT ROWID",
        // kind: 0 subject, 1 e-mail. role: 1 COLLABORATOR, 2 OWNER.
        "CREATE TABLE member (
        tenant TEXT NOT NULL, kind INTEGER NOT NULL CHECK (kind IN (0, 1)), subject TEXT NOT NULL,
        workspace_id INTEGER NOT NULL, role INTEGER NOT NULL CHECK (role IN (1, 2)),
        PRIMARY KEY (tenant, kind, subject, workspace_id),
        FOREIGN KEY (tenant, workspace_id) REFERENCES workspace (tenant, id)) STRICT, WITHOUT ROWID",
        "CREATE INDEX member_by_workspace ON member (tenant, workspace_id)",
        // `sealed` stands last: what reads a row without its details does not touch the pages that hold them.
        "CREATE TABLE connection (
        seq INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        name TEXT NOT NULL, type TEXT NOT NULL, owner TEXT NOT NULL, created_at INTEGER NOT NULL,
        key_id TEXT NOT NULL, sealed BLOB NOT NULL,
        UNIQUE (tenant, name)) STRICT",
        "CREATE INDEX connection_by_owner ON connection (tenant, owner, name)",
        "CREATE INDEX connection_by_key ON connection (key_id)",
        // The connection's name makes a workspace's list one range of this table. It never changes.
        "CREATE TABLE attachment (
        tenant TEXT NOT NULL, workspace_id INTEGER NOT NULL, name TEXT NOT NULL,
        seq INTEGER NOT NULL REFERENCES connection (seq), id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        PRIMARY KEY (tenant, workspace_id, name),
        FOREIGN KEY (tenant, workspace_id) REFERENCES workspace (tenant, id)) STRICT, WITHOUT ROWID",
        "CREATE UNIQUE INDEX attachment_by_connection ON attachment (seq, workspace_id)",
        "CREATE TABLE counter (tenant TEXT NOT NULL PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ],
    &[
        // Records that are on their way to the audit trail, and how far that goes. Empty where a home keeps no trail.
        "CREATE TABLE audit (seq INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT",
        "CREATE TABLE audit_head (
        one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL,
        hash BLOB NOT NULL CHECK (length(hash) = 32), file INTEGER NOT NULL, bytes INTEGER NOT NULL,
        seq INTEGER NOT NULL) STRICT",
    ],
    // The e-mail address that is kept beside a member who is known by subject.
    &["ALTER TABLE member ADD COLUMN email TEXT"],
];

/// Tables with a version of their own, which is a row of the table `meta`. A database may hold several such sets.
pub struct Schema {
    /// The version's key in `meta`.
    pub key: &'static str,
    /// What leads from one version to the next: `steps[n]` makes version `n + 1`. A step that was released never changes.
    pub steps: &'static [&'static [&'static str]],
}

/// The tables of the store.
const STORE: Schema = Schema {
    key: "schema",
    steps: STEPS,
};

/// The schema version that this program writes.
pub const VERSION: i64 = STEPS.len() as i64;

/// How a database's schema stands to this program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migration {
    /// It has this program's version now; it had `from` before (0: it was empty).
    Done {
        /// The version it had.
        from: i64,
    },
    /// It was written by a newer program, and nothing was touched.
    Newer {
        /// The version it has.
        found: i64,
    },
}

/// Brings a database to this program's schema, in one transaction.
///
/// # Errors
/// What the database reports; nothing has changed then.
pub fn migrate(database: &impl Database) -> Result<Migration, StoreError> {
    database.transaction(migrate_in)
}

/// As [`migrate`], as part of a transaction that does more.
///
/// # Errors
/// What the database reports; the transaction must then be given up.
pub fn migrate_in(statements: &dyn Statements) -> Result<Migration, StoreError> {
    STORE.migrate_in(statements)
}

/// Brings a database to an older version of the schema, or to none where there is no such version.
#[cfg(feature = "native")]
pub(crate) fn migrate_to(database: &impl Database, version: i64) -> Result<Migration, StoreError> {
    let steps = usize::try_from(version).ok().and_then(|count| STEPS.get(..count));
    let older = Schema {
        steps: steps.unwrap_or_default(),
        ..STORE
    };
    database.transaction(|statements| older.migrate_in(statements))
}

/// The version of the schema, 0 in a database without one.
///
/// # Errors
/// What the database reports.
pub fn version(statements: &dyn Statements) -> Result<i64, StoreError> {
    STORE.version(statements)
}

impl Schema {
    /// Brings these tables to their newest version, as part of a transaction.
    ///
    /// # Errors
    /// What the database reports; the transaction must then be given up.
    pub fn migrate_in(&self, statements: &dyn Statements) -> Result<Migration, StoreError> {
        let known = i64::try_from(self.steps.len()).unwrap_or(i64::MAX);
        let from = self.version(statements)?;
        if from > known {
            return Ok(Migration::Newer { found: from });
        }
        if from == known {
            return Ok(Migration::Done { from });
        }
        if from == 0 {
            statements.execute(
                "CREATE TABLE IF NOT EXISTS meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
                &[],
            )?;
        }
        for step in self.steps.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
            for sql in *step {
                statements.execute(sql, &[])?;
            }
        }
        statements.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            &[self.key.into(), known.into()],
        )?;
        Ok(Migration::Done { from })
    }

    /// The version that these tables have, 0 if they are not there.
    fn version(&self, statements: &dyn Statements) -> Result<i64, StoreError> {
        let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'";
        if first(statements, table, &[], |row| int(row, 0))?.is_none() {
            return Ok(0);
        }
        let version = "SELECT value FROM meta WHERE key = ?1";
        let version = first(statements, version, &[self.key.into()], |row| int(row, 0))?.unwrap_or(0);
        if version < 0 {
            return Err(StoreError::Damaged("the schema version is negative".into()));
        }
        Ok(version)
    }
}
