//! Rotation of keys over the stores of this workspace.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use patchbay_sql::{NativeStore, Options};
use patchbay_testkit::{MemoryStore, rotation};

/// Each promise over the reference model and over the native store.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            rotation::$promise(&MemoryStore::default()).await;
            let folder = tempfile::tempdir().unwrap();
            rotation::$promise(&NativeStore::open(folder.path(), Options::default()).unwrap()).await;
        }
    )+};
}

promises!(
    every_record_is_sealed_again,
    what_was_broken_off_goes_on,
    what_changes_meanwhile_stands,
    it_goes_on_beside_traffic,
    what_does_not_open_is_left_and_told_of,
    a_wrong_secret_for_the_sealing_key_is_found_out,
    a_batch_is_bounded_in_bytes,
);
