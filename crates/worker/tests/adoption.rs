//! Adoption between the objects of two tenants, however it is broken off and whatever comes between.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod house;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::FutureExt as _;
use house::{Clock, CountingKv, Line, SECOND, house};
use http::Request;
use patchbay_core::adoption::NewOwner;
use patchbay_core::adoption::apart::{Apart as _, Ask, Decided, InTheWay, Run, Told};
use patchbay_core::api::{Config, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::limits;
use patchbay_core::model::{Caller, Person, Role, Tenant, Workspaces};
use patchbay_core::rotation::{Counted, Sealings as _};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::{
    AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListWorkspacesOutcome, MembersOutcome,
    Store, StoreError, WorkspacesOf,
};
use patchbay_testkit::sample::{
    add_member, all, attach, caller, details, make_workspace, name, person, sealed, workspace,
};
use patchbay_testkit::{SystemHost, operator};
use patchbay_worker::edge::EdgeStore;
use patchbay_worker::surroundings::{Authority, Whom};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

const RING: &str = "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB,old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const AGE: u32 = 300;

fn ring() -> KeyRing {
    KeyRing::parse(RING).unwrap()
}

fn anonymous() -> Caller {
    Authentication::anonymous()
}

fn admin(tenant: &str) -> Caller {
    caller(tenant, "root", true)
}

/// What may happen to a request to a tenant's object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Happens {
    /// It never arrives.
    Lost,
    /// It is done, and the answer is lost.
    Unheard,
    /// It arrives when the gate is opened.
    Late,
}

/// The way to the objects, on which something happens to one request.
#[derive(Clone)]
struct Way(Rc<WayState>);

struct WayState {
    line: Line<CountingKv>,
    asks: Cell<usize>,
    /// What happens, and to which request, counted from 0.
    happens: Cell<Option<(Happens, usize)>>,
    open: Cell<bool>,
    /// Whether a request waits at the gate.
    waits: Cell<bool>,
    largest: Cell<usize>,
}

impl Authority for Way {
    async fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let state = &self.0;
        let number = state.asks.replace(state.asks.get() + 1);
        state.largest.set(state.largest.get().max(message.len()));
        let happens = state.happens.get().filter(|(_, at)| *at == number);
        let lost = || StoreError::Unavailable("nobody answers".into());
        match happens.map(|(happens, _)| happens) {
            None => state.line.ask(whom, message).await,
            Some(Happens::Lost) => Err(lost()),
            Some(Happens::Unheard) => {
                state.line.ask(whom, message).await?;
                Err(lost())
            }
            Some(Happens::Late) => {
                state.waits.set(true);
                poll_fn(|_| {
                    if state.open.get() {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                state.line.ask(whom, message).await
            }
        }
    }
}

/// How an adoption ended that was asked for until it did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    Adopted(u64, u64, u64),
    /// 409, with this message.
    Refused(String),
    /// Any other status.
    Failed(u16),
}

struct Scene {
    clock: Clock,
    kv: CountingKv,
    line: Line<CountingKv>,
    store: EdgeStore<CountingKv, Line<CountingKv>, Clock>,
}

type Home = Patchbay<EdgeStore<CountingKv, Way, Clock>, SystemHost>;

impl Scene {
    fn new() -> Self {
        let (clock, kv, line) = house(AGE);
        let store = line.store(kv.clone());
        Self { clock, kv, line, store }
    }

    /// With what anonymous and others have: in `default` a workspace of each kind, and connections in none, one and two.
    async fn furnished() -> Self {
        let scene = Self::new();
        let (store, old) = (&scene.store, KeyRing::parse(OLD).unwrap());
        let [anonymous, bob, root] = [anonymous(), caller("default", "bob", false), admin("acme")];
        let eve = Person::Subject(person_named("eve"));
        let by_mail = Person::Email(person_named("eve@example.com"));

        let theirs = make_workspace(store, &bob, "bobs").await;
        let team = make_workspace(store, &anonymous, "team").await;
        for (member, role) in [(eve.clone(), Role::Collaborator), (by_mail, Role::Owner)] {
            store
                .add_member(&admin("default"), add_member(team, member, role))
                .await
                .unwrap();
        }
        for (number, text) in (1..).zip(["a", "b", "c"]) {
            let record = sealed(&old, &anonymous, number, text);
            assert_eq!(store.create(&anonymous, record).await.unwrap(), CreateOutcome::Created);
        }
        let of_bob = sealed(&old, &bob, 4, "of bob");
        assert_eq!(
            store.create(&bob, of_bob.clone()).await.unwrap(),
            CreateOutcome::Created
        );
        for (who, record, workspace, number) in [
            (&anonymous, 1, team, 1),
            (&anonymous, 1, workspace(9), 2),
            (&anonymous, 2, workspace(9), 3),
            (&bob, 4, theirs, 4),
        ] {
            let id = sealed(&old, who, record, "x").id;
            let attached = store.attach(who, attach(id, workspace, number)).await.unwrap();
            assert!(matches!(attached, AttachOutcome::Attached(..)), "{attached:?}");
        }

        let own = sealed(&ring(), &root, 5, "own");
        assert_eq!(store.create(&root, own).await.unwrap(), CreateOutcome::Created);
        scene
    }

    fn way(&self) -> Way {
        Way(Rc::new(WayState {
            line: self.line.clone(),
            asks: Cell::default(),
            happens: Cell::default(),
            open: Cell::default(),
            waits: Cell::default(),
            largest: Cell::default(),
        }))
    }

    /// A Worker that asks its objects by this way.
    fn home(&self, way: &Way, allowed: Option<&str>) -> Home {
        let owners = Rc::default();
        let store = EdgeStore::new(
            self.kv.clone(),
            way.clone(),
            self.clock.clone(),
            self.line.reads.get(),
            owners,
        );
        Patchbay::new(store, ring(), SystemHost, config(Authentication::NotConfigured))
            .with_operators(operator::operators())
            .with_adopt_tenant(allowed.map(|tenant| Tenant::new(tenant).unwrap()))
    }

