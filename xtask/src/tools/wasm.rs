//! A toolchain that compiles for WebAssembly.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{Cache, apt};
use crate::run::{cargo, command, output, succeed, within};

const WASM: &str = "wasm32-unknown-unknown";

/// A toolchain that compiles for WebAssembly.
pub enum Wasm {
    /// rustup's own, with the target and the standard library's sources added.
    Rustup,
    /// Debian's, for machines whose rustup cannot download. Its standard library is built from Debian's sources into
    /// this sysroot, since Debian has no package of it for this target.
    Debian { sysroot: PathBuf },
}

impl Wasm {
    /// Clippy for this target.
    pub fn clippy(&self) -> Command {
        let mut clippy = match self {
            Self::Rustup => {
                let mut clippy = cargo();
                clippy.arg("clippy");
                clippy
            }
            Self::Debian { sysroot } => {
                let mut clippy = debian("/usr/bin/cargo-clippy");
                clippy.arg("clippy");
                // With `--target`, flags reach neither build scripts nor macros, which are the host's.
                clippy.env("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot={}", sysroot.display()));
                clippy
            }
        };
        clippy.args(["--target", WASM]);
        clippy
    }

    /// A program that itself runs `cargo` and `rustc` for this target.
    ///
    /// # Errors
    /// Where this process has no sensible `PATH`.
    pub fn runner(&self, program: &Path) -> anyhow::Result<Command> {
        Ok(match self {
            Self::Rustup => command(program),
            Self::Debian { sysroot } => {
                let mut runner = debian(program);
                runner
                    .env("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot={}", sysroot.display()))
                    // First, a `rustc` that says it has the target.
                    .env("PATH", before_path(&[&sysroot.join("bin"), Path::new("/usr/bin")])?);
                runner
            }
        })
    }

    /// A program that itself runs `cargo` and `rustc` for this target and must hand [`UNWINDING`] on to `cargo`: panics
    /// unwind then, where the standard library that is shipped for this target aborts.
    ///
    /// # Errors
    /// Where this process has no sensible `PATH`.
    pub fn unwinding_runner(&self, program: &Path) -> anyhow::Result<Command> {
        let mut runner = self.runner(program)?;
        runner
            .env("CARGO_ENCODED_RUSTFLAGS", "-Cpanic=unwind")
            .envs(MAY_BUILD_STD);
        Ok(runner)
    }
}

/// Has `cargo` build a standard library that unwinds.
pub const UNWINDING: &str = "-Zbuild-std=std,panic_unwind";
/// `-Zbuild-std` is there only for nightly compilers, or those told that they may.
const MAY_BUILD_STD: [(&str, &str); 1] = [("RUSTC_BOOTSTRAP", "1")];

/// `PATH` with these folders first.
fn before_path(folders: &[&Path]) -> anyhow::Result<OsString> {
    let path = env::var_os("PATH").context("there is no PATH")?;
    let folders = folders.iter().map(|folder| folder.to_path_buf());
    Ok(env::join_paths(folders.chain(env::split_paths(&path)))?)
}

/// WebAssembly, by rustup where it can download the target, by Debian's packages elsewhere.
///
/// # Errors
/// Where neither way works.
pub fn wasm(cache: &Cache) -> anyhow::Result<Wasm> {
    cache.ensure(
        "WebAssembly target",
        || {
            let rustc = |what: &[&str]| output(command("rustc").arg("--print").args(what)).ok();
            let target = rustc(&["target-libdir", "--target", WASM])?;
            let sources = Path::new(rustc(&["sysroot"])?.trim()).join("lib/rustlib/src/rust/library/std");
            if Path::new(target.trim()).exists() && sources.exists() {
                return Some(Wasm::Rustup);
            }
            let sysroot = cache.find(&debian_key().ok()?)?;
            Some(Wasm::Debian { sysroot })
        },
        || {
            let added = [["target", "add", WASM], ["component", "add", "rust-src"]]
                .iter()
                .all(|what| matches!(within(Duration::from_secs(120), command("rustup").args(what)), Ok(true)));
            if added {
                return Ok(());
            }
            println!("rustup could not add {WASM} and its sources: taking Debian's Rust for it");
            apt(&[
                "rustc-web",
                "cargo-web",
                "rust-web-clippy",
                "rust-web-src",
                "rust-web-llvm",
                "lld-22",
            ])?;
            cache.fill(&debian_key()?, build_std)
        },
    )
}

fn debian(program: impl AsRef<OsStr>) -> Command {
    let mut command = command(program);
    command
        .env("CARGO", "/usr/bin/cargo")
        .env("RUSTC", "/usr/bin/rustc")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

fn debian_key() -> anyhow::Result<String> {
    let version = output(debian("/usr/bin/rustc").arg("--version"))?;
    let version = version.split(' ').nth(1).context("rustc names no version")?;
    Ok(format!("wasm-sysroot-{version}"))
}

/// Builds the standard library into `sysroot`.
fn build_std(sysroot: &Path) -> anyhow::Result<()> {
    let seed = tempfile::tempdir()?;
    fs::create_dir(seed.path().join("src"))?;
    fs::write(seed.path().join("src/lib.rs"), "#![no_std]\n")?;
    fs::write(
        seed.path().join("Cargo.toml"),
        "[package]\nname = \"seed\"\nedition = \"2024\"\n[workspace]\n",
    )?;
    succeed(
        debian("/usr/bin/cargo")
            .current_dir(seed.path())
            .envs(MAY_BUILD_STD)
            // Without bitcode, link-time optimisation finds nothing to work on.
            .env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes")
            .env("CARGO_TARGET_DIR", seed.path().join("target"))
            .args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", WASM]),
    )?;
    let libraries = sysroot.join("lib/rustlib").join(WASM).join("lib");
    fs::create_dir_all(&libraries)?;
    for built in fs::read_dir(seed.path().join("target").join(WASM).join("release/deps"))? {
        let built = built?;
        let name = built.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".rlib") && !text.starts_with("libseed-") {
            fs::copy(built.path(), libraries.join(&name))?;
        }
    }
    // For programs that ask whether the target is there. What compiles is told by flags, which reach only what is
    // compiled for the target: this folder has no libraries for the host.
    let asked = sysroot.join("bin/rustc");
    fs::create_dir_all(sysroot.join("bin"))?;
    fs::write(
        &asked,
        format!(
            "#!/bin/sh\nexec /usr/bin/rustc --sysroot='{}' \"$@\"\n",
            sysroot.display()
        ),
    )?;
    fs::set_permissions(&asked, Permissions::from_mode(0o755))?;
    Ok(())
}
