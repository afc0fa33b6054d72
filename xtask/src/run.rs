//! Child processes, the way every task runs them.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// A command with nothing on its standard input, and without this shell's `PATCHBAY_*`: they would change what is
/// tested.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PATCHBAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs it with its output shown.
///
/// # Errors
/// Where it cannot start or does not succeed.
pub fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?} did not start"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// Runs it and gives its standard output.
///
/// # Errors
/// Where it cannot start, does not succeed, or prints no text.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?} did not start"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs it with its output shown as it comes; gives whether it succeeded, and its standard output.
///
/// # Errors
/// Where it cannot start.
pub fn watch(command: &mut Command) -> anyhow::Result<(bool, String)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?} did not start"))?;
    let mut lines = BufReader::new(child.stdout.take().context("the output is not piped")?);
    let mut shown = Vec::new();
    loop {
        let before = shown.len();
        if lines.read_until(b'\n', &mut shown)? == 0 {
            break;
        }
        std::io::stdout().write_all(shown.get(before..).unwrap_or_default())?;
    }
    let success = child.wait()?.success();
    Ok((success, String::from_utf8_lossy(&shown).into_owned()))
}

/// Runs it with its output shown, and ends it after `limit`; gives whether it succeeded.
///
/// # Errors
/// Where it cannot start.
pub fn within(limit: Duration, command: &mut Command) -> anyhow::Result<bool> {
    let mut child = command.spawn().with_context(|| format!("{command:?} did not start"))?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Builds with cargo and gives the executable of each of `names`, in their order.
///
/// # Errors
/// Where the build fails or has no such executable.
pub fn build<const N: usize>(arguments: &[&str], names: [&str; N]) -> anyhow::Result<[PathBuf; N]> {
    let messages = output(
        cargo()
            .args(["build", "--locked", "--message-format=json-render-diagnostics"])
            .args(arguments)
            .stderr(Stdio::inherit()),
    )?;
    let mut found = names.map(|_| None);
    for message in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(message)?;
        let name = message.pointer("/target/name").and_then(|name| name.as_str());
        if let Some(executable) = message.get("executable").and_then(|path| path.as_str())
            && let Some(at) = names.iter().position(|wanted| Some(*wanted) == name)
            && let Some(slot) = found.get_mut(at)
        {
            *slot = Some(PathBuf::from(executable));
        }
    }
    match found.iter().position(Option::is_none) {
        Some(missing) => bail!("cargo built no {}", names.get(missing).unwrap_or(&"")),
        None => Ok(found.map(Option::unwrap_or_default)),
    }
}
