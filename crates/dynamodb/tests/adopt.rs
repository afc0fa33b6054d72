//! Adoption on DynamoDB Local, seen by what is in the table before and after.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod local;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt as _};
use local::{Item, Local, local};
use patchbay_core::adoption::{Adopted, NewOwner, Refusal};
use patchbay_core::identity::Authentication;
use patchbay_core::model::{Caller, ConnectionId, KeyId, Person, Role, Subject, Tenant};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::{
    AddMember, AddMemberOutcome, AttachOutcome, CreateOutcome, Lookup, MembersOutcome, Store as _,
};
use patchbay_dynamodb::{AdoptError, DynamoStore, adopt};
use patchbay_testkit::SystemHost;
use patchbay_testkit::dynamodb_proxy::Fault;
use patchbay_testkit::sample::{
    add_member, all, attach, caller, details, make_workspace, name, names, sealed, workspace,
};

const K1: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const K2: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const WRITE: &str = "TransactWriteItems";
/// Trials at a time.
const PARALLEL: usize = 8;
/// The connections that change hands.
const ADOPTED: [&str; 3] = ["b", "d", "e"];

fn ring(entries: &[&str]) -> KeyRing {
    KeyRing::parse(&entries.join(",")).unwrap()
}

/// The one with the new key first.
fn rotated() -> KeyRing {
    ring(&[K2, K1])
}

fn anonymous() -> Caller {
    Authentication::anonymous()
}

fn root(tenant: &str) -> Caller {
    caller(tenant, "root", true)
}

fn to(tenant: &str, subject: &str) -> NewOwner {
    NewOwner {
        tenant: Tenant::new(tenant).unwrap(),
        subject: Subject::new(subject).unwrap(),
    }
}

async fn given(store: &DynamoStore, to: &NewOwner) -> Result<Adopted, AdoptError> {
    adopt(store, &rotated(), &SystemHost, to, false).await
}

async fn create(store: &DynamoStore, owner: &Caller, number: u128, text: &str) -> ConnectionId {
    let record = sealed(&ring(&[K1]), owner, number, text);
    let id = record.id;
    assert_eq!(store.create(owner, record).await.unwrap(), CreateOutcome::Created);
    id
}

async fn put_into(store: &DynamoStore, who: &Caller, id: ConnectionId, at: u64) {
    let [.., last] = *id.as_bytes();
    let outcome = store.attach(
        who,
        attach(id, workspace(at), u128::from(last) * 10_000 + u128::from(at)),
    );
    assert!(matches!(outcome.await, Ok(AttachOutcome::Attached(..))));
}

async fn join(store: &DynamoStore, who: &Caller, at: u64, person: &Person, role: Role) {
    let add = add_member(workspace(at), person.clone(), role);
    assert_eq!(store.add_member(who, add).await.unwrap(), AddMemberOutcome::Added);
}

fn subject(text: &str) -> Person {
    Person::Subject(Subject::new(text).unwrap())
}

/// What `owner`, an admin, has beside others; where they are the new owner, as it is to be after an adoption.
async fn scene(store: &DynamoStore, owner: &Caller) {
    let adopted = *owner != anonymous();
    let (of_acme, of_default) = (caller("acme", "bob", true), caller("default", "bob", false));
    for bob in [&of_acme, &of_default] {
        make_workspace(store, bob, "of bob").await;
    }
    let id = create(store, &of_acme, 1, "a").await;
    put_into(store, &of_acme, id, 1).await;
    let id = create(store, &of_default, 3, "c").await;
    put_into(store, &of_default, id, 1).await;

    let eve = subject("eve");
    assert_eq!(make_workspace(store, owner, "team").await, workspace(2));
    let with_address = AddMember {
        email: Some(Subject::new("eve@acme.example").unwrap()),
        ..add_member(workspace(2), eve.clone(), Role::Collaborator)
    };
    assert_eq!(
        store.add_member(owner, with_address).await.unwrap(),
        AddMemberOutcome::Added
    );
    let by_address = Person::Email(Subject::new("eve@example.com").unwrap());
    join(store, owner, 2, &by_address, Role::Collaborator).await;

    assert_eq!(make_workspace(store, owner, "led").await, workspace(3));
    join(store, owner, 3, &eve, Role::Owner).await;
    join(
        store,
        owner,
        3,
        &Person::Subject(owner.subject.clone()),
        Role::Collaborator,
    )
    .await;

    assert_eq!(make_workspace(store, owner, "hers").await, workspace(4));
    if !adopted {
        join(store, owner, 4, &subject("ann"), Role::Collaborator).await;
    }

    let id = create(store, owner, 2, "b").await;
    for at in [2, 9] {
        put_into(store, owner, id, at).await;
    }
    create(store, owner, 4, "d").await;
    let id = create(store, owner, 5, "e").await;
    for at in [5, 3] {
        put_into(store, owner, id, at).await;
    }
    join(store, owner, 5, &eve, Role::Owner).await;
    if adopted {
        join(store, owner, 9, &subject("ann"), Role::Owner).await;
    }
}

