//! The trail's thread: takes what waits, appends it together, and says so after it is on disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use patchbay_core::audit::{Page, Query};
use patchbay_core::store::StoreError;
use tokio::sync::oneshot;

use super::appender::Appender;
use super::files::Files;
use super::{Head, Row, list};

/// Records that may wait; one more is refused as busy.
const QUEUE: usize = 4096;
/// Records and bytes of them that are synced together at most, so that the first of them does not wait long.
const GROUP: usize = 1024;
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// How long the next group gathers for each record of the last one. Each sync takes processor time of its own, which many
/// callers want for their requests; this is about what one of those takes on a slow machine, so that a group grows with what
/// the server does, and what is asked for meanwhile is done while the last group is synced.
const GATHER_A_RECORD: Duration = Duration::from_micros(24);
/// A wait that is shorter gains nothing: few callers wait for the disk, and for nothing else.
const GATHER_AT_LEAST: Duration = Duration::from_micros(240);
/// What an answer waits at most for others.
const GATHER_AT_MOST: Duration = Duration::from_millis(1);
/// How long rows wait, where they could not be appended, until that is tried again without anybody asking.
const AGAIN: Duration = Duration::from_secs(1);

/// The way to the trail. Clones share it.
#[derive(Clone)]
pub(crate) struct Trail {
    entries: SyncSender<Entry>,
    state: Arc<State>,
}

/// What is known of the trail outside its thread.
struct State {
    head: Mutex<Head>,
    /// Whether the last attempt to append failed, or there are no more.
    failing: AtomicBool,
    files: Files,
}

/// Told when the line is on disk, or why it is not.
pub(crate) struct Kept(oneshot::Receiver<Result<(), StoreError>>);

struct Entry {
    what: What,
    done: oneshot::Sender<Result<(), StoreError>>,
}

enum What {
    Row(Row),
    Record(String),
    /// What waits.
    Waiting,
}

impl What {
    fn bytes(&self) -> usize {
        match self {
            Self::Row(row) => row.record.len(),
            Self::Record(record) => record.len(),
            Self::Waiting => 0,
        }
    }
}

impl Kept {
    pub(crate) async fn wait(self) -> Result<(), StoreError> {
        self.0.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the audit trail has ended; restart the server".into())
}

impl Trail {
    /// Appends a record that changed nothing.
    pub(crate) async fn keep(&self, record: String) -> Result<(), StoreError> {
        self.ask(What::Record(record)).await
    }

    /// Fails where the trail cannot be written: nothing should change then. Where it could not a moment ago, it is tried.
    pub(crate) async fn ready(&self) -> Result<(), StoreError> {
        if self.state.failing.load(Ordering::Relaxed) {
            self.ask(What::Waiting).await?;
        }
        Ok(())
    }

