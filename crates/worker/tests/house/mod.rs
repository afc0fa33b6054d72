//! A whole house in this process: Durable Objects over SQLite in memory, a KV that counts, and one clock.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use patchbay_core::api::Host;
use patchbay_core::model::{Person, Role, Tenant, Timestamp, WorkspaceId};
use patchbay_core::store::{AddMemberOutcome, RemoveMemberOutcome, StoreError};
use patchbay_sql::database::{Database, EachRow, Statements, Value};
use patchbay_testkit::sample;
use patchbay_worker::directory::DirectoryObject;
use patchbay_worker::edge::EdgeStore;
use patchbay_worker::protocol::{Ask, AskTenant, Operation, decode, encode};
use patchbay_worker::settings::Reads;
use patchbay_worker::surroundings::{Around, Authority, Kv, KvError, Whom};
use patchbay_worker::tenant::{Followed, TenantObject};
use serde::de::DeserializeOwned;

pub const SECOND: i64 = 1_000_000;
/// When the clock starts: not at 0, so that a time that was forgotten shows.
const START: i64 = 1_700_000_000 * SECOND;

/// A clock that tests advance. Clones are the same.
#[derive(Clone)]
pub struct Clock(Rc<Cell<i64>>);

impl Clock {
    pub fn advance(&self, micros: i64) {
        self.0.set(self.0.get() + micros);
    }

    pub fn micros(&self) -> i64 {
        self.0.get()
    }
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.get())
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// How KV takes a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// It does it.
    Well,
    /// It fails, and nothing is written.
    Not,
    /// It fails, but the write is done.
    Secretly,
    /// It fails, and the write is done when [`CountingKv::land`] is called.
    Late,
}

/// A KV that shows every change at once. Clones are the same.
#[derive(Clone)]
pub struct CountingKv(Rc<KvState>);

pub struct KvState {
    clock: Clock,
    pub values: RefCell<BTreeMap<String, Vec<u8>>>,
    pub reads: Cell<usize>,
    /// What was read since this was taken, by the kind of its key.
    pub asked: RefCell<Vec<String>>,
    reading: Cell<usize>,
    pub most_reads_at_once: Cell<usize>,
    /// When each key was written, in order.
    pub writes: RefCell<Vec<(String, i64)>>,
    pub takes: Cell<Takes>,
    /// Writes that are yet to be done.
    late: RefCell<Vec<(String, Option<Vec<u8>>)>>,
    /// Reads fail.
    pub silent: Cell<bool>,
    /// How long a write takes.
    pub write_takes: Cell<i64>,
    in_flight: RefCell<HashMap<String, usize>>,
    pub most_in_flight_a_key: Cell<usize>,
}

impl std::ops::Deref for CountingKv {
    type Target = KvState;

    fn deref(&self) -> &KvState {
        &self.0
    }
}

impl CountingKv {
    pub fn new(clock: &Clock) -> Self {
        Self(Rc::new(KvState {
            clock: clock.clone(),
            values: RefCell::default(),
            reads: Cell::new(0),
            asked: RefCell::default(),
            reading: Cell::new(0),
            most_reads_at_once: Cell::new(0),
            writes: RefCell::default(),
            takes: Cell::new(Takes::Well),
            late: RefCell::default(),
            silent: Cell::new(false),
            write_takes: Cell::new(0),
            in_flight: RefCell::default(),
            most_in_flight_a_key: Cell::new(0),
        }))
    }

    /// Does the writes that are late.
    pub fn land(&self) {
        for (key, value) in self.late.take() {
            self.set(&key, value);
        }
    }

    fn set(&self, key: &str, value: Option<Vec<u8>>) {
        let mut values = self.values.borrow_mut();
        match value {
            Some(value) => _ = values.insert(key.to_owned(), value),
            None => _ = values.remove(key),
        }
    }

    async fn write(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), KvError> {
        self.writes.borrow_mut().push((key.to_owned(), self.clock.micros()));
        let takes = self.takes.get();
        if takes == Takes::Late {
            // Also where the writer does not live to hear of it.
            self.late.borrow_mut().push((key.to_owned(), value.clone()));
        }
        let now_in_flight = {
            let mut in_flight = self.in_flight.borrow_mut();
            let count = in_flight.entry(key.to_owned()).or_insert(0);
            *count += 1;
            *count
        };
        self.most_in_flight_a_key
            .set(self.most_in_flight_a_key.get().max(now_in_flight));
        tokio::task::yield_now().await;
        self.clock.advance(self.write_takes.get());
        *self.in_flight.borrow_mut().get_mut(key).unwrap() -= 1;
        if matches!(takes, Takes::Well | Takes::Secretly) {
            self.set(key, value);
        }
        match takes {
            Takes::Well => Ok(()),
            _ => Err(KvError("refused".into())),
        }
    }
}

