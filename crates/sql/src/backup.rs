//! A backup beside a running server, and a restore into a folder that no server uses.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use patchbay_core::model::Timestamp;
use patchbay_core::store::StoreError;
use rusqlite::{Connection, OpenFlags};
use tempfile::{NamedTempFile, TempPath};

use crate::audit;
use crate::driver::{Driver, store_error};
use crate::folder::{self, OpenError};
use crate::schema;
use crate::shape;

/// Why there is no backup, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data folder cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file is there already.
    #[error("{0} exists; choose another name, or move it away")]
    Exists(PathBuf),
    /// The file would stand beside what it is a copy of.
    #[error("{0} is in the data folder; choose another folder, on another disk if there is one")]
    Inside(PathBuf),
    /// The file cannot be written.
    #[error("the backup {file} cannot be written: {error}; see that its folder is there and its disk has room")]
    Io {
        /// The backup.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// SQLite cannot copy the database.
    #[error("the database cannot be copied: {0}; see that the disk has room, and run `patchbay check`")]
    Copy(StoreError),
}

/// Writes the state of this moment to `file`, which must not exist, readable by its owner alone. The server may run and
/// write on. When this returns the file is whole and synced; until then it does not bear its name. Gives its bytes.
///
/// # Errors
/// Why there is no backup; none is left half done.
pub fn backup(data: &Path, file: &Path) -> Result<u64, BackupError> {
    let wrong = |error| BackupError::Io {
        file: file.to_owned(),
        error,
    };
    let connection = folder::open_beside(data)?;
    if folder::is_inside(data, file).map_err(wrong)? {
        return Err(BackupError::Inside(file.to_owned()));
    }
    if file.try_exists().map_err(wrong)? {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let beside = folder::folder_of(file);
    let copy = NamedTempFile::new_in(beside).map_err(wrong)?;
    let path = copy.path().to_str();
    let path = path.ok_or_else(|| wrong(io::Error::other("its name is not UTF-8")))?;
    // VACUUM INTO and not the backup API: one read transaction is one snapshot, whatever is written meanwhile; the copy
    // holds no remnants of what was deleted; and it is one file, without a write-ahead log to lose.
    connection
        .execute("VACUUM INTO ?1", [path])
        .map_err(|error| BackupError::Copy(store_error(error)))?;
    // SQLite syncs the file as `synchronous` says, but not its folder. Here it is said again, whatever the setting.
    copy.as_file().sync_all().map_err(wrong)?;
    let bytes = copy.as_file().metadata().map_err(wrong)?.len();
    copy.persist_noclobber(file).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
        _ => wrong(error.error),
    })?;
    folder::sync(beside).map_err(wrong)?;
    Ok(bytes)
}

/// Why nothing was restored, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is a database already.
    #[error("{0} holds a database; give --replace to put the backup in its place and keep the old one aside")]
    Exists(PathBuf),
    /// The file is not a backup.
    #[error("{file} cannot be restored: {why}")]
    Unfit {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The files cannot be read or written.
    #[error("{path}: {error}; see that the backup can be read and that the data folder's disk has room")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Verifies the backup in `file` and puts it in the data folder, which no server may be using. A database that is there
/// is refused, or with `replace` kept in a folder of its own, whose path is given; `now` names that folder. What the audit
/// trail lacks of its records is appended before, if it can be read. Ended at any moment, it leaves the old state or
/// completes at the folder's next use.
///
/// # Errors
/// Why nothing was restored.
pub fn restore(data: &Path, file: &Path, replace: bool, now: Timestamp) -> Result<Option<PathBuf>, RestoreError> {
    let unreadable = |error| RestoreError::Io {
        path: file.to_owned(),
        error,
    };
    let unwritable = |error| RestoreError::Io {
        path: data.to_owned(),
        error,
    };
    // Before the folder is made.
    let mut source = File::open(file).map_err(unreadable)?;
    let _lock = folder::lock(data)?;
    folder::complete_restore(data).map_err(unwritable)?;
    if !replace && folder::has_database(data).map_err(unwritable)? {
        return Err(RestoreError::Exists(data.to_owned()));
    }
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Err(RestoreError::Unfit {
            file: file.to_owned(),
            why: "it is a server's own file, with a write-ahead log beside it; make a backup with `patchbay backup`"
                .into(),
        });
    }
    let mut copy = NamedTempFile::new_in(data).map_err(unwritable)?;
    io::copy(&mut source, &mut copy).map_err(unwritable)?;
    copy.as_file().sync_all().map_err(unwritable)?;
    let copy: TempPath = copy.into_temp_path();
    verify(&copy).map_err(|why| RestoreError::Unfit {
        file: file.to_owned(),
        why,
    })?;
    append_rest(data)?;
    let stamp = now.to_string().replace(':', "");
    folder::replace(data, copy, &stamp).map_err(unwritable)
}

/// Has the audit trail take over what waits in the database that is there.
fn append_rest(data: &Path) -> Result<(), OpenError> {
    let appended = folder::open_beside(data).and_then(|old| {
        folder::require_current(data, &Driver(&old))?;
        audit::append_rest(data, &old)
    });
    match appended {
        Err(error @ OpenError::Io { .. }) => Err(error),
        // There is none, or none that can be read: often the reason for a restore.
        _ => Ok(()),
    }
}

/// Whether the file is a whole Patchbay database that this program can open, or why not.
fn verify(file: &Path) -> Result<(), String> {
    let wrong = || -> Result<Option<String>, StoreError> {
        let connection = open_alone(file).map_err(store_error)?;
        let version = schema::version(&Driver(&connection))?;
        if version == 0 {
            return Ok(Some("it holds no Patchbay database".into()));
        }
        if version > schema::VERSION {
            let newer = OpenError::NewerSchema {
                found: version,
                known: schema::VERSION,
            };
            return Ok(Some(newer.to_string()));
        }
        if let Some(difference) = shape::difference(&Driver(&connection), version)? {
            return Ok(Some(format!("{difference}; use another backup")));
        }
        let whole: String = connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(store_error)?;
        let dangling = connection
            .prepare("PRAGMA foreign_key_check")
            .and_then(|mut check| check.exists([]))
            .map_err(store_error)?;
        if whole != "ok" || dangling {
            return Err(StoreError::Damaged("its integrity check fails".into()));
        }
        Ok(None)
    };
    match wrong() {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(why),
        Err(error) => Err(format!("{error}; use another backup")),
    }
}

/// Opens a file that nobody else has, without making files beside it, whatever its journal mode.
fn open_alone(file: &Path) -> rusqlite::Result<Connection> {
    let escaped: String = file
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}
