//! A tenant's Durable Object: every write of the tenant is decided here, over the object's own SQLite.

use std::cell::Cell;

use patchbay_core::store::StoreError;
use patchbay_sql::database::{Database, Statements};
use patchbay_sql::{connections, schema, workspaces};

use crate::directory::newest;
use crate::protocol::{Ask, Operation, decode, encode};
use crate::settings::Reads;
use crate::surroundings::{Around, Authority, Kv};

/// Requests that may be in flight in one object. More would wait for a disk that is late already, each with a body of
/// up to half a MiB: these come to half of the 128 MB that an object has.
pub const MOST_IN_FLIGHT: usize = 128;

/// A tenant's object. One instance runs at a time.
pub struct TenantObject<D, K, A, R> {
    database: D,
    kv: K,
    authority: A,
    around: R,
    reads: Reads,
    migrated: Cell<bool>,
    in_flight: Cell<usize>,
}

impl<D: Database, K: Kv, A: Authority, R: Around> TenantObject<D, K, A, R> {
    /// The tenant kept in `database`. `authority` is the way to the directory.
    pub fn new(database: D, kv: K, authority: A, around: R, reads: Reads) -> Self {
        Self {
            database,
            kv,
            authority,
            around,
            reads,
            migrated: Cell::new(false),
            in_flight: Cell::new(0),
        }
    }

    /// Answers one message: an [`Ask`], told the `Result` of the operation asked for. What was changed is durable
    /// then, and KV is yet to follow: call [`Self::flush`] when the answer is on its way.
    pub async fn answer(&self, message: &[u8]) -> Vec<u8> {
        let Some(_slot) = Slot::take(&self.in_flight) else {
            return encode(&Err::<(), _>(StoreError::Busy(
                "the tenant's object has its hands full".into(),
            )));
        };
        let ask = match decode::<Ask>(message) {
            Ok(ask) => ask,
            Err(error) => return encode(&Err::<(), _>(error)),
        };
        let answer = self
            .within(|statements| perform(statements, &ask))
            .unwrap_or_else(|error| encode(&Err::<(), _>(error)));
        match self.around.durable().await {
            Ok(()) => answer,
            Err(error) => encode(&Err::<(), _>(error)),
        }
    }

    /// Writes to KV what is due.
    pub async fn flush(&self) {}

    /// To be called when the time came that [`Around::wake_at`] was told.
    pub async fn wake(&self) {
        self.flush().await;
    }

    fn within<T>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = self.database.transaction(|statements| {
            if !self.migrated.get() {
                newest(schema::migrate_in(statements)?)?;
            }
            work(statements)
        })?;
        self.migrated.set(true);
        Ok(done)
    }
}

/// Does what is asked, as part of a transaction, and writes the answer down.
fn perform(statements: &dyn Statements, ask: &Ask) -> Result<Vec<u8>, StoreError> {
    let caller = &ask.caller;
    Ok(match &ask.operation {
        Operation::Create(record) => told(connections::create(statements, caller, record)?),
        Operation::Get(lookup) => told(connections::get(statements, caller, lookup)?),
        Operation::List(query) => told(connections::list(statements, caller, query)?),
        Operation::Attach(attach) => told(connections::attach(statements, caller, attach)?),
        Operation::Detach(connection, workspace) => {
            told(connections::detach(statements, caller, *connection, *workspace)?)
        }
        Operation::Delete(name) => told(connections::delete(statements, caller, name)?),
        Operation::CreateWorkspace(name, now) => told(workspaces::create(statements, caller, name, *now)?),
        Operation::ListWorkspaces(of, most_bytes) => told(workspaces::list(statements, caller, of, *most_bytes)?),
    })
}

fn told(outcome: impl serde::Serialize) -> Vec<u8> {
    encode(&Ok::<_, StoreError>(outcome))
}

/// One of the requests in flight, until it is dropped.
struct Slot<'c>(&'c Cell<usize>);

impl<'c> Slot<'c> {
    fn take(in_flight: &'c Cell<usize>) -> Option<Self> {
        let taken = in_flight.get();
        (taken < MOST_IN_FLIGHT).then(|| {
            in_flight.set(taken + 1);
            Self(in_flight)
        })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
