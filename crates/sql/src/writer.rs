//! The one writer: a thread that takes what waits, commits it together, and answers after the commit is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use patchbay_core::store::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::database::Statements;
use crate::driver::{Driver, control};
use crate::folder;
use crate::readers::Readers;

/// Changes that may wait; one more is refused as busy.
const QUEUE: usize = 1024;
/// Changes that one commit takes at most, so that the first of them does not wait long.
const BATCH: usize = 256;
/// Bytes of the write-ahead log at which readers are made to pause so that it can be emptied. SQLite's own checkpoints
/// keep it at about 4 MiB unless somebody always reads.
const WAL_MOST: u64 = 16 * 1024 * 1024;

/// Told of each commit: how many changes it took, and how long.
pub type OnCommit = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// The way to the writer's thread. When the last of these is dropped the thread finishes what waits and ends, and the
/// drop waits for that.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Running>);

struct Running {
    /// There until the drop.
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The thread ends when nobody can send any more.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            // What a commit is told to may hold the store: the thread cannot wait for itself.
            && thread.thread().id() != thread::current().id()
        {
            // A panic of the thread has already been reported by its hook.
            _ = thread.join();
        }
    }
}

/// A change that waits: run inside the batch's transaction, and told how it ended.
trait Job: Send {
    /// Whether its changes are to be kept.
    fn run(&mut self, statements: &dyn Statements) -> bool;
    /// Answers: with its own outcome, or with what the commit came to.
    fn finish(self: Box<Self>, committed: Result<(), String>);
}

struct Change<F, T> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Change<F, T>
where
    F: FnOnce(&dyn Statements) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, statements: &dyn Statements) -> bool {
        let Some(work) = self.work.take() else { return false };
        // The savepoint is rolled back, so nothing half done is left to see.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(statements)))
            .unwrap_or_else(|_| Err(StoreError::Damaged("a change panicked; nothing of it is kept".into())));
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn finish(self: Box<Self>, committed: Result<(), String>) {
        let outcome = match (self.outcome, committed) {
            (Some(outcome), Ok(())) => outcome,
            (Some(Err(own)), Err(_)) => Err(own),
            (_, Err(error)) => Err(StoreError::Unavailable(error)),
            (None, Ok(())) => Err(StoreError::Unavailable("the change was not run".into())),
        };
        // Whoever asked may have gone away; the change stands all the same.
        _ = self.answer.send(outcome);
    }
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        connection: Connection,
        data: &Path,
        readers: Arc<Readers>,
        on_commit: Option<OnCommit>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let mut wal = Wal {
            file: folder::wal(data),
            next: WAL_MOST,
        };
        let work = move || {
            while let Some(batch) = take(&receiver) {
                let (size, started) = (batch.len(), Instant::now());
                commit(&connection, batch);
                if let Some(on_commit) = &on_commit {
                    on_commit(size, started.elapsed());
                }
                wal.bound(&connection, &readers);
            }
        };
        let thread = thread::Builder::new().name("patchbay-writer".into()).spawn(work)?;
        Ok(Self(Arc::new(Running {
            jobs: Some(sender),
            thread: Some(thread),
        })))
    }

    /// Runs `work` in the next commit and gives its outcome once that is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Statements) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let change = Change {
            work: Some(work),
            outcome: None,
            answer,
        };
        let ended = || StoreError::Unavailable("the writer has ended; restart the server".into());
        let jobs = self.0.jobs.as_ref().ok_or_else(ended)?;
        jobs.try_send(Box::new(change)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy(format!("{QUEUE} changes are waiting")),
            TrySendError::Disconnected(_) => ended(),
        })?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The write-ahead log's file, kept from growing without end.
struct Wal {
    file: PathBuf,
    /// Bytes at which it is to be emptied.
    next: u64,
}

impl Wal {
    /// Empties the log if it has grown past its bound. Where a reader of another process (a backup) holds on to it, it
    /// is tried again only after as many bytes more: each attempt makes all readers pause.
    fn bound(&mut self, connection: &Connection, readers: &Readers) {
        let length = || std::fs::metadata(&self.file).map_or(0, |file| file.len());
        if length() <= self.next {
            return;
        }
        readers.pause(|| {
            // Readers of this process are out already. Those of others are not waited for: everybody would wait.
            _ = connection.busy_timeout(Duration::ZERO);
            _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            _ = connection.busy_timeout(folder::BUSY);
        });
        let left = length();
        self.next = if left > WAL_MOST {
            left.saturating_add(WAL_MOST)
        } else {
            WAL_MOST
        };
    }
}

/// What waits, at least one change; `None` when nobody can send any more.
fn take(receiver: &Receiver<Box<dyn Job>>) -> Option<Vec<Box<dyn Job>>> {
    let mut batch = vec![receiver.recv().ok()?];
    batch.extend(receiver.try_iter().take(BATCH - 1));
    Some(batch)
}

fn commit(connection: &Connection, mut batch: Vec<Box<dyn Job>>) {
    let committed = run(connection, &mut batch).map_err(|error| error.to_string());
    if committed.is_err() && !connection.is_autocommit() {
        // What cannot even be rolled back is so by SQLite itself at the next BEGIN or open.
        _ = connection.execute_batch("ROLLBACK");
    }
    for job in batch {
        job.finish(committed.clone());
    }
}

fn run(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    control(connection, "BEGIN IMMEDIATE")?;
    for job in batch {
        control(connection, "SAVEPOINT change")?;
        if !job.run(&Driver(connection)) {
            control(connection, "ROLLBACK TO change")?;
        }
        control(connection, "RELEASE change")?;
    }
    control(connection, "COMMIT")
}
