//! The system's limit of open files: each connection is one.

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: the database's, three for each of those that read at once, the metrics' connections, and
/// what the runtime and the log need.
const OTHERS: u64 = 256;

/// Raises this process's own limit of open files, as far as the system allows, so that `connections` fit; gives how
/// many do. Without it, a flood of connections would leave no file for the database.
///
/// # Errors
/// Where not one fits, or the limit cannot be changed.
pub fn for_connections(connections: usize) -> anyhow::Result<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = OTHERS.saturating_add(connections as u64);
    let mut allowed = current.unwrap_or(u64::MAX);
    if allowed < wanted {
        allowed = maximum.unwrap_or(u64::MAX).min(wanted);
        let raised = Rlimit {
            current: Some(allowed),
            maximum,
        };
        setrlimit(Resource::Nofile, raised).context("the limit of open files cannot be raised")?;
    }
    ensure!(
        allowed > OTHERS,
        "{allowed} open files are too few: allow at least {}, better {wanted} (ulimit -n)",
        OTHERS + 1
    );
    if allowed < wanted {
        let connections = allowed - OTHERS;
        tracing::warn!(connections, "the limit of open files allows fewer connections");
    }
    Ok(usize::try_from(allowed - OTHERS).map_or(connections, |fit| fit.min(connections)))
}
