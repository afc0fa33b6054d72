//! A power cut at any point loses nothing that was acknowledged, and leaves nothing half done.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says its seed"
)]

use patchbay_crash::power_cut::{AsIf, RECORD, run};

/// Points at which the power is cut.
const CUTS: usize = 500;

#[test]
fn a_power_cut_loses_nothing_acknowledged_and_leaves_nothing_half_done() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    if let Some((lost, folder)) = run(AsIf::Built, CUTS, seed).unwrap() {
        let (record, at, what) = (folder.keep().join(RECORD), lost.at, lost.what);
        let record = record.display();
        panic!("{what:#}\nrepeat it: patchbay-crash power-cut --record {record} --seed {seed} --at {at}");
    }
}

/// What a faulty server would lose, which must be noticed.
fn caught(as_if: AsIf) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (lost, _) = run(as_if, CUTS, seed).unwrap().unwrap();
    println!("caught after event {}: {:#}", lost.at, lost.what);
}

#[test]
fn a_server_that_never_syncs_is_caught() {
    caught(AsIf::NeverSynced);
}

#[test]
fn a_server_that_answers_before_the_commit_is_on_disk_is_caught() {
    caught(AsIf::AnsweredBeforeCommit);
}
