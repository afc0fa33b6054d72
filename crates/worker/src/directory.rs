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
    /// Whether the tables are this version's.
    prepared: Cell<bool>,
}

impl<D: Database + Statements> DirectoryObject<D> {
    /// The directory kept in `database`, whose statements outside a transaction run each by itself.
    pub fn new(database: D) -> Self {
        Self {
            database,
            prepared: Cell::default(),
        }
    }

    /// Answers one message: an [`AskDirectory`], told as its doc says. It is durable as soon as the runtime lets an
    /// answer go.
    pub fn answer(&self, message: &[u8]) -> Vec<u8> {
        match decode::<AskDirectory>(message) {
            Ok(AskDirectory::Ready) => encode(&self.tenants(None, 0).map(|_| ())),
            Ok(AskDirectory::Enter(tenant)) => encode(&self.enter(&tenant)),
            Ok(AskDirectory::Tenants(after, most)) => encode(&self.tenants(after.as_ref(), most)),
            Err(error) => encode(&Err::<(), _>(error)),
        }
    }

    fn prepare(&self) -> Result<(), StoreError> {
        if !self.prepared.get() {
            self.database
                .transaction(|statements| newest(SCHEMA.migrate_in(statements)?))?;
            self.prepared.set(true);
        }
        Ok(())
    }

    fn enter(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.prepare()?;
        self.database.execute(ENTER, &[tenant.as_str().into()])
    }

    fn tenants(&self, after: Option<&Tenant>, most: u16) -> Result<Vec<Tenant>, StoreError> {
        self.prepare()?;
        let after = after.map_or("", Tenant::as_str);
        all(
            &self.database,
            TENANTS,
            &[after.into(), i64::from(most).into()],
            |row| tenant(text(row, 0)?),
        )
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