    async fn adopt(&self, tenant: &str, owner: &str, rehearsal: bool) -> Ended {
        adopt(&self.home(&self.way(), Some(tenant)), tenant, owner, rehearsal).await
    }

    /// What waits in acme's object to be handed over.
    fn arrived(&self) -> i64 {
        self.line.number(&admin("acme").tenant, "SELECT count(*) FROM arrived")
    }

    fn is_frozen(&self) -> bool {
        self.line
            .number(&anonymous().tenant, "SELECT count(*) FROM frozen WHERE over = 0")
            == 1
    }

    /// Everything that a tenant has, a line each.
    async fn held(&self, tenant: &str) -> Vec<String> {
        held(&self.store, tenant).await
    }

    async fn both(&self) -> [Vec<String>; 2] {
        [self.held("default").await, self.held("acme").await]
    }
}

fn person_named(subject: &str) -> patchbay_core::model::Subject {
    caller("t", subject, false).subject
}

fn config(authentication: Authentication) -> Config {
    Config {
        authentication,
        workspaces: Workspaces::Managed,
        answer_bytes: 1024,
    }
}

async fn call(home: &Home, body: &Value) -> (u16, Value, Option<String>) {
    let bearer = format!("Bearer {}", operator::token().expose_secret());
    let request = Request::post("/v1/api/admin/adopt").header("authorization", bearer);
    let (head, ()) = request.body(()).unwrap().into_parts();
    let admitted = home.admit(&head).await.unwrap();
    let answer = home.answer(admitted, Bytes::from(body.to_string())).await;
    let status = answer.response.status().as_u16();
    let json = serde_json::from_slice(answer.response.body()).unwrap();
    (status, json, answer.audit.map(|record| record.to_json()))
}

async fn adopt(home: &Home, tenant: &str, owner: &str, rehearsal: bool) -> Ended {
    let mut body = json!({ "tenant": tenant, "owner": owner, "dry_run": rehearsal });
    let mut adopted = None;
    loop {
        let (status, answer, _) = call(home, &body).await;
        match status {
            200 => {}
            409 => return Ended::Refused(answer["msg"].as_str().unwrap().to_owned()),
            _ => return Ended::Failed(status),
        }
        if let Some(counts) = answer["adopted"].as_object() {
            let count = |what: &str| counts[what].as_u64().unwrap();
            adopted = Some(Ended::Adopted(
                count("connections"),
                count("workspaces"),
                count("left_out"),
            ));
        }
        let Some(cursor) = answer.get("next_cursor") else {
            return adopted.unwrap();
        };
        assert!(!cursor.to_string().contains("acme"), "{cursor}");
        body["cursor"] = cursor.clone();
    }
}

async fn held(store: &impl Store, tenant: &str) -> Vec<String> {
    let root = admin(tenant);
    let ListOutcome::Page { rows, .. } = store.list(&root, all()).await.unwrap() else {
        panic!("no list")
    };
    let mut lines = Vec::new();
    for row in rows {
        let record = row.record;
        let opened = ring().open(&root.tenant, &record).unwrap();
        assert!(opened == details(record.name.as_str()), "{}", record.name);
        let (key, names) = (&record.sealed.key_id, row.workspace_names);
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "{} of {} under {key} in {}",
            record.name,
            record.owner,
            names.join(", ")
        ));
    }
    let listed = store.list_workspaces(&root, WorkspacesOf::Everybody, usize::MAX).await;
    let ListWorkspacesOutcome::All(workspaces) = listed.unwrap() else {
        panic!("no workspaces")
    };
    for workspace in workspaces {
        let MembersOutcome::All(members) = store.members(&root, workspace.id).await.unwrap() else {
            panic!("no members")
        };
        let member = |member: &patchbay_core::model::Member| {
            let (Person::Subject(who) | Person::Email(who)) = &member.person;
            format!("{who} {:?}", member.role)
        };
        let members: Vec<_> = members.iter().map(member).collect();
        let (id, name, by) = (workspace.id, workspace.name, workspace.created_by);
        lines.push(format!("{id} {name} by {by} with {}", members.join(", ")));
    }
    lines
}

const OF_BOB: [&str; 2] = ["of bob of bob under old in bobs", "1 bobs by bob with bob Owner"];
const OWN: &str = "own of root under new in ";

/// What there is in both tenants once ann of acme has adopted it.
fn adopted_by_ann() -> [Vec<String>; 2] {
    let acme = [
        "a of ann under new in team, workspace-9",
        "b of ann under new in workspace-9",
        "c of ann under new in ",
        OWN,
        "2 team by ann with ann Owner, eve Collaborator, eve@example.com Owner",
        "9 workspace-9 by ann with ann Owner",
    ];
    [lines(&OF_BOB), lines(&acme)]
}

fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

const ALL: Ended = Ended::Adopted(3, 2, 0);

#[tokio::test]
async fn what_anonymous_has_goes_to_somebody_of_another_tenant_as_it_was() {
    let scene = Scene::furnished().await;
    let before = scene.both().await;
    assert_eq!(scene.adopt("acme", "ann", true).await, ALL);
    assert_eq!(scene.both().await, before);
    assert_eq!(scene.adopt("acme", "ann", false).await, ALL);
    assert_eq!(scene.both().await, adopted_by_ann());
    assert_eq!(scene.adopt("acme", "ann", false).await, Ended::Adopted(0, 0, 0));
    // Ids that were given are given to nothing else, there and here.
    for tenant in ["acme", "default"] {
        let made = make_workspace(&scene.store, &caller(tenant, "bob", false), "new").await;
        assert_eq!(made, workspace(3), "{tenant}");
    }
}

#[tokio::test]
async fn what_anonymous_has_goes_to_somebody_of_the_tenant_default() {
    let scene = Scene::furnished().await;
    let before = scene.both().await;
    assert_eq!(scene.adopt("default", "ann", true).await, ALL);
    assert_eq!(scene.both().await, before);
    assert_eq!(scene.adopt("default", "ann", false).await, ALL);
    let expected = [
        "a of ann under new in team, workspace-9",
        "b of ann under new in workspace-9",
        "c of ann under new in ",
        "of bob of bob under old in bobs",
        "1 bobs by bob with bob Owner",
        "2 team by ann with ann Owner, eve Collaborator, eve@example.com Owner",
        "9 workspace-9 by ann with ann Owner",
    ];
    assert_eq!(scene.held("default").await, lines(&expected));
    make_workspace(&scene.store, &caller("default", "bob", false), "changes are made again").await;
}

