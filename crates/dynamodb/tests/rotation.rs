//! Rotation of keys on DynamoDB Local.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod local;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use local::local;
use patchbay_core::model::KeyId;
use patchbay_core::rotation::{Sealings as _, Wanted};
use patchbay_core::store::{Store as _, StoreError};
use patchbay_testkit::dynamodb_proxy::Fault;
use patchbay_testkit::rotation;
use patchbay_testkit::sample::{caller, record};

/// Each promise over a table of its own.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            rotation::$promise(&local().await.clear).await;
        }
    )+};
}

patchbay_testkit::rotation_promises!(promises);

#[tokio::test]
async fn what_goes_wrong_once_stops_no_rotation_and_loses_nothing() {
    let faults = [
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::Reset,
        Fault::InternalError,
        Fault::OutOfService,
        Fault::Throttled("ThrottlingException"),
        Fault::Throttled("TransactionConflictException"),
    ];
    let trials = faults
        .into_iter()
        .flat_map(|fault| ["Scan", "UpdateItem"].map(|operation| (operation, fault)));
    let trials = trials.map(|(operation, fault)| async move {
        let local = local().await;
        local.proxy.fail(operation, [fault]);
        rotation::it_goes_on_beside_traffic(&local.store).await;
        assert!(local.proxy.all_met(), "{operation} {fault:?}");
        local.is_whole().await;
    });
    join_all(trials).await;
}

#[tokio::test]
async fn items_that_name_no_key_are_counted_apart_and_told_of_in_their_place() {
    let local = local().await;
    let ann = caller("t", "ann", false);
    for (number, name) in [(1, "whole"), (2, "misspelt"), (3, "nameless")] {
        local.clear.create(&ann, record(number, name, &ann, 10)).await.unwrap();
    }
    for mut item in local.items().await {
        let name = item.get("name").map(|name| name.as_s().unwrap().as_str());
        match name.filter(|_| item.contains_key("key_id")) {
            Some("misspelt") => _ = item.insert("key_id".to_owned(), AttributeValue::S("No Key".to_owned())),
            Some("nameless") => _ = item.remove("key_id"),
            _ => continue,
        }
        local.put(item).await;
    }
    let counted = local.clear.count_sealed(None).await.unwrap().found;
    let [k1, k2] = ["k1", "k2"].map(|id| KeyId::new(id).unwrap());
    assert_eq!((counted.under.get(&k1), counted.unreadable), (Some(&1), 2));
    let walk = local
        .clear
        .sealed(Wanted::SealedOtherwise(k2), None, 100)
        .await
        .unwrap();
    let mut told: Vec<_> = walk.found.iter().filter_map(|found| found.as_ref().err()).collect();
    told.sort_by_key(|unreadable| &unreadable.at);
    let at: Vec<_> = told.iter().map(|unreadable| unreadable.at.as_str()).collect();
    assert_eq!(at, ["the item \"1#t#C#misspelt\"", "the item \"1#t#C#nameless\""]);
    assert_eq!(walk.found.len(), 3);
}

#[tokio::test]
async fn a_page_that_takes_its_time_ends_a_call_that_somebody_waits_for_and_no_rotation() {
    let local = local().await.beside(true).await;
    let late = [Fault::LateAnswer; 10];
    local.proxy.fail("Scan", late);
    assert!(matches!(
        local.store.count_sealed(None).await,
        Err(StoreError::Unavailable(_))
    ));
    local.proxy.fail("Scan", late);
    assert!(local.store.unhurried().count_sealed(None).await.is_ok());
}