impl Kv for CountingKv {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.reads.set(self.reads.get() + 1);
        self.asked.borrow_mut().push(key.chars().take(2).collect());
        self.reading.set(self.reading.get() + 1);
        self.most_reads_at_once
            .set(self.most_reads_at_once.get().max(self.reading.get()));
        tokio::task::yield_now().await;
        self.reading.set(self.reading.get() - 1);
        if self.silent.get() {
            return Err(KvError("silent".into()));
        }
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn put(&self, key: &str, value: Vec<u8>, _seconds: u32) -> Result<(), KvError> {
        self.write(key, Some(value)).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.write(key, None).await
    }
}

/// A database that outlives its object.
#[derive(Clone)]
pub struct Disk(pub Rc<rusqlite::Connection>);

impl Default for Disk {
    fn default() -> Self {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        Self(Rc::new(connection))
    }
}

impl Database for Disk {
    fn transaction<T, E: From<StoreError>>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, E>) -> Result<T, E> {
        self.0.transaction(work)
    }
}

impl Statements for Disk {
    fn execute(&self, sql: &'static str, params: &[Value<'_>]) -> Result<(), StoreError> {
        self.0.transaction(|statements| statements.execute(sql, params))
    }

    fn query(&self, sql: &'static str, params: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        self.0.transaction(|statements| statements.query(sql, params, each))
    }
}

/// An object's alarm.
#[derive(Clone)]
pub struct Room {
    clock: Clock,
    alarm: Rc<Cell<Option<Timestamp>>>,
    alarms_set: Rc<Cell<usize>>,
    /// The disk is so slow that nothing becomes durable until this is taken back.
    stuck: Rc<Cell<bool>>,
}

impl Host for Room {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.clock.fill(bytes);
    }
}

impl Around for Room {
    fn wake_at(&self, at: Timestamp) {
        self.alarm.set(Some(at));
        self.alarms_set.set(self.alarms_set.get() + 1);
    }

    async fn durable(&self) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        while self.stuck.get() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

pub type Object<K> = TenantObject<Disk, K, Front, Room>;

struct Flat<K> {
    disk: Disk,
    room: Room,
    object: RefCell<Rc<Object<K>>>,
}

/// The way from a tenant's object to the directory.
#[derive(Clone)]
pub struct Front(Rc<FrontState>);

pub struct FrontState {
    directory: DirectoryObject<Disk>,
    /// Requests to the directory.
    pub asks: Cell<usize>,
    /// Nobody answers there.
    pub is_out: Cell<bool>,
}

impl std::ops::Deref for Front {
    type Target = FrontState;

    fn deref(&self) -> &FrontState {
        &self.0
    }
}

impl Authority for Front {
    async fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        assert_eq!(whom, Whom::Directory, "a tenant's object asks no other tenant's");
        self.asks.set(self.asks.get() + 1);
        tokio::task::yield_now().await;
        if self.is_out.get() {
            return Err(StoreError::Unavailable("nobody answers".into()));
        }
        Ok(self.directory.answer(&message))
    }
}

/// The Durable Objects and the way to them. Clones are the same.
pub struct Line<K>(Rc<House<K>>);

impl<K> Clone for Line<K> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

pub struct House<K> {
    pub clock: Clock,
    pub kv: K,
    /// What objects and stores that are made from now on are told.
    pub reads: Cell<Reads>,
    flats: RefCell<HashMap<Tenant, Rc<Flat<K>>>>,
    pub directory: Front,
    /// Requests to tenants' objects.
    pub asks: Cell<usize>,
    /// How far the clock goes on with every request to an object.
    pub pace: Cell<i64>,
    /// Whether alarms that are due ring after each request to an object.
    pub follows: Cell<bool>,
}

impl<K> std::ops::Deref for Line<K> {
    type Target = House<K>;

    fn deref(&self) -> &House<K> {
        &self.0
    }
}

impl<K: Kv + Clone> Line<K> {
    /// An empty house. `kv` is for the objects.
    pub fn new(clock: &Clock, kv: K, reads: Reads) -> Self {
        Self(Rc::new(House {
            clock: clock.clone(),
            kv,
            reads: Cell::new(reads),
            flats: RefCell::default(),
            directory: Front(Rc::new(FrontState {
                directory: DirectoryObject::new(Disk::default()),
                asks: Cell::new(0),
                is_out: Cell::new(false),
            })),
            asks: Cell::new(0),
            pace: Cell::new(0),
            follows: Cell::new(true),
        }))
    }

    /// A Worker's store that reads from `kv`.
    pub fn store(&self, kv: K) -> EdgeStore<K, Self, Clock> {
        EdgeStore::new(kv, self.clone(), self.clock.clone(), self.reads.get(), Rc::default())
    }

    fn made(&self, disk: &Disk, room: &Room) -> Rc<Object<K>> {
        let (disk, kv, front) = (disk.clone(), self.kv.clone(), self.directory.clone());
        Rc::new(TenantObject::new(disk, kv, front, room.clone(), self.reads.get()))
    }