#[tokio::test]
async fn attachments_and_their_ids_stay_and_the_old_tenant_reads_nothing_of_it() {
    let scene = Scene::furnished().await;
    let id = sealed(&ring(), &anonymous(), 1, "a").id;
    scene.adopt("acme", "ann", false).await;
    let (ann, root) = (caller("acme", "ann", false), admin("default"));
    for who in [&ann, &caller("acme", "eve", false)] {
        let seen = scene
            .store
            .get(who, patchbay_core::store::Lookup::Id(id))
            .await
            .unwrap();
        assert_eq!(seen.unwrap().record.name, name("a"));
    }
    let again = scene.store.attach(&ann, attach(id, workspace(9), 77)).await.unwrap();
    assert_eq!(
        again,
        AttachOutcome::Attached(attach(id, workspace(9), 2).id, name("a"))
    );
    let gone = scene
        .store
        .get(&root, patchbay_core::store::Lookup::Id(id))
        .await
        .unwrap();
    assert_eq!(gone, None);
}

#[tokio::test]
async fn whatever_is_in_the_way_is_named_and_everything_stays_as_it_was() {
    let scene = Scene::furnished().await;
    let (store, root) = (&scene.store, admin("acme"));
    for (number, text) in (10..).zip(["a", "c"]) {
        store.create(&root, sealed(&ring(), &root, number, text)).await.unwrap();
    }
    make_workspace(store, &root, "first").await;
    make_workspace(store, &root, "second").await;
    let of_bob = sealed(&ring(), &anonymous(), 4, "of bob").id;
    let parted = store.attach(&admin("default"), attach(of_bob, workspace(9), 20)).await;
    assert!(matches!(parted, Ok(AttachOutcome::Attached(..))));
    let before = scene.both().await;
    let expected = "Nothing was adopted: only one of the connection `of bob` and the workspace 9, which it is in, is \
                    anonymous's; acme has a connection `a` of its own; acme has a connection `c` of its own; acme has a \
                    workspace with the id of 2 (`team`).";
    for rehearsal in [true, false] {
        let ended = scene.adopt("acme", "ann", rehearsal).await;
        assert_eq!(ended, Ended::Refused(expected.into()), "rehearsal: {rehearsal}");
        assert_eq!(scene.both().await, before);
        let bob = caller("default", "bob", false);
        let created = store
            .create(&bob, sealed(&ring(), &bob, 21, "changes are made again"))
            .await;
        assert_eq!(created.unwrap(), CreateOutcome::Created);
        store.delete(&bob, name("changes are made again")).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_does_not_open_is_named_and_everything_stays_as_it_was() {
    let scene = Scene::furnished().await;
    let default = anonymous().tenant;
    let damage = "UPDATE connection SET sealed = x'0102' WHERE name = 'b'";
    scene.line.execute(&default, damage);
    let id = sealed(&ring(), &anonymous(), 2, "b").id;
    for rehearsal in [true, false] {
        let Ended::Refused(why) = scene.adopt("acme", "ann", rehearsal).await else {
            panic!("adopted")
        };
        assert!(
            why.starts_with(&format!("Nothing was adopted: connection {id}: ")),
            "{why}"
        );
        assert_eq!(scene.held("acme").await, [OWN]);
        let deleted = scene.store.detach(&anonymous(), id, workspace(9)).await.unwrap();
        assert_eq!(
            deleted == DetachOutcome::Detached(name("b")),
            rehearsal,
            "changes are made again"
        );
    }
    assert_eq!(
        scene.store.delete(&anonymous(), name("b")).await.unwrap(),
        DeleteOutcome::Deleted(id)
    );
    assert_eq!(scene.adopt("acme", "ann", false).await, Ended::Adopted(2, 2, 0));
}

#[tokio::test]
async fn an_operator_gives_nothing_away_that_whoever_deploys_did_not_allow() {
    let scene = Scene::furnished().await;
    let before = scene.both().await;
    let way = scene.way();
    let body = json!({ "tenant": "acme", "owner": "ann" });
    for allowed in [None, Some("beta")] {
        let (status, answer, record) = call(&scene.home(&way, allowed), &body).await;
        assert!(
            status == 403 && answer["msg"].to_string().contains("PATCHBAY_ADOPT_TENANT"),
            "{answer}"
        );
        let record: Value = serde_json::from_str(&record.unwrap()).unwrap();
        assert_eq!((&record["outcome"], record.get("tenant")), (&json!("forbidden"), None));
    }
    let home = scene.home(&way, Some("default"));
    let (status, answer, _) = call(&home, &json!({ "tenant": "default", "owner": "anonymous" })).await;
    assert!(
        status == 409 && answer["msg"].to_string().contains("name another owner"),
        "{answer}"
    );
    for (body, field) in [
        (json!({ "owner": "ann" }), "tenant"),
        (json!({ "tenant": "acme" }), "owner"),
        (json!({ "tenant": "acme", "owner": "" }), "owner"),
        (json!({ "tenant": "acme", "owner": "ann", "dry_run": 1 }), "dry_run"),
        (json!({ "tenant": "acme", "owner": "ann", "cursor": "x" }), "cursor"),
        (json!({ "tenant": "acme", "owner": "ann", "to": 1 }), "to"),
    ] {
        let (status, answer, record) = call(&scene.home(&way, Some("acme")), &body).await;
        assert_eq!((status, record), (400, None), "{body}");
        assert!(answer["msg"].to_string().contains(&format!("`{field}`")), "{answer}");
    }
    assert_eq!(
        (way.0.asks.get(), scene.both().await),
        (0, before),
        "no object was asked"
    );
}

const UNDER_WAY: &str =
    "The adoption by `ann` of `acme` has begun: run that one again until it ends, or have it given up.";

#[tokio::test]
async fn the_record_of_an_adoption_says_who_got_how_much() {
    let scene = Scene::furnished().await;
    let home = scene.home(&scene.way(), Some("acme"));
    let none = json!(null);
    for (rehearsal, kind, counts) in [(true, "look", [&none, &none]), (false, "change", [&none, &json!(3)])] {
        let mut body = json!({ "tenant": "acme", "owner": "ann", "dry_run": rehearsal });
        for count in counts {
            let (_, answer, record) = call(&home, &body).await;
            let record: Value = serde_json::from_str(&record.unwrap()).unwrap();
            for (field, value) in [
                ("tenant", "acme"),
                ("user_id", "ann"),
                ("subject", "operator"),
                ("operation", "admin/adopt"),
                ("kind", kind),
                ("outcome", "done"),
            ] {
                assert_eq!(record[field], value, "{record}");
            }
            assert_eq!(record["count"], *count, "{record}");
            body["cursor"] = answer["next_cursor"].clone();
        }
        assert_eq!(body["cursor"], none, "it has ended");
    }
}

/// However a run is broken off: at no moment is anything in neither tenant, in `default` nothing changes meanwhile, and the
/// next run ends it.
#[tokio::test]
async fn a_run_that_is_broken_off_at_any_request_is_ended_by_the_next() {
    for happens in [Happens::Lost, Happens::Unheard] {
        for at in 0.. {
            let scene = Scene::furnished().await;
            let before = scene.both().await;
            let way = scene.way();
            way.0.happens.set(Some((happens, at)));
            let ended = adopt(&scene.home(&way, Some("acme")), "acme", "ann", false).await;
            let [default, acme] = scene.both().await;
            assert!(
                acme == before[1] || acme == adopted_by_ann()[1],
                "request {at}: {acme:?}"
            );
            if acme == before[1] {
                assert_eq!(default, before[0], "request {at}");
            }
            if ended == ALL {
                assert!(at >= 8, "only {at} requests");
                break;
            }
            assert_eq!(ended, Ended::Failed(503), "request {at}");
            if scene.is_frozen() {
                let rehearsed = scene.adopt("acme", "ann", true).await;
                assert_eq!(rehearsed, Ended::Refused(UNDER_WAY.into()), "request {at}");
            }
            let ended = scene.adopt("acme", "ann", false).await;
            assert!(
                ended == ALL || ended == Ended::Adopted(0, 0, 0),
                "request {at}: {ended:?}"
            );
            assert_eq!(scene.both().await, adopted_by_ann(), "request {at}");
            assert_eq!(scene.arrived(), 0, "request {at}");
            make_workspace(&scene.store, &caller("default", "bob", false), "changes are made again").await;
        }
    }
}

/// Where a run's conflict was answered, and the end of the freeze was not: the next run ends it.
#[tokio::test]
async fn a_refusal_that_is_broken_off_at_any_request_leaves_no_freeze_behind_for_good() {
    for at in 0.. {
        let scene = Scene::furnished().await;
        let root = admin("acme");
        scene
            .store
            .create(&root, sealed(&ring(), &root, 10, "a"))
            .await
            .unwrap();
        let way = scene.way();
        way.0.happens.set(Some((Happens::Lost, at)));
        let ended = adopt(&scene.home(&way, Some("acme")), "acme", "ann", false).await;
        if let Ended::Refused(_) = ended {
            assert!(at >= 6, "only {at} requests");
            break;
        }
        scene.store.delete(&root, name("a")).await.unwrap();
        assert_eq!(scene.adopt("acme", "ann", false).await, ALL);
        assert_eq!(scene.both().await, adopted_by_ann(), "request {at}");
    }
}

#[tokio::test]
async fn while_it_is_under_way_the_old_tenant_reads_and_is_told_to_change_nothing_yet() {
    let scene = Scene::furnished().await;
    let way = scene.way();
    // The first is to freeze.
    way.0.happens.set(Some((Happens::Lost, 1)));
    adopt(&scene.home(&way, Some("acme")), "acme", "ann", false).await;
    let (before, bob) = (scene.both().await, caller("default", "bob", false));
    let id = sealed(&ring(), &bob, 4, "of bob").id;
    let store = &scene.store;
    let create = store.create(&bob, sealed(&ring(), &bob, 11, "new")).await.map(|_| ());
    let detach = store.detach(&bob, id, workspace(1)).await.map(|_| ());
    let delete = store.delete(&bob, name("of bob")).await.map(|_| ());
    let member = add_member(workspace(1), person(&caller("default", "eve", false)), Role::Owner);
    let member = store.add_member(&bob, member).await.map(|_| ());
    for refused in [create, detach, delete, member] {
        assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    }
    assert_eq!(scene.both().await, before);
    let other = caller("acme", "bob", false);
    assert_eq!(
        store.create(&other, sealed(&ring(), &other, 12, "new")).await.unwrap(),
        CreateOutcome::Created
    );

    let ended = scene.adopt("default", "bob", false).await;
    assert_eq!(ended, Ended::Refused(UNDER_WAY.into()));
    assert_eq!(scene.adopt("acme", "ann", false).await, ALL);
}

/// The command repeats any call whose answer it does not hear, and is told how it ended, however often.
#[tokio::test]
async fn a_call_that_is_repeated_is_told_what_became_of_it() {
    let scene = Scene::furnished().await;
    let home = scene.home(&scene.way(), Some("acme"));
    let mut body = json!({ "tenant": "acme", "owner": "ann" });
    call(&home, &body).await;
    let (_, first, _) = call(&home, &body).await;
    body["cursor"] = first["next_cursor"].clone();
    let expected = json!({ "connections": 3, "workspaces": 2, "left_out": 0 });
    for time in 0..3 {
        let (status, answer, _) = call(&home, &body).await;
        assert_eq!((status, &answer["adopted"]), (200, &expected), "time {time}");
        assert_eq!(answer.get("next_cursor"), None, "time {time}");
        assert_eq!(scene.both().await, adopted_by_ann());
    }
    make_workspace(&scene.store, &caller("default", "bob", false), "changes are made again").await;
    assert_eq!(scene.arrived(), 0);
}

/// Every cursor of an adoption of many batches, sent again at once and once more in the end.
#[tokio::test]
async fn a_cursor_of_any_stage_may_be_sent_again() {
    let scene = Scene::new();
    let anonymous = anonymous();
    for number in 0..5_000 {
        let record = sealed(&ring(), &anonymous, number, &format!("c{number}"));
        scene.store.create(&anonymous, record).await.unwrap();
    }
    let home = scene.home(&scene.way(), Some("acme"));
    let mut bodies = vec![json!({ "tenant": "acme", "owner": "ann" })];
    loop {
        let body = bodies.last().unwrap().clone();
        let (status, answer, _) = call(&home, &body).await;
        assert_eq!(status, 200, "{answer}");
        // Without one it would be a run of its own.
        if body.get("cursor").is_some() {
            let (status, again, _) = call(&home, &body).await;
            assert_eq!((status, &again["adopted"]), (200, &answer["adopted"]), "{again}");
        }
        let Some(cursor) = answer.get("next_cursor") else { break };
        let mut next = body;
        next["cursor"] = cursor.clone();
        bodies.push(next);
    }
    assert!(bodies.len() > 2, "{} calls", bodies.len());
    let mut adopted = Vec::new();
    for body in bodies.iter().skip(1) {
        let (status, answer, _) = call(&home, body).await;
        assert_eq!((status, answer.get("next_cursor")), (200, None), "{answer}");
        adopted.push(answer["adopted"]["connections"].clone());
    }
    // Where it was decided before the cursor was given, an answer before said what it came to.
    let all = json!(5_000);
    let told = adopted.iter().filter(|connections| **connections == all).count();
    assert!(told > 0 && adopted.iter().skip(told).all(Value::is_null), "{adopted:?}");
    assert_eq!(scene.held("acme").await.len(), 5_000);
    assert_eq!((scene.held("default").await.len(), scene.arrived()), (0, 0));
}

async fn give_up(scene: &Scene, tenant: &str, owner: &str) -> (u16, Value) {
    let body = json!({ "tenant": tenant, "owner": owner, "give_up": true });
    let (status, answer, _) = call(&scene.home(&scene.way(), None), &body).await;
    (status, answer)
}

#[tokio::test]
async fn what_was_begun_and_is_not_decided_can_be_given_up_at_any_request() {
    for at in 0.. {
        let scene = Scene::furnished().await;
        let before = scene.both().await;
        let way = scene.way();
        way.0.happens.set(Some((Happens::Unheard, at)));
        let ended = adopt(&scene.home(&way, Some("acme")), "acme", "ann", false).await;
        if ended == ALL {
            break;
        }
        let decided = scene.both().await[1] != before[1];
        let frozen = scene.is_frozen();
        let (status, answer) = give_up(&scene, "default", "bob").await;
        assert_eq!(status == 409, frozen, "request {at}: {answer}");
        let (status, answer) = give_up(&scene, "acme", "ann").await;
        if decided && frozen {
            assert!(
                status == 409 && answer["msg"].to_string().contains("adopted already"),
                "{answer}"
            );
            assert_eq!(scene.adopt("acme", "ann", false).await, ALL);
        } else {
            assert_eq!((status, answer), (200, json!({ "adopted": null })), "request {at}");
            assert_eq!(scene.arrived(), 0);
            let bob = caller("default", "bob", false);
            make_workspace(&scene.store, &bob, "changes are made again").await;
        }
        if !decided {
            assert_eq!(scene.held("acme").await, before[1]);
            assert_eq!(scene.adopt("default", "bob", false).await, ALL, "to somebody else");
        }
    }
}

/// A freeze over what cannot be read would be one for good.
#[tokio::test]
async fn what_is_damaged_ends_it_and_can_be_deleted() {
    let scene = Scene::furnished().await;
    let default = anonymous().tenant;
    scene
        .line
        .execute(&default, "UPDATE connection SET type = '' WHERE name = 'c'");
    for _ in 0..2 {
        assert_eq!(scene.adopt("acme", "ann", false).await, Ended::Failed(500));
        assert_eq!((scene.held("acme").await, scene.arrived()), (lines(&[OWN]), 0));
    }
    let deleted = scene.store.delete(&anonymous(), name("c")).await.unwrap();
    assert!(matches!(deleted, DeleteOutcome::Deleted(_)), "{deleted:?}");
    assert_eq!(scene.adopt("acme", "ann", false).await, Ended::Adopted(2, 2, 0));
}

#[tokio::test]
async fn more_than_one_transaction_is_sure_to_take_is_refused() {
    let scene = Scene::furnished().await;
    // Beside 3 connections, 3 attachments, 2 workspaces and 3 members.
    let more = limits::ADOPTED_APART - 11;
    let workspaces = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {more})
         INSERT INTO workspace (tenant, id, name, created_by, created_at)
           SELECT 'default', 100 + i, 'w' || i, 'anonymous', 1 FROM n"
    );
    scene.line.execute(&anonymous().tenant, &workspaces);
    let more = u64::try_from(more).unwrap();
    let left_out = more + 2 - u64::try_from(limits::WORKSPACES_PER_PERSON).unwrap();
    let ended = scene.adopt("acme", "ann", true).await;
    assert_eq!(ended, Ended::Adopted(3, 2 + more, left_out));
    let one = sealed(&ring(), &anonymous(), 30, "one too many");
    scene.store.create(&anonymous(), one).await.unwrap();
    is_refused_before_anything_is_copied(&scene).await;
    scene.store.delete(&anonymous(), name("one too many")).await.unwrap();
    assert_eq!(scene.adopt("acme", "ann", true).await, ended);

    // A few, of 256 MiB and a byte.
    let scene = Scene::furnished().await;
    let bytes = limits::ADOPTED_APART_BYTES + 1;
    let long = format!("UPDATE connection SET sealed = zeroblob({bytes}) WHERE name = 'b'");
    scene.line.execute(&anonymous().tenant, &long);
    is_refused_before_anything_is_copied(&scene).await;
}