    async fn ask(&self, what: What) -> Result<(), StoreError> {
        let (entry, kept) = entry(what);
        self.entries.try_send(entry).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy(format!("{QUEUE} audit records are waiting")),
            TrySendError::Disconnected(_) => ended(),
        })?;
        kept.wait().await
    }

    /// Has the row of a committed change appended. To be called in the order of the rows; waits while too much waits.
    pub(crate) fn follow(&self, row: Row) -> Kept {
        let (entry, kept) = entry(What::Row(row));
        // Where the thread has ended, so has what tells of it.
        _ = self.entries.send(entry);
        kept
    }

    /// Reads a page of it.
    pub(crate) fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let listed = list::list(&self.state.files, self.head(), query);
        listed.map_err(|error| StoreError::Unavailable(format!("the audit trail cannot be read: {error}")))
    }

    /// The end of what is on disk.
    pub(crate) fn head(&self) -> Head {
        *self.state.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(what: What) -> (Entry, Kept) {
    let (done, kept) = oneshot::channel();
    (Entry { what, done }, Kept(kept))
}

/// The thread, for who waits for its end.
pub(crate) struct TrailThread {
    trail: Trail,
    thread: JoinHandle<()>,
}

impl TrailThread {
    /// Starts it, with the rows that the trail lacks.
    pub(crate) fn start(mut appender: Appender, mut waiting: Vec<Row>) -> std::io::Result<Self> {
        let (sender, entries) = sync_channel(QUEUE);
        let state = Arc::new(State {
            head: Mutex::new(appender.head()),
            failing: AtomicBool::new(false),
            files: appender.files().clone(),
        });
        let trail = Trail {
            entries: sender,
            state: Arc::clone(&state),
        };
        let work = move || {
            let ending = Ending(state);
            append(&mut appender, &mut waiting, Vec::new(), &ending.0);
            while let Some(group) = take(&entries, !waiting.is_empty()) {
                let records = group.len();
                append(&mut appender, &mut waiting, group, &ending.0);
                thread::sleep(gathering(records));
            }
        };
        let thread = thread::Builder::new().name("patchbay-audit".into()).spawn(work)?;
        Ok(Self { trail, thread })
    }

    pub(crate) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Waits until what was asked for is done, which it is when every other way to the trail is dropped. Gives the end of
    /// the trail.
    pub(crate) fn finish(self) -> Head {
        let state = Arc::clone(&self.trail.state);
        drop(self.trail);
        // A panic of the thread has already been reported by its hook.
        _ = self.thread.join();
        *state.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's hold on the state. However it ends, no change is made after that.
struct Ending(Arc<State>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.failing.store(true, Ordering::Relaxed);
    }
}

/// How long the group after one of so many records gathers.
fn gathering(records: usize) -> Duration {
    let records = u32::try_from(records).unwrap_or(u32::MAX);
    match GATHER_A_RECORD.saturating_mul(records) {
        short if short < GATHER_AT_LEAST => Duration::ZERO,
        long => long.min(GATHER_AT_MOST),
    }
}

/// What waits, which may be nothing where rows are to be tried again; `None` when nobody can send any more.
fn take(entries: &Receiver<Entry>, again: bool) -> Option<Vec<Entry>> {
    let first = if again {
        match entries.recv_timeout(AGAIN) {
            Ok(entry) => entry,
            Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    } else {
        entries.recv().ok()?
    };
    let mut bytes = first.what.bytes();
    let mut group = vec![first];
    while group.len() < GROUP && bytes < GROUP_BYTES {
        let Ok(entry) = entries.try_recv() else { break };
        bytes += entry.what.bytes();
        group.push(entry);
    }
    Some(group)
}

/// Appends the rows that wait and the group, and answers it. Rows that cannot be appended wait on: their changes are
/// made. Nobody has been answered before, so that nobody knows of an order within a group.
fn append(appender: &mut Appender, waiting: &mut Vec<Row>, group: Vec<Entry>, state: &State) {
    let (mut records, mut answers) = (Vec::new(), Vec::with_capacity(group.len()));
    for Entry { what, done } in group {
        match what {
            What::Row(row) => waiting.push(row),
            What::Record(record) => records.push(record),
            What::Waiting => {}
        }
        answers.push(done);
    }
    let appended = appender.append(waiting, &records);
    if appended.is_ok() {
        waiting.clear();
        *state.head.lock().unwrap_or_else(PoisonError::into_inner) = appender.head();
    }
    state.failing.store(appended.is_err(), Ordering::Relaxed);
    for answer in answers {
        // Whoever asked may have gone away.
        _ = answer.send(appended.as_ref().copied().map_err(|error| {
            StoreError::Unavailable(format!(
                "the audit trail cannot be written: {error}; see that its disk has room"
            ))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_callers_never_wait_for_others_and_nobody_waits_longer_than_the_most() {
        assert_eq!((0..=9).map(gathering).max(), Some(Duration::ZERO));
        assert_eq!(gathering(10), GATHER_A_RECORD * 10);
        assert_eq!(gathering(GROUP), GATHER_AT_MOST);
        assert_eq!(gathering(usize::MAX), GATHER_AT_MOST);
    }
}
