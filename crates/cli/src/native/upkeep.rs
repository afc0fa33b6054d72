//! Upkeep of a data folder: `backup`, `restore`, `check`, `export`, `import`; and `adopt`, of a table and a Worker too.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use patchbay_core::adoption::NewOwner;
use patchbay_core::api::Host as _;
use patchbay_core::identity::source::Url;
use patchbay_core::model::{Subject, Tenant};
use patchbay_core::portable::Totals;
use tempfile::NamedTempFile;

use super::keys::{self, Source};
use super::settings::{self, At};
use super::{dynamodb, operator};
use crate::host::NativeHost;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Upkeep {
    /// Write a backup of the database to a new file; the server may run.
    Backup {
        /// The file to write.
        file: PathBuf,
    },
    /// Put a backup into the data folder; the server must not run.
    Restore {
        /// The backup.
        file: PathBuf,
        /// Where there is a database, keep it aside and put the backup in its place.
        #[arg(long)]
        replace: bool,
    },
    /// Look for damage; the server may run.
    Check,
    /// Write everything as JSON lines, details sealed; the server may run.
    Export {
        /// The file to write; without it, standard output.
        #[arg(long)]
        output: Option<PathBuf>,
        /// Write the details, which are secrets, as they were sent.
        #[arg(long)]
        details_in_the_clear: bool,
    },
    /// Add everything that an export holds, or nothing; the server must not run.
    Import {
        /// The export; - for standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Give somebody what was stored while authentication was off, or name what is in the way and change nothing.
    ///
    /// Of a data folder it is all or nothing, and the server must not run. Of a table it goes step by step, and may be
    /// interrupted, and run again; servers may run, but none with authentication off. A Worker does it itself, asked with
    /// --url, where its PATCHBAY_ADOPT_TENANT names the tenant; all or nothing, and it may be interrupted, and run again.
    Adopt {
        /// Their tenant.
        #[arg(long, value_parser = |tenant: &str| Tenant::new(tenant))]
        tenant: Tenant,
        /// Who they are in it: the `sub` of their tokens, or the subject.
        #[arg(long, value_name = "SUBJECT", value_parser = |subject: &str| Subject::new(subject))]
        owner: Subject,
        /// Say what it would come to, and keep nothing of it.
        #[arg(long)]
        dry_run: bool,
        /// End what was begun for them and is not decided, so that the tenant `default` changes again; with --url.
        #[arg(long, requires = "url", conflicts_with = "dry_run")]
        give_up: bool,
        #[command(flatten)]
        at: At,
    },
}

/// Runs a command on the folder `data`.
///
/// # Errors
/// What stopped it, in a sentence that says what to do; for `check`, that there are problems.
pub fn run(upkeep: &Upkeep, data: &Path) -> anyhow::Result<()> {
    match upkeep {
        Upkeep::Backup { file } => backup(data, file),
        Upkeep::Restore { file, replace } => restore(data, file, *replace),
        Upkeep::Check => check(data),
        Upkeep::Export {
            output,
            details_in_the_clear,
        } => export(data, output.as_deref(), *details_in_the_clear),
        Upkeep::Import { file } => import(data, file),
        Upkeep::Adopt {
            tenant,
            owner,
            dry_run,
            give_up,
            at,
        } => {
            let to = NewOwner {
                tenant: tenant.clone(),
                subject: owner.clone(),
            };
            match at.url.as_ref().filter(|_| *give_up) {
                Some(url) => give_up_adoption(url, &to),
                None => adopt(at, data, &to, *dry_run),
            }
        }
    }
}

/// Says how it went. It went so whether or not somebody reads it.
pub fn say(line: std::fmt::Arguments<'_>) {
    _ = writeln!(std::io::stdout(), "{line}");
}

fn backup(data: &Path, file: &Path) -> anyhow::Result<()> {
    let bytes = patchbay_sql::backup(data, file)?;
    say(format_args!(
        "The backup is in {} ({bytes} bytes). The keys are not in it: keep a copy of them apart from it, since nothing \
         opens the details without them.",
        file.display()
    ));
    Ok(())
}

fn restore(data: &Path, file: &Path, replace: bool) -> anyhow::Result<()> {
    let kept = patchbay_sql::restore(data, file, replace, NativeHost.now())?;
    say(format_args!("{} is restored into {}.", file.display(), data.display()));
    if let Some(kept) = kept {
        say(format_args!("What was there is kept in {}.", kept.display()));
    }
    say(format_args!(
        "The keys are not in a backup: see that {} or PATCHBAY_KEYS has those that sealed it, then run `patchbay check`.",
        data.join(keys::FILE).display()
    ));
    Ok(())
}

fn check(data: &Path) -> anyhow::Result<()> {
    let (ring, _) = keys::of_database(data)?;
    let report = patchbay_sql::check(data, &ring)?;
    say(format_args!(
        "{} connections, {} attachments, {} workspaces, {} members.",
        report.connections, report.attachments, report.workspaces, report.members
    ));
    for problem in &report.problems {
        say(format_args!("{problem}"));
    }
    if report.more > 0 {
        say(format_args!("and {} more.", report.more));
    }
    if report.missing_keys > 0 {
        say(format_args!(
            "Keys are missing, which no backup holds: put them back into PATCHBAY_KEYS, or into {} where it is not set.",
            data.join(keys::FILE).display()
        ));
    }
    if report.damages() > 0 {
        say(format_args!(
            "`patchbay restore FILE --replace` puts a backup in place of what is damaged."
        ));
    }
    ensure!(report.is_clean(), "there are problems");
    say(format_args!("Nothing is wrong."));
    Ok(())
}

fn export(data: &Path, output: Option<&Path>, in_the_clear: bool) -> anyhow::Result<()> {
    let ring = in_the_clear.then(|| keys::of_database(data)).transpose()?;
    let ring = ring.map(|(ring, _)| ring);
    let Some(output) = output else {
        let mut stdout = BufWriter::new(std::io::stdout().lock());
        patchbay_sql::export(data, ring.as_ref(), &mut stdout)?;
        return Ok(());
    };
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let wrong = || format!("the export cannot be written to {}", output.display());
    // A folder without a database is told of below, in better words.
    if data.is_dir() {
        ensure!(
            !patchbay_sql::is_inside(data, output).with_context(wrong)?,
            "{} is in the data folder; choose another folder",
            output.display()
        );
    }
    ensure!(
        !output.try_exists().with_context(wrong)?,
        "{} exists; choose another name, or move it away",
        output.display()
    );
    // Readable by its owner alone, and gone if it is not completed.
    let mut file = NamedTempFile::new_in(folder).with_context(wrong)?;
    let totals = patchbay_sql::export(data, ring.as_ref(), &mut BufWriter::new(&mut file))?;
    file.as_file().sync_all().with_context(wrong)?;
    if let Err(error) = file.persist_noclobber(output) {
        if error.error.kind() == ErrorKind::AlreadyExists {
            bail!("{} exists; choose another name, or move it away", output.display());
        }
        return Err(error.error).with_context(wrong);
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(wrong)?;
    say(format_args!("{} is written: {}.", output.display(), counted(totals)));
    Ok(())
}

fn import(data: &Path, file: &Path) -> anyhow::Result<()> {
    let lines: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        Box::new(BufReader::new(opened))
    };
    let (ring, source) = keys::ring(settings::keys()?, data)?;
    if let Source::Made(keys) = source {
        say(format_args!(
            "{} is made just now. Keep a copy apart from the data: without it no details can be read again.",
            keys.display()
        ));
    }
    let totals = patchbay_sql::import(data, &ring, &NativeHost, lines)?;
    say(format_args!("Imported: {}.", counted(totals)));
    Ok(())
}

fn counted(totals: Totals) -> String {
    format!("{} connections, {} workspaces", totals.connections, totals.workspaces)
}

fn give_up_adoption(url: &Url, to: &NewOwner) -> anyhow::Result<()> {
    operator::give_up(url, to)?;
    say(format_args!(
        "Nothing is under way for {} of {}.",
        to.subject, to.tenant
    ));
    Ok(())
}

fn adopt(at: &At, data: &Path, to: &NewOwner, dry_run: bool) -> anyhow::Result<()> {
    let adopted = match (&at.url, at.store.table()?) {
        (Some(url), _) => operator::adopt(url, to, dry_run)?,
        (None, Some(table)) => dynamodb::adopt(table, to, dry_run)?,
        (None, None) => {
            let (ring, source) = keys::of_database(data)?;
            keys::settle(data, &source)?;
            patchbay_sql::adopt(data, &ring, &NativeHost, to, dry_run)?
        }
    };
    say(format_args!(
        "{} {} connections, {} workspaces.",
        if dry_run { "Would be adopted:" } else { "Adopted:" },
        adopted.connections,
        adopted.workspaces
    ));
    if adopted.left_out > 0 {
        say(format_args!(
            "{} of the workspaces have no room for {}, or there are more than anybody may be in: an admin of {} gives them \
             members.",
            adopted.left_out, to.subject, to.tenant
        ));
    }
    Ok(())
}
