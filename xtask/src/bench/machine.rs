//! Where the figures were taken.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context as _, ensure};

use crate::run::{command, output};

/// A sentence a line: the machine, the versions, the date, and where the data is.
pub fn describe(data: &str) -> anyhow::Result<String> {
    let information = fs::read_to_string("/proc/cpuinfo")?;
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("of a model that it does not tell", |(_, model)| model);
    let cores = available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let date = output(command("date").args(["--utc", "+%F %H:%M UTC"]))?;
    let commit = output(command("git").args(["describe", "--always", "--dirty"]))?;
    let (date, commit, compiled, kernel) = (date.trim(), commit.trim(), compiled()?, kernel.trim());
    Ok(format!(
        "{date}, commit {commit}. {compiled}\
         CPU: {model}, {cores} cores, shared by server and client. Linux {kernel}, {data}.\n\
         Load average before the run: {load} (on a machine at rest it is near 0).\n"
    ))
}

/// What decides how many instructions a program has: a sentence on a line.
pub fn compiled() -> anyhow::Result<String> {
    let compiler = output(command("rustc").arg("--version"))?;
    let libc = output(command("ldd").arg("--version"))?;
    let libc = libc.lines().next().unwrap_or_default();
    Ok(format!("{} for {}; {libc}.\n", compiler.trim(), std::env::consts::ARCH))
}

/// The type of the filesystem that `folder` is on.
///
/// # Errors
/// Where that is in memory: a sync there costs nothing, and a figure of durable writes would be worth as much.
pub fn filesystem(folder: &Path) -> anyhow::Result<String> {
    let kind = output(command("stat").args(["--file-system", "--format=%T"]).arg(folder))?;
    let kind = kind.trim();
    ensure!(
        !["tmpfs", "ramfs"].contains(&kind),
        "{} is in memory: set CARGO_TARGET_DIR to a folder on a disk",
        folder.display()
    );
    // What stat(1) says is ext2/ext3 for all of its family.
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let folder = folder.canonicalize()?;
    let mounted = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    mounted
        .map(|(_, kind)| kind.to_owned())
        .context("the folder is on no filesystem")
}
