//! Kills, power cuts and disk faults, as many as asked for, on the `patchbay` that was built beside this program.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use patchbay_crash::disk_faults::{self, Scene};
use patchbay_crash::kill;
use patchbay_crash::power_cut::{self, AsIf, RECORD};

/// Does to the real binary what a machine may do to it, and checks that it keeps its promises.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// What the load and the damage are drawn from; without it, a new one, which is printed.
    #[arg(long, global = true)]
    seed: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End it by SIGKILL under load, again and again.
    Kill {
        /// How many times.
        #[arg(long, default_value_t = 20)]
        rounds: usize,
    },
    /// Record it under load, and cut the power.
    PowerCut {
        /// At how many points.
        #[arg(long, default_value_t = 500)]
        cuts: usize,
        /// A record that was kept, instead of a new one.
        #[arg(long)]
        record: Option<PathBuf>,
        /// At this point only.
        #[arg(long, requires = "record")]
        at: Option<usize>,
    },
    /// Let the disk fail at each write and sync in turn.
    DiskFaults {
        /// At every STEPth of them only.
        #[arg(long, default_value_t = 1)]
        step: usize,
        /// While a full write-ahead log is emptied into the database, instead of from the first start on.
        #[arg(long)]
        checkpoint: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments { what, seed } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut out = std::io::stdout();
    writeln!(out, "seed {seed}")?;
    match what {
        What::Kill { rounds } => {
            let acknowledged = kill::kill(rounds, seed)?;
            writeln!(
                out,
                "{rounds} kills; all of {acknowledged} acknowledged changes were found"
            )?;
        }
        What::PowerCut { cuts, record, at } => {
            let lost = match record {
                None => {
                    power_cut::run(AsIf::Built, cuts, seed)?.map(|(lost, folder)| (lost, folder.keep().join(RECORD)))
                }
                Some(record) => {
                    let events = power_cut::read(&record, AsIf::Built)?;
                    let points = at.map_or_else(|| power_cut::points(&events, seed, cuts), |at| vec![at]);
                    power_cut::cut(&events, seed, &points)?.map(|lost| (lost, record))
                }
            };
            if let Some((lost, record)) = lost {
                let (record, at) = (record.display(), lost.at);
                return Err(lost
                    .what
                    .context(format!("the record {record}, --seed {seed} --at {at}")));
            }
            writeln!(out, "nothing was lost")?;
        }
        What::DiskFaults { step, checkpoint } => {
            let scene = if checkpoint {
                Scene::before_checkpoint(seed)?
            } else {
                Scene::new(seed)
            };
            let summary = disk_faults::all(&scene, step)?;
            writeln!(out, "{summary:?}; nothing was lost")?;
        }
    }
    Ok(())
}
