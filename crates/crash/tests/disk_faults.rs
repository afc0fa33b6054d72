//! A disk that is full, fails, or writes half, at every write and sync in turn.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use patchbay_crash::disk_faults::{Scene, all};

#[test]
fn a_fault_at_any_write_or_sync_from_the_first_start_to_the_stop_loses_nothing_and_passes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let summary = all(&Scene::new(seed), 1).unwrap();
    println!("{summary:?}");
    assert!(summary.no_start > 0 && summary.refused > 0);
}

#[test]
fn a_fault_while_the_write_ahead_log_is_emptied_loses_nothing_and_passes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let summary = all(&Scene::before_checkpoint(seed).unwrap(), 11).unwrap();
    println!("{summary:?}");
    assert!(summary.refused > 0);
}
