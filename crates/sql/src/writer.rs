//! The one writer: a thread that takes what waits, commits it together, and answers after the commit is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use patchbay_core::store::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::audit::{Head, Kept, Row, Trail, TrailThread};
use crate::database::{Database as _, Statements};
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
/// How long the audit trail may go on without a commit until its head is kept all the same.
const HEAD_KEPT: Duration = Duration::from_secs(1);

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
    /// Answers: with its own outcome, or with what the commit came to. Has its audit row follow it to the trail.
    fn finish(self: Box<Self>, committed: Result<(), String>, trail: Option<&Trail>);
}

struct Change<F, T> {
    work: Option<F>,
    outcome: Option<Result<(T, Option<Row>), StoreError>>,
    answer: oneshot::Sender<Result<(T, Option<Kept>), StoreError>>,
}

impl<F, T> Job for Change<F, T>
where
    F: FnOnce(&dyn Statements) -> Result<(T, Option<Row>), StoreError> + Send,
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

    fn finish(self: Box<Self>, committed: Result<(), String>, trail: Option<&Trail>) {
        let outcome = match (self.outcome, committed) {
            (Some(outcome), Ok(())) => {
                outcome.map(|(outcome, row)| (outcome, row.zip(trail).map(|(row, trail)| trail.follow(row))))
            }
            (Some(Err(own)), Err(_)) => Err(own),
            (_, Err(error)) => Err(StoreError::Unavailable(error)),
            (None, Ok(())) => Err(StoreError::Unavailable("the change was not run".into())),
        };
        // Whoever asked may have gone away; the change stands all the same.
        _ = self.answer.send(outcome);
    }
}

impl Writer {
    /// Starts the thread, which ends that of the audit trail after it.
    pub(crate) fn start(
        connection: Connection,
        data: &Path,
        readers: Arc<Readers>,
        on_commit: Option<OnCommit>,
        audit: Option<TrailThread>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let mut wal = Wal {
            file: folder::wal(data),
            next: WAL_MOST,
        };
        let mut audit = audit.map(|thread| Audited {
            kept: thread.trail().head(),
            thread,
        });
        let work = move || {
            while let Some(batch) = take(&receiver, audit.as_ref().map(|_| HEAD_KEPT)) {
                let (size, started) = (batch.len(), Instant::now());
                commit(&connection, batch, audit.as_mut());
                if let Some(on_commit) = on_commit.as_ref().filter(|_| size > 0) {
                    on_commit(size, started.elapsed());
                }
                wal.bound(&connection, &readers);
            }
            if let Some(audit) = audit {
                let head = audit.thread.finish();
                // Where that fails, the trail is longer than its head, as after a power cut.
                _ = connection.transaction(|statements| head.keep(statements));
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
        let noted = self.write_noted(|statements| Ok((work(statements)?, None)));
        noted.await.map(|(outcome, _)| outcome)
    }

    /// As [`Self::write`]; `work` also gives the audit row that it added, which follows the commit to the trail.
    pub(crate) async fn write_noted<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Statements) -> Result<(T, Option<Row>), StoreError> + Send + 'static,
    ) -> Result<(T, Option<Kept>), StoreError> {
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

/// The audit trail, as the writer sees it.
struct Audited {
    thread: TrailThread,
    /// The head that the database has.
    kept: Head,
}

/// What waits, at least one change, or nothing where none came for so long; `None` when nobody can send any more.
fn take(receiver: &Receiver<Box<dyn Job>>, patience: Option<Duration>) -> Option<Vec<Box<dyn Job>>> {
    let first = match patience.map(|patience| receiver.recv_timeout(patience)) {
        None => receiver.recv().ok()?,
        Some(Ok(first)) => first,
        Some(Err(RecvTimeoutError::Timeout)) => return Some(Vec::new()),
        Some(Err(RecvTimeoutError::Disconnected)) => return None,
    };
    let mut batch = vec![first];
    batch.extend(receiver.try_iter().take(BATCH - 1));
    Some(batch)
}

fn commit(connection: &Connection, mut batch: Vec<Box<dyn Job>>, mut audit: Option<&mut Audited>) {
    let head = audit.as_ref().map(|audit| (audit.kept, audit.thread.trail().head()));
    let head = head.filter(|(kept, head)| kept != head).map(|(_, head)| head);
    if batch.is_empty() && head.is_none() {
        return;
    }
    let committed = run(connection, &mut batch, head).map_err(|error| error.to_string());
    if committed.is_err() && !connection.is_autocommit() {
        // What cannot even be rolled back is so by SQLite itself at the next BEGIN or open.
        _ = connection.execute_batch("ROLLBACK");
    }
    if let (Ok(()), Some(audit), Some(head)) = (&committed, audit.as_mut(), head) {
        audit.kept = head;
    }
    for job in batch {
        job.finish(committed.clone(), audit.as_ref().map(|audit| audit.thread.trail()));
    }
}

fn run(connection: &Connection, batch: &mut [Box<dyn Job>], head: Option<Head>) -> Result<(), StoreError> {
    control(connection, "BEGIN IMMEDIATE")?;
    if let Some(head) = head {
        head.keep(&Driver(connection))?;
    }
    for job in batch {
        control(connection, "SAVEPOINT change")?;
        if !job.run(&Driver(connection)) {
            control(connection, "ROLLBACK TO change")?;
        }
        control(connection, "RELEASE change")?;
    }
    control(connection, "COMMIT")
}
