//! Whether a database consists of what this program makes, and of nothing else.

use std::collections::BTreeMap;

use patchbay_core::store::StoreError;
use rusqlite::Connection;

use crate::database::{Statements, Value, all, text};
use crate::driver::{Driver, store_error};
use crate::schema;

/// SQLite's own objects follow from the others, or are its statistics.
const OBJECTS: &str = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE substr(name, 1, 7) <> 'sqlite_'";

/// By kind and name: the table it is on, and what made it.
type Objects = BTreeMap<(String, String), (String, Option<String>)>;

/// The first table, index, trigger or view that is missing, foreign or different in a database of this version, as the
/// end of a sentence. A file that says of itself that it has the version may lack its tables, or have a trigger more.
///
/// # Errors
/// What the database reports.
pub(crate) fn difference(statements: &dyn Statements, version: i64) -> Result<Option<String>, StoreError> {
    let made = Connection::open_in_memory().map_err(store_error)?;
    schema::migrate_to(&made, version)?;
    let (made, mut found) = (objects(&Driver(&made))?, objects(statements)?);
    for (object, made) in &made {
        let wrong = match found.remove(object) {
            Some(found) if found == *made => continue,
            Some(_) => "is not as Patchbay makes it",
            None => "is missing",
        };
        return Ok(Some(describe(object, wrong)));
    }
    Ok(found
        .keys()
        .next()
        .map(|object| describe(object, "is none of Patchbay's")))
}

fn objects(statements: &dyn Statements) -> Result<Objects, StoreError> {
    let read = all(statements, OBJECTS, &[], |row| {
        let own = |column| Ok::<_, StoreError>(text(row, column)?.to_owned());
        let sql = match row.value(3)? {
            Value::Null => None,
            _ => Some(own(3)?),
        };
        Ok(((own(0)?, own(1)?), (own(2)?, sql)))
    })?;
    Ok(read.into_iter().collect())
}

fn describe((kind, name): &(String, String), wrong: &str) -> String {
    format!("the {} `{}` {wrong}", kind.escape_debug(), name.escape_debug())
}