async fn is_refused_before_anything_is_copied(scene: &Scene) {
    for rehearsal in [true, false] {
        let way = scene.way();
        let Ended::Refused(why) = adopt(&scene.home(&way, Some("acme")), "acme", "ann", rehearsal).await else {
            panic!("adopted")
        };
        assert!(why.contains("more than 20000 connections, attachments"), "{why}");
        assert!(why.contains("more than 256 MiB of sealed"), "{why}");
        // To begin, to expect, to ask how much there is, to forget and to thaw.
        assert_eq!(way.0.asks.get(), 5, "rehearsal: {rehearsal}");
    }
    assert!(!scene.is_frozen());
}

/// Whoever lost their room gets no other one, into which only a part of it would come.
#[tokio::test]
async fn a_run_that_a_rehearsal_or_another_run_came_between_is_over_however_its_calls_are_repeated() {
    for other in ["rehearsal before", "run", "given up"] {
        let scene = Scene::new();
        let anonymous = anonymous();
        for number in 0..8_000 {
            let record = sealed(&ring(), &anonymous, number, &format!("c{number}"));
            scene.store.create(&anonymous, record).await.unwrap();
        }
        let home = scene.home(&scene.way(), Some("acme"));
        let rehearsal = json!({ "tenant": "acme", "owner": "ann", "dry_run": true });
        let run = json!({ "tenant": "acme", "owner": "ann" });
        let on = async |body: &Value| {
            let (status, answer, _) = call(&home, body).await;
            let mut next = body.clone();
            next["cursor"] = answer["next_cursor"].clone();
            (status, next)
        };
        let (_, rehearsal) = on(&rehearsal).await;
        let (_, begun) = on(&run).await;
        let (_, copied) = on(&begun).await;
        assert!(copied["cursor"].is_string(), "it takes more than a call");
        match other {
            // It was begun before the freeze, and finds the room in use.
            "rehearsal before" => assert_eq!(on(&rehearsal).await.0, 409),
            "run" => assert_eq!(on(&on(&run).await.1).await.0, 200),
            _ => assert_eq!(give_up(&scene, "acme", "ann").await.0, 200),
        }
        // All that a client may send again: only without another run is anything adopted.
        let mut ended = Vec::new();
        for body in [&begun, &copied, &begun, &copied] {
            let (status, next) = on(body).await;
            ended.push(status == 200 && next["cursor"].is_null());
        }
        assert_eq!(ended.contains(&true), other == "rehearsal before", "{other}: {ended:?}");
        assert_eq!(
            scene.held("acme").await.len(),
            if ended.contains(&true) { 8_000 } else { 0 }
        );
        let last = scene.adopt("acme", "ann", false).await;
        let expected = if other == "rehearsal before" { 0 } else { 8_000 };
        assert_eq!(last, Ended::Adopted(expected, 0, 0), "{other}");
        assert_eq!(scene.held("acme").await.len(), 8_000, "{other}");
        assert_eq!((scene.held("default").await.len(), scene.arrived()), (0, 0), "{other}");
    }
}

