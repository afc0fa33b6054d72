//! Kills, power cuts and disk faults, done to the real binary on purpose.
//!
//! [`kill`] ends it by SIGKILL. That keeps what the system had still to write, so [`power_cut`] goes further: a
//! [`recorder`] in front of the server's disk keeps a [`record`] of what it does to it, from which the [`disk`] after a
//! power cut at any point is made. [`disk_faults`] has the recorder make writes and syncs fail. Each knows by the
//! answers of a [`load`] what it was promised, and opens the folder with the real code to see whether it is kept. [`audit`]
//! does the same to the audit trail.
//!
//! For Linux only: the recorder is a library of C that `LD_PRELOAD` puts before the C library.

pub mod audit;
pub mod check;
pub mod disk;
pub mod disk_faults;
pub mod kill;
pub mod load;
pub mod power_cut;
pub mod record;
pub mod recorder;
pub mod server;
pub mod state;
