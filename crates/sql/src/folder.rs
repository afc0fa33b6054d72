//! The data folder: whose it is, and how its database is opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use patchbay_core::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::database::Statements;
use crate::driver::Driver;
use crate::schema::{self, Migration};
use crate::shape;

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "patchbay.db";
/// The file whose lock a running server holds.
const LOCK_FILE: &str = "lock";
/// How the file of a restore begins that is verified and about to take the database's place; see [`replace`].
const INCOMING: &str = "patchbay.db.restoring-";
/// How the folder begins that keeps what a restore replaced.
const REPLACED: &str = "replaced-";
/// KiB of page cache a connection: memory stays small, since the system caches the file as well. 2, 4 and 8 MiB made no
/// `get` measurably faster, neither at 10,000 connections stored nor at 1,000,000.
const CACHE_KIB: i64 = 1024;
/// Bytes of the write-ahead log that are kept on disk after it was emptied.
const WAL_KEPT: i64 = 4 * 1024 * 1024;
/// How long a connection waits for another process, such as a backup's.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

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
    /// There is nothing to read.
    #[error("there is no database in {0}; name the server's data folder with --data")]
    NoDatabase(PathBuf),
    /// A restore was cut short.
    #[error(
        "a restore into {0} was interrupted after the backup was verified; start the server, or run `patchbay restore` \
         again, and it is completed"
    )]
    Restoring(PathBuf),
    /// The file is of another program, or from before its first migration.
    #[error("{0} holds no Patchbay database, or one of an older version that the server migrates when it starts")]
    OtherSchema(PathBuf),
    /// It says that it is Patchbay's, but something in it is missing, foreign or different.
    #[error(
        "{path} is no whole Patchbay database: {difference}; `patchbay restore FILE --replace` puts a backup in its place"
    )]
    NotWhole {
        /// The file.
        path: PathBuf,
        /// What is wrong first.
        difference: String,
    },
    /// SQLite cannot use the file.
    #[error(
        "the database {path} cannot be used: {error}; `patchbay check` tells whether it is damaged, and `patchbay \
         restore FILE --replace` puts a backup in its place"
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        error: StoreError,
    },
}

/// Makes a folder for one person's eyes if need be, and those it is in, so that a power cut does not take them away with
/// all that is in them.
///
/// # Errors
/// Where one of them cannot be made or synced.
pub fn make(folder: &Path) -> io::Result<()> {
    let parent = folder_of(folder);
    if !folder.is_dir() {
        make(parent)?;
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            // Another process may have been quicker.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => return Err(error),
            _ => {}
        }
    }
    // Also where it was there: whoever made it may have failed to do this.
    match File::open(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        parent => parent?.sync_all(),
    }
}

