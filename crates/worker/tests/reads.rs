//! Which reads KV answers, what each operation costs, and what a reader may see late.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use house::{Clock, CountingKv, Line, SECOND, house, house_that_reads};
use patchbay_core::model::{Caller, Person, Record, Role, Subject, WorkspaceId, Workspaces};
use patchbay_core::store::{
    Attach, AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery, Lookup, Seen, Store,
    WorkspacesOf,
};
use patchbay_testkit::sample::{add_member, all, attach, caller, make_workspace, name, person, record};
use patchbay_worker::edge::EdgeStore;
use patchbay_worker::settings::Reads;

const AGE: u32 = 300;
const LEASE: i64 = AGE as i64 * SECOND;

type EdgeOf = EdgeStore<CountingKv, Line<CountingKv>, Clock>;

/// A house with a connection `c` of ann's in a workspace where bob is, too.
struct Scene {
    clock: Clock,
    kv: CountingKv,
    line: Line<CountingKv>,
    store: EdgeOf,
    ann: Caller,
    bob: Caller,
    /// No member of anything.
    eve: Caller,
    root: Caller,
    connection: Record,
    workspace: WorkspaceId,
}

async fn scene() -> Scene {
    let (clock, kv, line) = house(AGE);
    let store = line.store(kv.clone());
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|subject| caller("acme", subject, false));
    let connection = record(1, "c", &ann, 100);
    store.create(&ann, connection.clone()).await.unwrap();
    let workspace = make_workspace(&store, &ann, "w").await;
    let scene = Scene {
        clock,
        kv,
        line,
        store,
        ann,
        bob,
        eve,
        root: caller("acme", "root", true),
        connection,
        workspace,
    };
    scene.add(&scene.bob, workspace).await;
    scene.attach(workspace).await;
    scene.clock.advance(10 * SECOND);
    scene
}

impl Scene {
    async fn add(&self, who: &Caller, workspace: WorkspaceId) {
        let person = Person::Subject(who.subject.clone());
        self.line
            .add_member(&who.tenant, workspace, &person, Role::Collaborator)
            .await;
    }

    async fn remove(&self, who: &Caller, workspace: WorkspaceId) {
        let person = Person::Subject(who.subject.clone());
        self.line.remove_member(&who.tenant, workspace, &person).await;
    }

    async fn attach(&self, workspace: WorkspaceId) {
        let managed = Attach {
            workspaces: Workspaces::Managed,
            ..attach(self.connection.id, workspace, 50 + u128::from(workspace.get()))
        };
        let attached = self.store.attach(&self.root, managed).await.unwrap();
        assert!(matches!(attached, AttachOutcome::Attached(..)));
    }

    async fn detach(&self, workspace: WorkspaceId) {
        let detached = self
            .store
            .detach(&self.ann, self.connection.id, workspace)
            .await
            .unwrap();
        assert_eq!(detached, DetachOutcome::Detached(name("c")));
    }

    async fn get(&self, who: &Caller) -> Option<Seen> {
        self.store.get(who, Lookup::Name(name("c"))).await.unwrap()
    }

    /// The names that somebody sees with the connection.
    async fn names(&self, who: &Caller) -> Option<Vec<String>> {
        let seen = self.get(who).await?;
        Some(seen.workspace_names.iter().map(ToString::to_string).collect())
    }

    /// Reads of KV and requests to the tenant's object that this takes.
    async fn cost<T>(&self, act: impl Future<Output = T>) -> (T, [usize; 2]) {
        let before = [self.kv.reads.get(), self.line.asks.get()];
        let came = act.await;
        let after = [self.kv.reads.get(), self.line.asks.get()];
        (came, [after[0] - before[0], after[1] - before[1]])
    }

    /// Everybody has read once: KV has what it needs to answer them.
    async fn warm(&self) {
        for who in [&self.ann, &self.bob, &self.root] {
            assert!(self.get(who).await.is_some());
            self.line.pass(2 * SECOND).await;
            assert!(self.get(who).await.is_some());
        }
    }

    /// KV shows no change any more: alarms do not ring.
    fn freeze(&self) {
        self.line.follows.set(false);
    }
}