/// Message by message, late ones and repeated ones among them.
#[tokio::test]
async fn who_is_expected_no_more_never_is_again_and_what_has_ended_does_not_freeze() {
    let scene = Scene::furnished().await;
    let (default, acme) = (anonymous().tenant, admin("acme").tenant);
    let to = NewOwner {
        tenant: acme.clone(),
        subject: person_named("ann"),
    };
    let run = |adoption, run| Run { adoption, run };
    let (a, b, c, rehearsal) = (run(1, 1), run(1, 2), run(1, 3), run(9, 9));
    let ask = async |tenant: &Tenant, ask: Ask| scene.store.ask(tenant, ask).await.unwrap();
    let has_room = async |run| ask(&acme, Ask::Arrive(run, Vec::new())).await == Told::Yes(true);
    let decided = async |run| {
        let there = InTheWay {
            connections: 3,
            ..InTheWay::default()
        };
        ask(&acme, Ask::Decide(to.clone(), run, there, false)).await
    };

    assert_eq!(ask(&default, Ask::Freeze(to.clone(), a)).await, Told::Frozen(a));
    ask(&acme, Ask::Expect(a, false)).await;
    assert!(has_room(a).await);
    ask(&acme, Ask::Expect(rehearsal, true)).await;
    assert!(
        has_room(a).await && !has_room(rehearsal).await,
        "a rehearsal takes no run's room"
    );

    assert_eq!(
        ask(&default, Ask::Freeze(to.clone(), run(2, 2))).await,
        Told::Frozen(run(1, 2))
    );
    ask(&acme, Ask::Expect(b, false)).await;
    for _ in 0..2 {
        ask(&acme, Ask::Expect(a, false)).await;
        assert!(has_room(b).await && !has_room(a).await, "whoever lost it gets no other");
        assert_eq!(decided(a).await, Told::Decided(Decided::Overtaken));
    }
    assert_eq!(ask(&default, Ask::Conflicts(Some(a), true)).await, Told::InTheWay(None));

    // Given up, by whom had it and before whom never did.
    for run in [b, c] {
        assert_eq!(ask(&acme, Ask::Forget(run)).await, Told::Adopted(None));
        ask(&acme, Ask::Expect(run, false)).await;
        assert!(!has_room(run).await);
        assert_eq!(decided(run).await, Told::Decided(Decided::Overtaken));
    }
    ask(&default, Ask::Thaw(a)).await;
    assert!(scene.is_frozen(), "that was not the last run");
    ask(&default, Ask::Thaw(b)).await;
    assert!(!scene.is_frozen());
    assert_eq!(ask(&default, Ask::Freeze(to.clone(), a)).await, Told::UnderWay(None));
    assert!(!scene.is_frozen());
    assert_eq!(scene.adopt("acme", "ann", false).await, ALL);
}