/// What a table holds: each item by its key, without how often and by what it was changed, with details in the clear.
type Held = BTreeMap<(String, String), BTreeMap<String, String>>;

async fn held(local: &Local) -> Held {
    let mut held = Held::new();
    for mut item in local.items().await {
        let [pk, sk] = ["pk", "sk"].map(|name| item.remove(name).unwrap().as_s().unwrap().clone());
        if item.remove("sealed").is_some() {
            let (length, rest) = pk.split_once('#').unwrap();
            let tenant = &rest[..length.parse().unwrap()];
            let text = item["name"].as_s().unwrap().clone();
            opens(local, tenant, &text).await.unwrap();
            item.remove("key_id");
        }
        item.remove("rev");
        item.remove("txn");
        // Somebody who is nowhere any more, and how far the tenant `default` has counted.
        let nobody = item.get("roles").is_some_and(|roles| roles.as_m().unwrap().is_empty());
        if !nobody && pk != "7#default#WC#" {
            let shown = item.iter().map(|(name, value)| (name.clone(), shown(value)));
            held.insert((pk, sk), shown.collect());
        }
    }
    held
}

fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::M(map) => {
            let sorted: BTreeMap<_, _> = map.iter().map(|(name, value)| (name, shown(value))).collect();
            format!("{sorted:?}")
        }
        other => format!("{other:?}"),
    }
}

/// A connection that is there opens, to what its name says; gives the key that sealed it.
async fn opens(local: &Local, tenant: &str, text: &str) -> Option<KeyId> {
    let caller = root(tenant);
    let seen = local.clear.get(&caller, Lookup::Name(name(text))).await.unwrap()?;
    assert_eq!(
        rotated().open(&caller.tenant, &seen.record),
        Ok(details(text)),
        "{tenant} {text}"
    );
    Some(seen.record.sealed.key_id)
}

/// A new table with these items.
async fn with(items: &[Item]) -> Local {
    let local = local().await;
    stream::iter(items)
        .for_each_concurrent(PARALLEL, |item| local.put(item.clone()))
        .await;
    local
}

/// The items before an adoption, and what is held after it.
async fn before_and_after(to: &NewOwner) -> (Vec<Item>, Held) {
    let (before, after) = (local().await, local().await);
    scene(&before.clear, &anonymous()).await;
    let new_owner = caller(to.tenant.as_str(), to.subject.as_str(), true);
    scene(&after.clear, &new_owner).await;
    (before.items().await, held(&after).await)
}

#[tokio::test]
async fn what_anonymous_has_goes_to_the_new_owner_as_it_was_and_nothing_else_does() {
    for to in [to("acme", "ann"), to("default", "ann")] {
        let (items, after) = before_and_after(&to).await;
        let local = with(&items).await;
        let before = held(&local).await;
        let all = Adopted {
            connections: 3,
            workspaces: 5,
            left_out: 0,
        };
        let rehearsed = adopt(&local.store, &rotated(), &SystemHost, &to, true).await.unwrap();
        assert_eq!(rehearsed, all);
        assert!(!local.proxy.operations().contains(&WRITE.to_owned()));
        assert_eq!(held(&local).await, before);

        assert_eq!(given(&local.store, &to).await.unwrap(), all);
        assert_eq!(held(&local).await, after);
        local.is_whole().await;
        for text in ADOPTED {
            let key = opens(&local, to.tenant.as_str(), text).await;
            assert_eq!(key, Some(KeyId::new("k2").unwrap()), "{text}");
        }

        local.proxy.exchanges();
        assert_eq!(given(&local.store, &to).await.unwrap(), Adopted::default());
        assert!(!local.proxy.operations().contains(&WRITE.to_owned()));
    }
}