#[tokio::test]
async fn a_get_by_the_owner_or_an_admin_is_one_read_of_kv_and_by_a_member_two_at_once() {
    let scene = scene().await;
    scene.warm().await;
    for (who, reads) in [(&scene.ann, 1), (&scene.root, 1), (&scene.bob, 2)] {
        scene.kv.most_reads_at_once.set(0);
        let (seen, cost) = scene.cost(scene.get(who)).await;
        let seen = seen.unwrap();
        assert_eq!(seen.record, scene.connection);
        assert_eq!(seen.workspace_names, [name("w")]);
        assert_eq!(cost, [reads, 0], "{}", who.subject);
        assert_eq!(scene.kv.most_reads_at_once.get(), reads);
    }
    let by_id = || scene.store.get(&scene.root, Lookup::Id(scene.connection.id));
    assert_eq!(scene.cost(by_id()).await.1, [1, 1]);
    let (seen, cost) = scene.cost(by_id()).await;
    assert_eq!(
        (seen.unwrap().unwrap().record, cost),
        (scene.connection.clone(), [1, 0])
    );
}

#[tokio::test]
async fn a_member_by_e_mail_takes_two_reads_of_kv_as_well() {
    let scene = scene().await;
    let email = Subject::new("bob@example.com").unwrap();
    let other = WorkspaceId::new(scene.workspace.get() + 1).unwrap();
    assert_eq!(make_workspace(&scene.store, &scene.ann, "by e-mail").await, other);
    let person = Person::Email(email.clone());
    scene
        .line
        .add_member(&scene.bob.tenant, other, &person, Role::Collaborator)
        .await;
    scene.attach(other).await;
    let bob = Caller {
        email: Some(email),
        ..scene.bob.clone()
    };
    scene.get(&bob).await;
    let (names, cost) = scene.cost(scene.names(&bob)).await;
    assert_eq!((names.unwrap().len(), cost), (2, [2, 0]));
    // What the e-mail address brings is not there for the subject alone.
    assert_eq!(scene.names(&scene.bob).await.unwrap(), ["w"]);
}

#[tokio::test]
async fn only_the_first_read_of_an_owner_in_a_process_takes_a_read_more() {
    let scene = scene().await;
    scene.warm().await;
    let cold = scene.line.store(scene.kv.clone());
    let get = || cold.get(&scene.ann, Lookup::Name(name("c")));
    assert_eq!(scene.cost(get()).await.1, [2, 0]);
    assert_eq!(scene.cost(get()).await.1, [1, 0]);
}

/// What somebody owned once and may not see now takes the requests of what is gone, the second time too.
#[tokio::test]
async fn a_former_owner_does_not_find_out_that_somebody_took_the_name() {
    let mut costs = Vec::new();
    for taken in [false, true] {
        let scene = scene().await;
        scene.warm().await;
        scene.detach(scene.workspace).await;
        scene.clock.advance(2 * SECOND);
        let deleted = scene.store.delete(&scene.ann, name("c")).await.unwrap();
        assert_eq!(deleted, DeleteOutcome::Deleted(scene.connection.id));
        if taken {
            let other = record(2, "c", &scene.bob, 10);
            scene.store.create(&scene.bob, other).await.unwrap();
            // Another process is asked for it, so that KV has its entry.
            let elsewhere = scene.line.store(scene.kv.clone());
            for _ in 0..2 {
                elsewhere.get(&scene.bob, Lookup::Name(name("c"))).await.unwrap();
                scene.line.pass(2 * SECOND).await;
            }
        }
        let has_entry = scene.kv.values.borrow().keys().any(|key| key.starts_with("c1/"));
        assert_eq!(has_entry, taken);
        for _ in 0..3 {
            scene.kv.most_reads_at_once.set(0);
            let (seen, cost) = scene.cost(scene.get(&scene.ann)).await;
            assert_eq!(seen, None);
            costs.push((cost, scene.kv.most_reads_at_once.get()));
        }
    }
    let (gone, hidden) = costs.split_at(3);
    assert_eq!(gone, hidden);
}

