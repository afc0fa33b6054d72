//! `cargo xtask worker`: the Worker's bundle, and the Worker in the real runtime on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

use crate::run::{command, output, succeed};
use crate::tools::{self, Cache, UNWINDING};

/// What the Worker is told in secret on a developer's machine, and what it is told where that is not there.
const SECRETS: [&str; 2] = ["infra/cloudflare/.dev.vars", EXAMPLE];
const EXAMPLE: &str = "infra/cloudflare/.dev.vars.example";
const TESTS: &str = "tests/worker";
/// The Worker in the place of the native binary.
pub const AS_BINARY: &str = "tests/worker/patchbay";
const SERVE: &str = "tests/worker/serve.mjs";
/// What may be loaded before the first answer, gzipped.
pub const MOST_BYTES: u64 = 500 * 1024;
/// The Worker's bound for an answer.
pub const ANSWER_BYTES: &str = "8388608";
/// The shortest time that a Worker may be told to answer from KV what may be late.
const MAX_AGE: u32 = 60;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Build the bundle that is deployed, and say how large it is.
    Build,
    /// Build it and run it in workerd, offline, until it is told to end.
    Dev {
        /// Port on 127.0.0.1.
        #[arg(long, default_value_t = 8787)]
        port: u16,
        /// Folder for what KV and the Durable Objects hold.
        #[arg(long, default_value = "patchbay-worker-data")]
        data: PathBuf,
    },
}

/// Runs a task.
///
/// # Errors
/// Where a tool is not to be had, or fails.
pub fn run(task: &Task) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::build(&Cache::open()?, Variant::Deployed)?;
    println!(
        "{}: {:.1} KiB gzipped",
        bundle.main.display(),
        bundle.gzipped()? as f64 / 1024.0
    );
    if let Task::Dev { port, data } = task {
        let secrets = SECRETS.into_iter().find(|file| Path::new(file).exists());
        let secrets = secrets.context("its secrets are gone")?;
        println!("secrets from {secrets}");
        succeed(
            bundle
                .serve(data)
                .args(["--secrets", secrets, "--port", &port.to_string()]),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Which Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As it is deployed.
    Deployed,
    /// With a way to make a request panic.
    TestTrigger,
    /// The smallest one that reads from KV, which Patchbay's is measured against.
    Yardstick,
}

/// Where reads come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// KV, where it can answer.
    Kv,
    /// The Durable Object, always.
    Strong,
}

impl Reads {
    /// For how long a reader may be answered as before a change.
    pub fn stale_seconds(self) -> u32 {
        match self {
            Self::Kv => MAX_AGE,
            Self::Strong => 0,
        }
    }
}

/// The Worker as it is deployed, built once in this process.
///
/// # Errors
/// Where it does not build.
pub fn deployed(cache: &Cache) -> anyhow::Result<&'static Bundle> {
    static BUNDLE: OnceLock<Bundle> = OnceLock::new();
    if BUNDLE.get().is_none() {
        // One thread runs all steps: nobody else builds it meanwhile.
        _ = BUNDLE.set(Bundle::build(cache, Variant::Deployed)?);
    }
    BUNDLE.get().context("it was built just now")
}

/// The tests of what only the Worker has. `issuer` is the testkit's binary of that name, `patchbay` an operator's.
///
/// # Errors
/// Where a Worker does not build.
pub fn tests(cache: &Cache, issuer: &Path, patchbay: &Path) -> anyhow::Result<Command> {
    let panics = Bundle::build(cache, Variant::TestTrigger)?;
    let mut files: Vec<_> = fs::read_dir(TESTS)?
        .map(|file| Ok(file?.path()))
        .collect::<anyhow::Result<_>>()?;
    files.retain(|file| file.to_string_lossy().ends_with(".test.mjs"));
    let mut tests = command("node");
    tests
        .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .args(files)
        .envs(deployed(cache)?.environment())
        .env("WORKER_THAT_PANICS", &panics.main)
        .env("ISSUER", issuer.canonicalize()?)
        .env("PATCHBAY", patchbay.canonicalize()?);
    Ok(tests)
}

/// The runtime's executable.
///
/// # Errors
/// Where npm has installed none for this machine.
pub fn workerd() -> anyhow::Result<PathBuf> {
    let path = output(
        command("node")
            .args(["--print", "require('workerd').default"])
            .current_dir(TESTS),
    )?;
    Ok(PathBuf::from(path.trim()))
}

/// A Worker that is built: JavaScript, and the WebAssembly beside it.
pub struct Bundle {
    /// What says which bindings it has.
    config: PathBuf,
    main: PathBuf,
}