#[tokio::test]
async fn anonymous_is_no_new_owner() {
    let refused = given(&local().await.store, &to("default", "anonymous")).await;
    assert!(matches!(refused, Err(AdoptError::Refused(Refusal::NobodyElse))));
}

/// Runs an adoption until so many of its writes are done; the next one is lost, or `arrives` when nobody waits any more.
async fn break_off(local: &Local, to: &NewOwner, writes: usize, arrives: bool) {
    local.proxy.pass(WRITE, writes);
    local.proxy.fail(WRITE, [Fault::Held]);
    tokio::select! {
        ended = given(&local.store, to) => panic!("it ended before: {ended:?}"),
        () = local.proxy.until_all_met() => {}
    }
    if arrives {
        local.proxy.release();
        local.proxy.idle().await;
    }
}

/// Each connection is in one of the tenants, where it opens and is listed; so is each person's place in each workspace.
async fn everything_is_on_one_side(local: &Local, to: &NewOwner) {
    let tenants = BTreeSet::from(["default", to.tenant.as_str()]);
    for text in ADOPTED {
        let mut there = 0;
        for tenant in &tenants {
            let (listed, _) = names(&local.clear, &root(tenant), all()).await;
            let is_there = opens(local, tenant, text).await.is_some();
            assert_eq!(listed.contains(&text.to_owned()), is_there, "{tenant} {text}");
            there += usize::from(is_there);
        }
        assert_eq!(there, 1, "{text}");
    }
    let mut places = BTreeSet::new();
    for item in local.items().await {
        let (room, members) = (
            item["pk"].as_s().unwrap().rsplit('#').next().unwrap(),
            item.get("members"),
        );
        // The first one is Bob's in either tenant.
        for person in members
            .filter(|_| room != "1")
            .into_iter()
            .flat_map(|all| all.as_m().unwrap().keys())
        {
            assert!(places.insert((room.to_owned(), person.clone())), "{room} {person}");
        }
    }
    for (room, person) in [
        ("2", "seve"),
        ("2", "eeve@example.com"),
        ("3", "seve"),
        ("5", "seve"),
        ("4", "sann"),
    ] {
        assert!(
            places.contains(&(room.to_owned(), person.to_owned())),
            "{room} {person}"
        );
    }
}

#[tokio::test]
async fn an_adoption_that_is_broken_off_anywhere_goes_on_and_ends_as_if_it_had_not_been() {
    for to in [to("acme", "ann"), to("default", "ann")] {
        let (items, after) = before_and_after(&to).await;
        let whole = with(&items).await;
        given(&whole.store, &to).await.unwrap();
        let operations = whole.proxy.operations();
        let writes = operations.iter().filter(|operation| *operation == WRITE).count();
        assert!(writes >= 8, "{writes}");
        let trials = (0..writes).flat_map(|writes| [(writes, false), (writes, true)]);
        let trial = async |(writes, arrives): (usize, bool)| {
            let local = with(&items).await;
            break_off(&local, &to, writes, arrives).await;
            everything_is_on_one_side(&local, &to).await;
            given(&local.clear, &to).await.unwrap();
            assert_eq!(held(&local).await, after, "after {writes} writes, {arrives}");
            local.is_whole().await;
        };
        stream::iter(trials).for_each_concurrent(PARALLEL, trial).await;
    }
}

