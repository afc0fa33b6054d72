//! Opens a data folder with the real code, in this process, and reads all that is in it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use patchbay_core::identity::Authentication;
use patchbay_core::model::Workspaces;
use patchbay_core::seal::KeyRing;
use patchbay_core::store::{ListOutcome, ListQuery, Store as _};
use patchbay_sql::{DATABASE_FILE, NativeStore, Options};

use crate::load;
use crate::state::Connection;

/// Every connection in a data folder. A folder without keys and database has none.
///
/// # Errors
/// Where the folder does not open, its database is not sound, there is a database without keys, or a record does not
/// open with them.
pub fn read_folder(data: &Path) -> anyhow::Result<BTreeMap<String, Connection>> {
    let Ok(keys) = std::fs::read_to_string(data.join("keys")) else {
        ensure!(
            !data.join(DATABASE_FILE).exists(),
            "there is a database without its keys"
        );
        return Ok(BTreeMap::new());
    };
    let ring = KeyRing::parse(keys.trim()).context("the keys")?;
    let store = NativeStore::open(data, Options::default())?;
    let caller = Authentication::anonymous();
    let query = ListQuery {
        workspace: None,
        workspaces: Workspaces::Open,
        after: None,
        limit: None,
        details: true,
        most_bytes: usize::MAX,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let ListOutcome::Page { rows, .. } = runtime.block_on(store.list(&caller, query))? else {
        anyhow::bail!("there is no list");
    };
    let mut found = BTreeMap::new();
    for row in rows {
        let details = ring.open(&caller.tenant, &row.record)?;
        let (id, name) = (row.record.id.to_string(), row.record.name.as_str());
        let workspaces = row.workspace_names.iter().map(|name| name.as_str());
        found.insert(name.to_owned(), load::read(id, name, details.expose(), workspaces)?);
    }
    let database = rusqlite::Connection::open(data.join(DATABASE_FILE))?;
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(sound == "ok", "the database is not sound: {sound}");
    let orphan = database.prepare("PRAGMA foreign_key_check")?.exists([])?;
    ensure!(!orphan, "a row refers to one that is not there");
    Ok(found)
}
