//! A tenant's object by itself: the directory, bounds, deploys, and requests that break off.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod house;

use std::pin::pin;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use house::{CountingKv, Line, SECOND, house};
use patchbay_core::limits;
use patchbay_core::model::{Caller, ConnectionType, Name, Subject, Tenant};
use patchbay_core::store::{CreateOutcome, ListOutcome, ListQuery, Lookup, Seen, Store, StoreError};
use patchbay_testkit::sample::{all, attach, caller, name, record, workspace};
use patchbay_worker::edge::EdgeStore;
use patchbay_worker::protocol::{Ask, AskDirectory, AskTenant, Operation, decode, encode};
use patchbay_worker::surroundings::{Authority, Kv as _, Whom};
use patchbay_worker::tenant::{MOST_HELD, MOST_IN_FLIGHT};

fn create(caller: &Caller, number: u8) -> Vec<u8> {
    encode(&AskTenant::Store(Ask {
        caller: caller.clone(),
        operation: Operation::Create(record(number.into(), &format!("c{number}"), caller, 10)),
    }))
}

fn told(answer: &[u8]) -> Result<CreateOutcome, StoreError> {
    decode::<Result<CreateOutcome, StoreError>>(answer).unwrap()
}

async fn tenants(line: &Line<CountingKv>, after: Option<&Tenant>, most: u16) -> Vec<String> {
    let ask = encode(&AskDirectory::Tenants(after.cloned(), most));
    let told = line.ask(Whom::Directory, ask).await.unwrap();
    let listed = decode::<Result<Vec<Tenant>, StoreError>>(&told).unwrap().unwrap();
    listed.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_tenant_enters_itself_in_the_directory_once_before_its_first_write() {
    let (_, kv, line) = house(60);
    let store = line.store(kv);
    let ann = caller("acme", "ann", false);
    store.get(&ann, Lookup::Name(name("c1"))).await.unwrap();
    assert_eq!((line.directory.asks.get(), tenants(&line, None, 9).await.len()), (0, 0));

    line.directory.is_out.set(true);
    let refused = store.create(&ann, record(1, "c1", &ann, 1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    line.directory.is_out.set(false);
    assert!(tenants(&line, None, 9).await.is_empty());
    assert_eq!(line.number(&ann.tenant, "SELECT count(*) FROM connection"), 0);

    let before = line.directory.asks.get();
    for number in 1..5 {
        line.restart(&ann.tenant);
        let made = record(number, &format!("c{number}"), &ann, 1);
        assert_eq!(store.create(&ann, made).await.unwrap(), CreateOutcome::Created);
    }
    assert_eq!(line.directory.asks.get(), before + 1);
    for tenant in ["zeta", "beta"] {
        let zoe = caller(tenant, "zoe", false);
        store.create(&zoe, record(9, "c", &zoe, 1)).await.unwrap();
    }
    assert_eq!(tenants(&line, None, 9).await, ["acme", "beta", "zeta"]);
    assert_eq!(tenants(&line, Some(&ann.tenant), 1).await, ["beta"]);
}

#[tokio::test]
async fn the_first_writes_of_a_tenant_may_come_together() {
    let (_, _, line) = house(60);
    let ann = caller("acme", "ann", false);
    let object = line.object(&ann.tenant);
    let messages: Vec<Vec<u8>> = (0..8).map(|number| create(&ann, number)).collect();
    for answer in join_all(messages.iter().map(|message| object.answer(message))).await {
        assert_eq!(told(&answer).unwrap(), CreateOutcome::Created);
    }
    // All found the object unnamed, and it has one name now.
    assert_eq!(line.directory.asks.get(), 8);
    assert_eq!(line.number(&ann.tenant, "SELECT count(*) FROM tenant"), 1);
}

#[tokio::test]
async fn an_object_answers_for_its_own_tenant_alone() {
    let (_, _, line) = house(60);
    let (ann, zoe) = (caller("acme", "ann", false), caller("other", "zoe", false));
    let object = line.object(&ann.tenant);
    assert!(told(&object.answer(&create(&ann, 1)).await).is_ok());
    let astray = told(&object.answer(&create(&zoe, 2)).await);
    assert!(matches!(astray, Err(StoreError::Damaged(_))), "{astray:?}");
    line.restart(&ann.tenant);
    let astray = told(&line.object(&ann.tenant).answer(&create(&zoe, 2)).await);
    assert!(matches!(astray, Err(StoreError::Damaged(_))), "{astray:?}");
}

#[tokio::test]
async fn an_object_does_so_many_requests_at_a_time_and_is_busy_beyond() {
    let (_, _, line) = house(60);
    let ann = caller("acme", "ann", false);
    let object = line.object(&ann.tenant);
    assert!(told(&object.answer(&create(&ann, 0)).await).is_ok());
    line.stick(&ann.tenant, true);
    let messages: Vec<Vec<u8>> = (1..=200).map(|number| create(&ann, number)).collect();
    let mut waiting = Box::pin(join_all(
        messages
            .iter()
            .take(MOST_IN_FLIGHT)
            .map(|message| object.answer(message)),
    ));
    assert!(waiting.as_mut().now_or_never().is_none());
    for message in messages.iter().skip(MOST_IN_FLIGHT) {
        let refused = told(&object.answer(message).await);
        assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    }
    line.stick(&ann.tenant, false);
    for answer in waiting.await {
        assert_eq!(told(&answer).unwrap(), CreateOutcome::Created);
    }
    assert_eq!(line.number(&ann.tenant, "SELECT count(*) FROM connection"), 1 + 128);
    assert!(told(&object.answer(&create(&ann, 201)).await).is_ok());
}

#[tokio::test]
async fn an_object_holds_so_many_bytes_of_lists_at_a_time_and_is_busy_beyond() {
    let (_, kv, line) = house(60);
    let store = line.store(kv);
    let ann = caller("acme", "ann", false);
    for number in 0..16 {
        let made = record(number, &format!("c{number}"), &ann, limits::DETAILS_BYTES);
        store.create(&ann, made).await.unwrap();
    }
    let list = |limit| {
        encode(&AskTenant::Store(Ask {
            caller: ann.clone(),
            operation: Operation::List(ListQuery { limit, ..all() }),
        }))
    };
    let (long, short) = (list(None), list(Some(1)));
    let object = line.object(&ann.tenant);
    let is_busy = |answer: &[u8]| {
        let told = decode::<Result<ListOutcome, StoreError>>(answer).unwrap();
        matches!(told, Err(StoreError::Busy(_)))
    };
    let fit = MOST_HELD / object.answer(&long).await.len();
    assert!((4..=8).contains(&fit), "{fit} lists of 4 MiB");

    line.stick(&ann.tenant, true);
    let mut waiting = Box::pin(join_all((0..fit).map(|_| object.answer(&long))));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(is_busy(&object.answer(&long).await));
    // There is place for a short one, and where a list breaks off, for a long one.
    let mut answered = pin!(object.answer(&short));
    assert!(answered.as_mut().now_or_never().is_none());
    drop(waiting);
    let mut another = pin!(object.answer(&long));
    assert!(another.as_mut().now_or_never().is_none());
    line.stick(&ann.tenant, false);
    assert!(!is_busy(&answered.await) && !is_busy(&another.await));
}

#[tokio::test]
async fn a_request_that_breaks_off_has_changed_all_or_nothing_and_holds_no_place() {
    let (_, _, line) = house(60);
    let ann = caller("acme", "ann", false);
    let object = line.object(&ann.tenant);
    let connections = || line.number(&ann.tenant, "SELECT count(*) FROM connection");
    let message = create(&ann, 1);
    {
        // It waits for the directory.
        let mut waiting = pin!(object.answer(&message));
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    assert_eq!(connections(), 0);
    assert!(told(&object.answer(&create(&ann, 2)).await).is_ok());
    line.stick(&ann.tenant, true);
    for number in 3..=200 {
        // It waits for the disk.
        let message = create(&ann, number);
        let mut waiting = pin!(object.answer(&message));
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    line.stick(&ann.tenant, false);
    assert_eq!(connections(), 1 + 198);
}

/// Answers as a Worker or an object of another version would.
#[derive(Clone)]
struct OtherVersion;

impl Authority for OtherVersion {
    async fn ask(&self, _whom: Whom<'_>, mut message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        message[0] += 1;
        Ok(message)
    }
}

#[tokio::test]
async fn while_a_deploy_is_under_way_what_is_not_understood_is_unavailable() {
    let (clock, kv, line) = house(60);
    let ann = caller("acme", "ann", false);
    let mut newer = create(&ann, 1);
    newer[0] += 1;
    let refused = told(&line.object(&ann.tenant).answer(&newer).await);
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let told = line.ask(Whom::Directory, newer).await.unwrap();
    let refused = decode::<Result<(), StoreError>>(&told).unwrap();
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");

    let reads = line.reads.get();
    let store = EdgeStore::new(kv, OtherVersion, clock, reads, Rc::default());
    let refused = store.get(&ann, Lookup::Name(name("c"))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.ready().await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    let (_, kv, line) = house(60);
    let store = line.store(kv);
    let ann = caller("acme", "ann", false);
    for key in ["schema", "outbox"] {
        store.create(&ann, record(1, "c1", &ann, 1)).await.unwrap();
        line.execute(
            &ann.tenant,
            &format!("UPDATE meta SET value = value + 1 WHERE key = '{key}'"),
        );
        line.restart(&ann.tenant);
        let refused = store.create(&ann, record(2, "c2", &ann, 1)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        line.execute(
            &ann.tenant,
            &format!("UPDATE meta SET value = value - 1 WHERE key = '{key}'"),
        );
        line.restart(&ann.tenant);
        assert_eq!(line.number(&ann.tenant, "SELECT count(*) FROM connection"), 1);
    }
}

/// Text of so many bytes.
fn long(letter: char, bytes: usize) -> String {
    letter.to_string().repeat(bytes)
}

#[tokio::test]
async fn the_largest_of_everything_fits() {
    let (_, kv, line) = house(60);
    let store = line.store(kv.clone());
    let root = Caller {
        tenant: Tenant::new(&long('t', limits::TENANT_BYTES)).unwrap(),
        subject: Subject::new(&long('s', limits::SUBJECT_BYTES)).unwrap(),
        email: Some(Subject::new(&long('e', limits::SUBJECT_BYTES)).unwrap()),
        admin: true,
    };
    // Sealing adds a format, a nonce and a tag.
    let sealed = limits::DETAILS_BYTES + 1 + 24 + 16;
    let mut largest = record(1, &long('n', limits::NAME_BYTES), &root, sealed);
    largest.connection_type = ConnectionType::new(&long('k', limits::TYPE_BYTES)).unwrap();
    store.create(&root, largest.clone()).await.unwrap();
    let id_of = |number: usize| u64::try_from(number).unwrap() + (limits::WORKSPACE_ID - 1_000);
    for number in 0..limits::WORKSPACES_PER_CONNECTION {
        let at = workspace(id_of(number));
        store
            .attach(&root, attach(largest.id, at, number.try_into().unwrap()))
            .await
            .unwrap();
    }
    // In `managed` mode names are longer than those of `open` mode.
    let longer = format!("UPDATE workspace SET name = name || '{}'", long('w', 255 - 26));
    line.execute(&root.tenant, &longer);

    let get = async || store.get(&root, Lookup::Name(largest.name.clone())).await.unwrap();
    let by_object = get().await.unwrap();
    line.pass(SECOND).await;
    let asks = line.asks.get();
    let by_kv = get().await.unwrap();
    assert_eq!((by_kv, line.asks.get()), (by_object.clone(), asks));
    let Seen {
        record,
        workspace_names,
    } = by_object;
    assert_eq!(record, largest);
    assert_eq!(workspace_names.len(), limits::WORKSPACES_PER_CONNECTION);
    assert!(
        workspace_names
            .iter()
            .all(|name: &Name| name.as_str().len() == limits::NAME_BYTES)
    );

    // KV takes 25 MiB a value, a Durable Object 2 MB a row.
    let key = kv.values.borrow().keys().next().unwrap().clone();
    assert!(kv.get(&key).await.unwrap().unwrap().len() < 512 * 1024);
    let row = "SELECT max(length(CAST(sealed AS BLOB)) + length(CAST(name AS BLOB)) + length(CAST(owner AS BLOB))) FROM connection";
    assert!(line.number(&root.tenant, row) < 2_000_000);

    // A list as long as an answer of the Worker may be.
    for number in 2..=40 {
        let another = self::record(number, &format!("n{number}"), &root, sealed);
        store.create(&root, another).await.unwrap();
    }
    let query = ListQuery {
        most_bytes: 8 * 1024 * 1024,
        ..all()
    };
    let Ok(ListOutcome::Page { rows, more }) = store.list(&root, query).await else {
        panic!("no page");
    };
    assert!(more && rows.len() > 25);
}