#[tokio::test]
async fn whatever_goes_wrong_once_with_any_request_stops_nothing() {
    let to = to("acme", "ann");
    let (items, after) = before_and_after(&to).await;
    let trials = ["BatchGetItem", "Query", WRITE].into_iter().flat_map(|operation| {
        let fitting = Fault::ALL.into_iter().filter(move |fault| fault.fits(operation));
        fitting.map(move |fault| (operation, fault))
    });
    let trial = async |(operation, fault): (&'static str, Fault)| {
        let patient = with(&items).await;
        let local = patient.beside(fault.is_late()).await;
        for _ in 0..10 {
            local.proxy.pass(operation, 2);
            local.proxy.fail(operation, [fault]);
        }
        let adopted = given(&local.store, &to).await.unwrap();
        assert_eq!(
            (adopted.connections, adopted.workspaces),
            (3, 5),
            "{operation} {fault:?}"
        );
        assert!(local.proxy.met()[&(operation.to_owned(), fault)] >= 5);
        local.proxy.idle().await;
        assert_eq!(held(&local).await, after, "{operation} {fault:?}");
        local.is_whole().await;
    };
    stream::iter(trials).for_each_concurrent(PARALLEL, trial).await;
}

#[tokio::test]
async fn a_connection_with_as_many_attachments_as_there_can_be_goes_over_whole() {
    const ROOMS: u64 = 256;
    let (local, expected) = (local().await, local().await);
    for (local, owner) in [(&local, &anonymous()), (&expected, &caller("acme", "ann", true))] {
        let id = create(&local.clear, owner, 1, "b").await;
        for at in 1..=ROOMS {
            put_into(&local.clear, owner, id, at).await;
        }
    }
    for at in 1..=ROOMS {
        join(&expected.clear, &root("acme"), at, &subject("ann"), Role::Owner).await;
    }
    let to = to("acme", "ann");
    // All workspaces, and one of the two transactions for the entries that come first.
    break_off(&local, &to, 257, false).await;
    assert!(opens(&local, "default", "b").await.is_some() && opens(&local, "acme", "b").await.is_none());
    let again = local.beside(false).await;
    break_off(&again, &to, 2, true).await;
    assert!(opens(&local, "default", "b").await.is_none() && opens(&local, "acme", "b").await.is_some());
    let rest = Adopted {
        connections: 0,
        workspaces: ROOMS,
        left_out: 0,
    };
    assert_eq!(given(&local.clear, &to).await.unwrap(), rest);
    assert_eq!(held(&local).await, held(&expected).await);
    local.is_whole().await;
}

/// Makes somebody a member of so many workspaces that are nowhere.
async fn crowd(local: &Local, tenant: &str, subject: &str, count: u64) {
    let number = |number: u64| AttributeValue::N(number.to_string());
    let roles = (0..count).map(|at| ((1_000_000 + at).to_string(), number(1)));
    let item = [
        (
            "pk",
            AttributeValue::S(format!("{}#{tenant}#MS#{subject}", tenant.len())),
        ),
        ("sk", AttributeValue::S("-".to_owned())),
        ("v", number(1)),
        ("rev", number(0)),
        ("roles", AttributeValue::M(roles.collect())),
    ];
    local
        .put(item.map(|(name, value)| (name.to_owned(), value)).into())
        .await;
}

#[tokio::test]
async fn conflicts_are_all_named_and_nothing_changes() {
    let local = local().await;
    let store = &local.clear;
    let (of_acme, of_default) = (caller("acme", "bob", true), caller("default", "bob", false));
    make_workspace(store, &of_acme, "team").await;
    let id = create(store, &of_acme, 1, "a").await;
    put_into(store, &of_acme, id, 9).await;
    make_workspace(store, &of_default, "of bob").await;
    make_workspace(store, &anonymous(), "team").await;
    make_workspace(store, &anonymous(), "free").await;
    join(store, &anonymous(), 3, &subject("eve"), Role::Owner).await;
    for (number, owner, text, at) in [
        (2, &anonymous(), "a", 1),
        (3, &of_default, "b", 3),
        (4, &anonymous(), "c", 3),
        (5, &anonymous(), "d", 9),
    ] {
        let id = create(store, owner, number, text).await;
        put_into(store, &anonymous(), id, at).await;
    }
    crowd(&local, "acme", "eve", 256).await;
    let before = held(&local).await;
    for rehearsal in [true, false] {
        let refused = adopt(&local.store, &rotated(), &SystemHost, &to("acme", "ann"), rehearsal).await;
        assert_eq!(
            refused.unwrap_err().to_string(),
            "nothing was adopted: acme has a connection `a` of its own; \
             acme has a workspace with the name of 2 (`team`); \
             acme has a workspace with the id of 9 (`workspace-9`); \
             only one of the connection `a` and the workspace 1, which it is in, is anonymous's; \
             only one of the connection `b` and the workspace 3, which it is in, is anonymous's; \
             eve would be in more than 256 workspaces"
        );
    }
    assert!(!local.proxy.operations().contains(&WRITE.to_owned()));
    assert_eq!(held(&local).await, before);
}

