//! KV follows the objects: nothing is lost, the latest state of each key is what is written, and never more of it than
//! KV takes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use std::collections::{BTreeMap, HashMap};
use std::pin::{Pin, pin};

use futures_util::FutureExt as _;
use house::{Clock, CountingKv, Line, SECOND, Takes, house};
use patchbay_core::model::{Caller, Person, Record, Role, Subject, Tenant};
use patchbay_core::store::{Lookup, Store, StoreError};
use patchbay_testkit::sample::{all, attach, caller, make_workspace, name, record, workspace};
use patchbay_worker::edge::EdgeStore;
use patchbay_worker::tenant::Followed;

const AGE: u32 = 300;
const MINUTE: i64 = 60 * SECOND;
const LEASE: i64 = AGE as i64 * SECOND;

struct Scene {
    clock: Clock,
    kv: CountingKv,
    line: Line<CountingKv>,
    store: EdgeStore<CountingKv, Line<CountingKv>, Clock>,
    ann: Caller,
    tenant: Tenant,
}

impl Scene {
    fn new() -> Self {
        let (clock, kv, line) = house(AGE);
        let ann = caller("acme", "ann", false);
        Self {
            store: line.store(kv.clone()),
            tenant: ann.tenant.clone(),
            clock,
            kv,
            line,
            ann,
        }
    }

    /// `count` connections of ann's, each of which KV holds by its name.
    async fn with(count: u8) -> Self {
        let scene = Self::new();
        for number in 1..=count {
            let made = record(number.into(), &format!("c{number}"), &scene.ann, 10);
            scene.store.create(&scene.ann, made).await.unwrap();
            scene.read(number).await;
        }
        scene.line.pass(2 * SECOND).await;
        scene.forget_writes();
        scene
    }

    async fn read(&self, number: u8) -> Option<(Record, usize)> {
        let seen = self
            .store
            .get(&self.ann, Lookup::Name(name(&format!("c{number}"))))
            .await
            .unwrap()?;
        Some((seen.record, seen.workspace_names.len()))
    }

    async fn attach(&self, number: u8, to: u64) {
        let connection = record(number.into(), "c", &self.ann, 0).id;
        let root = caller("acme", "root", true);
        let attach = attach(connection, workspace(to), u128::from(number) << 64 | u128::from(to));
        self.store.attach(&root, attach).await.unwrap();
    }

    async fn detach(&self, number: u8, from: u64) {
        let connection = record(number.into(), "c", &self.ann, 0).id;
        self.store.detach(&self.ann, connection, workspace(from)).await.unwrap();
    }

    /// How often KV was written since the last time this was asked.
    fn forget_writes(&self) -> usize {
        std::mem::take(&mut *self.kv.writes.borrow_mut()).len()
    }

    /// Whether every read is answered by KV, and as the object would.
    async fn converged(&self, count: u8) -> bool {
        for number in 1..=count {
            let asks = self.line.asks.get();
            let shown = self.read(number).await;
            let asked = self.line.asks.get() - asks;
            let there = self.line.number(
                &self.tenant,
                &format!("SELECT count(*) FROM connection WHERE name = 'c{number}'"),
            );
            let attached = self.line.number(
                &self.tenant,
                &format!("SELECT count(*) FROM attachment WHERE name = 'c{number}'"),
            );
            let right = match &shown {
                Some((_, names)) => there == 1 && i64::try_from(*names).unwrap() == attached && asked == 0,
                None => there == 0,
            };
            if !right {
                return false;
            }
        }
        true
    }

