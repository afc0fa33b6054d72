//! `patchbay audit`, and how `serve` keeps the trail.

use std::path::Path;

use anyhow::ensure;
use clap::Subcommand;
use patchbay_sql::Audit;

use super::settings::{AuditAt, AuditMode, AuthMode, Serve, StoreKind};
use super::upkeep::say;

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Look for lines that were changed, removed, repeated or moved, and for a cut end; the server may run. What a start
    /// mends is said, and is no problem.
    Verify {
        /// The number of the file to begin with, as those before it were moved away: 3 for 000003.jsonl.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        from: Option<u32>,
    },
}

/// Does it, to the trail of the folder `data`.
///
/// # Errors
/// What stopped it, in a sentence that says what to do; for `verify`, that there are problems.
pub fn run(command: &AuditCommand, data: &Path) -> anyhow::Result<()> {
    let AuditCommand::Verify { from } = command;
    let found = patchbay_sql::audit::verify(data, *from)?;
    say(format_args!(
        "{} lines in {} files. The last has number {}; the database knows number {}.",
        found.lines, found.files, found.last, found.known
    ));
    if found.torn > 0 {
        say(format_args!(
            "The last {} bytes are no whole line yet, as a power cut leaves them: nothing of them was acknowledged, and the \
             next start cuts them off, unless the server that runs completes them.",
            found.torn
        ));
    }
    if found.waiting > 0 {
        say(format_args!(
            "{} records of changes wait in the database: the next start appends them, or the server that runs.",
            found.waiting
        ));
    }
    for problem in &found.problems {
        say(format_args!("{problem}"));
    }
    if found.more > 0 {
        say(format_args!("and {} more.", found.more));
    }
    ensure!(found.problems.is_empty(), "the audit trail is not as it was written");
    say(format_args!("Nothing is wrong."));
    Ok(())
}

/// Whether there are audit records: as was said, or where callers are known.
pub fn wanted(serve: &Serve) -> bool {
    match serve.audit.audit {
        Some(mode) => mode == AuditMode::On,
        None => serve.auth != AuthMode::Off,
    }
}

/// How the store keeps them.
///
/// # Errors
/// Where what is said of the trail's files is of no use.
pub fn kept(serve: &Serve) -> anyhow::Result<Option<Audit>> {
    let AuditAt { audit_file_mib, .. } = serve.audit;
    let in_files = wanted(serve) && serve.store == StoreKind::Sqlite;
    ensure!(
        in_files || audit_file_mib.is_none(),
        "--audit-file-mib is of the audit trail in the data folder, and none is kept there: give --audit on as well"
    );
    Ok(in_files.then(|| Audit {
        file_bytes: u64::from(audit_file_mib.unwrap_or(FILE_MIB)) * 1024 * 1024,
        warn: |note| tracing::warn!(note, "the audit trail"),
    }))
}

/// The size of the trail's files: a hundred thousand records or so.
const FILE_MIB: u16 = 64;