#[tokio::test]
async fn a_connection_that_does_not_open_stops_it_all() {
    let local = local().await;
    create(&local.clear, &anonymous(), 1, "a").await;
    create(&local.clear, &anonymous(), 2, "b").await;
    for to in [to("acme", "ann"), to("default", "ann")] {
        let refused = adopt(&local.store, &ring(&[K2]), &SystemHost, &to, false).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("nothing was adopted: connection 0"), "{refused}");
        assert!(refused.contains("the key `k1` is not in the key ring"), "{refused}");
    }
    assert!(!local.proxy.operations().contains(&WRITE.to_owned()));
}

#[tokio::test]
async fn what_comes_into_its_way_stops_it_and_is_named_the_next_time() {
    let (items, _) = before_and_after(&to("acme", "ann")).await;
    let local = with(&items).await;
    let bob = caller("acme", "bob", true);
    // The counter and the first workspace are done.
    local.proxy.pass(WRITE, 2);
    local.proxy.fail(WRITE, [Fault::Held]);
    let meanwhile = async {
        local.proxy.until_all_met().await;
        create(&local.clear, &bob, 9, "e").await;
        join(&local.clear, &bob, 2, &subject("eve"), Role::Owner).await;
        local.proxy.release();
    };
    let to = to("acme", "ann");
    let (ended, ()) = tokio::join!(given(&local.store, &to), meanwhile);
    assert!(matches!(ended, Err(AdoptError::Overtaken)), "{ended:?}");
    let refused = given(&local.store, &to).await.unwrap_err().to_string();
    assert_eq!(refused, "nothing was adopted: acme has a connection `e` of its own");

    local.clear.delete(&bob, name("e")).await.unwrap();
    assert_eq!(given(&local.store, &to).await.unwrap().connections, 1);
    local.is_whole().await;
    let outcome = local.clear.members(&bob, workspace(2)).await.unwrap();
    let MembersOutcome::All(members) = outcome else {
        panic!("{outcome:?}")
    };
    let owners = members.iter().filter(|member| member.role == Role::Owner);
    let owners: Vec<_> = owners.map(|member| &member.person).collect();
    assert_eq!(owners, [&subject("ann"), &subject("eve")], "what the tenant gave stays");
}

#[tokio::test]
async fn an_owner_of_too_many_workspaces_is_left_out_of_the_last() {
    let (items, _) = before_and_after(&to("acme", "ann")).await;
    let local = with(&items).await;
    // In one of the five she is a member, and in one she need not be.
    crowd(&local, "acme", "ann", 253).await;
    let to = to("acme", "ann");
    let adopted = adopt(&local.clear, &rotated(), &SystemHost, &to, true).await.unwrap();
    assert_eq!((adopted.workspaces, adopted.left_out), (5, 1));
    assert_eq!(given(&local.clear, &to).await.unwrap(), adopted);
    let held = held(&local).await;
    let members = |at: u64| {
        held.get(&(format!("4#acme#WM#{at}"), "-".to_owned()))
            .map(|item| item["members"].clone())
    };
    for at in [2, 3, 4] {
        assert!(members(at).unwrap().contains("\"sann\""), "{at}");
    }
    assert!(!members(5).unwrap().contains("\"sann\""));
    assert_eq!(members(9), None);
}
