//! `patchbay keys status` and `patchbay keys rotate`.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use patchbay_core::api::Host as _;
use patchbay_core::audit::Record;
use patchbay_core::limits;
use patchbay_core::model::KeyId;
use patchbay_core::rotation::{self, Counted, KeyStatus, Left, Proof, Sealings, Search, Step};
use patchbay_core::seal::{KeyRing, OpenError as SealedError};
use patchbay_sql::{NativeStore, OpenError, Options};
use tokio::runtime::Runtime;

use super::keys::Source;
use super::settings::StoreAt;
use super::{dynamodb, keys, upkeep};
use crate::host::NativeHost;

/// Time from one word of progress to the next, at least.
const PROGRESS: Duration = Duration::from_secs(1);
/// Damaged records that are named.
const NAMED: usize = 100;

/// Says how many records each key seals.
///
/// # Errors
/// What stopped it, in a sentence that says what to do.
pub fn status(at: &StoreAt, data: &Path) -> anyhow::Result<()> {
    if let Some(table) = at.table()? {
        return dynamodb::status(table);
    }
    let (ring, _) = keys::of_database(data)?;
    say(&ring, &patchbay_sql::count_sealed(data)?);
    Ok(())
}

/// Seals again what others than the ring's first key sealed.
///
/// # Errors
/// What stopped it, in a sentence that says what to do; that not all is sealed with the first key.
pub fn rotate(at: &StoreAt, data: &Path) -> anyhow::Result<()> {
    if let Some(table) = at.table()? {
        return dynamodb::rotate(table);
    }
    let (ring, source) = keys::of_database(data)?;
    // A store that is opened is made where there is none.
    let there = patchbay_sql::has_database(data);
    ensure!(
        there.with_context(|| format!("the data folder {} cannot be read", data.display()))?,
        OpenError::NoDatabase(data.to_owned())
    );
    let record = Record::of_command(NativeHost.now(), "keys/rotate");
    let store = NativeStore::open(data, Options::default())?.recording(record);
    keys::settle(data, &source)?;
    runtime()?.block_on(all(&store, &ring, &source))
}

/// What a command waits with.
///
/// # Errors
/// Where the system does not give what it takes.
pub fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Batch after batch, each of which stands, whatever becomes of the next; and how it ends.
///
/// # Errors
/// What stopped it; that not all is sealed with the first key.
pub async fn all(store: &impl Sealings, ring: &KeyRing, source: &Source) -> anyhow::Result<()> {
    let key = ring.sealing_key();
    prove(store, ring, source).await?;
    let (mut sealed, mut damaged, mut after) = (Progress::default(), 0, None);
    loop {
        let batch = rotation::reseal(store, ring, &NativeHost, after, limits::RESEALED).await;
        let batch = batch.context("the rotation is not complete; run it again, and it goes on")?;
        sealed.add(u64::try_from(batch.records).unwrap_or(u64::MAX));
        for left in batch.left {
            // Those without their key are in the count.
            if !matches!(
                &left,
                Left::Closed {
                    error: SealedError::MissingKey(_),
                    ..
                }
            ) {
                damaged += 1;
                if damaged <= NAMED {
                    progress(format_args!("{left}"));
                }
            }
        }
        after = batch.next;
        if after.is_none() {
            break;
        }
        sealed.tell();
    }
    sealed.end();
    let counted = count(store).await?;
    say(ring, &counted);
    let others = counted.not_under(key);
    ensure!(
        damaged == 0,
        "{}, and {damaged} damaged, of which the first {NAMED} are named above: delete them, or restore them from a backup",
        not_sealed(others, key)
    );
    ensure!(
        others == 0,
        "{}: put keys that are missing back into the ring, see that every server has {key} first in its own, and run it \
         again",
        not_sealed(others, key)
    );
    Ok(())
}

/// How many records others than the key seal.
pub fn not_sealed(others: u64, key: &KeyId) -> String {
    let are = if others == 1 { "is" } else { "are" };
    format!("{} {are} not sealed with {key}", many(others))
}

/// How many records are sealed again, and when that was said.
pub struct Progress {
    records: u64,
    told: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            records: 0,
            told: Instant::now(),
        }
    }
}

impl Progress {
    /// So many more are.
    pub fn add(&mut self, records: u64) {
        self.records += records;
    }

    /// Says how many are so far, if there is news to say yet.
    pub fn tell(&mut self) {
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            progress(format_args!("Sealed again so far: {}.", many(self.records)));
        }
    }

    /// Says how many are in the end.
    pub fn end(self) {
        progress(format_args!("Sealed again: {}.", many(self.records)));
    }
}

/// Sees that a record which the ring's first key sealed already opens; says so where there is none.
///
/// # Errors
/// That it does not, or what the store reports.
pub async fn prove(store: &impl Sealings, ring: &KeyRing, source: &Source) -> anyhow::Result<()> {
    let mut search = Search::default();
    loop {
        match rotation::prove(store, ring, search).await? {
            Proof::Opens => return Ok(()),
            Proof::Search(on) => search = on,
            Proof::Nothing => break,
        }
    }
    if matches!(source, Source::Variable) {
        progress(format_args!(
            "Nothing is sealed with {} yet, so nothing shows whether its secret here is the one that the servers have: see \
             that it is.",
            ring.sealing_key()
        ));
    }
    Ok(())
}

/// How many records each key seals.
///
/// # Errors
/// What the store reports.
pub async fn count(store: &impl Sealings) -> anyhow::Result<Counted> {
    let (mut sum, mut after) = (Counted::default(), None);
    loop {
        let Step { found, next } = store
            .count_sealed(after)
            .await
            .context("the records cannot be counted")?;
        sum.add(found);
        let Some(next) = next else { return Ok(sum) };
        after = Some(next);
    }
}

/// Says how every key stands.
pub fn say(ring: &KeyRing, counted: &Counted) {
    say_all(&rotation::statuses(ring, &counted.under), counted.unreadable);
}

/// Says how keys stand, a line each, and that there are records of which that cannot be said.
pub fn say_all<'s>(statuses: impl IntoIterator<Item = &'s KeyStatus>, unreadable: u64) {
    for status in statuses {
        upkeep::say(format_args!("{}", line(status)));
    }
    if unreadable > 0 {
        let (them, they_are) = if unreadable == 1 {
            ("it", "it is")
        } else {
            ("them", "they are")
        };
        upkeep::say(format_args!(
            "{}: which key sealed {them} cannot be read; keep every key until {they_are} restored or deleted",
            many(unreadable)
        ));
    }
}

fn line(status: &KeyStatus) -> String {
    let KeyStatus { id, records, .. } = status;
    let and = match status {
        KeyStatus { sealing: true, .. } => "; it seals what is new",
        KeyStatus { available: false, .. } => "; it is not in the ring, so that nothing opens what it sealed",
        KeyStatus { records: 0, .. } => "; only backups from before may need it, once no server seals with it",
        _ => "",
    };
    format!("{id}: {}{and}", many(*records))
}

fn many(records: u64) -> String {
    match records {
        1 => "1 record".to_owned(),
        _ => format!("{records} records"),
    }
}

/// Says it beside the result.
pub fn progress(line: std::fmt::Arguments<'_>) {
    _ = writeln!(std::io::stderr(), "{line}");
}
