//! What rotation of keys promises over any store: each function wants a store of its own, and panics where something does
//! not hold.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what does not hold fails the test"
)]

use std::collections::BTreeMap;

use patchbay_core::model::{Caller, ConnectionId, KeyId, Record, WorkspaceId};
use patchbay_core::rotation::{
    self, Counted, Held, KeyStatus, Left, Place, Proof, Replacement, Resealed, Sealings, Search, Step, Unproved, Wanted,
};
use patchbay_core::seal::{KeyRing, OpenError};
use patchbay_core::store::{AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, Lookup, Store};

use crate::sample::{attach, caller, details, name, sealed, workspace};
use crate::target::SystemHost;

/// Hands the names of all promises to a macro, which makes a test of each over a store of its own.
#[macro_export]
macro_rules! rotation_promises {
    ($tests:ident) => {
        $tests!(
            every_record_is_sealed_again,
            what_was_broken_off_goes_on,
            what_changes_meanwhile_stands,
            it_goes_on_beside_traffic,
            what_does_not_open_is_left_and_told_of,
            a_wrong_secret_for_the_sealing_key_is_found_out,
            a_batch_is_bounded_in_bytes,
        );
    };
}

const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NEW: &str = "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const MISTYPED: &str = "new:CBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const TENANTS: [&str; 3] = ["acme", "1#a", "zoo"];

fn ring(entries: &[&str]) -> KeyRing {
    KeyRing::parse(&entries.join(",")).expect("a ring")
}

fn key(id: &str) -> KeyId {
    KeyId::new(id).expect("a key's id")
}

/// An admin of the tenant of this number.
fn admin(number: usize) -> Caller {
    caller(TENANTS[number % TENANTS.len()], "root", true)
}

async fn put(store: &impl Store, who: &Caller, record: Record) -> ConnectionId {
    let id = record.id;
    let created = store.create(who, record).await.expect("a create");
    assert_eq!(created, CreateOutcome::Created);
    id
}

/// So many connections of three tenants, sealed with this ring's first key.
async fn filled(store: &impl Store, ring: &KeyRing, count: usize) -> Vec<ConnectionId> {
    let mut ids = Vec::new();
    for number in 0..count {
        let (who, text) = (admin(number), format!("c{number:03}"));
        ids.push(put(store, &who, sealed(ring, &who, number as u128, &text)).await);
    }
    ids
}

/// A connection that is there opens, to what its name says.
async fn opens(store: &impl Store, ring: &KeyRing, who: &Caller, text: &str) -> Option<KeyId> {
    let seen = store.get(who, Lookup::Name(name(text))).await.expect("a get")?;
    let opened = ring.open(&who.tenant, &seen.record);
    assert_eq!(opened.as_ref(), Ok(&details(text)), "{text}");
    Some(seen.record.sealed.key_id)
}

async fn counted(store: &impl Sealings) -> BTreeMap<KeyId, u64> {
    let (mut sum, mut after) = (Counted::default(), None);
    loop {
        let Step { found, next } = store.count_sealed(after).await.expect("a count");
        sum.add(found);
        let Some(next) = next else {
            assert_eq!(sum.unreadable, 0);
            return sum.under;
        };
        after = Some(next);
    }
}

async fn batch(store: &impl Sealings, ring: &KeyRing, after: Option<Place>, most: u16) -> Resealed {
    let resealed = rotation::reseal(store, ring, &SystemHost, after, most).await;
    resealed.expect("a batch")
}

/// From the first batch to the last; gives what was sealed again, and what was left.
async fn rotate(store: &impl Sealings, ring: &KeyRing, most: u16) -> (usize, Vec<Left>) {
    let (mut records, mut left, mut after) = (0, Vec::new(), None);
    loop {
        let done = batch(store, ring, after, most).await;
        records += done.records;
        left.extend(done.left);
        let Some(next) = done.next else { return (records, left) };
        after = Some(next);
    }
}

