//! Rotation of keys over the objects of all tenants, and when a key may be taken out: what KV may show late is in the
//! count.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use house::{Clock, CountingKv, Line, SECOND, Takes, house, house_that_reads};
use http::Request;
use patchbay_core::api::{Config, Host, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::model::{
    Caller, ConnectionId, ConnectionType, Details, KeyId, Record, Tenant, Timestamp, Workspaces,
};
use patchbay_core::rotation::{self, Counted, Held, Replacement, Sealings, Step, Wanted};
use patchbay_core::seal::{Draft, KeyRing};
use patchbay_core::store::{CreateOutcome, DeleteOutcome, Lookup, Store, StoreError};
use patchbay_testkit::sample::{caller, name};
use patchbay_testkit::{Behaviour, Failed, StaleKv, SystemHost, operator};
use patchbay_worker::edge::EdgeStore;
use patchbay_worker::protocol::{AskDirectory, AskTenant, OfSealings, decode, encode};
use patchbay_worker::settings::Reads;
use patchbay_worker::surroundings::{Authority, Kv, KvError, Whom};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// Each promise over a house of its own.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod with_strong_reads {$(
            #[tokio::test]
            async fn $promise() {
                let (_, kv, line) = super::house_that_reads(super::Reads::Strong);
                patchbay_testkit::rotation::$promise(&line.store(kv)).await;
            }
        )+}

        mod with_reads_from_kv {$(
            #[tokio::test]
            async fn $promise() {
                let (_, kv, line) = super::house(60);
                // A walk takes longer than any entry is good.
                line.pace.set(10 * super::SECOND);
                patchbay_testkit::rotation::$promise(&line.store(kv)).await;
            }
        )+}
    };
}

patchbay_testkit::rotation_promises!(promises);

const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NEW: &str = "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const AGE: u32 = 300;
const LEASE: i64 = AGE as i64 * SECOND;
const MINUTE: i64 = 60 * SECOND;

fn ring(entries: &[&str]) -> KeyRing {
    KeyRing::parse(&entries.join(",")).unwrap()
}

