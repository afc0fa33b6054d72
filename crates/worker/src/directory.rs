//! The one object that lists the tenants, for work over all of them.

use std::cell::Cell;

use patchbay_core::model::Tenant;
use patchbay_core::store::StoreError;
use patchbay_sql::database::{Database, Statements, all, text};
use patchbay_sql::schema::{Migration, Schema};

use crate::protocol::{AskDirectory, decode, encode};

const SCHEMA: Schema = Schema {
    key: "directory",
    steps: &[&["CREATE TABLE tenant (name TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID"]],
};
const ENTER: &str = "INSERT INTO tenant (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";
/// `?1` the name to start after, `?2` how many.
const TENANTS: &str = "SELECT name FROM tenant WHERE name > ?1 ORDER BY name LIMIT ?2";

/// The directory, over its own SQLite.
pub struct DirectoryObject<D> {
    database: D,
    migrated: Cell<bool>,
}

impl<D: Database> DirectoryObject<D> {
    /// The directory kept in `database`.
    pub fn new(database: D) -> Self {
        Self {
            database,
            migrated: Cell::new(false),
        }
    }

    /// Answers one message: an [`AskDirectory`], told as its doc says.
    pub fn answer(&self, message: &[u8]) -> Vec<u8> {
        match decode::<AskDirectory>(message) {
            Ok(AskDirectory::Ready) => encode(&self.within(|_| Ok(()))),
            Ok(AskDirectory::Enter(tenant)) => {
                encode(&self.within(|statements| statements.execute(ENTER, &[tenant.as_str().into()])))
            }
            Ok(AskDirectory::Tenants(after, most)) => {
                let after = after.as_ref().map_or("", Tenant::as_str);
                let params = [after.into(), i64::from(most).into()];
                encode(&self.within(|statements| all(statements, TENANTS, &params, |row| tenant(text(row, 0)?))))
            }
            Err(error) => encode(&Err::<(), _>(error)),
        }
    }

    fn within<T>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = self.database.transaction(|statements| {
            if !self.migrated.get() {
                newest(SCHEMA.migrate_in(statements)?)?;
            }
            work(statements)
        })?;
        self.migrated.set(true);
        Ok(done)
    }
}

/// Refuses a database that a newer program wrote, as there is after a deploy was taken back.
pub(crate) fn newest(migration: Migration) -> Result<(), StoreError> {
    match migration {
        Migration::Done { .. } => Ok(()),
        Migration::Newer { found } => Err(StoreError::Unavailable(format!(
            "the tables have version {found}, which a newer program wrote"
        ))),
    }
}

pub(crate) fn tenant(stored: &str) -> Result<Tenant, StoreError> {
    Tenant::new(stored).map_err(|_| StoreError::Damaged("a stored tenant is not one that this version writes".into()))
}