/// Every record of every tenant comes under the new key, once, whatever a batch's size.
pub async fn every_record_is_sealed_again<S: Store + Sealings>(store: &S) {
    const COUNT: usize = 25;
    let old = ring(&[OLD]);
    filled(store, &old, COUNT).await;
    let of = |id: &str| BTreeMap::from([(key(id), COUNT as u64)]);
    assert_eq!(counted(store).await, of("old"));
    assert_eq!(
        rotate(store, &old, 7).await,
        (0, vec![]),
        "its own key seals all of them"
    );

    let both = ring(&[NEW, OLD]);
    assert_eq!(rotate(store, &both, 7).await, (COUNT, vec![]));
    assert_eq!(counted(store).await, of("new"));
    assert_eq!(rotate(store, &both, 7).await, (0, vec![]), "once is enough");
    let new = ring(&[NEW]);
    for number in 0..COUNT {
        let found = opens(store, &new, &admin(number), &format!("c{number:03}")).await;
        assert_eq!(found, Some(key("new")));
    }
    // And back, in batches of one.
    assert_eq!(rotate(store, &ring(&[OLD, NEW]), 1).await, (COUNT, vec![]));
    assert_eq!(counted(store).await, of("old"));
}

/// A rotation that is broken off may go on from where it was, or begin again: nothing is lost, and nothing left out.
pub async fn what_was_broken_off_goes_on<S: Store + Sealings>(store: &S) {
    const COUNT: usize = 40;
    filled(store, &ring(&[OLD]), COUNT).await;
    let both = ring(&[NEW, OLD]);
    let (mut done, mut after) = (0, None);
    while done < COUNT / 4 {
        let first = batch(store, &both, after, 3).await;
        done += first.records;
        after = first.next;
        assert!(after.is_some());
    }
    let halfway = counted(store).await;
    assert_eq!(
        (halfway[&key("new")], halfway[&key("old")]),
        (done as u64, (COUNT - done) as u64)
    );
    done += batch(store, &both, after, 3).await.records;
    let (rest, left) = rotate(store, &both, 1000).await;
    assert_eq!((done + rest, left), (COUNT, vec![]));
    assert_eq!(counted(store).await, BTreeMap::from([(key("new"), COUNT as u64)]));
}