    fn flat(&self, tenant: &Tenant) -> Rc<Flat<K>> {
        if let Some(flat) = self.flats.borrow().get(tenant) {
            return Rc::clone(flat);
        }
        let disk = Disk::default();
        let room = Room {
            clock: self.clock.clone(),
            alarm: Rc::default(),
            alarms_set: Rc::default(),
            stuck: Rc::default(),
        };
        let object = RefCell::new(self.made(&disk, &room));
        let flat = Rc::new(Flat { disk, room, object });
        self.flats.borrow_mut().insert(tenant.clone(), Rc::clone(&flat));
        flat
    }

    /// The object of a tenant, as it runs now.
    pub fn object(&self, tenant: &Tenant) -> Rc<Object<K>> {
        Rc::clone(&self.flat(tenant).object.borrow())
    }

    /// What the object's database says to a statement that gives one integer.
    pub fn number(&self, tenant: &Tenant, sql: &str) -> i64 {
        self.flat(tenant).disk.0.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Runs a statement past the object.
    pub fn execute(&self, tenant: &Tenant, sql: &str) {
        self.flat(tenant).disk.0.execute_batch(sql).unwrap();
    }

    /// How often the object's alarm was set.
    pub fn alarms_set(&self, tenant: &Tenant) -> usize {
        self.flat(tenant).room.alarms_set.get()
    }

    /// The object dies and starts again over what is on its disk.
    pub fn restart(&self, tenant: &Tenant) {
        let flat = self.flat(tenant);
        flat.object.replace(self.made(&flat.disk, &flat.room));
    }

    /// The runtime gives up the object's alarm, and the object with it.
    pub fn lose_alarm(&self, tenant: &Tenant) {
        self.flat(tenant).room.alarm.set(None);
        self.restart(tenant);
    }

    /// Whether the object's disk is stuck.
    pub fn stick(&self, tenant: &Tenant, stuck: bool) {
        self.flat(tenant).room.stuck.set(stuck);
    }

    /// When an object's alarm rings.
    pub fn alarm(&self, tenant: &Tenant) -> Option<Timestamp> {
        self.flat(tenant).room.alarm.get()
    }

    /// Rings the alarm of every object for which it is due.
    pub async fn ring(&self) -> Vec<Followed> {
        let flats: Vec<_> = self.flats.borrow().values().cloned().collect();
        let mut followed = Vec::new();
        for flat in flats {
            while flat.room.alarm.get().is_some_and(|at| at <= self.clock.now()) {
                flat.room.alarm.set(None);
                let object = Rc::clone(&flat.object.borrow());
                followed.push(object.wake().await.unwrap());
            }
        }
        followed
    }

    /// Lets time pass; alarms ring on their time.
    pub async fn pass(&self, micros: i64) {
        let until = self.clock.micros() + micros;
        loop {
            self.ring().await;
            let next = self
                .flats
                .borrow()
                .values()
                .filter_map(|flat| flat.room.alarm.get())
                .min();
            let next = next.map_or(i64::MAX, Timestamp::as_micros);
            if next > until {
                break;
            }
            self.clock.advance(next - self.clock.micros());
        }
        self.clock.advance((until - self.clock.micros()).max(0));
        self.ring().await;
    }

    /// An admin makes somebody a member, or gives a member another role.
    pub async fn add_member(&self, tenant: &Tenant, workspace: WorkspaceId, person: &Person, role: Role) {
        let add = sample::add_member(workspace, person.clone(), role);
        let told: AddMemberOutcome = self.told(tenant, Operation::AddMember(add)).await;
        assert_eq!(told, AddMemberOutcome::Added);
    }

    /// An admin ends a membership.
    pub async fn remove_member(&self, tenant: &Tenant, workspace: WorkspaceId, person: &Person) {
        let remove = Operation::RemoveMember(workspace, person.clone());
        let told: RemoveMemberOutcome = self.told(tenant, remove).await;
        assert_eq!(told, RemoveMemberOutcome::Removed);
    }

    async fn told<T: DeserializeOwned>(&self, tenant: &Tenant, operation: Operation) -> T {
        let caller = sample::caller(tenant.as_str(), "root", true);
        let ask = encode(&AskTenant::Store(Ask { caller, operation }));
        let told = self.ask(Whom::Tenant(tenant), ask).await;
        decode::<Result<T, StoreError>>(&told.unwrap()).unwrap().unwrap()
    }
}

impl<K: Kv + Clone> Authority for Line<K> {
    async fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        match whom {
            Whom::Tenant(tenant) => {
                self.asks.set(self.asks.get() + 1);
                self.clock.advance(self.pace.get());
                let told = self.object(tenant).answer(&message).await;
                if self.follows.get() {
                    self.ring().await;
                }
                Ok(told)
            }
            Whom::Directory => self.directory.ask(whom, message).await,
        }
    }
}

/// A clock, a KV and a house with this lease.
pub fn house(max_age: u32) -> (Clock, CountingKv, Line<CountingKv>) {
    house_that_reads(Reads::Edge { max_age })
}

pub fn house_that_reads(reads: Reads) -> (Clock, CountingKv, Line<CountingKv>) {
    let clock = Clock(Rc::new(Cell::new(START)));
    let kv = CountingKv::new(&clock);
    let line = Line::new(&clock, kv.clone(), reads);
    (clock, kv, line)
}
