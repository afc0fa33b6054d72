//! The tools that the tasks need: how each is found, and how it is installed where it is missing.
//!
//! What is slow to install lives in a cache outside the checkout, keyed by version, so that a clean clone finds it
//! again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::run::{cargo, command, output, succeed, within};
use crate::test;

const CARGO_DENY: &str = "0.20.2";
/// The tests look for it under this version too.
const DYNAMODB_LOCAL: &str = include_str!("../../crates/testkit/src/dynamodb_local/version");
const WASM: &str = "wasm32-unknown-unknown";
/// Written last into a folder of the cache: a folder without it was interrupted.
const COMPLETE: &str = "complete";

/// Installs every tool that is missing.
///
/// # Errors
/// Names the first tool that could not be installed.
pub fn set_up() -> anyhow::Result<()> {
    let cache = Cache::open()?;
    wasm(&cache)?;
    cargo_deny(&cache)?;
    for suite in test::PYTHON {
        python(&cache, suite)?;
    }
    dynamodb_local(&cache)?;
    wrk(&cache)?;
    valgrind(&cache)?;
    Ok(())
}

/// `$PATCHBAY_CACHE`, or `~/.cache/patchbay`.
pub struct Cache(PathBuf);

impl Cache {
    /// Makes it where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made, or there is no home folder to put it in.
    pub fn open() -> anyhow::Result<Self> {
        let folder = match std::env::var_os("PATCHBAY_CACHE") {
            Some(folder) => PathBuf::from(folder),
            None => std::env::home_dir()
                .context("there is no home folder: set PATCHBAY_CACHE")?
                .join(".cache/patchbay"),
        };
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self(folder.canonicalize()?))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The folder of a tool, if `fill` once got to its end.
    fn find(&self, key: &str) -> Option<PathBuf> {
        let folder = self.0.join(key);
        folder.join(COMPLETE).exists().then_some(folder)
    }

    /// Fills the folder of a tool anew. It is filled in its place, since virtual environments cannot be moved.
    fn fill(&self, key: &str, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let folder = self.0.join(key);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        fill(&folder)?;
        File::create(folder.join(COMPLETE))?;
        Ok(())
    }