    /// Begins to write what is due, until the write of one key is on its way.
    async fn begin_to_write(&self, woken: &mut Pin<&mut impl Future<Output = Result<Followed, StoreError>>>) {
        while self.kv.writes.borrow().is_empty() {
            assert!(woken.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }

    /// A late write is done over what is right, and it is made good.
    async fn makes_good_what_is_late(&self) {
        assert!(self.converged(1).await);
        self.kv.land();
        assert!(!self.converged(1).await);
        self.line.pass(MINUTE).await;
        assert!(self.converged(1).await);
        assert_eq!(self.due(), 0);
    }

    fn rows(&self) -> i64 {
        self.line.number(&self.tenant, "SELECT count(*) FROM kept")
    }

    fn due(&self) -> i64 {
        self.line
            .number(&self.tenant, "SELECT count(*) FROM kept WHERE due_at IS NOT NULL")
    }

    /// Writes of a key that came less than a second after the one before.
    fn too_close(&self) -> usize {
        let mut last = HashMap::new();
        let writes = self.kv.writes.borrow();
        writes
            .iter()
            .filter(|(key, at)| last.insert(key.clone(), *at).is_some_and(|before| at - before < SECOND))
            .count()
    }
}

#[tokio::test]
async fn what_nobody_reads_is_written_nowhere_and_wakes_nobody() {
    let scene = Scene::new();
    for number in 1..=20 {
        let made = record(number.into(), &format!("c{number}"), &scene.ann, 10);
        scene.store.create(&scene.ann, made).await.unwrap();
        scene.attach(number, 1).await;
    }
    assert_eq!((scene.rows(), scene.line.alarms_set(&scene.tenant)), (0, 0));
    assert_eq!(scene.forget_writes(), 0);
}

#[tokio::test]
async fn an_object_that_dies_between_commit_and_kv_loses_nothing() {
    let scene = Scene::with(2).await;
    scene.line.follows.set(false);
    scene.attach(1, 1).await;
    // The alarm was set in the same turn as the change was committed, and outlives the object.
    assert!(scene.line.alarm(&scene.tenant).is_some());
    assert!(!scene.converged(2).await);
    scene.line.restart(&scene.tenant);
    assert_eq!(scene.kv.writes.borrow().len(), 0);
    scene.line.pass(SECOND).await;
    assert!(scene.converged(2).await);
    assert_eq!(scene.forget_writes(), 1);
}

#[tokio::test]
async fn an_alarm_that_was_lost_is_set_anew_by_the_next_request() {
    let scene = Scene::with(1).await;
    scene.line.follows.set(false);
    scene.attach(1, 1).await;
    scene.line.lose_alarm(&scene.tenant);
    // One that has nothing to do with KV.
    scene.store.list(&scene.ann, all()).await.unwrap();
    scene.line.pass(SECOND).await;
    assert!(scene.converged(1).await);
    assert_eq!(scene.forget_writes(), 1);
}

#[tokio::test]
async fn a_write_during_which_the_object_died_is_made_again_a_minute_later() {
    let scene = Scene::with(1).await;
    scene.line.follows.set(false);
    scene.attach(1, 1).await;
    scene.clock.advance(2 * SECOND);
    {
        let object = scene.line.object(&scene.tenant);
        scene.begin_to_write(&mut pin!(object.wake())).await;
    }
    assert_eq!(scene.forget_writes(), 1);
    scene.line.restart(&scene.tenant);
    scene.line.pass(MINUTE - SECOND).await;
    assert_eq!(scene.forget_writes(), 0);
    assert!(!scene.converged(1).await);
    scene.line.pass(SECOND).await;
    assert_eq!(scene.forget_writes(), 1);
    assert!(scene.converged(1).await);
    assert_eq!(scene.due(), 0);
}

#[tokio::test]
async fn a_write_that_nobody_heard_of_is_made_again_a_minute_later() {
    let scene = Scene::with(1).await;
    scene.kv.takes.set(Takes::Secretly);
    scene.attach(1, 1).await;
    scene.line.pass(SECOND).await;
    scene.kv.takes.set(Takes::Well);
    assert_eq!(scene.forget_writes(), 1);
    // Tried again after two seconds, and once more a minute after it failed: by then it has arrived, or never will.
    scene.line.pass(2 * SECOND).await;
    assert_eq!(scene.forget_writes(), 1);
    scene.line.pass(MINUTE - 4 * SECOND).await;
    assert_eq!(scene.forget_writes(), 0);
    scene.line.pass(SECOND).await;
    assert_eq!(scene.forget_writes(), 1);
    scene.line.pass(LEASE).await;
    assert_eq!((scene.forget_writes(), scene.due()), (0, 0));
}

#[tokio::test]
async fn a_write_that_arrives_late_is_made_good_where_the_key_changed_after_the_next_write() {
    let scene = Scene::with(1).await;
    scene.kv.takes.set(Takes::Late);
    scene.attach(1, 1).await;
    scene.kv.takes.set(Takes::Well);
    scene.line.pass(3 * SECOND).await;
    scene.attach(1, 2).await;
    scene.line.pass(2 * SECOND).await;
    assert_eq!(scene.forget_writes(), 3);
    scene.makes_good_what_is_late().await;
}

#[tokio::test]
async fn a_write_that_arrives_late_is_made_good_where_the_key_changed_during_the_next_write() {
    let scene = Scene::with(1).await;
    scene.kv.takes.set(Takes::Late);
    scene.attach(1, 1).await;
    scene.kv.takes.set(Takes::Well);
    assert_eq!(scene.forget_writes(), 1);
    scene.line.follows.set(false);
    scene.clock.advance(3 * SECOND);
    let object = scene.line.object(&scene.tenant);
    let mut woken = pin!(object.wake());
    scene.begin_to_write(&mut woken).await;
    scene.attach(1, 2).await;
    woken.await.unwrap();
    scene.line.pass(2 * SECOND).await;
    assert_eq!(scene.forget_writes(), 2);
    scene.makes_good_what_is_late().await;
}

#[tokio::test]
async fn a_write_that_arrives_late_is_made_good_where_the_key_changed_and_the_object_died_meanwhile() {
    let scene = Scene::with(1).await;
    scene.line.follows.set(false);
    scene.kv.takes.set(Takes::Late);
    scene.attach(1, 1).await;
    scene.clock.advance(2 * SECOND);
    {
        let object = scene.line.object(&scene.tenant);
        let mut woken = pin!(object.wake());
        scene.begin_to_write(&mut woken).await;
        scene.attach(1, 2).await;
    }
    scene.kv.takes.set(Takes::Well);
    scene.line.restart(&scene.tenant);
    scene.line.pass(2 * SECOND).await;
    assert_eq!(scene.forget_writes(), 2);
    scene.makes_good_what_is_late().await;
}

#[tokio::test]
async fn kv_that_refuses_for_an_hour_converges_within_a_minute_afterwards() {
    let scene = Scene::with(8).await;
    scene.kv.takes.set(Takes::Not);
    for minute in 0..60_u64 {
        for number in 1..=4 {
            scene.attach(number, minute + 1).await;
        }
        scene.line.pass(MINUTE).await;
    }
    // A try of each key after a change, one a minute after the last, and the first few.
    let tries = scene.forget_writes();
    assert!((4 * 60..4 * 130).contains(&tries), "{tries} tries");
    assert_eq!(scene.due(), 4);
    assert!(scene.rows() <= 8);
    scene.kv.takes.set(Takes::Well);
    scene.line.pass(MINUTE).await;
    assert_eq!(scene.forget_writes(), 4);
    for number in 1..=8 {
        scene.read(number).await;
    }
    scene.line.pass(SECOND).await;
    assert!(scene.converged(8).await);
}

#[tokio::test]
async fn a_key_is_written_at_most_once_a_second_with_its_latest_state() {
    let scene = Scene::with(1).await;
    for round in 1..=200_u64 {
        scene.attach(1, round).await;
        scene.line.pass(SECOND / 20).await;
    }
    scene.line.pass(SECOND).await;
    assert!(scene.converged(1).await);
    // Two hundred changes in ten seconds.
    assert_eq!(scene.too_close(), 0);
    let writes = scene.forget_writes();
    assert!((10..=11).contains(&writes), "{writes} writes");
}

#[tokio::test]
async fn one_write_of_a_key_is_in_flight_and_what_changes_meanwhile_is_written_after_it() {
    let scene = Scene::with(3).await;
    scene.line.follows.set(false);
    // A write takes three seconds, in which the key changes again.
    scene.kv.write_takes.set(3 * SECOND);
    for number in 1..=3 {
        scene.attach(number, 1).await;
    }
    let object = scene.line.object(&scene.tenant);
    scene.clock.advance(2 * SECOND);
    {
        let mut woken = pin!(object.wake());
        while scene.kv.writes.borrow().len() < 3 {
            assert!(woken.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        for number in 1..=3 {
            scene.attach(number, 2).await;
        }
        // Woken a second time meanwhile, it leaves the keys alone.
        scene.clock.advance(2 * SECOND);
        assert_eq!(object.wake().await.unwrap().written, 0);
        woken.await.unwrap();
    }
    scene.kv.write_takes.set(0);
    scene.line.pass(10 * SECOND).await;
    assert!(scene.converged(3).await);
    assert_eq!((scene.kv.most_in_flight_a_key.get(), scene.too_close()), (1, 0));
    assert_eq!(scene.forget_writes(), 6);
}

#[tokio::test]
async fn thousands_of_keys_are_written_in_turns_of_five_hundred() {
    let scene = Scene::new();
    scene.line.follows.set(false);
    for number in 0..1_200_u64 {
        let text = format!("n{number}");
        scene
            .store
            .create(&scene.ann, record(number.into(), &text, &scene.ann, 1))
            .await
            .unwrap();
        scene.store.get(&scene.ann, Lookup::Name(name(&text))).await.unwrap();
    }
    let followed = scene.line.ring().await;
    let written: Vec<usize> = followed.iter().map(|followed| followed.written).collect();
    assert_eq!(written, [500, 500, 200]);
}

#[tokio::test]
async fn what_is_kept_is_forgotten_when_its_lease_is_over() {
    let scene = Scene::with(150).await;
    assert_eq!(scene.rows(), 150);
    scene.line.pass(LEASE + 2 * MINUTE + SECOND).await;
    // The next time that the object has to do with KV.
    scene.read(1).await;
    assert_eq!(scene.rows(), 1);
    // A change of what was forgotten is no matter to KV.
    scene.forget_writes();
    scene.attach(2, 1).await;
    scene.line.pass(SECOND).await;
    assert_eq!(scene.forget_writes(), 0);
}

#[tokio::test]
async fn a_few_alarms_do_for_many_changes() {
    let scene = Scene::with(1).await;
    let before = scene.line.alarms_set(&scene.tenant);
    scene.line.follows.set(false);
    for round in 1..=100 {
        scene.attach(1, round).await;
    }
    assert_eq!(scene.line.alarms_set(&scene.tenant) - before, 1);
}

/// The entries that are due after an act, among those of two connections, of bob by subject, and of eve by e-mail.
#[tokio::test]
async fn a_change_marks_the_entries_that_it_touches_and_no_others() {
    let scene = Scene::new();
    let Scene {
        store,
        ann,
        line,
        tenant,
        ..
    } = &scene;
    let bob = caller("acme", "bob", false);
    let eve = Caller {
        email: Some(Subject::new("eve@x").unwrap()),
        ..caller("acme", "eve", false)
    };
    let by_email = Person::Email(Subject::new("eve@x").unwrap());
    for number in 1..=2_u8 {
        store
            .create(ann, record(number.into(), &format!("c{number}"), ann, 1))
            .await
            .unwrap();
    }
    let room = make_workspace(store, ann, "room").await;
    let other = make_workspace(store, ann, "other").await;
    for person in [Person::Subject(bob.subject.clone()), by_email.clone()] {
        line.add_member(tenant, room, &person, Role::Collaborator).await;
    }
    for number in 1..=2_u8 {
        scene.attach(number, room.get()).await;
        for who in [&bob, &eve] {
            store.get(who, Lookup::Name(name(&format!("c{number}")))).await.unwrap();
            store
                .get(who, Lookup::Id(record(number.into(), "c", ann, 0).id))
                .await
                .unwrap();
        }
    }
    line.pass(2 * SECOND).await;
    let places: BTreeMap<&str, &str> = BTreeMap::from([
        ("name 1", "kind = 0 AND what = 'c1'"),
        ("name 2", "kind = 0 AND what = 'c2'"),
        (
            "id 1",
            "kind = 1 AND what = (SELECT id FROM connection WHERE name = 'c1')",
        ),
        (
            "id 2",
            "kind = 1 AND what = (SELECT id FROM connection WHERE name = 'c2')",
        ),
        ("bob", "kind = 2 AND what = 'bob'"),
        ("eve", "kind = 2 AND what = 'eve' AND email = 'eve@x'"),
    ]);
    assert_eq!((scene.rows(), scene.due()), (6, 0));
    line.follows.set(false);
    let due = || {
        let is_due = |which: &str| {
            line.number(
                tenant,
                &format!("SELECT count(*) FROM kept WHERE due_at IS NOT NULL AND {which}"),
            ) == 1
        };
        let due: Vec<&str> = places
            .iter()
            .filter(|(_, which)| is_due(which))
            .map(|(place, _)| *place)
            .collect();
        line.execute(tenant, "UPDATE kept SET due_at = NULL");
        due
    };
    let person = |who: &Caller| Person::Subject(who.subject.clone());
    let moment = || line.number(tenant, "SELECT value FROM meta WHERE key = 'moment'");

    let at = moment();
    scene.attach(1, other.get()).await;
    assert_eq!((due(), moment()), (vec!["id 1", "name 1"], at + 1), "an attach");
    scene.detach(1, other.get()).await;
    assert_eq!((due(), moment()), (vec!["id 1", "name 1"], at + 2), "a detach");
    line.add_member(tenant, other, &person(&bob), Role::Collaborator).await;
    assert_eq!((due(), moment()), (vec!["bob"], at + 3), "a member more");
    line.add_member(tenant, other, &person(&bob), Role::Owner).await;
    assert_eq!((due(), moment()), (vec![], at + 3), "another role");
    line.remove_member(tenant, other, &person(&bob)).await;
    assert_eq!((due(), moment()), (vec!["bob"], at + 4), "a member less");
    line.add_member(tenant, other, &by_email, Role::Owner).await;
    assert_eq!((due(), moment()), (vec!["eve"], at + 5), "a member more by e-mail");
    line.remove_member(tenant, other, &by_email).await;
    assert_eq!((due(), moment()), (vec!["eve"], at + 6), "a member less by e-mail");
    make_workspace(store, &bob, "bob's").await;
    assert_eq!((due(), moment()), (vec!["bob"], at + 7), "a workspace of his own");
    line.execute(tenant, "UPDATE connection SET sealed = x'02' WHERE name = 'c2'");
    assert_eq!((due(), moment()), (vec!["id 2", "name 2"], at + 7), "sealed anew");
    scene.detach(1, room.get()).await;
    due();
    let sealed = places["id 1"];
    let id = line.number(tenant, &format!("SELECT count(*) FROM kept WHERE {sealed}"));
    assert_eq!(id, 1);
    store.delete(ann, name("c1")).await.unwrap();
    let all_due = line.number(
        tenant,
        "SELECT count(*) FROM kept WHERE due_at IS NOT NULL AND kind < 2",
    );
    assert_eq!((all_due, due(), moment()), (2, vec!["name 1"], at + 8), "a delete");
    store.create(ann, record(9, "c1", ann, 1)).await.unwrap();
    assert_eq!((due(), moment()), (vec!["name 1"], at + 8), "another of that name");
    assert_eq!(line.number(tenant, "SELECT count(*) FROM since WHERE kind = 0"), 1);
}
