//! SIGKILL in the middle of load.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[test]
fn after_a_kill_every_acknowledged_change_is_there_and_every_other_one_is_whole_or_absent() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    assert!(patchbay_crash::kill::kill(20, seed).unwrap() > 0);
}