    /// Finds a tool, or installs it; prints a line about it.
    fn ensure<T>(
        &self,
        name: &str,
        find: impl Fn() -> Option<T>,
        install: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<T> {
        if let Some(tool) = find() {
            println!("{name}: found");
            return Ok(tool);
        }
        let lock = File::create(self.0.join("lock"))?;
        lock.lock()?;
        // Whoever held the lock may have installed it.
        if let Some(tool) = find() {
            println!("{name}: found");
            return Ok(tool);
        }
        let started = Instant::now();
        install().with_context(|| format!("{name} could not be installed"))?;
        let tool = find().with_context(|| format!("{name} was installed and is not found"))?;
        println!("{name}: installed in {} s", started.elapsed().as_secs());
        Ok(tool)
    }
}

/// A toolchain that compiles for WebAssembly.
pub enum Wasm {
    /// rustup's own, with the target added.
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
}

/// WebAssembly, by rustup where it can download the target, by Debian's packages elsewhere.
///
/// # Errors
/// Where neither way works.
pub fn wasm(cache: &Cache) -> anyhow::Result<Wasm> {
    cache.ensure(
        "WebAssembly target",
        || {
            let folder = output(command("rustc").args(["--print", "target-libdir", "--target", WASM])).ok()?;
            if Path::new(folder.trim()).exists() {
                return Some(Wasm::Rustup);
            }
            let sysroot = cache.find(&debian_key().ok()?)?;
            Some(Wasm::Debian { sysroot })
        },
        || {
            let rustup = within(
                Duration::from_secs(120),
                command("rustup").args(["target", "add", WASM]),
            );
            if matches!(rustup, Ok(true)) {
                return Ok(());
            }
            println!("rustup could not add {WASM}: taking Debian's Rust for it");
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

fn debian(program: &str) -> Command {
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
    Ok(format!("wasm-std-{version}"))
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
            // `-Zbuild-std` is there only for nightly compilers, or those told that they may.
            .env("RUSTC_BOOTSTRAP", "1")
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
    Ok(())
}

/// `cargo-deny`. Gives its executable.
///
/// # Errors
/// Where it does not build.
pub fn cargo_deny(cache: &Cache) -> anyhow::Result<PathBuf> {
    let key = format!("cargo-deny-{CARGO_DENY}");
    cache.ensure(
        &format!("cargo-deny {CARGO_DENY}"),
        || Some(cache.find(&key)?.join("bin/cargo-deny")),
        || {
            cache.fill(&key, |folder| {
                succeed(
                    cargo()
                        // A debug build takes a quarter of the time, and checks a graph of this size in a second.
                        .args([
                            "install",
                            "--quiet",
                            "--debug",
                            "--locked",
                            "--version",
                            CARGO_DENY,
                            "--root",
                        ])
                        .arg(folder)
                        .arg("cargo-deny")
                        .env("CARGO_PROFILE_DEV_DEBUG", "0"),
                )
            })
        },
    )
}

/// The virtual environment of the Python suite in `tests/<suite>`, as its `requirements.txt` wants it. Gives its
/// interpreter.
///
/// # Errors
/// Where there are no requirements, or they cannot be installed.
pub fn python(cache: &Cache, suite: &str) -> anyhow::Result<PathBuf> {
    let requirements = Path::new("tests").join(suite).join("requirements.txt");
    let wanted = fs::read(&requirements).with_context(|| format!("{} cannot be read", requirements.display()))?;
    let version = output(command("python3").args(["-c", "import sys; print(sys.version)"]))?;
    let mut hash = Sha256::new();
    hash.update(version.as_bytes());
    hash.update(&wanted);
    let hash: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let key = format!("python-{suite}-{hash}");
    cache.ensure(
        &format!("Python packages of {suite}"),
        || {
            let python = cache.find(&key)?.join("bin/python");
            // The interpreter is a link to one that may have gone since.
            output(command(&python).arg("--version")).ok()?;
            Some(python)
        },
        || {
            cache.fill(&key, |folder| {
                succeed(command("python3").args(["-m", "venv"]).arg(folder))?;
                succeed(
                    command(folder.join("bin/python"))
                        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                        .arg("--requirement")
                        .arg(&requirements),
                )
            })
        },
    )
}

/// DynamoDB Local, which the tests start by themselves. Gives the folder with its jars.
///
/// # Errors
/// Where there is no JDK, no Maven, or nothing to be had by them.
pub fn dynamodb_local(cache: &Cache) -> anyhow::Result<PathBuf> {
    let key = format!("dynamodb-local-{DYNAMODB_LOCAL}");
    cache.ensure(
        &format!("DynamoDB Local {DYNAMODB_LOCAL}"),
        || cache.find(&key),
        || {
            if on_path("javac").is_none() || on_path("mvn").is_none() {
                apt(&["default-jdk-headless", "maven"])?;
            }
            cache.fill(&key, |folder| {
                succeed(
                    command("mvn")
                        .args([
                            "--quiet",
                            "--batch-mode",
                            "--file",
                            "crates/testkit/src/dynamodb_local/pom.xml",
                        ])
                        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
                        .arg("-DincludeScope=runtime")
                        .arg(format!("-Ddynamodb-local={DYNAMODB_LOCAL}"))
                        .arg(format!("-DoutputDirectory={}", folder.display())),
                )
            })
        },
    )
}

/// `wrk`, the load generator of the benchmarks.
///
/// # Errors
/// Where it is missing and Debian's packages are not to be had.
pub fn wrk(cache: &Cache) -> anyhow::Result<PathBuf> {
    cache.ensure("wrk", || on_path("wrk"), || apt(&["wrk"]))
}

/// `valgrind`, which counts instructions.
///
/// # Errors
/// Where it is missing and Debian's packages are not to be had.
pub fn valgrind(cache: &Cache) -> anyhow::Result<PathBuf> {
    cache.ensure("valgrind", || on_path("valgrind"), || apt(&["valgrind"]))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn apt(packages: &[&str]) -> anyhow::Result<()> {
    ensure!(
        on_path("apt-get").is_some(),
        "this machine has no apt-get: install {} by hand",
        packages.join(", ")
    );
    succeed(command("apt-get").args(["update", "-qq"]))?;
    succeed(
        command("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-qq", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}
