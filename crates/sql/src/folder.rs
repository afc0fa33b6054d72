//! The data folder: whose it is, and how its database is opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use patchbay_core::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::schema::{self, Migration};

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "patchbay.db";
/// The file whose lock a running server holds.
const LOCK_FILE: &str = "lock";
/// KiB of page cache a connection: memory stays small, since the system caches the file as well.
const CACHE_KIB: i64 = 1024;
/// Bytes of the write-ahead log that are kept on disk after it was emptied.
const WAL_KEPT: i64 = 4 * 1024 * 1024;
/// How long a connection waits for another process, such as a backup's.
const BUSY: Duration = Duration::from_secs(5);

/// Why a data folder cannot be used, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another Patchbay is running on the data folder {0}; stop it, or choose another folder")]
    InUse(PathBuf),
    /// The file was written by a newer version.
    #[error(
        "the database has schema {found}, but this Patchbay knows no newer one than {known}; use the newer version"
    )]
    NewerSchema {
        /// The file's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The folder or a file in it cannot be read or written.
    #[error("the data folder {path} cannot be used: {error}; see that it is writable and that its disk has room")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// SQLite cannot use the file.
    #[error("the database {path} cannot be used: {error}; if it is damaged, restore a backup")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        error: StoreError,
    },
}

/// Makes the folder if need be, and takes its lock, which lasts as long as the file stays open.
pub(crate) fn lock(data: &Path) -> Result<File, OpenError> {
    let wrong = |error| OpenError::Io {
        path: data.to_owned(),
        error,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(wrong)?;
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(data.join(LOCK_FILE))
        .map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

/// Opens the database for writing, and brings its schema up to date.
pub(crate) fn open_writer(data: &Path) -> Result<Connection, OpenError> {
    let path = data.join(DATABASE_FILE);
    if !path.exists() {
        // SQLite would give it the process's usual mode.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let synced = made.and_then(|_| File::open(data)?.sync_all());
        synced.map_err(|error| OpenError::Io {
            path: path.clone(),
            error,
        })?;
    }
    let wrong = |error| OpenError::Database {
        path: path.clone(),
        error,
    };
    let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(wrong)?;
    match schema::migrate(&connection).map_err(wrong)? {
        Migration::Done { .. } => Ok(connection),
        Migration::Newer { found } => Err(OpenError::NewerSchema {
            found,
            known: schema::VERSION,
        }),
    }
}

/// Opens the database for reading.
pub(crate) fn open_reader(data: &Path) -> Result<Connection, StoreError> {
    // The write-ahead log's index is written by readers as well, so the file is opened for both.
    let connection = open(&data.join(DATABASE_FILE), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(crate::driver::store_error)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let opened = || {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(64);
        // Without the planner's stability guarantee, SQLite looks at the values bound and may prepare a cached
        // statement again for each of them.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "journal_size_limit", WAL_KEPT)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    opened().map_err(crate::driver::store_error)
}
