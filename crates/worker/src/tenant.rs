//! A tenant's Durable Object: every write of the tenant is decided here, over the object's own SQLite.

use std::cell::{Cell, RefCell};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use patchbay_core::access;
use patchbay_core::adoption::apart::{Ask, Told};
use patchbay_core::model::{Tenant, Timestamp};
use patchbay_core::store::StoreError;
use patchbay_sql::database::{Database, Statements};
use patchbay_sql::{connections, members, schema, sealings, workspaces};
use serde::Serialize;

use crate::adoption::{self, Unkept};
use crate::directory::newest;
use crate::entry::Of;
use crate::outbox::{self, Write};
use crate::protocol::{self, AskDirectory, AskTenant, OfSealings, Operation, decode, encode};
use crate::settings::Reads;
use crate::surroundings::{Around, Authority, Kv, KvError, Whom};

/// Requests that may be in flight in one object: their work takes no time, so they wait for the directory or for
/// their change to become durable. More would wait for a disk that is late already, each with a body of up to half a
/// MiB: these come to half of the 128 MB that an object has.
pub const MOST_IN_FLIGHT: usize = 128;
/// Bytes of answers that one object holds at a time, while what they were read from becomes durable: four lists of the
/// longest that a Worker asks for. They are the other half, with what it takes to make one.
pub const MOST_HELD: usize = 4 * 8 * 1024 * 1024;
/// Writes to KV at a time: a Worker has six connections at once.
const WRITES_AT_ONCE: usize = 6;
/// Writes to KV in one turn: a Worker has a thousand calls to KV an invocation. What is left is for the next.
const WRITES_A_TURN: usize = 500;
/// An entry is written anew when somebody asks for it after this part of its lease: not at each of thousands of reads
/// while KV is yet to show what was written.
const RENEWED_AFTER: i64 = 3;

/// A tenant's object. One instance runs at a time.
pub struct TenantObject<D, K, A, R> {
    database: D,
    kv: K,
    authority: A,
    around: R,
    reads: Reads,
    /// Whether the tables are this version's.
    prepared: Cell<bool>,
    /// Whose object this is; nobody's before its first write.
    tenant: RefCell<Option<Tenant>>,
    in_flight: Count,
    /// Bytes of answers.
    held: Count,
    /// When [`Self::wake`] will be called, as far as this instance knows.
    wakes_at: Cell<Option<Timestamp>>,
    awake: Count,
}

/// What [`TenantObject::wake`] did, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Writes to KV that succeeded.
    pub written: usize,
    /// Writes to KV that failed; they will be tried again.
    pub failed: usize,
    /// Why the last one failed.
    pub problem: Option<KvError>,
}

impl<D: Database + Statements, K: Kv, A: Authority, R: Around> TenantObject<D, K, A, R> {
    /// The tenant kept in `database`, whose statements outside a transaction run each by itself. `authority` is the way
    /// to the directory.
    pub fn new(database: D, kv: K, authority: A, around: R, reads: Reads) -> Self {
        Self {
            database,
            kv,
            authority,
            around,
            reads,
            prepared: Cell::default(),
            tenant: RefCell::default(),
            in_flight: Count::default(),
            held: Count::default(),
            wakes_at: Cell::default(),
            awake: Count::default(),
        }
    }

    /// Answers one message: an [`AskTenant`], told the `Result` of the operation asked for. What was changed is durable
    /// then. KV follows when [`Self::wake`] is called. Cancel-safe: a change is whole or absent.
    pub async fn answer(&self, message: &[u8]) -> Vec<u8> {
        let answered = self.answered(message).await;
        answered.unwrap_or_else(|error| encode(&Err::<(), _>(error)))
    }

    async fn answered(&self, message: &[u8]) -> Result<Vec<u8>, StoreError> {
        let busy = || {
            StoreError::Busy(format!(
                "{MOST_IN_FLIGHT} requests are in flight in the tenant's object"
            ))
        };
        let _slot = self.in_flight.more(1, MOST_IN_FLIGHT).ok_or_else(busy)?;
        let ask: AskTenant = decode(message)?;
        self.wake_by(self.prepare()?);
        let tenant = ask.tenant();
        if self.tenant.borrow().as_ref().is_some_and(|known| known != tenant) {
            return Err(StoreError::Damaged("the object is another tenant's".into()));
        }
        if ask.writes() {
            let answer = self.write(&ask).await?;
            self.around.durable().await?;
            return Ok(answer);
        }
        let answer = self.read(&ask)?;
        let busy = || StoreError::Busy(format!("{MOST_HELD} bytes of answers are held in the tenant's object"));
        let _held = self.held.more(answer.len(), MOST_HELD).ok_or_else(busy)?;
        self.around.durable().await?;
        Ok(answer)
    }

