//! Rotation of keys on DynamoDB Local.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod local;

use futures_util::future::join_all;
use local::local;
use patchbay_core::rotation::Sealings as _;
use patchbay_core::store::StoreError;
use patchbay_testkit::dynamodb_proxy::Fault;
use patchbay_testkit::rotation;

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
