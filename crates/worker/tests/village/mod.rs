//! Readers at several places of a late KV, and what each may be told.

mod steps;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Debug;
use std::rc::Rc;

use futures_util::future::join_all;
use patchbay_core::api::Host as _;
use patchbay_core::model::{Caller, ConnectionId, Person, Role, Subject, Timestamp, WorkspaceId, Workspaces};
use patchbay_core::store::{Attach, Lookup, Seen, Store, StoreError};
use patchbay_testkit::model::{Past, Since};
use patchbay_testkit::sample::{self, all, name, workspace};
use patchbay_testkit::{Behaviour, MemoryStore, StaleKv};
use patchbay_worker::edge::EdgeStore;
use patchbay_worker::protocol::{Ask, AskTenant, Operation, decode, encode};
use patchbay_worker::settings::Reads;
use patchbay_worker::surroundings::{Authority, Kv, KvError, Whom};

use crate::house::{self, Clock, Line, SECOND};
use steps::{Act, CALLERS, NAMES, PLACES, Read, WORKSPACES, What};
pub use steps::{Step, steps};

/// The lease, in seconds.
pub const LEASE: u32 = 300;

/// What is taken out of the Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    Nothing,
    /// Readers take entries of up to so many seconds.
    Lease(u32),
    /// What KV misses does not exist.
    MissRule,
    /// KV is told of each key once.
    Outbox,
}

/// What is tested.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    pub kv: Behaviour,
    pub without: Without,
    /// How late a read may be, in seconds.
    pub bound: u32,
}

/// KV as one place sees it.
#[derive(Clone)]
struct Place {
    kv: StaleKv<Clock>,
    /// Keys that were written, where none is written twice.
    once: Option<Rc<RefCell<HashSet<String>>>>,
}

impl Place {
    fn is_done(&self, key: &str) -> bool {
        let done = |once: &Rc<RefCell<HashSet<String>>>| !once.borrow_mut().insert(key.to_owned());
        self.once.as_ref().is_some_and(done)
    }
}

fn failed(_: patchbay_testkit::Failed) -> KvError {
    KvError("it failed".into())
}

impl Kv for Place {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.kv.get(key).await.map_err(failed)
    }

    async fn put(&self, key: &str, value: Vec<u8>, seconds: u32) -> Result<(), KvError> {
        if self.is_done(key) {
            return Ok(());
        }
        self.kv.put(key, value, seconds).await.map_err(failed)
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        if self.is_done(key) {
            return Ok(());
        }
        self.kv.delete(key).await.map_err(failed)
    }
}

/// The way to the objects.
#[derive(Clone)]
struct Way {
    line: Line<Place>,
    misses_are_refusals: bool,
}

impl Authority for Way {
    async fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let ask: AskTenant = decode(&message)?;
        let is_get = matches!(
            ask,
            AskTenant::Store(Ask {
                operation: Operation::Get(_),
                ..
            })
        );
        if self.misses_are_refusals && is_get {
            return Ok(encode(&Ok::<_, StoreError>(None::<Seen>)));
        }
        self.line.ask(whom, message).await
    }
}

type Reader = EdgeStore<Place, Way, Clock>;

/// A read that is over.
struct Told {
    who: Caller,
    at: usize,
    lookup: Lookup,
    seen: Option<Seen>,
}

/// A house in which some read from a late KV, and what it should be.
pub struct Village {
    trial: Trial,
    clock: Clock,
    line: Line<Place>,
    kv: StaleKv<Clock>,
    readers: Vec<Reader>,
    past: Past,
    /// The last one last.
    made: Vec<ConnectionId>,
    numbers: u128,
    /// Reads that found something: who, where, how, and which connection.
    found: Vec<(Caller, usize, Lookup, ConnectionId)>,
    came: Vec<&'static str>,
}

