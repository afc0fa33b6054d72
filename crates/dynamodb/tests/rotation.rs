//! Rotation of keys on DynamoDB Local.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod local;

use local::local;
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

promises!(
    every_record_is_sealed_again,
    what_was_broken_off_goes_on,
    what_changes_meanwhile_stands,
    it_goes_on_beside_traffic,
    what_does_not_open_is_left_and_told_of,
    a_batch_is_bounded_in_bytes,
);