fn key(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

async fn create(store: &impl Store, ring: &KeyRing, owner: &Caller, number: u8, text: &str) -> Record {
    let draft = Draft {
        id: ConnectionId::from_random([number; 16]),
        name: name(text),
        connection_type: ConnectionType::new("K").unwrap(),
        owner: owner.subject.clone(),
        created_at: Timestamp::from_micros(1),
    };
    let record = ring.seal(&SystemHost, &owner.tenant, draft, &Details::null());
    let created = store.create(owner, record.clone()).await;
    assert_eq!(created.unwrap(), CreateOutcome::Created);
    record
}

/// Seals everything again.
async fn rotate(store: &impl Sealings, ring: &KeyRing) -> Result<usize, StoreError> {
    let (mut records, mut after) = (0, None);
    loop {
        let done = rotation::reseal(store, ring, &SystemHost, after, 1_000).await?;
        assert_eq!(done.left, []);
        records += done.records;
        after = done.next;
        if after.is_none() {
            return Ok(records);
        }
    }
}

/// What is under each key.
async fn counted(store: &impl Sealings) -> BTreeMap<KeyId, u64> {
    let (mut sum, mut after) = (Counted::default(), None);
    loop {
        let Step { found, next } = store.count_sealed(after).await.unwrap();
        sum.add(found);
        after = next;
        if after.is_none() {
            assert_eq!(sum.unreadable, 0);
            return sum.under;
        }
    }
}

/// What is under a key, if anything.
async fn under(store: &impl Sealings, id: &str) -> u64 {
    counted(store).await.get(&key(id)).copied().unwrap_or(0)
}

/// A house where KV has the entries, by name and by id, of a connection `c` of ann's that the old key seals.
struct Scene {
    clock: Clock,
    kv: CountingKv,
    line: Line<CountingKv>,
    store: EdgeStore<CountingKv, Line<CountingKv>, Clock>,
    ann: Caller,
    id: ConnectionId,
    /// When KV was written.
    written: i64,
}

impl Scene {
    async fn new() -> Self {
        let (clock, kv, line) = house(AGE);
        let store = line.store(kv.clone());
        let ann = caller("acme", "ann", false);
        let id = create(&store, &ring(&[OLD]), &ann, 1, "c").await.id;
        let scene = Self {
            written: clock.micros(),
            clock,
            kv,
            line,
            store,
            ann,
            id,
        };
        for _ in 0..2 {
            scene.read().await;
            scene.line.pass(2 * SECOND).await;
        }
        scene
    }

    /// The keys of what `get` by name and by id give, and how many of the two KV did not answer.
    async fn read(&self) -> (Vec<String>, usize) {
        let (mut keys, asks) = (Vec::new(), self.line.asks.get());
        for lookup in [Lookup::Name(name("c")), Lookup::Id(self.id)] {
            let seen = self.store.get(&self.ann, lookup).await.unwrap();
            keys.extend(seen.map(|seen| seen.record.sealed.key_id.to_string()));
        }
        (keys, self.line.asks.get() - asks)
    }

    async fn rotate(&self) {
        assert_eq!(rotate(&self.store, &ring(&[NEW, OLD])).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn kv_follows_a_rotation_as_it_follows_any_change() {
    let scene = Scene::new().await;
    scene.line.follows.set(false);
    scene.rotate().await;
    assert_eq!(scene.read().await, (vec!["old".into(), "old".into()], 0));
    scene.line.pass(SECOND).await;
    assert_eq!(scene.read().await, (vec!["new".into(), "new".into()], 0));
}

#[tokio::test]
async fn a_key_counts_its_records_and_then_the_entries_that_may_still_be_taken() {
    let scene = Scene::new().await;
    let one = |id: &str| BTreeMap::from([(key(id), 1)]);
    assert_eq!(counted(&scene.store).await, one("old"));
    scene.rotate().await;
    // Whatever KV has been told by now: some place may not show it.
    let until = scene.written + LEASE + 2 * MINUTE;
    scene.line.pass(until - scene.clock.micros()).await;
    let entries = BTreeMap::from([(key("new"), 1), (key("old"), 2)]);
    assert_eq!(counted(&scene.store).await, entries);
    scene.line.restart(&scene.ann.tenant);
    assert_eq!(counted(&scene.store).await, entries);
    scene.line.pass(SECOND).await;
    assert_eq!(counted(&scene.store).await, one("new"));
    // What is over is forgotten when KV is next written.
    let left = || scene.line.number(&scene.ann.tenant, "SELECT count(*) FROM left_in_kv");
    assert_eq!(left(), 2);
    scene.read().await;
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn entries_of_a_deleted_connection_count_under_its_key_and_another_of_its_name_under_its_own() {
    let scene = Scene::new().await;
    let deleted = scene.store.delete(&scene.ann, name("c")).await.unwrap();
    assert_eq!(deleted, DeleteOutcome::Deleted(scene.id));
    create(&scene.store, &ring(&[NEW]), &scene.ann, 2, "c").await;
    assert_eq!(
        counted(&scene.store).await,
        BTreeMap::from([(key("new"), 1), (key("old"), 2)])
    );
    scene.line.pass(LEASE + 2 * MINUTE).await;
    assert_eq!(under(&scene.store, "old").await, 0);
}

#[tokio::test]
async fn a_write_to_kv_that_is_under_way_or_fails_while_keys_are_rotated_is_in_the_count() {
    for takes in [Takes::Not, Takes::Secretly, Takes::Late] {
        let scene = Scene::new().await;
        scene.line.pass(LEASE + 3 * MINUTE).await;
        // Both are written anew, and nobody hears of it before the key changes, nor for a while after.
        scene.kv.takes.set(takes);
        scene.read().await;
        scene.rotate().await;
        assert_eq!(under(&scene.store, "old").await, 2, "{takes:?}");
        scene.kv.land();
        scene.line.pass(LEASE + 2 * MINUTE + SECOND).await;
        assert_eq!(under(&scene.store, "old").await, 0, "{takes:?}");
    }
}

#[tokio::test]
async fn with_strong_reads_a_key_counts_its_records_alone() {
    let (_, kv, line) = house_that_reads(Reads::Strong);
    let (store, ann) = (line.store(kv), caller("acme", "ann", false));
    create(&store, &ring(&[OLD]), &ann, 1, "c").await;
    store.get(&ann, Lookup::Name(name("c"))).await.unwrap();
    assert_eq!(rotate(&store, &ring(&[NEW, OLD])).await.unwrap(), 1);
    assert_eq!(counted(&store).await, BTreeMap::from([(key("new"), 1)]));
}

/// A namespace of KV as one place sees it.
#[derive(Clone)]
struct Place(StaleKv<Clock>);

fn failed(_: Failed) -> KvError {
    KvError("it failed".into())
}

impl Kv for Place {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.0.get(key).await.map_err(failed)
    }

    async fn put(&self, key: &str, value: Vec<u8>, seconds: u32) -> Result<(), KvError> {
        self.0.put(key, value, seconds).await.map_err(failed)
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.0.delete(key).await.map_err(failed)
    }
}

/// A clock that is behind by so many microseconds.
#[derive(Clone)]
struct Behind(Clock, i64);

impl Host for Behind {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.micros() - self.1)
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// Worse than KV is said to be: late beyond the lease, in no order, and it fails often.
const BAD: Behaviour = Behaviour {
    delay: Duration::from_secs(400),
    in_order: false,
    misses: Duration::from_secs(20),
    refused: 15,
    ambiguous: 10,
    overtaken: Duration::from_secs(50),
    unreadable: 5,
};

/// Rotates while readers at three places read, of which one is behind; takes the old key out as soon as nothing counts
/// under it; and reads on without it. Readers take entries for `lease` seconds. Where all was `replaced`, others have the
/// names before keys are rotated. Gives how many reads needed the old key when no record had it any more.
async fn late_reads_of_a_rotation(seed: u64, behaviour: Behaviour, lease: u32, replaced: bool) -> usize {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let (clock, ..) = house(AGE);
    let kv = StaleKv::new(clock.clone(), seed, behaviour);
    let line = Line::new(&clock, Place(kv.at(u64::MAX)), Reads::Edge { max_age: AGE });
    let reader = |at: u64| {
        let host = Behind(clock.clone(), if at == 2 { MINUTE } else { 0 });
        let reads = Reads::Edge { max_age: lease };
        EdgeStore::new(Place(kv.at(at)), line.clone(), host, reads, Rc::default())
    };
    let readers = [reader(0), reader(1), reader(2)];
    let [old, both, new] = [&[OLD][..], &[NEW, OLD], &[NEW]].map(ring);
    let people = ["acme", "zoo"].map(|tenant| caller(tenant, "ann", false));
    let mut ids = Vec::new();
    for (number, text) in (1..).zip(NAMES) {
        for who in &people {
            ids.push(create(&readers[0], &old, who, number, text).await.id);
        }
    }
    // Everybody reads everything: how many reads gave what the old key sealed. All of it opens.
    let read = async |ring: &KeyRing| {
        let mut of_old = 0;
        for who in &people {
            for lookup in NAMES
                .map(|text| Lookup::Name(name(text)))
                .into_iter()
                .chain(ids.iter().copied().map(Lookup::Id))
            {
                for reader in &readers {
                    let Some(seen) = reader.get(who, lookup.clone()).await.unwrap() else {
                        continue;
                    };
                    let opened = ring.open(&who.tenant, &seen.record);
                    assert_eq!(opened, Ok(Details::null()), "seed {seed}: {lookup:?}");
                    of_old += usize::from(seen.record.sealed.key_id == key("old"));
                }
            }
        }
        of_old
    };
    for _ in 0..20 {
        read(&both).await;
        line.pass(7 * SECOND).await;
    }
    if replaced {
        for (number, text) in (11..).zip(NAMES) {
            for who in &people {
                readers[0].delete(who, name(text)).await.unwrap();
                create(&readers[0], &both, who, number, text).await;
            }
        }
    }
    assert_eq!(rotate(&readers[1], &both).await.unwrap(), if replaced { 0 } else { 6 });
    line.restart(&people[0].tenant);

    let (mut late, began) = (0, clock.micros());
    while under(&readers[0], "old").await > 0 {
        late += read(&both).await;
        line.pass(5 * SECOND).await;
        assert!(
            clock.micros() <= began + LEASE + 2 * MINUTE + 10 * SECOND,
            "it never ends"
        );
    }
    for _ in 0..60 {
        assert_eq!(read(&new).await, 0);
        line.pass(10 * SECOND).await;
    }
    late
}

/// Over some namespaces that behave so. Without the entries in the count, the key would have been taken out before the late
/// reads.
async fn a_key_is_taken_out(behaviour: Behaviour, lease: u32) {
    for replaced in [false, true] {
        let mut late = 0;
        for seed in 0..5 {
            late += late_reads_of_a_rotation(seed, behaviour, lease, replaced).await;
        }
        assert!(late > 50, "{late} late reads");
    }
}

#[tokio::test]
async fn a_key_that_counts_nothing_is_needed_for_no_read_however_bad_kv_is() {
    a_key_is_taken_out(BAD, AGE).await;
}

#[tokio::test]
async fn a_key_that_counts_nothing_is_needed_for_no_read_where_readers_are_told_of_a_longer_lease() {
    let delay = Duration::from_secs(60);
    a_key_is_taken_out(Behaviour { delay, ..BAD }, 86_400).await;
}

#[tokio::test]
async fn what_was_written_for_a_longer_lease_counts_for_as_long_as_that_lasts() {
    let scene = Scene::new().await;
    scene
        .line
        .execute(&scene.ann.tenant, "UPDATE connection SET name = name");
    scene.line.reads.set(Reads::Edge { max_age: 60 });
    scene.line.restart(&scene.ann.tenant);
    let writes = scene.kv.writes.borrow().len();
    assert_eq!(under(&scene.store, "old").await, 1);
    assert_eq!(scene.kv.writes.borrow().len(), writes + 2, "both for the shorter one");
    scene.rotate().await;
    let until = scene.written + LEASE + 2 * MINUTE;
    scene.line.pass(until - scene.clock.micros()).await;
    assert_eq!(under(&scene.store, "old").await, 2);
    scene.line.pass(SECOND).await;
    assert_eq!(under(&scene.store, "old").await, 0);
}

/// The way to the objects, one of which is out of reach, or tells of damage.
#[derive(Clone)]
struct Cut(Line<CountingKv>, Rc<RefCell<Option<Tenant>>>, fn(String) -> StoreError);

impl Authority for Cut {
    async fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        match whom {
            Whom::Tenant(tenant) if self.1.borrow().as_ref() == Some(tenant) => Err(self.2("nobody answers".into())),
            _ => self.0.ask(whom, message).await,
        }
    }
}

#[tokio::test]
async fn a_rotation_that_an_object_out_of_reach_breaks_off_is_done_by_the_next_one() {
    let (clock, kv, line) = house(AGE);
    let out = Rc::default();
    let way = Cut(line.clone(), Rc::clone(&out), StoreError::Unavailable);
    let store = EdgeStore::new(kv, way, clock, line.reads.get(), Rc::default());
    for tenant in ["acme", "beta", "zoo"] {
        for (number, text) in [(1, "a"), (2, "b")] {
            create(&store, &ring(&[OLD]), &caller(tenant, "ann", false), number, text).await;
        }
    }
    let both = ring(&[NEW, OLD]);
    out.replace(Some(caller("beta", "ann", false).tenant));
    let broken = rotate(&store, &both).await;
    assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
    let uncounted = store.count_sealed(None).await;
    assert!(matches!(uncounted, Err(StoreError::Unavailable(_))), "{uncounted:?}");
    out.replace(None);
    assert_eq!(
        counted(&store).await,
        BTreeMap::from([(key("new"), 2), (key("old"), 4)])
    );
    assert_eq!(rotate(&store, &both).await.unwrap(), 4);
    assert_eq!(counted(&store).await, BTreeMap::from([(key("new"), 6)]));
}

#[tokio::test]
async fn an_object_that_tells_of_damage_is_named_and_ends_no_rotation_of_the_others() {
    let (clock, kv, line) = house(AGE);
    let out = Rc::default();
    let way = Cut(line.clone(), Rc::clone(&out), StoreError::Damaged);
    let store = EdgeStore::new(kv, way, clock, line.reads.get(), Rc::default());
    for tenant in ["acme", "beta", "zoo"] {
        create(&store, &ring(&[OLD]), &caller(tenant, "ann", false), 1, "a").await;
    }
    out.replace(Some(caller("beta", "ann", false).tenant));
    let (mut records, mut left, mut after) = (0, Vec::new(), None);
    loop {
        let done = rotation::reseal(&store, &ring(&[NEW, OLD]), &SystemHost, after, 1_000).await;
        let done = done.unwrap();
        records += done.records;
        left.extend(done.left);
        after = done.next;
        if after.is_none() {
            break;
        }
    }
    let left: Vec<_> = left.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["the object of the tenant beta: nobody answers"]);
    assert_eq!(records, 2);
    assert!(store.count_sealed(None).await.is_err());
}

/// Counts requests to all objects.
#[derive(Clone)]
struct Counting(Line<CountingKv>, Rc<Cell<usize>>);

impl Authority for Counting {
    async fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        self.1.set(self.1.get() + 1);
        self.0.ask(whom, message).await
    }
}

#[tokio::test]
async fn an_operators_call_makes_no_more_requests_than_cloudflares_free_plan_allows() {
    let (clock, kv, line) = house(AGE);
    let asks = Rc::new(Cell::new(0));
    let way = Counting(line.clone(), Rc::clone(&asks));
    let store = EdgeStore::new(kv, way, clock, line.reads.get(), Rc::default());
    let (mut records, old) = (0, ring(&[OLD]));
    for number in 0..100_u8 {
        let who = caller(&format!("t{number}"), "ann", false);
        // Most have nothing; of some the object was never written.
        if number % 3 == 0 {
            let enter = encode(&AskDirectory::Enter(who.tenant.clone()));
            line.ask(Whom::Directory, enter).await.unwrap();
        } else {
            create(&store, &old, &who, number, "c").await;
            if number % 5 == 0 {
                records += 1;
            } else {
                store.delete(&who, name("c")).await.unwrap();
            }
        }
    }
    let config = Config {
        authentication: Authentication::NotConfigured,
        workspaces: Workspaces::Managed,
        answer_bytes: 1024,
    };
    let home = Patchbay::new(store, ring(&[NEW, OLD]), SystemHost, config).with_operators(operator::operators());
    let call = async |what: &str, body: &Value| -> Value {
        let request = Request::post(format!("/v1/api/admin/keys/{what}"));
        let bearer = format!("Bearer {}", operator::token().expose_secret());
        let (head, ()) = request.header("authorization", bearer).body(()).unwrap().into_parts();
        let admitted = home.admit(&head).await.unwrap();
        asks.set(0);
        let answer = home.answer(admitted, Bytes::from(body.to_string())).await;
        assert!(asks.get() <= 50, "{what}: {} requests", asks.get());
        serde_json::from_slice(answer.response.body()).unwrap()
    };
    for (what, field) in [("reseal", "resealed"), ("status", "keys")] {
        let (mut found, mut body) = (0, json!({}));
        loop {
            let answer = call(what, &body).await;
            found += match &answer[field] {
                Value::Array(keys) => keys.iter().filter_map(|key| key["records"].as_u64()).sum(),
                resealed => resealed.as_u64().unwrap(),
            };
            let Some(cursor) = answer.get("next_cursor") else { break };
            body = json!({ "cursor": cursor });
        }
        assert_eq!(found, records, "{what}");
    }
}

#[tokio::test]
async fn an_object_tells_of_its_own_tenant_alone() {
    let (_, kv, line) = house(AGE);
    let ann = caller("acme", "ann", false);
    create(&line.store(kv), &ring(&[OLD]), &ann, 1, "c").await;
    let ask = encode(&AskTenant::Sealings(Tenant::new("zoo").unwrap(), OfSealings::Count));
    let astray = line.object(&ann.tenant).answer(&ask).await;
    let astray = decode::<Result<Counted, StoreError>>(&astray).unwrap();
    assert!(matches!(astray, Err(StoreError::Damaged(_))), "{astray:?}");
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_all_of_a_batch_replaced_and_the_next_rotation_finds_it_done() {
    let (_, kv, line) = house(AGE);
    let (store, ann) = (line.store(kv), caller("acme", "ann", false));
    for (number, text) in [(1, "a"), (2, "b"), (3, "c")] {
        create(&store, &ring(&[OLD]), &ann, number, text).await;
    }
    let both = ring(&[NEW, OLD]);
    let wanted = Wanted::SealedOtherwise(key("new"));
    let held = store.sealed(wanted, None, 1_000).await.unwrap().found;
    let replacements = held.into_iter().flatten().map(|Held { tenant, record }| Replacement {
        sealed: both.reseal(&SystemHost, &tenant, &record).unwrap(),
        tenant,
        name: record.name,
        id: record.id,
        owner: record.owner,
        expected: record.sealed.key_id,
    });
    let replace = OfSealings::Replace(replacements.collect());
    let message = encode(&AskTenant::Sealings(ann.tenant.clone(), replace));
    line.stick(&ann.tenant, true);
    let object = line.object(&ann.tenant);
    assert!(pin!(object.answer(&message)).now_or_never().is_none());
    line.stick(&ann.tenant, false);
    line.restart(&ann.tenant);
    assert_eq!(counted(&store).await, BTreeMap::from([(key("new"), 3)]));
    assert_eq!(rotate(&store, &both).await.unwrap(), 0);
}