/// Makes the folder if need be, and takes its lock, which lasts as long as the file stays open.
pub(crate) fn lock(data: &Path) -> Result<File, OpenError> {
    let wrong = |error| OpenError::Io {
        path: data.to_owned(),
        error,
    };
    make(data).map_err(wrong)?;
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

/// The write-ahead log's file.
pub(crate) fn wal(data: &Path) -> PathBuf {
    data.join(format!("{DATABASE_FILE}-wal"))
}

/// Whether the folder holds a database, or one that an interrupted restore left to be put in its place.
///
/// # Errors
/// Where the folder cannot be read; one that does not exist holds none.
pub fn has_database(data: &Path) -> io::Result<bool> {
    Ok(data.join(DATABASE_FILE).try_exists()? || incoming(data)?.is_some())
}

/// Whether a file to be written would stand in the data folder. Names there have a meaning, and a copy that stands
/// beside its original is lost with it.
///
/// # Errors
/// Where one of the two folders cannot be found.
pub fn is_inside(data: &Path, file: &Path) -> io::Result<bool> {
    Ok(fs::canonicalize(folder_of(file))? == fs::canonicalize(data)?)
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Syncs a folder, so that what was made, renamed or removed in it stays so.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The file of a restore that is about to take the database's place, and its stamp.
fn incoming(data: &Path) -> io::Result<Option<(PathBuf, String)>> {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        if let Some(stamp) = name.to_str().and_then(|name| name.strip_prefix(INCOMING)) {
            return Ok(Some((data.join(&name), stamp.to_owned())));
        }
    }
    Ok(None)
}

/// Puts a database file in the place of what is there. Needs the folder's lock. Gives the folder that keeps what was
/// there, if anything was.
///
/// One rename makes `fresh` the incoming file. From there on whoever opens the folder next completes the rest, so it may
/// be cut short anywhere: no other database is ever opened beside the old one's write-ahead log, nor the old one
/// without it.
pub(crate) fn replace(data: &Path, fresh: tempfile::TempPath, stamp: &str) -> io::Result<Option<PathBuf>> {
    fresh.persist_noclobber(data.join(format!("{INCOMING}{stamp}")))?;
    sync(data)?;
    complete_restore(data)
}

/// Completes a restore that was cut short, if there is one. Needs the folder's lock.
pub(crate) fn complete_restore(data: &Path) -> io::Result<Option<PathBuf>> {
    let Some((incoming, stamp)) = incoming(data)? else {
        return Ok(None);
    };
    let kept = data.join(format!("{REPLACED}{stamp}"));
    // While the incoming file is there, what bears the database's names is the old one's.
    let database = data.join(DATABASE_FILE);
    for old in [wal(data), database.clone()] {
        let (true, Some(name)) = (old.try_exists()?, old.file_name()) else {
            continue;
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&kept)?;
        fs::rename(&old, kept.join(name))?;
    }
    // The log's index is made anew from the log.
    match fs::remove_file(data.join(format!("{DATABASE_FILE}-shm"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let kept = kept.try_exists()?.then_some(kept);
    if let Some(kept) = &kept {
        sync(kept)?;
    }
    sync(data)?;
    fs::rename(incoming, database)?;
    sync(data)?;
    Ok(kept)
}

/// Opens the database for writing, and brings its schema up to date. Needs the folder's lock.
pub(crate) fn open_writer(data: &Path) -> Result<Connection, OpenError> {
    complete_restore(data).map_err(|error| OpenError::Io {
        path: data.to_owned(),
        error,
    })?;
    let path = data.join(DATABASE_FILE);
    if !path.exists() {
        // SQLite would give it the process's usual mode.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let synced = made.and_then(|_| sync(data));
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
    // Before anything is added to a file that may be another program's.
    require_whole(data, &Driver(&connection))?;
    match schema::migrate(&connection).map_err(wrong)? {
        Migration::Done { .. } => {
            // The write-ahead log was made by now. SQLite syncs its name too, but does not mind if that fails.
            sync(data).map_err(|error| OpenError::Io {
                path: data.to_owned(),
                error,
            })?;
            Ok(connection)
        }
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

/// Opens the database beside a server that may be running, for reading alone: a connection that could write would
/// empty the write-ahead log when it closes.
pub(crate) fn open_beside(data: &Path) -> Result<Connection, OpenError> {
    let path = data.join(DATABASE_FILE);
    let io = |error| OpenError::Io {
        path: data.to_owned(),
        error,
    };
    if incoming(data).map_err(io)?.is_some() {
        return Err(OpenError::Restoring(data.to_owned()));
    }
    if !path.try_exists().map_err(io)? {
        return Err(OpenError::NoDatabase(data.to_owned()));
    }
    let opened = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    opened().map_err(|error| OpenError::Database {
        path: path.clone(),
        error: crate::driver::store_error(error),
    })
}

/// Refuses a database whose schema is not this program's.
pub(crate) fn require_current(data: &Path, statements: &dyn Statements) -> Result<(), OpenError> {
    let path = data.join(DATABASE_FILE);
    match schema::version(statements) {
        Ok(found) if found > schema::VERSION => Err(OpenError::NewerSchema {
            found,
            known: schema::VERSION,
        }),
        Ok(schema::VERSION) => Ok(()),
        Ok(_) => Err(OpenError::OtherSchema(path)),
        Err(error) => Err(OpenError::Database { path, error }),
    }
}

/// Refuses a database that does not consist of what its version of the schema has. One of a newer version passes.
pub(crate) fn require_whole(data: &Path, statements: &dyn Statements) -> Result<(), OpenError> {
    let path = data.join(DATABASE_FILE);
    let difference = schema::version(statements).and_then(|version| match version {
        newer if newer > schema::VERSION => Ok(None),
        known => shape::difference(statements, known),
    });
    match difference {
        Ok(None) => Ok(()),
        Ok(Some(difference)) => Err(OpenError::NotWhole { path, difference }),
        Err(error) => Err(OpenError::Database { path, error }),
    }
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
