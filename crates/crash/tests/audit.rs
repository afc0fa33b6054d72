//! The audit trail under kills and disk faults.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says its seed"
)]

use patchbay_crash::audit;

#[test]
fn after_a_kill_every_acknowledged_call_is_in_a_trail_that_is_whole() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    assert!(audit::kill(10, seed).unwrap() > 0);
}

#[test]
fn a_fault_at_a_write_or_sync_leaves_every_acknowledged_call_in_a_trail_that_is_whole() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (runs, refused) = audit::disk_faults(3, seed).unwrap();
    println!("{runs} runs, {refused} calls refused");
    assert!(refused > 0);
}