impl Village {
    /// One with three workspaces.
    pub async fn new(trial: Trial) -> Result<Self, String> {
        let (clock, ..) = house::house(LEASE);
        let kv = StaleKv::new(clock.clone(), 1, trial.kv);
        let place = |kv| Place { kv, once: None };
        let once = (trial.without == Without::Outbox).then(Rc::default);
        let objects = Place {
            once,
            ..place(kv.at(u64::MAX))
        };
        let line = Line::new(&clock, objects, Reads::Edge { max_age: LEASE });
        // Alarms ring when a step says so.
        line.follows.set(false);
        let way = Way {
            line: line.clone(),
            misses_are_refusals: trial.without == Without::MissRule,
        };
        let max_age = match trial.without {
            Without::Lease(max_age) => max_age,
            _ => LEASE,
        };
        let reads = Reads::Edge { max_age };
        let reader = |at| EdgeStore::new(place(kv.at(at)), way.clone(), clock.clone(), reads, Rc::default());
        let readers: Vec<Reader> = (0..PLACES as u64).map(reader).collect();
        let model = MemoryStore::default();
        for (who, room) in WORKSPACES.into_iter().enumerate() {
            let (who, room) = (caller(who), name(room));
            let made = readers[0].create_workspace(&who, room.clone(), clock.now()).await;
            same(&made, &model.create_workspace(&who, room, clock.now()).await)?;
        }
        Ok(Self {
            past: Past::new(model, clock.now()),
            trial,
            clock,
            line,
            kv,
            readers,
            made: Vec::new(),
            numbers: 0,
            found: Vec::new(),
            came: Vec::new(),
        })
    }

