//! Connections that read. Each read is one snapshot of the write-ahead log, and never waits for the writer's commits.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use patchbay_core::store::StoreError;
use rusqlite::Connection;

use crate::database::{Database as _, Statements};
use crate::driver::Driver;
use crate::folder;

/// Idle connections that are kept.
const KEPT: usize = 8;

/// A pool of reading connections.
pub(crate) struct Readers {
    data: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Held for reading by each read, and for writing where the write-ahead log must be emptied.
    gate: RwLock<()>,
    /// The folder's lock. Last, so that the folder is free only when every connection is closed: one that closes
    /// removes the write-ahead log by its name, whosever that is by then.
    _lock: File,
}

impl Readers {
    pub(crate) fn new(data: PathBuf, lock: File) -> Self {
        Self {
            data,
            idle: Mutex::new(Vec::new()),
            gate: RwLock::new(()),
            _lock: lock,
        }
    }

    /// Runs `work` over one snapshot.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.borrow(|connection| connection.transaction(work))
    }

    /// Runs `work`, which is one statement: a snapshot by itself, without a transaction to begin and end.
    pub(crate) fn read_one<T>(
        &self,
        work: impl FnOnce(&dyn Statements) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.borrow(|connection| work(&Driver(connection)))
    }

    fn borrow<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => folder::open_reader(&self.data)?,
        };
        // A connection whose read failed or panicked is closed, not used again.
        let outcome = work(&connection)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(outcome)
    }

    /// Runs `work` while nothing reads.
    pub(crate) fn pause<T>(&self, work: impl FnOnce() -> T) -> T {
        let _closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}