/// Lets an adoption go on until its request waits at the gate.
fn until_it_waits(way: &Way, mut adoption: Pin<&mut impl Future<Output = Ended>>) {
    while !way.0.waits.get() {
        assert!(adoption.as_mut().now_or_never().is_none());
    }
}

/// What has arrived is counted before what was left behind is taken away.
#[tokio::test]
async fn an_adoption_of_less_than_there_is_is_none() {
    let scene = Scene::furnished().await;
    let before = scene.both().await;
    let way = scene.way();
    // What stands in the way, asked again once all has arrived.
    way.0.happens.set(Some((Happens::Late, 11)));
    let home = scene.home(&way, Some("acme"));
    let mut held_up = pin!(adopt(&home, "acme", "ann", false));
    until_it_waits(&way, held_up.as_mut());
    let lost = scene.arrived();
    scene.line.execute(
        &admin("acme").tenant,
        "DELETE FROM arrived WHERE key_id = 'new' AND rowid % 2 = 0",
    );
    assert!(scene.arrived() < lost, "something was there to lose");
    way.0.open.set(true);
    assert_eq!(held_up.await, Ended::Failed(500));
    assert_eq!(scene.both().await, before);
    assert_eq!(scene.adopt("acme", "ann", false).await, ALL);
}

/// Workspaces are copied before connections, and a rehearsal freezes neither.
#[tokio::test]
async fn a_rehearsal_beside_which_something_changes_is_over_and_keeps_nothing() {
    let scene = Scene::furnished().await;
    let anonymous = anonymous();
    let way = scene.way();
    // The connections are to be read next.
    way.0.happens.set(Some((Happens::Late, 9)));
    let home = scene.home(&way, Some("acme"));
    let mut held_up = pin!(adopt(&home, "acme", "ann", true));
    until_it_waits(&way, held_up.as_mut());
    let new = make_workspace(&scene.store, &anonymous, "new").await;
    let id = sealed(&ring(), &anonymous, 3, "c").id;
    let attached = scene.store.attach(&anonymous, attach(id, new, 40)).await;
    assert!(matches!(attached, Ok(AttachOutcome::Attached(..))));
    way.0.open.set(true);
    let Ended::Refused(why) = held_up.await else {
        panic!("the connection's workspace had not arrived")
    };
    assert!(why.contains("something changed beside a rehearsal"), "{why}");
    assert_eq!((scene.arrived(), scene.held("acme").await), (0, vec![OWN.to_owned()]));
    assert_eq!(scene.adopt("acme", "ann", false).await, Ended::Adopted(3, 3, 0));
}