    /// Does these steps. Gives what came of the reads.
    ///
    /// # Errors
    /// The first answer that was not right, or that KV was written too often.
    pub async fn live(mut self, steps: &[Step]) -> Result<Vec<&'static str>, String> {
        for (place, step) in steps.iter().enumerate() {
            let done = self.step(step).await;
            done.map_err(|why| format!("step {place}, {step:?}: {why}"))?;
            self.line.ring().await;
        }
        match self.kv.done().too_soon {
            0 => Ok(self.came),
            times => Err(format!(
                "a key was written within a second of the write before, {times} times"
            )),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Change { who, act, reads } => self.change(&caller(*who), act, reads).await?,
            Step::Read(read) => {
                let since = self.past.since();
                let told = self.read(read).await?;
                self.judge(told, since).await?;
            }
            Step::Again { back } => {
                let since = self.past.since();
                if let Some((who, at, lookup, _)) = self.found.iter().rev().nth(*back).cloned() {
                    let told = self.told(who, at, lookup).await?;
                    self.judge(told, since).await?;
                }
            }
            Step::List { who } => {
                let listed = self.readers[0].list(&caller(*who), all()).await;
                same(&listed, &self.past.model().list(&caller(*who), all()).await)?;
            }
            Step::Pass { millis } => self.line.pass(millis * 1_000).await,
            Step::PassLease { back, millis } => {
                let changed = self.past.changed(*back).map_or(0, Timestamp::as_micros);
                let until = changed + i64::from(LEASE) * SECOND + millis * 1_000;
                self.line.pass((until - self.clock.micros()).max(0)).await;
            }
            Step::Die { turns } => self.die(*turns).await?,
        }
        Ok(())
    }

    async fn die(&mut self, turns: usize) -> Result<(), String> {
        let tenant = &caller(0).tenant;
        let object = self.line.object(tenant);
        let last = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            followed = object.wake() => drop(followed.map_err(|error| error.to_string())?),
            () = last => {}
        }
        self.line.restart(tenant);
        // The runtime calls an alarm again whose object died; here the next request sets it.
        let listed = self.readers[0].list(&caller(0), all()).await;
        same(&listed, &self.past.model().list(&caller(0), all()).await)
    }

    fn connection(&self, back: usize) -> ConnectionId {
        let made = self.made.iter().rev().nth(back).copied();
        made.unwrap_or(ConnectionId::from_random([0; 16]))
    }

    async fn read(&self, read: &Read) -> Result<Told, String> {
        let lookup = match read.what {
            What::Name(of) => Lookup::Name(name(NAMES[of])),
            What::Id(back) => Lookup::Id(self.connection(back)),
        };
        for _ in 0..read.turns {
            tokio::task::yield_now().await;
        }
        self.told(caller(read.who), read.at, lookup).await
    }

    async fn told(&self, who: Caller, at: usize, lookup: Lookup) -> Result<Told, String> {
        let seen = self.readers[at].get(&who, lookup.clone()).await;
        let seen = seen.map_err(|error| error.to_string())?;
        Ok(Told { who, at, lookup, seen })
    }

    async fn judge(&mut self, told: Told, since: Since) -> Result<(), String> {
        let Told { who, at, lookup, seen } = told;
        let now = self.clock.now();
        let earliest = Timestamp::from_micros(now.as_micros() - i64::from(self.trial.bound) * SECOND);
        let late = self
            .past
            .judge((&who, &lookup), seen.as_ref(), since, (earliest, now))
            .await?;
        self.came.push(match (&seen, late) {
            (None, _) => "nothing",
            (Some(_), 0) => "right",
            (Some(_), late) if late == i64::from(LEASE) * SECOND => "late by the lease",
            (Some(_), _) => "late",
        });
        if let Some(seen) = seen {
            self.found.push((who, at, lookup, seen.record.id));
        }
        Ok(())
    }

    async fn change(&mut self, by: &Caller, act: &Act, reads: &[Read]) -> Result<(), String> {
        self.numbers += 1;
        let since = self.past.since();
        let (said, told) = {
            let done = async {
                let said = self.on(&self.readers[0], by, act).await;
                self.line.ring().await;
                said
            };
            tokio::join!(done, join_all(reads.iter().map(|read| self.read(read))))
        };
        let expected = self.on(self.past.model(), by, act).await;
        if said != expected {
            return Err(format!("{act:?} by {by:?}: {said}, and {expected} is right"));
        }
        if said == "Ok(Created)" {
            self.made.push(ConnectionId::from_random(self.numbers.to_be_bytes()));
        }
        self.past.keep(self.clock.now());
        for told in told {
            self.judge(told?, since).await?;
        }
        Ok(())
    }

    async fn on(&self, store: &impl Store, by: &Caller, act: &Act) -> String {
        let found = self.found.last().map(|(_, _, _, id)| *id);
        let found = found.unwrap_or_else(|| self.connection(0));
        match *act {
            Act::Create { name } => {
                let record = sample::record(self.numbers, NAMES[name], by, 16);
                format!("{:?}", store.create(by, record).await)
            }
            Act::Attach { to } => {
                let attach = sample::attach(found, room(to), self.numbers);
                let workspaces = Workspaces::Managed;
                format!("{:?}", store.attach(by, Attach { workspaces, ..attach }).await)
            }
            Act::Detach { from } => format!("{:?}", store.detach(by, found, room(from)).await),
            Act::Delete { name: of } => format!("{:?}", store.delete(by, name(NAMES[of])).await),
            Act::Join { who, to } => {
                let add = sample::add_member(room(to), person(who), Role::Collaborator);
                format!("{:?}", store.add_member(by, add).await)
            }
            Act::Leave { who, from } => format!("{:?}", store.remove_member(by, room(from), person(who)).await),
        }
    }
}

/// bob is known by e-mail to workspaces that he joins.
fn caller(who: usize) -> Caller {
    let mut caller = sample::caller("acme", CALLERS[who], who == 0);
    caller.email = (CALLERS[who] == "bob").then(|| Subject::new("bob@x").unwrap());
    caller
}

fn person(who: usize) -> Person {
    let Caller { subject, email, .. } = caller(who);
    email.map_or(Person::Subject(subject), Person::Email)
}

fn room(place: usize) -> WorkspaceId {
    workspace(place as u64 + 1)
}

fn same(said: &impl Debug, expected: &impl Debug) -> Result<(), String> {
    let (said, expected) = (format!("{said:?}"), format!("{expected:?}"));
    if said == expected {
        Ok(())
    } else {
        Err(format!("it said {said}, and {expected} is right"))
    }
}