    /// Brings the tables to this version in one transaction, when this instance is first used. Gives then when an entry
    /// is due: the alarm for it may be lost, since the runtime gives up one that keeps failing.
    fn prepare(&self) -> Result<Option<Timestamp>, StoreError> {
        if self.prepared.get() {
            return Ok(None);
        }
        let (tenant, next) = self.database.transaction(|statements| {
            newest(schema::migrate_in(statements)?)?;
            newest(outbox::SCHEMA.migrate_in(statements)?)?;
            Ok::<_, StoreError>((outbox::tenant(statements)?, outbox::next_due(statements)?))
        })?;
        self.tenant.replace(tenant);
        self.prepared.set(true);
        Ok(next)
    }

    /// Makes a change, and the answer.
    async fn write(&self, ask: &AskTenant) -> Result<Vec<u8>, StoreError> {
        let tenant = ask.tenant();
        let first_write = self.tenant.borrow().is_none();
        if first_write {
            let enter = encode(&AskDirectory::Enter(tenant.clone()));
            let told = self.authority.ask(Whom::Directory, enter).await?;
            decode::<Result<(), StoreError>>(&told)??;
        }
        let changed: Result<_, Unkept> = self.database.transaction(|statements| {
            if first_write {
                outbox::set_tenant(statements, tenant)?;
            }
            let answer = self.change(statements, ask)?;
            Ok((answer, outbox::next_due(statements)?))
        });
        let (answer, next) = match changed {
            Ok(changed) => changed,
            Err(unkept) => {
                let decided = unkept.decided()?;
                self.database.transaction(|statements| adoption::clear(statements))?;
                return Ok(told(Told::Decided(decided)));
            }
        };
        if first_write {
            self.tenant.replace(Some(tenant.clone()));
        }
        self.wake_by(next);
        Ok(answer)
    }

    /// Reads, and asks for what KV could have answered from.
    fn read(&self, ask: &AskTenant) -> Result<Vec<u8>, StoreError> {
        // Nothing else runs until this turn ends, so this is of one moment without a transaction, which would be a
        // write to the runtime.
        let AskTenant::Store(protocol::Ask {
            caller,
            operation: Operation::Get(lookup),
        }) = ask
        else {
            return self.perform(&self.database, ask);
        };
        let Reads::Edge { max_age } = self.reads else {
            return self.perform(&self.database, ask);
        };
        let seen = connections::get(&self.database, caller, lookup)?;
        if let Some(seen) = &seen {
            let now = self.around.now();
            let renew_before = Timestamp::from_micros(now.as_micros() - micros(max_age) / RENEWED_AFTER);
            let controls = access::controls(caller, &seen.record.owner);
            let wanting = outbox::wanting(&self.database, caller, lookup, controls, renew_before)?;
            if !wanting.is_empty() {
                let next = self.database.transaction(|statements| {
                    outbox::want(statements, &wanting, now)?;
                    outbox::next_due(statements)
                })?;
                self.wake_by(next);
            }
        }
        Ok(told(seen))
    }

    /// Writes to KV what is due, the latest state of each key, and has itself woken for what is due later.
    ///
    /// # Errors
    /// What the database reports. The runtime is to call again, as it does where an alarm's handler fails.
    pub async fn wake(&self) -> Result<Followed, StoreError> {
        self.wakes_at.set(None);
        let mut followed = Followed::default();
        let Some(_only) = self.awake.more(1, 1) else {
            return Ok(followed);
        };
        self.prepare()?;
        let mut writes = FuturesUnordered::new();
        let mut being_written = Vec::new();
        let mut begun = 0;
        loop {
            while writes.len() < WRITES_AT_ONCE && begun < WRITES_A_TURN {
                let Some(write) = self.take(&being_written)? else { break };
                being_written.push(write.of.clone());
                begun += 1;
                writes.push(self.make(write));
            }
            let Some((write, outcome)) = writes.next().await else {
                break;
            };
            being_written.retain(|of| *of != write.of);
            let now = self.around.now();
            self.database
                .transaction(|statements| outbox::settle(statements, &write, outcome.is_ok(), now))?;
            match outcome {
                Ok(()) => followed.written += 1,
                Err(problem) => {
                    followed.failed += 1;
                    followed.problem = Some(problem);
                }
            }
        }
        let now = self.around.now();
        let next = self.database.transaction(|statements| {
            outbox::forget(statements, now, WRITES_A_TURN)?;
            outbox::next_due(statements)
        })?;
        self.wake_by(next);
        Ok(followed)
    }