#[tokio::test]
async fn giving_up_takes_no_cursor_and_freezes_nothing() {
    let scene = Scene::furnished().await;
    let home = scene.home(&scene.way(), Some("acme"));
    let (_, answer, _) = call(&home, &json!({ "tenant": "acme", "owner": "ann" })).await;
    let body = json!({ "tenant": "acme", "owner": "ann", "give_up": true, "cursor": answer["next_cursor"] });
    let (status, answer, _) = call(&home, &body).await;
    assert!(
        status == 400 && answer["msg"].to_string().contains("`cursor`"),
        "{answer}"
    );
    assert!(scene.is_frozen());
    assert_eq!(give_up(&scene, "acme", "ann").await.0, 200);
    assert!(!scene.is_frozen());
    // Where nothing is under way, no object of a tenant that may be given nothing comes into being.
    let way = scene.way();
    let nowhere = json!({ "tenant": "made up", "owner": "ann", "give_up": true });
    assert_eq!(call(&scene.home(&way, None), &nowhere).await.0, 200);
    assert_eq!((way.0.asks.get(), scene.is_frozen()), (1, false));
}

/// A run is held at each of its requests while others go by, and whatever comes of it: nothing that was acknowledged is
/// lost, and nothing is in both tenants in the end.
#[tokio::test]
async fn runs_that_overtake_each_other_lose_nothing() {
    let mut late = BTreeSet::new();
    for between in 0..5 {
        for at in 0.. {
            let scene = Scene::furnished().await;
            let (root, bob) = (admin("acme"), caller("default", "bob", false));
            let way = scene.way();
            way.0.happens.set(Some((Happens::Late, at)));
            let home = scene.home(&way, Some("acme"));
            let mut held_up = pin!(adopt(&home, "acme", "ann", false));
            let ended = loop {
                match held_up.as_mut().now_or_never() {
                    None if way.0.waits.get() => break None,
                    None => {}
                    ended => break ended,
                }
            };
            if let Some(ended) = ended {
                assert_eq!((ended, at >= 8), (ALL, true));
                break;
            }
            let mut more = Vec::new();
            let own = sealed(&ring(), &root, 10, "c");
            match between {
                0 => _ = scene.adopt("acme", "ann", false).await,
                1 => _ = scene.adopt("acme", "ann", true).await,
                // A conflict comes and goes: it is refused, and changes are made again.
                2 | 3 => {
                    let stood_in_the_way = scene.store.create(&root, own).await.unwrap() == CreateOutcome::Created;
                    let ended = scene.adopt("acme", "ann", false).await;
                    if stood_in_the_way {
                        scene.store.delete(&root, name("c")).await.unwrap();
                    }
                    let id = sealed(&ring(), &anonymous(), 2, "b").id;
                    if matches!(ended, Ended::Refused(_)) && between == 3 {
                        let anonymous = anonymous();
                        let detached = scene.store.detach(&anonymous, id, workspace(9)).await;
                        assert_eq!(detached.unwrap(), DetachOutcome::Detached(name("b")), "request {at}");
                        let new = sealed(&ring(), &anonymous, 13, "new");
                        assert_eq!(
                            scene.store.create(&anonymous, new).await.unwrap(),
                            CreateOutcome::Created
                        );
                        more.push("new");
                    }
                }
                _ => _ = scene.adopt("default", "bob", false).await,
            }
            way.0.open.set(true);
            late.insert(match held_up.await {
                Ended::Adopted(..) => "adopted",
                Ended::Refused(_) => "refused",
                Ended::Failed(_) => "failed",
            });
            let by_bob = between == 4
                && scene
                    .held("default")
                    .await
                    .iter()
                    .any(|line| line.starts_with("a of bob"));
            if !by_bob {
                let ended = scene.adopt("acme", "ann", false).await;
                assert!(
                    matches!(ended, Ended::Adopted(..)),
                    "{between}, request {at}: {ended:?}"
                );
                let mut expected = adopted_by_ann();
                if more == ["new"] {
                    let acme = &mut expected[1];
                    acme[1] = "b of ann under new in ".into();
                    acme.insert(3, "new of ann under new in ".into());
                }
                assert_eq!(scene.both().await, expected, "{between}, request {at}");
            }
            make_workspace(&scene.store, &bob, "changes are made again").await;
        }
    }
    assert_eq!(late.into_iter().collect::<Vec<_>>(), ["adopted", "refused"]);
}