/// The names of a bundle's files.
pub const FILES: [&str; 2] = ["index.js", "index_bg.wasm"];

impl Bundle {
    /// Builds it in release.
    ///
    /// # Errors
    /// Where a tool is not to be had, or the build fails.
    pub fn build(cache: &Cache, variant: Variant) -> anyhow::Result<Self> {
        // `worker-build` by itself puts it into `build` in the package's folder.
        let (package, output, config) = match variant {
            Variant::Deployed => ("crates/worker", "build", "infra/cloudflare/wrangler.jsonc"),
            Variant::TestTrigger => ("crates/worker", "build-test-trigger", "infra/cloudflare/wrangler.jsonc"),
            Variant::Yardstick => (
                "crates/worker/yardstick",
                "build",
                "crates/worker/yardstick/wrangler.jsonc",
            ),
        };
        let tools = tools::worker(cache)?;
        let mut build = match variant {
            Variant::Yardstick => tools.worker_build()?,
            // A request that panics must cost itself alone.
            Variant::Deployed | Variant::TestTrigger => tools.unwinding_worker_build()?,
        };
        build.current_dir(package).args(["--out-dir", output]);
        match variant {
            Variant::Deployed => build.args(["--profile", "worker", "--locked", UNWINDING]),
            Variant::TestTrigger => {
                build.args(["--profile", "worker", "--locked", "--features=test-trigger", UNWINDING])
            }
            Variant::Yardstick => build.args(["--release", "--locked"]),
        };
        succeed(&mut build)?;
        let files = Path::new(package).join(output);
        let [main, module] = FILES.map(|file| files.join(file));
        if variant != Variant::Yardstick {
            succeed(&mut tools.without_names(&module))?;
        }
        Ok(Self {
            config: PathBuf::from(config),
            main,
        })
    }

    /// Bytes that are sent where it runs: all of its files, gzipped.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn gzipped(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for file in self.files() {
            let mut gzip = command("gzip");
            let gzip = gzip.args(["--best", "--stdout"]).arg(&file).output()?;
            ensure!(gzip.status.success(), "{} cannot be gzipped", file.display());
            bytes += gzip.stdout.len() as u64;
        }
        Ok(bytes)
    }

    /// What tests that start it by themselves are told.
    pub fn environment(&self) -> [(&'static str, &Path); 3] {
        [
            ("WORKER", &self.main),
            ("WORKER_CONFIG", &self.config),
            ("WORKER_SECRETS", Path::new(EXAMPLE)),
        ]
    }

    /// Its files, which are called [`FILES`].
    pub fn files(&self) -> [PathBuf; 2] {
        FILES.map(|file| self.main.with_file_name(file))
    }

    /// # Errors
    /// Where it is larger than it is meant to be.
    pub fn check_size(&self) -> anyhow::Result<()> {
        let bytes = self.gzipped()?;
        println!("{bytes} bytes gzipped, of at most {MOST_BYTES}");
        ensure!(bytes <= MOST_BYTES, "the Worker is too large");
        Ok(())
    }

    /// Serves it as the suites want it: silent, with workspaces in this mode, told these settings as well.
    pub fn serve_for_test(
        &self,
        data: &Path,
        reads: Reads,
        workspaces: &str,
        settings: &[(String, String)],
    ) -> Command {
        let age = MAX_AGE.to_string();
        let reads = match reads {
            Reads::Kv => ("PATCHBAY_EDGE_MAX_AGE", age.as_str()),
            Reads::Strong => ("PATCHBAY_READS", "strong"),
        };
        let mut all = vec![("PATCHBAY_LOG", "failures"), ("PATCHBAY_WORKSPACES", workspaces), reads];
        all.extend(settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.serve_with(data, &all)
    }

    /// Serves it with the secrets of the example and these settings.
    pub fn serve_with(&self, data: &Path, settings: &[(&str, &str)]) -> Command {
        let mut serve = self.serve(data);
        serve.args(["--secrets", EXAMPLE]);
        for (name, value) in settings {
            serve.args(["--set", &format!("{name}={value}")]);
        }
        serve
    }

    /// Serves it in workerd, with what it keeps in `data`, on a free port unless it is told another. The first line of
    /// output ends with the address.
    pub fn serve(&self, data: &Path) -> Command {
        let mut serve = command("node");
        serve.arg(SERVE).arg(&self.config).arg("--main").arg(&self.main);
        serve.arg("--data").arg(data);
        serve
    }
}
