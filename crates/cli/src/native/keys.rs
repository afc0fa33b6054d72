//! Where the key ring comes from.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use patchbay_core::model::KeyId;
use patchbay_core::seal::{self, KeyRing};
use patchbay_sql::OpenError;
use secrecy::{ExposeSecret as _, SecretString};

use super::settings;
use crate::host::NativeHost;

/// The file in the data folder.
pub const FILE: &str = "keys";

/// Where a ring was found.
#[derive(Debug)]
pub enum Source {
    /// In `PATCHBAY_KEYS`.
    Variable,
    /// In this file.
    File(PathBuf),
    /// In this file, which was made just now.
    Made(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str(settings::KEYS),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Made(file) => write!(
                f,
                "{}, made just now. Keep a copy apart from the data: without it no details can be read again.",
                file.display()
            ),
        }
    }
}

/// The ring of `PATCHBAY_KEYS`, or else of the data folder's file, or else a new one in that file, if there is no
/// database yet that another ring may have sealed. The folder is made first, if need be.
///
/// # Errors
/// A malformed ring, a folder or file that cannot be read or made, or a database without its keys.
pub fn ring(variable: Option<SecretString>, data: &Path) -> anyhow::Result<(KeyRing, Source)> {
    patchbay_sql::make_folder(data).with_context(|| {
        format!(
            "the data folder {} cannot be made; choose another with --data",
            data.display()
        )
    })?;
    if let Some((ring, source)) = existing(variable, data)? {
        settle(data, &source)?;
        return Ok((ring, source));
    }
    let file = data.join(FILE);
    let entry = seal::generate_entry(&NativeHost, &KeyId::new("k1").map_err(anyhow::Error::new)?);
    let ring = parse(entry.expose_secret(), "the new keys")?;
    let unwritten = || format!("the keys cannot be written to {}", file.display());
    if make(data, &file, &entry).with_context(unwritten)? {
        return Ok((ring, Source::Made(file)));
    }
    existing(None, data)?.with_context(unwritten)
}

/// Sees that a file of keys is on disk, by this name, before anything is sealed with a key that somebody has just put into
/// it.
///
/// # Errors
/// Where the file or its folder cannot be synced.
pub fn settle(data: &Path, source: &Source) -> anyhow::Result<()> {
    let Source::File(file) = source else { return Ok(()) };
    let synced = fs::File::open(file).and_then(|keys| {
        keys.sync_all()?;
        fs::File::open(data)?.sync_all()
    });
    synced.with_context(|| format!("the keys in {} cannot be synced to disk", file.display()))
}

/// The ring of `PATCHBAY_KEYS`, or else of the data folder's file, if there is either.
///
/// # Errors
/// A malformed ring, a file that cannot be read, or a database without its keys.
pub fn existing(variable: Option<SecretString>, data: &Path) -> anyhow::Result<Option<(KeyRing, Source)>> {
    if let Some(keys) = variable {
        return Ok(Some((of_variable(&keys)?, Source::Variable)));
    }
    let file = data.join(FILE);
    let unreadable = || format!("the data folder {} cannot be read", data.display());
    match fs::read_to_string(&file) {
        Ok(keys) => {
            let keys = SecretString::from(keys);
            let ring = parse(keys.expose_secret().trim(), &file.display().to_string())?;
            Ok(Some((ring, Source::File(file))))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ensure!(
                !patchbay_sql::has_database(data).with_context(unreadable)?,
                "{} holds a database but no keys: put its file `keys` back, or set PATCHBAY_KEYS to the ring that \
                 sealed it",
                data.display()
            );
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("the keys in {} cannot be read", file.display())),
    }
}

/// The ring of a folder whose database is there, as [`existing`] finds it.
///
/// # Errors
/// As those of [`existing`], or where there is neither.
pub fn of_database(data: &Path) -> anyhow::Result<(KeyRing, Source)> {
    let found = existing(settings::keys()?, data)?;
    // The keys are there wherever a database is, or the look for them has failed.
    found.with_context(|| OpenError::NoDatabase(data.to_owned()))
}

/// The ring of `PATCHBAY_KEYS`.
///
/// # Errors
/// A malformed ring.
pub fn of_variable(variable: &SecretString) -> anyhow::Result<KeyRing> {
    parse(variable.expose_secret(), settings::KEYS)
}

fn parse(keys: &str, place: &str) -> anyhow::Result<KeyRing> {
    KeyRing::parse(keys).map_err(|error| anyhow::anyhow!("{place}: {error}"))
}

/// Writes the file so that it is there, whole, before anything is sealed with it; says whether it was. Where another
/// start was quicker, its keys stay: something may be sealed with them already.
fn make(data: &Path, file: &Path, entry: &SecretString) -> std::io::Result<bool> {
    let folder = fs::File::open(data)?;
    folder.lock()?;
    if file.try_exists()? {
        return Ok(false);
    }
    let fresh = file.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // A start that was cut short here left it.
        _ => {}
    }
    let mut written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    written.write_all(entry.expose_secret().as_bytes())?;
    written.write_all(b"\n")?;
    written.sync_all()?;
    fs::rename(&fresh, file)?;
    folder.sync_all()?;
    Ok(true)
}