/// What happens between the reading of a batch and its writing stands, and is not written over.
pub async fn what_changes_meanwhile_stands<S: Store + Sealings>(store: &S) {
    let (old, both) = (ring(&[OLD]), ring(&[NEW, OLD]));
    let who = admin(0);
    let mut ids = Vec::new();
    for (number, text) in ["deleted", "replaced", "attached", "detached", "resealed", "plain"]
        .iter()
        .enumerate()
    {
        ids.push(put(store, &who, sealed(&old, &who, number as u128, text)).await);
    }
    let (here, there) = (workspace(7), workspace(8));
    let attachments = std::cell::Cell::new(0);
    let attached = async |id: ConnectionId, at: WorkspaceId| {
        attachments.set(attachments.get() + 1);
        let outcome = store.attach(&who, attach(id, at, attachments.get())).await;
        assert!(matches!(outcome, Ok(AttachOutcome::Attached(..))), "{outcome:?}");
    };
    attached(ids[3], here).await;
    attached(ids[3], there).await;

    let mut replacements = Vec::new();
    let mut after = None;
    loop {
        let step = store
            .sealed(Wanted::SealedOtherwise(key("new")), after, 1000)
            .await
            .expect("a batch");
        for Held { tenant, record } in step.found.into_iter().flatten() {
            replacements.push(Replacement {
                sealed: both.reseal(&SystemHost, &tenant, &record).expect("it opens"),
                tenant,
                name: record.name,
                id: record.id,
                owner: record.owner,
                expected: record.sealed.key_id,
            });
        }
        after = step.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(replacements.len(), ids.len());

    for text in ["deleted", "replaced"] {
        let outcome = store.delete(&who, name(text)).await;
        assert!(matches!(outcome, Ok(DeleteOutcome::Deleted(_))), "{outcome:?}");
    }
    // A server that does not know the new key yet.
    let other = put(store, &who, sealed(&old, &who, 77, "replaced")).await;
    attached(ids[2], here).await;
    let outcome = store.detach(&who, ids[3], here).await;
    assert_eq!(outcome.ok(), Some(DetachOutcome::Detached(name("detached"))));
    let one = replacements.iter().filter(|one| one.name == name("resealed")).cloned();
    assert_eq!(store.replace_sealed(one.collect()).await.ok(), Some(1));
    let before = store.get(&who, Lookup::Name(name("resealed"))).await.ok().flatten();

    // Somebody adopted it, to whom what is sealed is not bound.
    let of_another = replacements.iter().filter(|one| one.name == name("plain"));
    let of_another = of_another.map(|one| Replacement {
        owner: caller("acme", "another", false).subject,
        ..one.clone()
    });
    assert_eq!(store.replace_sealed(of_another.collect()).await.ok(), Some(0));

    assert_eq!(store.replace_sealed(replacements).await.ok(), Some(3));
    let get = async |text: &str| store.get(&who, Lookup::Name(name(text))).await.expect("a get");
    assert_eq!(get("deleted").await, None);
    assert_eq!(get("resealed").await, before, "what another rotation sealed stays");
    let seen = get("replaced").await.expect("the new one");
    assert_eq!((seen.record.id, seen.record.sealed.key_id), (other, key("old")));
    assert_eq!(opens(store, &both, &who, "replaced").await, Some(key("old")));
    for (text, names) in [
        ("attached", &["workspace-7"][..]),
        ("detached", &["workspace-8"]),
        ("plain", &[]),
    ] {
        assert_eq!(opens(store, &both, &who, text).await, Some(key("new")));
        let seen = get(text).await.expect("it is there");
        let shown: Vec<_> = seen.workspace_names.iter().map(ToString::to_string).collect();
        assert_eq!(shown, names, "{text}");
    }
    // What is sealed anew goes on being changed like any other.
    attached(ids[5], here).await;
    let outcome = store.detach(&who, ids[2], here).await;
    assert_eq!(outcome.ok(), Some(DetachOutcome::Detached(name("attached"))));
    let outcome = store.delete(&who, name("attached")).await;
    assert_eq!(outcome.ok(), Some(DeleteOutcome::Deleted(ids[2])));
}

/// While connections are created, attached, detached and deleted beside it, a rotation loses none of that, and ends with
/// nothing under the old key.
pub async fn it_goes_on_beside_traffic<S: Store + Sealings>(store: &S) {
    const COUNT: usize = 60;
    let both = ring(&[NEW, OLD]);
    let ids = filled(store, &ring(&[OLD]), COUNT).await;
    let traffic = async {
        for (number, id) in ids.iter().enumerate() {
            let (who, text) = (admin(number), format!("c{number:03}"));
            let here = workspace(7);
            if number % 4 != 0 {
                let outcome = store.attach(&who, attach(*id, here, 1 + number as u128)).await;
                assert!(matches!(outcome, Ok(AttachOutcome::Attached(..))), "{outcome:?}");
            }
            if number % 4 == 2 {
                let outcome = store.detach(&who, *id, here).await;
                assert_eq!(outcome.ok(), Some(DetachOutcome::Detached(name(&text))));
            }
            if number % 4 == 0 {
                assert_eq!(
                    store.delete(&who, name(&text)).await.ok(),
                    Some(DeleteOutcome::Deleted(*id))
                );
                put(store, &who, sealed(&both, &who, 1_000 + number as u128, &text)).await;
            }
        }
    };
    let rotation = async {
        let mut after = None;
        loop {
            let done = batch(store, &both, after, 5).await;
            assert_eq!(done.left, []);
            after = done.next;
            if after.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    futures_util::future::join(traffic, rotation).await;
    rotate(store, &both, 1000).await;
    assert_eq!(counted(store).await, BTreeMap::from([(key("new"), COUNT as u64)]));
    for number in 0..COUNT {
        let (who, text) = (admin(number), format!("c{number:03}"));
        assert_eq!(opens(store, &both, &who, &text).await, Some(key("new")));
        let seen = store.get(&who, Lookup::Name(name(&text))).await.ok().flatten();
        let inside = seen.is_some_and(|seen| !seen.workspace_names.is_empty());
        assert_eq!(inside, number % 4 == 1 || number % 4 == 3, "{text}");
    }
}

/// Records whose key is missing are counted under it, as not available, and left as they are; as are those whose sealed
/// bytes are another record's.
pub async fn what_does_not_open_is_left_and_told_of<S: Store + Sealings>(store: &S) {
    let (old, new) = (ring(&[OLD]), ring(&[NEW]));
    let who = admin(0);
    let lost = put(store, &who, sealed(&old, &who, 1, "lost")).await;
    put(store, &who, sealed(&new, &who, 2, "kept")).await;
    let status = rotation::statuses(&new, &counted(store).await);
    let of = |id: &str, sealing: bool| KeyStatus {
        id: key(id),
        records: 1,
        sealing,
        available: sealing,
    };
    assert_eq!(status, [of("new", true), of("old", false)]);
    let told = |id, who: &Caller, error| Left::Closed {
        tenant: who.tenant.clone(),
        id,
        error,
    };
    let without_key = told(lost, &who, OpenError::MissingKey(key("old")));
    assert_eq!(rotate(store, &new, 1).await, (0, vec![without_key]));

    // What one record's key sealed stands in another's place: of another name, and of another tenant.
    let both = ring(&[NEW, OLD]);
    let other = admin(1);
    let thief = sealed(&old, &who, 3, "thief");
    let stolen = sealed(&old, &who, 4, "lost").sealed;
    let foreign = Record {
        sealed: sealed(&old, &who, 5, "moved").sealed,
        ..sealed(&old, &other, 5, "moved")
    };
    let swapped = Record {
        sealed: stolen.clone(),
        ..thief
    };
    let damaged = [
        told(put(store, &who, swapped).await, &who, OpenError::Damaged),
        told(put(store, &other, foreign).await, &other, OpenError::Damaged),
    ];
    let (records, mut left) = rotate(store, &both, 1000).await;
    left.sort_by_key(|left| damaged.iter().position(|damaged| damaged == left));
    assert_eq!((records, &left[..]), (1, &damaged[..]), "what was lost opens again");
    let seen = store.get(&who, Lookup::Name(name("thief"))).await.ok().flatten();
    assert_eq!(seen.map(|seen| seen.record.sealed), Some(stolen));
    assert_eq!(counted(store).await, BTreeMap::from([(key("new"), 2), (key("old"), 2)]));
}

/// The search to its end.
async fn proof(store: &impl Sealings, ring: &KeyRing) -> Result<Proof, Unproved> {
    let mut search = Search::default();
    loop {
        match rotation::prove(store, ring, search).await? {
            Proof::Search(on) => search = on,
            found => return Ok(found),
        }
    }
}

/// A secret that is not the one which sealed under the same id is found out; one damaged record, or none yet, is not taken
/// for that.
pub async fn a_wrong_secret_for_the_sealing_key_is_found_out<S: Store + Sealings>(store: &S) {
    let (right, wrong) = (ring(&[NEW, OLD]), ring(&[MISTYPED, OLD]));
    let who = admin(0);
    for ring in [&right, &wrong] {
        assert_eq!(proof(store, ring).await.ok(), Some(Proof::Nothing));
    }
    filled(store, &ring(&[OLD]), 10).await;
    for ring in [&right, &wrong] {
        assert_eq!(proof(store, ring).await.ok(), Some(Proof::Nothing));
    }
    let moved = Record {
        sealed: sealed(&right, &who, 101, "elsewhere").sealed,
        ..sealed(&right, &who, 102, "damaged")
    };
    put(store, &who, moved).await;
    put(store, &who, sealed(&right, &who, 103, "whole")).await;
    assert_eq!(proof(store, &right).await.ok(), Some(Proof::Opens));
    match proof(store, &wrong).await {
        Err(Unproved::WrongSecret { key: named, failed: 2 }) => assert_eq!(named, key("new")),
        other => panic!("{other:?}"),
    }
}

/// A batch ends at [`RESEALED_BYTES`](patchbay_core::limits::RESEALED_BYTES), and holds one record at least.
pub async fn a_batch_is_bounded_in_bytes<S: Store + Sealings>(store: &S) {
    let who = admin(0);
    for number in 0..20 {
        let mut record = sealed(&ring(&[OLD]), &who, number, &format!("c{number:03}"));
        record.sealed.bytes = vec![1; 256 * 1024];
        put(store, &who, record).await;
    }
    let (mut seen, mut after) = (0, None);
    loop {
        let step = store
            .sealed(Wanted::SealedOtherwise(key("new")), after, 1000)
            .await
            .expect("a batch");
        let bytes: usize = step
            .found
            .iter()
            .flatten()
            .map(|held| held.record.sealed.bytes.len())
            .sum();
        assert!(bytes <= patchbay_core::limits::RESEALED_BYTES, "{bytes}");
        seen += step.found.len();
        after = step.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 20);
}