#[tokio::test]
async fn whatever_is_no_get_is_one_request_and_no_read_of_kv() {
    let scene = scene().await;
    let Scene { store, ann, root, .. } = &scene;
    let other = record(2, "d", ann, 10);
    let attach = attach(other.id, scene.workspace, 9);
    assert_eq!(scene.cost(store.create(ann, other.clone())).await.1, [0, 1], "create");
    assert_eq!(scene.cost(store.attach(ann, attach)).await.1, [0, 1], "attach");
    assert_eq!(scene.cost(store.list(ann, all())).await.1, [0, 1], "list");
    let without = ListQuery {
        details: false,
        ..all()
    };
    let (listed, cost) = scene.cost(store.list(ann, without)).await;
    let Ok(ListOutcome::Page { rows, .. }) = listed else {
        panic!("{listed:?}")
    };
    assert!(rows.iter().all(|row| row.record.sealed.bytes.is_empty()));
    assert_eq!((rows.len(), cost), (2, [0, 1]), "list without details");
    assert_eq!(
        scene.cost(store.detach(ann, other.id, scene.workspace)).await.1,
        [0, 1],
        "detach"
    );
    assert_eq!(scene.cost(store.delete(ann, name("d"))).await.1, [0, 1], "delete");
    let listed = store.list_workspaces(root, WorkspacesOf::Everybody, usize::MAX);
    assert_eq!(scene.cost(listed).await.1, [0, 1], "list_workspaces");
    assert_eq!(
        scene.cost(make_workspace(store, ann, "v")).await.1,
        [0, 1],
        "create_workspace"
    );
    let eve = person(&scene.eve);
    let joins = store.add_member(ann, add_member(scene.workspace, eve.clone(), Role::Owner));
    assert_eq!(scene.cost(joins).await.1, [0, 1], "add_member");
    let members = store.members(ann, scene.workspace);
    assert_eq!(scene.cost(members).await.1, [0, 1], "members");
    let leaves = store.remove_member(ann, scene.workspace, eve);
    assert_eq!(scene.cost(leaves).await.1, [0, 1], "remove_member");
    assert_eq!(scene.cost(store.ready()).await.1, [0, 0], "ready");
    // None of it was read by anybody, so KV was told nothing.
    assert!(scene.kv.writes.borrow().is_empty());
}

#[tokio::test]
async fn with_strong_reads_every_read_is_one_request_and_kv_is_left_alone() {
    let (_, kv, line) = house_that_reads(Reads::Strong);
    let (store, ann) = (line.store(kv.clone()), caller("acme", "ann", false));
    store.create(&ann, record(1, "c", &ann, 10)).await.unwrap();
    for asks in 2..5 {
        assert!(store.get(&ann, Lookup::Name(name("c"))).await.unwrap().is_some());
        assert_eq!(line.asks.get(), asks);
    }
    line.pass(3600 * SECOND).await;
    assert_eq!(kv.reads.get(), 0);
    assert!(kv.writes.borrow().is_empty());
}

#[tokio::test]
async fn an_object_that_is_told_to_read_strongly_removes_what_it_kept() {
    let scene = scene().await;
    scene.warm().await;
    assert!(!scene.kv.values.borrow().is_empty());
    scene.line.reads.set(Reads::Strong);
    scene.line.restart(&scene.ann.tenant);
    scene.detach(scene.workspace).await;
    scene.line.pass(2 * SECOND).await;
    // The memberships did not change; they go by themselves when their lease is over.
    let values = scene.kv.values.borrow();
    assert_eq!(
        values.keys().filter(|key| key.starts_with("c1/")).count(),
        0,
        "{values:?}"
    );
}

#[tokio::test]
async fn an_entry_counts_until_its_lease_is_over_and_is_then_renewed() {
    let scene = scene().await;
    assert!(scene.get(&scene.ann).await.is_some());
    let written = scene.clock.micros();
    scene.clock.advance(LEASE);
    assert_eq!(scene.cost(scene.get(&scene.ann)).await.1[1], 0);
    scene.clock.advance(1);
    assert_eq!(scene.cost(scene.get(&scene.ann)).await.1[1], 1);
    assert_eq!(scene.cost(scene.get(&scene.ann)).await.1[1], 0);
    assert_eq!(scene.kv.writes.borrow().len(), 2, "written at {written}");
}

