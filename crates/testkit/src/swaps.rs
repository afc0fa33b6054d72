//! Ciphertext where it does not belong: what a store keeps is changed behind its back, as whoever can write to it could,
//! and must then open nowhere.

#![allow(clippy::expect_used, reason = "constants, and what a test says wrongly fails it")]

use std::future::Future;

use bytes::Bytes;
use http::{Request, StatusCode};
use patchbay_core::api::{Answer, Config, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::model::{Caller, ConnectionId, ConnectionType, Details, KeyId, Record, Subject, Tenant, Timestamp};
use patchbay_core::seal::{Draft, KeyRing};
use patchbay_core::store::{CreateOutcome, Store};
use serde_json::value::RawValue;

use crate::sample::{caller, name};
use crate::target::SystemHost;

const K1: &str = "k1:testkit-testkit-testkit-testkit-testkit-testkit";
const K2: &str = "k2:another-another-another-another-another-another";
/// What no answer and no log may show.
const SECRET: &str = "hunter2";

/// What a store keeps, past the store.
pub trait Raw {
    /// Puts `after` in the place of the tenant's record `before`. Both have the same name.
    fn put(&self, tenant: &Tenant, before: &Record, after: &Record) -> impl Future<Output = ()>;
}

/// What is changed, whose row it is in, what was there, and what is then.
type Swap = (&'static str, Caller, Record, Record);

/// Makes connections, and exchanges parts of what is stored of them for others' in every way. Each time, reading them
/// must fail with 500, and the log must name the connection and say that it is damaged; without details, it can be read.
/// `lists` says whether lists read what is changed.
///
/// # Panics
/// Where that does not hold.
pub async fn are_found(store: &(impl Store + Clone), raw: &impl Raw, lists: bool) {
    for (what, caller, before, after) in swaps(store).await {
        let says = if what == "an unknown key" {
            format!("connection {}: the key `k9` is not in the key ring", after.id)
        } else {
            let why = "the sealed details do not belong to this record or are damaged";
            format!("connection {}: {why}", after.id)
        };
        let home = home(store.clone(), &caller);
        let get = format!("{{\"name\":\"{}\"}}", before.name);
        assert_eq!(
            ask(&home, "get", &get).await.response.status(),
            StatusCode::OK,
            "{what}"
        );
        raw.put(&caller.tenant, &before, &after).await;
        let mut answers = vec![ask(&home, "get", &get).await];
        if lists {
            answers.push(ask(&home, "list", "{}").await);
        }
        for answer in answers {
            assert_eq!(answer.response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{what}");
            assert_eq!(answer.log.problem.as_ref(), Some(&says), "{what}");
            let shown = format!("{answer:?}");
            assert!(!shown.contains(SECRET), "{what}: {shown}");
        }
        let look = get.replace('}', ",\"details\":false}");
        assert_eq!(
            ask(&home, "get", &look).await.response.status(),
            StatusCode::OK,
            "{what}"
        );
        raw.put(&caller.tenant, &after, &before).await;
        assert_eq!(
            ask(&home, "get", &get).await.response.status(),
            StatusCode::OK,
            "{what}"
        );
    }
}

async fn swaps(store: &impl Store) -> Vec<Swap> {
    let (ann, bob, other) = (
        caller("t", "ann", false),
        caller("t", "bob", false),
        caller("u", "ann", false),
    );
    let mut made = Vec::new();
    for (number, text, owner, ring) in [
        (1, "a", &ann, K1),
        (2, "b", &ann, K1),
        (3, "c", &bob, K1),
        (4, "d", &ann, K2),
        (5, "a", &other, K1),
    ] {
        let record = sealed(number, text, owner, ring);
        let created = store.create(owner, record.clone()).await;
        assert!(matches!(created, Ok(CreateOutcome::Created)), "{created:?}");
        made.push(record);
    }
    let [a, b, c, d, others]: [Record; 5] = made.try_into().expect("five");
    let (root, root_of_other) = (caller("t", "root", true), caller("u", "root", true));
    let with = |change: &dyn Fn(&mut Record)| {
        let mut after = a.clone();
        change(&mut after);
        after
    };
    let of_nobody = KeyId::new("k9").expect("a key id");
    let mut swaps: Vec<Swap> = [
        ("another record's", with(&|record| record.sealed = b.sealed.clone())),
        ("another owner's", with(&|record| record.sealed = c.sealed.clone())),
        ("another key's", with(&|record| record.sealed = d.sealed.clone())),
        (
            "another tenant's",
            with(&|record| record.sealed = others.sealed.clone()),
        ),
        (
            "the same under another key's id",
            with(&|record| record.sealed.key_id = d.sealed.key_id.clone()),
        ),
        (
            "an unknown key",
            with(&|record| record.sealed.key_id = of_nobody.clone()),
        ),
        ("the owner", with(&|record| record.owner = bob.subject.clone())),
        (
            "the type",
            with(&|record| record.connection_type = ConnectionType::new("S3").expect("a type")),
        ),
        (
            "the time",
            with(&|record| record.created_at = Timestamp::from_micros(2)),
        ),
        ("the id", with(&|record| record.id = ConnectionId::from_random([9; 16]))),
        (
            "a bit",
            with(&|record| {
                record
                    .sealed
                    .bytes
                    .iter_mut()
                    .skip(40)
                    .take(1)
                    .for_each(|byte| *byte ^= 1)
            }),
        ),
        ("the end", with(&|record| _ = record.sealed.bytes.pop())),
    ]
    .map(|(what, after)| (what, root.clone(), a.clone(), after))
    .into();
    // All of it is one tenant's, in another's place.
    let whole = sealed(6, "a", &ann, K1);
    swaps.push(("another tenant's record, whole", root_of_other, others, whole));
    swaps
}

fn sealed(number: u8, text: &str, owner: &Caller, ring: &str) -> Record {
    let details = RawValue::from_string(format!("{{\"password\":\"{SECRET}\",\"n\":{number}}}")).expect("JSON");
    let details = Details::from_json(&details).expect("details");
    let draft = Draft {
        id: ConnectionId::from_random([number; 16]),
        name: name(text),
        connection_type: ConnectionType::new("KAFKA").expect("a type"),
        owner: Subject::clone(&owner.subject),
        created_at: Timestamp::from_micros(1),
    };
    let ring = KeyRing::parse(ring).expect("a ring");
    ring.seal(&SystemHost, &owner.tenant, draft, &details)
}

fn home<S: Store>(store: S, caller: &Caller) -> Patchbay<S, SystemHost> {
    let config = Config {
        authentication: Authentication::Off(caller.clone()),
        workspaces: patchbay_core::model::Workspaces::Managed,
        answer_bytes: 1024 * 1024,
    };
    let ring = KeyRing::parse(&format!("{K1},{K2}")).expect("a ring");
    Patchbay::new(store, ring, SystemHost, config)
}

async fn ask<S: Store>(home: &Patchbay<S, SystemHost>, operation: &str, body: &str) -> Answer {
    let request = Request::post(format!("/v1/api/connections/{operation}"));
    let (head, ()) = request.body(()).expect("a request").into_parts();
    let admitted = home.admit(&head).await.expect("a head in order");
    home.answer(admitted, Bytes::copy_from_slice(body.as_bytes())).await
}