#[tokio::test]
async fn as_much_as_takes_many_calls_goes_over_in_bounded_steps() {
    let scene = Scene::new();
    let (anonymous, keys) = (anonymous(), ring());
    for number in 0..1_500_u128 {
        let id = u64::try_from(number).unwrap() + 1;
        scene
            .store
            .create(&anonymous, sealed(&keys, &anonymous, number, &format!("c{number:05}")))
            .await
            .unwrap();
        let connection = sealed(&keys, &anonymous, number, "x").id;
        scene
            .store
            .attach(&anonymous, attach(connection, workspace(id), number))
            .await
            .unwrap();
    }
    let before = scene.held("default").await;
    let way = scene.way();
    let home = scene.home(&way, Some("acme"));
    let mut body = json!({ "tenant": "acme", "owner": "ann" });
    let mut calls = 0;
    loop {
        way.0.asks.set(0);
        let (status, answer, _) = call(&home, &body).await;
        assert_eq!(status, 200, "{answer}");
        assert!(way.0.asks.get() <= 48, "{} requests", way.0.asks.get());
        calls += 1;
        let Some(cursor) = answer.get("next_cursor") else { break };
        body["cursor"] = cursor.clone();
    }
    assert!(calls > 1, "{calls} calls");
    assert!(
        way.0.largest.get() < 2 * limits::RESEALED_BYTES,
        "{}",
        way.0.largest.get()
    );
    let most = limits::WORKSPACES_PER_PERSON;
    let expected = before.iter().map(|line| {
        let line = line.replace("anonymous", "ann");
        let id = line.split(' ').next().and_then(|id| id.parse::<usize>().ok());
        match id.is_some_and(|id| id <= most) {
            true => line + "ann Owner",
            false => line,
        }
    });
    assert_eq!(scene.held("acme").await, expected.collect::<Vec<_>>());
    assert_eq!(scene.held("default").await, [""; 0]);
}

/// Details of 256 KiB each: no more than some MiB are on their way at a time.
#[tokio::test]
async fn long_details_go_over_in_batches_of_a_few_mib() {
    let scene = Scene::new();
    let anonymous = anonymous();
    for number in 0..40 {
        let mut record = sealed(&ring(), &anonymous, number, &format!("c{number}"));
        let long = "x".repeat(200_000);
        let raw = serde_json::value::RawValue::from_string(format!("\"{long}\"")).unwrap();
        let draft = patchbay_core::seal::Draft {
            id: record.id,
            name: record.name.clone(),
            connection_type: record.connection_type.clone(),
            owner: record.owner.clone(),
            created_at: record.created_at,
        };
        let long = patchbay_core::model::Details::from_json(&raw).unwrap();
        record = ring().seal(&SystemHost, &anonymous.tenant, draft, &long);
        scene.store.create(&anonymous, record).await.unwrap();
    }
    let way = scene.way();
    let ended = adopt(&scene.home(&way, Some("acme")), "acme", "ann", false).await;
    assert_eq!(ended, Ended::Adopted(40, 0, 0));
    assert!(
        way.0.largest.get() < limits::RESEALED_BYTES + 100_000,
        "{}",
        way.0.largest.get()
    );
}

#[tokio::test]
async fn what_has_arrived_and_is_not_handed_over_counts_under_the_key_that_sealed_it() {
    let scene = Scene::furnished().await;
    let counted = async || {
        let (mut sum, mut after) = (Counted::default(), None);
        loop {
            let step = scene.store.count_sealed(after).await.unwrap();
            sum.add(step.found);
            after = step.next;
            if after.is_none() {
                let under = sum.under.into_iter();
                return under.map(|(key, count)| (key.to_string(), count)).collect::<Vec<_>>();
            }
        }
    };
    let under = |new, old| vec![("new".to_owned(), new), ("old".to_owned(), old)];
    assert_eq!(counted().await, under(1, 4));
    let way = scene.way();
    for at in 0.. {
        way.0.asks.set(0);
        way.0.happens.set(Some((Happens::Lost, at)));
        adopt(&scene.home(&way, Some("acme")), "acme", "ann", false).await;
        if counted().await == under(4, 4) {
            break;
        }
        assert!(at < 20, "nothing arrives");
    }
    assert_eq!(scene.adopt("acme", "ann", false).await, ALL);
    scene.line.pass(2 * i64::from(AGE) * SECOND).await;
    assert_eq!(counted().await, under(4, 1));
}

/// KV says of the old tenant's connections nothing for longer than its lease, and comes to know the new one's.
#[tokio::test]
async fn kv_follows_an_adoption() {
    let scene = Scene::furnished().await;
    let lookup = || patchbay_core::store::Lookup::Name(name("a"));
    let (root, ann) = (admin("default"), caller("acme", "ann", false));
    for _ in 0..3 {
        assert!(scene.store.get(&root, lookup()).await.unwrap().is_some());
        assert!(scene.store.get(&ann, lookup()).await.unwrap().is_none());
        scene.line.pass(10 * SECOND).await;
    }
    let asks = scene.line.asks.get();
    assert!(scene.store.get(&root, lookup()).await.unwrap().is_some());
    assert_eq!(scene.line.asks.get(), asks, "KV has it");
    scene.adopt("acme", "ann", false).await;
    scene.line.pass(10 * SECOND).await;
    assert!(scene.store.get(&root, lookup()).await.unwrap().is_none());
    for _ in 0..3 {
        assert_eq!(
            scene.store.get(&ann, lookup()).await.unwrap().unwrap().record.owner,
            ann.subject
        );
        scene.line.pass(10 * SECOND).await;
    }
    let asks = scene.line.asks.get();
    assert!(scene.store.get(&ann, lookup()).await.unwrap().is_some());
    assert_eq!(scene.line.asks.get(), asks, "KV has it");
}
