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

patchbay_testkit::rotation_promises!(promises);