    fn take(&self, being_written: &[Of]) -> Result<Option<Write>, StoreError> {
        let tenant = self.tenant.borrow();
        // Before its first write there is nothing to be kept.
        let Some(tenant) = tenant.as_ref() else { return Ok(None) };
        let lease = match self.reads {
            Reads::Edge { max_age } => Some(micros(max_age)),
            Reads::Strong => None,
        };
        let now = self.around.now();
        self.database
            .transaction(|statements| outbox::take(statements, tenant, now, being_written, lease))
    }

    /// Makes one write to KV.
    async fn make(&self, mut write: Write) -> (Write, Result<(), KvError>) {
        let value = write.value.take();
        // What is not durable is not to be seen anywhere.
        if let Err(error) = self.around.durable().await {
            return (write, Err(KvError(error.to_string())));
        }
        let outcome = match (value, self.reads) {
            (Some(value), Reads::Edge { max_age }) => self.kv.put(&write.key, value, max_age).await,
            _ => self.kv.delete(&write.key).await,
        };
        (write, outcome)
    }

    /// Makes the change that is asked for, inside a transaction, and the answer.
    fn change(&self, statements: &dyn Statements, ask: &AskTenant) -> Result<Vec<u8>, Unkept> {
        match ask {
            AskTenant::Store(_) => adoption::refuse_while_frozen(statements)?,
            AskTenant::Adoption(_, Ask::Decide(to, run, there, rehearsal)) => {
                let decided = adoption::decide(statements, to, *run, there.clone(), *rehearsal)?;
                return Ok(told(Told::Decided(decided)));
            }
            _ => {}
        }
        Ok(self.perform(statements, ask)?)
    }

    /// Does what is asked, and makes the answer.
    fn perform(&self, statements: &dyn Statements, ask: &AskTenant) -> Result<Vec<u8>, StoreError> {
        match ask {
            AskTenant::Store(ask) => of_store(statements, ask),
            AskTenant::Sealings(_, of) => of_sealings(statements, of, self.around.now()),
            AskTenant::Adoption(_, ask) => Ok(told(adoption::perform(statements, ask)?)),
        }
    }

    /// Has itself woken at this time, unless it will be before.
    fn wake_by(&self, next: Option<Timestamp>) {
        if let Some(next) = next
            && self.wakes_at.get().is_none_or(|at| next < at)
        {
            self.around.wake_at(next);
            self.wakes_at.set(Some(next));
        }
    }
}

fn of_store(statements: &dyn Statements, ask: &protocol::Ask) -> Result<Vec<u8>, StoreError> {
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
        Operation::AddMember(add) => told(members::add(statements, caller, add)?),
        Operation::Members(workspace) => told(members::list(statements, caller, *workspace)?),
        Operation::RemoveMember(workspace, person) => told(members::remove(statements, caller, *workspace, person)?),
    })
}

fn of_sealings(statements: &dyn Statements, of: &OfSealings, now: Timestamp) -> Result<Vec<u8>, StoreError> {
    Ok(match of {
        OfSealings::Count => {
            let mut counted = outbox::count_sealed(statements, now)?;
            counted.add(adoption::count(statements)?);
            told(counted)
        }
        OfSealings::Sealed(wanted, after, most) => told(sealings::sealed(statements, wanted, after.as_ref(), *most)?),
        OfSealings::Replace(replacements) => told(sealings::replace(statements, replacements)?),
    })
}

fn told(outcome: impl Serialize) -> Vec<u8> {
    encode(&Ok::<_, StoreError>(outcome))
}

fn micros(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000_000
}

/// How many of something there are.
#[derive(Default)]
struct Count(Cell<usize>);

impl Count {
    /// So many more, until it is dropped, if that makes no more than `most`.
    fn more(&self, many: usize, most: usize) -> Option<Counted<'_>> {
        let count = self.0.get().checked_add(many)?;
        (count <= most).then(|| {
            self.0.set(count);
            Counted { count: self, many }
        })
    }
}

struct Counted<'c> {
    count: &'c Count,
    many: usize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let count = &self.count.0;
        count.set(count.get().saturating_sub(self.many));
    }
}