#[tokio::test]
async fn an_entry_from_beyond_what_clocks_differ_by_does_not_count() {
    let scene = scene().await;
    assert!(scene.get(&scene.ann).await.is_some());
    scene.clock.advance(-SECOND);
    assert_eq!(scene.cost(scene.get(&scene.ann)).await.1[1], 0);
    scene.clock.advance(-1);
    assert_eq!(scene.cost(scene.get(&scene.ann)).await.1[1], 1);
}

#[tokio::test]
async fn what_kv_does_not_say_is_asked_of_the_object() {
    let scene = scene().await;
    scene.warm().await;
    scene.freeze();
    let expected = scene.get(&scene.root).await;
    let key = |of: &str| {
        let values = scene.kv.values.borrow();
        values.keys().find(|key| key.starts_with(of)).unwrap().clone()
    };
    let good = scene.kv.values.borrow()[&key("c1/")].clone();
    let entry = key("c1/");
    let set = |value: Option<Vec<u8>>| match value {
        Some(value) => _ = scene.kv.values.borrow_mut().insert(entry.clone(), value),
        None => scene.kv.values.borrow_mut().retain(|key, _| !key.starts_with("c1/")),
    };
    // Another format, a value cut short, a value with something behind it and an empty one.
    let mut newer = good.clone();
    newer[0] += 1;
    let mut longer = good.clone();
    longer.push(0);
    let memberships = scene.kv.values.borrow()[&key("m1/")].clone();
    for wrong in [newer, good[..good.len() - 1].to_vec(), longer, Vec::new(), memberships] {
        set(Some(wrong));
        let (seen, cost) = scene.cost(scene.get(&scene.root)).await;
        assert_eq!((seen, cost), (expected.clone(), [1, 1]));
    }
    set(Some(good));
    assert_eq!(scene.cost(scene.get(&scene.root)).await.1, [1, 0]);
    scene.kv.silent.set(true);
    assert_eq!(scene.cost(scene.get(&scene.root)).await, (expected.clone(), [1, 1]));
    scene.kv.silent.set(false);
    set(None);
    assert_eq!(scene.cost(scene.get(&scene.root)).await, (expected, [1, 1]));
}

#[tokio::test]
async fn an_entry_of_something_else_is_a_miss_even_under_the_right_key() {
    let scene = scene().await;
    let Scene {
        store, kv, ann, root, ..
    } = &scene;
    let dave = caller("other", "root", true);
    for (who, number, text) in [(ann, 2, "d"), (&dave, 3, "c")] {
        store.create(who, record(number, text, who, 10)).await.unwrap();
    }
    // The entry that a get by name brings into KV, with its key.
    let entry = async |who: &Caller, text: &str| {
        kv.values.borrow_mut().clear();
        store.get(who, Lookup::Name(name(text))).await.unwrap();
        let entry = kv
            .values
            .borrow()
            .iter()
            .next()
            .map(|(key, value)| (key.clone(), value.clone()));
        entry.unwrap()
    };
    let (key, _) = entry(root, "c").await;
    for (who, text) in [(root, "d"), (&dave, "c")] {
        scene.clock.advance(LEASE);
        let (_, foreign) = entry(who, text).await;
        kv.values.borrow_mut().insert(key.clone(), foreign);
        let (seen, cost) = scene.cost(scene.get(root)).await;
        assert_eq!((seen.unwrap().record, cost), (scene.connection.clone(), [1, 1]));
    }
    // Another person's memberships under bob's key.
    scene.warm().await;
    let mut values = kv.values.borrow().clone();
    let bobs = values.keys().find(|key| key.starts_with("m1/")).unwrap().clone();
    kv.values.borrow_mut().remove(&bobs);
    scene.add(&scene.eve, scene.workspace).await;
    scene.clock.advance(LEASE / 2);
    assert!(scene.get(&scene.eve).await.is_some());
    let eves = kv
        .values
        .borrow()
        .iter()
        .find(|(key, _)| key.starts_with("m1/") && **key != bobs)
        .map(|(_, value)| value.clone());
    values.insert(bobs, eves.unwrap());
    *kv.values.borrow_mut() = values;
    scene.freeze();
    assert_eq!(scene.cost(scene.get(&scene.bob)).await.1, [2, 1]);
}

