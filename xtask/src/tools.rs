//! The tools that the tasks need: how each is found, and how it is installed where it is missing.
//!
//! What is slow to install lives in a cache outside the checkout, keyed by version, so that a clean clone finds it
//! again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::run::{cargo, command, output, succeed};
use crate::test;

mod wasm;

pub use wasm::{UNWINDING, Wasm, wasm};

const CARGO_DENY: &str = "0.20.2";
const WORKER_BUILD: &str = "0.8.7";
/// The tests look for it under this version too.
const DYNAMODB_LOCAL: &str = include_str!("../../crates/testkit/src/dynamodb_local/version");
/// What says which npm packages a suite has, and where they do not come from: the lock file names no registry.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// Written last into a folder of the cache: a folder without it was interrupted.
const COMPLETE: &str = "complete";

/// Installs every tool that is missing.
///
/// # Errors
/// Names the first tool that could not be installed.
pub fn set_up() -> anyhow::Result<()> {
    let cache = Cache::open()?;
    worker(&cache)?;
    cargo_deny(&cache)?;
    for suite in test::PYTHON {
        python(&cache, suite)?;
    }
    npm(&cache, "issuer")?;
    cargo_lambda(&cache)?;
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

/// `cargo-deny`. Gives its executable.
///
/// # Errors
/// Where it does not build.
pub fn cargo_deny(cache: &Cache) -> anyhow::Result<PathBuf> {
    installed(cache, "cargo-deny", "cargo-deny", CARGO_DENY)
}

/// An executable of a crate, as cargo installs it.
fn installed(cache: &Cache, package: &str, executable: &str, version: &str) -> anyhow::Result<PathBuf> {
    let key = format!("{package}-{version}");
    cache.ensure(
        &format!("{package} {version}"),
        || Some(cache.find(&key)?.join("bin").join(executable)),
        || {
            cache.fill(&key, |folder| {
                succeed(
                    cargo()
                        // A debug build takes a quarter of the time, and none of these has much to do.
                        .args([
                            "install",
                            "--quiet",
                            "--debug",
                            "--locked",
                            "--version",
                            version,
                            "--root",
                        ])
                        .arg(folder)
                        .arg(package)
                        .env("CARGO_PROFILE_DEV_DEBUG", "0"),
                )
            })
        },
    )
}

/// What builds a Worker and runs it on this machine.
pub struct WorkerTools {
    wasm: Wasm,
    worker_build: PathBuf,
    wasm_bindgen: PathBuf,
    npm: PathBuf,
}

/// The tools for Workers: Rust's from crates.io, the runtime and what makes the module small from npm.
///
/// # Errors
/// Names the first that could not be installed.
pub fn worker(cache: &Cache) -> anyhow::Result<WorkerTools> {
    Ok(WorkerTools {
        wasm: wasm(cache)?,
        worker_build: installed(cache, "worker-build", "worker-build", WORKER_BUILD)?,
        wasm_bindgen: installed(cache, "wasm-bindgen-cli", "wasm-bindgen", &locked("wasm-bindgen")?)?,
        npm: npm(cache, "worker")?,
    })
}

impl WorkerTools {
    /// `worker-build`, for a Worker by the book.
    ///
    /// # Errors
    /// Where this process has no sensible `PATH`.
    pub fn worker_build(&self) -> anyhow::Result<Command> {
        Ok(self.told(self.wasm.runner(&self.worker_build)?))
    }

    /// `worker-build`, for a Worker whose panics unwind. Its last argument must be [`UNWINDING`].
    ///
    /// # Errors
    /// Where this process has no sensible `PATH`.
    pub fn unwinding_worker_build(&self) -> anyhow::Result<Command> {
        Ok(self.told(self.wasm.unwinding_runner(&self.worker_build)?))
    }

    /// What takes the functions' names, a tenth of what is sent, out of a module that `worker-build` made and keeps them in.
    /// The log of a panic names its place in the source without them.
    pub fn without_names(&self, module: &Path) -> Command {
        /// Those that `worker-build` 0.8.7 allows `wasm-opt`: what it writes then runs in every workerd.
        const FEATURES: [&str; 7] = [
            "--enable-mutable-globals",
            "--enable-sign-ext",
            "--enable-nontrapping-float-to-int",
            "--enable-bulk-memory",
            "--enable-multivalue",
            "--enable-reference-types",
            "--enable-exception-handling",
        ];
        let mut strip = command(self.wasm_opt());
        strip
            .args(FEATURES)
            .arg("--strip-debug")
            .arg(module)
            .arg("--output")
            .arg(module);
        strip
    }

    fn wasm_opt(&self) -> PathBuf {
        self.npm.join("node_modules/.bin/wasm-opt")
    }

    /// It would download the other tools if it were not told where they are.
    fn told(&self, mut build: Command) -> Command {
        build
            .env("WASM_BINDGEN_BIN", &self.wasm_bindgen)
            .env("WASM_OPT_BIN", self.wasm_opt())
            .env("ESBUILD_BIN", self.npm.join("node_modules/esbuild/bin/esbuild"));
        build
    }
}

/// The version of a package in Cargo.lock.
fn locked(package: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string("Cargo.lock")?;
    let named = format!("name = \"{package}\"\nversion = \"");
    let (_, behind) = lock
        .split_once(&named)
        .with_context(|| format!("Cargo.lock has no {package}"))?;
    let (version, _) = behind.split_once('"').context("Cargo.lock ends within a version")?;
    Ok(version.to_owned())
}

/// The npm packages of `tests/<suite>`, as its lock file has them, which is where Node.js finds them too: the folder's
/// `node_modules` leads to the cache. Gives the folder in the cache.
///
/// # Errors
/// Where there is no fit Node.js, or a package cannot be had.
pub fn npm(cache: &Cache, suite: &str) -> anyhow::Result<PathBuf> {
    let suite_folder = Path::new("tests").join(suite);
    let mut hash = Sha256::new();
    for file in NPM_FILES {
        let path = suite_folder.join(file);
        hash.update(fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    let key = format!("npm-{suite}-{}", short(hash));
    let folder = cache.ensure(
        &format!("npm packages of {suite}"),
        || cache.find(&key),
        || {
            if on_path("npm").is_none() {
                apt(&["nodejs", "npm"])?;
            }
            cache.fill(&key, |folder| {
                for file in NPM_FILES {
                    fs::copy(suite_folder.join(file), folder.join(file))?;
                }
                // What the scripts of these packages would do is fetch or check what the packages hold already.
                succeed(
                    command("npm")
                        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                        .current_dir(folder),
                )
            })
        },
    )?;
    let (link, packages) = (suite_folder.join("node_modules"), folder.join("node_modules"));
    if fs::read_link(&link).is_ok_and(|old| old != packages) {
        fs::remove_file(&link)?;
    }
    // Somebody may have called npm there by hand: what is there then is theirs.
    if !link.exists() {
        std::os::unix::fs::symlink(&packages, &link)?;
    }
    Ok(folder)
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
    let key = format!("python-{suite}-{}", short(hash));
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

/// `cargo lambda`, which is a Python package, by the folder of the executables that come with it.
pub struct CargoLambda(PathBuf);

impl CargoLambda {
    /// It, with a subcommand still to come.
    ///
    /// # Errors
    /// Where `PATH` cannot be added to.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut cargo_lambda = command(self.0.join("cargo-lambda"));
        // It looks by way of Python for the linker, which is a package beside it.
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([self.0.clone()].into_iter().chain(std::env::split_paths(&others)))?;
        cargo_lambda.env("PATH", path).arg("lambda");
        Ok(cargo_lambda)
    }
}

/// `cargo lambda`.
///
/// # Errors
/// As those of [`python`].
pub fn cargo_lambda(cache: &Cache) -> anyhow::Result<CargoLambda> {
    let python = python(cache, "lambda")?;
    Ok(CargoLambda(
        python.parent().context("Python is in no folder")?.to_owned(),
    ))
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

/// As much of a hash as tells one version of a suite's packages from another.
fn short(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