#[tokio::test]
async fn kv_never_says_no() {
    let scene = scene().await;
    scene.warm().await;
    // Eve sees nothing, and the object is asked each time.
    for _ in 0..2 {
        let (seen, cost) = scene.cost(scene.get(&scene.eve)).await;
        assert_eq!((seen, cost), (None, [2, 1]));
    }
    scene.freeze();
    let other = make_workspace(&scene.store, &scene.ann, "other").await;
    scene.add(&scene.eve, other).await;
    scene.attach(other).await;
    // KV has neither her membership nor the attachment, and she reads at once.
    assert_eq!(scene.names(&scene.eve).await.unwrap(), ["other"]);
    // A new connection is found at once, and so is one under a name of which KV has the entry of another.
    let made = record(2, "new", &scene.ann, 10);
    assert_eq!(
        scene.store.create(&scene.ann, made.clone()).await.unwrap(),
        CreateOutcome::Created
    );
    let found = scene.store.get(&scene.ann, Lookup::Name(name("new"))).await.unwrap();
    assert_eq!(found.unwrap().record, made);
}

#[tokio::test]
async fn a_caller_who_is_not_in_all_its_workspaces_is_answered_by_the_object() {
    let scene = scene().await;
    let other = make_workspace(&scene.store, &scene.ann, "other").await;
    scene.attach(other).await;
    for _ in 0..3 {
        let (names, cost) = scene.cost(scene.names(&scene.bob)).await;
        assert_eq!((names.unwrap(), cost), (vec!["w".to_owned()], [2, 1]));
    }
    scene.freeze();
    // So a name that he may see since now is there now.
    scene.add(&scene.bob, other).await;
    assert_eq!(scene.names(&scene.bob).await.unwrap(), ["other", "w"]);
}

#[tokio::test]
async fn what_changed_shows_in_kv_as_soon_as_its_alarm_rang() {
    let scene = scene().await;
    scene.warm().await;
    let other = make_workspace(&scene.store, &scene.ann, "other").await;
    scene.clock.advance(2 * SECOND);
    scene.attach(other).await;
    let (names, cost) = scene.cost(scene.names(&scene.ann)).await;
    assert_eq!((names.unwrap().len(), cost), (2, [1, 0]));
    scene.clock.advance(2 * SECOND);
    scene.detach(other).await;
    assert_eq!(
        scene.cost(scene.names(&scene.ann)).await,
        (Some(vec!["w".to_owned()]), [1, 0])
    );
    scene.clock.advance(2 * SECOND);
    scene.detach(scene.workspace).await;
    scene.clock.advance(2 * SECOND);
    scene.store.delete(&scene.ann, name("c")).await.unwrap();
    assert_eq!(scene.cost(scene.get(&scene.ann)).await, (None, [1, 1]));
}

/// Everything that may be seen late: while KV shows no change, and not a moment longer than the lease.
#[tokio::test]
async fn what_changes_is_seen_late_for_no_longer_than_the_lease() {
    let scene = scene().await;
    scene.warm().await;
    let checked = scene.clock.micros();
    scene.clock.advance(LEASE + 61 * SECOND);
    for who in [&scene.ann, &scene.bob] {
        scene.get(who).await;
    }
    let checked_again = scene.clock.micros();
    assert!(checked_again > checked);
    scene.freeze();

    let other = make_workspace(&scene.store, &scene.ann, "other").await;
    scene.attach(other).await;
    assert_eq!(scene.names(&scene.ann).await.unwrap(), ["w"], "an attach");
    scene.detach(other).await;
    scene.remove(&scene.bob, scene.workspace).await;
    assert_eq!(scene.names(&scene.bob).await.unwrap(), ["w"], "a member removed");
    scene.detach(scene.workspace).await;
    assert_eq!(scene.names(&scene.ann).await.unwrap(), ["w"], "a detach");
    let deleted = scene.store.delete(&scene.ann, name("c")).await.unwrap();
    assert_eq!(deleted, DeleteOutcome::Deleted(scene.connection.id));
    assert_eq!(
        scene.get(&scene.ann).await.unwrap().record,
        scene.connection,
        "a delete"
    );
    let new = record(7, "c", &scene.ann, 20);
    scene.store.create(&scene.ann, new.clone()).await.unwrap();
    assert_eq!(
        scene.get(&scene.ann).await.unwrap().record,
        scene.connection,
        "another of that name"
    );
    let by_id = scene.store.get(&scene.ann, Lookup::Id(new.id)).await.unwrap();
    assert_eq!(by_id.unwrap().record, new, "by its id it is there");

    scene.clock.advance(checked_again + LEASE - scene.clock.micros());
    assert_eq!(scene.get(&scene.ann).await.unwrap().record, scene.connection);
    assert!(scene.get(&scene.bob).await.is_some());
    scene.clock.advance(1);
    assert_eq!(scene.get(&scene.ann).await.unwrap().record, new);
    assert_eq!(scene.get(&scene.bob).await, None);
}

#[tokio::test]
async fn two_entries_that_were_never_true_together_give_no_answer() {
    let scene = scene().await;
    // Bob has read something else, so that KV knows him as a member of `w`.
    scene.warm().await;
    let other = record(2, "d", &scene.ann, 10);
    scene.store.create(&scene.ann, other.clone()).await.unwrap();
    scene.freeze();
    // He is removed first, and then something is attached, which he never may read.
    scene.remove(&scene.bob, scene.workspace).await;
    let attached = scene
        .store
        .attach(&scene.ann, attach(other.id, scene.workspace, 99))
        .await
        .unwrap();
    assert!(matches!(attached, AttachOutcome::Attached(..)));
    let get = async |who: &Caller| scene.store.get(who, Lookup::Name(name("d"))).await;
    get(&scene.ann).await.unwrap();
    let values = scene.kv.values.borrow().len();
    // The entry of what was attached comes into KV, and only that one.
    let memberships: Vec<_> = scene
        .kv
        .values
        .borrow()
        .iter()
        .filter(|(key, _)| key.starts_with("m1/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    scene.line.ring().await;
    scene.kv.values.borrow_mut().extend(memberships);
    assert!(scene.kv.values.borrow().len() > values);
    assert_eq!(scene.cost(get(&scene.bob)).await.1, [2, 1]);
    assert_eq!(get(&scene.bob).await.unwrap(), None);

    // The other way round: it is detached, and then eve becomes a member.
    let late = scene.kv.values.borrow().clone();
    scene.store.detach(&scene.ann, other.id, scene.workspace).await.unwrap();
    scene.add(&scene.eve, scene.workspace).await;
    scene.get(&scene.eve).await;
    scene.clock.advance(2 * SECOND);
    scene.line.ring().await;
    scene.kv.values.borrow_mut().extend(late);
    assert_eq!(get(&scene.eve).await.unwrap(), None);
}

#[tokio::test]
async fn members_are_answered_from_kv_again_soon_after_a_change() {
    let scene = scene().await;
    scene.warm().await;
    let other = make_workspace(&scene.store, &scene.ann, "other").await;
    scene.add(&scene.bob, other).await;
    scene.clock.advance(2 * SECOND);
    scene.attach(other).await;
    // The attachment is newer than what KV has of bob: one request renews that, long before a third of the lease.
    scene.clock.advance(2 * SECOND);
    scene.get(&scene.bob).await;
    scene.line.pass(2 * SECOND).await;
    assert_eq!(scene.cost(scene.names(&scene.bob)).await.1, [2, 0]);
}

#[tokio::test]
async fn an_entry_is_not_written_at_each_read_while_kv_is_yet_to_show_it() {
    let scene = scene().await;
    // A place to which nothing has come yet.
    let elsewhere = scene.line.store(CountingKv::new(&scene.clock));
    let get = || elsewhere.get(&scene.ann, Lookup::Name(name("c")));
    for _ in 0..1000 {
        assert!(get().await.unwrap().is_some());
        scene.clock.advance(LEASE / 3 / 1000);
    }
    assert_eq!(scene.kv.writes.borrow().len(), 1);
    scene.clock.advance(SECOND);
    get().await.unwrap();
    assert_eq!(scene.kv.writes.borrow().len(), 2);
}
