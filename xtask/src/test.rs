//! `cargo xtask test`: the checks and suites, and their count.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::count::{self, Count};
use crate::lambda;
use crate::oidc_provider;
use crate::run::{build, cargo, command, output, succeed, watch};
use crate::server::{self, Server};
use crate::tools::{self, Cache};
use crate::worker::{self, Reads};

/// The suites in Python: the folders of `tests` with a `requirements.txt` of their own.
pub const PYTHON: [&str; 3] = ["clients", "document", "template"];

/// All that there is to test, with the features that a plain build leaves out. Every build of a run takes these, so that
/// nothing is compiled twice.
const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

/// The variable by which a home knows its operators.
const OPERATOR: &str = "PATCHBAY_OPERATOR_TOKENS";

/// One thing to run.
enum Step {
    /// Holds or does not; no tests to count.
    Check(Check),
    Suite(Suite),
}

enum Check {
    /// The crate compiles for WebAssembly, without warnings, with these features left in.
    Wasm {
        package: &'static str,
        features: &'static [&'static str],
    },
    /// Licences, sources and versions of all that is linked.
    Deny,
    /// Advisories of RustSec on what is linked.
    Advisories,
    /// What many clients at once are told by the real home is linearizable.
    Races(Home),
    /// The real home answers random sequences of requests as the reference model does, with workspaces in this mode.
    Model(Home, &'static str),
    /// No secret that passes through the Worker is kept or said anywhere in the clear.
    WorkerCanaries,
    /// The Worker is as small as it is meant to be.
    WorkerSize,
}

enum Suite {
    Cargo,
    /// The conformance cases against the real home, with workspaces in this mode.
    Conformance(Home, &'static str),
    /// The same, with managed workspaces, where callers bring an issuer's tokens, right and wrong ones.
    Callers(Home),
    Python(&'static str),
    /// The SDK with the tokens of a real issuer, whose keys the home fetches.
    Issuer(Home),
    /// The real clients against the function.
    LambdaClients,
    /// Events of every kind that Lambda hands to a function.
    LambdaEvents,
    /// The real clients against the Worker.
    WorkerClients,
    /// What only the Worker has: counts of what it asks, kills of its runtime, panics.
    Worker,
}

/// What is tested over HTTP.
#[derive(Clone, Copy)]
enum Home {
    Native,
    /// The function under `cargo lambda watch`, over DynamoDB Local.
    Lambda,
    /// The Worker in its real runtime.
    Worker(worker::Reads),
}

/// What precedes the names of its steps.
impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "",
            Self::Lambda => "lambda-",
            Self::Worker(Reads::Kv) => "worker-",
            Self::Worker(Reads::Strong) => "worker-strong-",
        })
    }
}

fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::Check(Check::Wasm {
            package: "patchbay-core",
            features: &[],
        }),
        Step::Check(Check::Wasm {
            package: "patchbay-sql",
            features: &["--no-default-features"],
        }),
        Step::Check(Check::Wasm {
            package: "patchbay-worker",
            features: &["--features", "test-trigger"],
        }),
        Step::Check(Check::Deny),
        Step::Check(Check::Advisories),
        Step::Suite(Suite::Cargo),
    ];
    let over_http = |home| {
        [
            Step::Suite(Suite::Conformance(home, "open")),
            Step::Suite(Suite::Conformance(home, "managed")),
            Step::Suite(Suite::Callers(home)),
            Step::Check(Check::Model(home, "open")),
            Step::Check(Check::Model(home, "managed")),
            Step::Check(Check::Races(home)),
        ]
    };
    steps.extend(over_http(Home::Native));
    steps.extend(PYTHON.map(|suite| Step::Suite(Suite::Python(suite))));
    steps.push(Step::Suite(Suite::Issuer(Home::Native)));
    steps.extend(over_http(Home::Lambda));
    steps.push(Step::Suite(Suite::Issuer(Home::Lambda)));
    steps.push(Step::Suite(Suite::LambdaClients));
    steps.push(Step::Suite(Suite::LambdaEvents));
    steps.push(Step::Check(Check::WorkerSize));
    steps.extend(over_http(Home::Worker(Reads::Kv)));
    steps.push(Step::Suite(Suite::Issuer(Home::Worker(Reads::Kv))));
    steps.extend(over_http(Home::Worker(Reads::Strong)));
    steps.push(Step::Suite(Suite::Issuer(Home::Worker(Reads::Strong))));
    steps.push(Step::Check(Check::WorkerCanaries));
    steps.push(Step::Suite(Suite::WorkerClients));
    steps.push(Step::Suite(Suite::Worker));
    steps
}

/// The name by which a step is chosen.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(Check::Wasm { package, .. }) => write!(f, "wasm-{package}"),
            Self::Check(Check::Deny) => f.write_str("deny"),
            Self::Check(Check::Advisories) => f.write_str("deny-advisories"),
            Self::Check(Check::Races(home)) => write!(f, "{home}races"),
            Self::Check(Check::Model(home, mode)) => write!(f, "{home}model-{mode}"),
            Self::Check(Check::WorkerCanaries) => f.write_str("worker-canaries"),
            Self::Check(Check::WorkerSize) => f.write_str("worker-size"),
            Self::Suite(Suite::Cargo) => f.write_str("cargo"),
            Self::Suite(Suite::Conformance(home, mode)) => write!(f, "{home}conformance-{mode}"),
            Self::Suite(Suite::Callers(home)) => write!(f, "{home}conformance-callers"),
            Self::Suite(Suite::Python(suite)) => f.write_str(suite),
            Self::Suite(Suite::Issuer(home)) => write!(f, "{home}issuer"),
            Self::Suite(Suite::LambdaClients) => f.write_str("lambda-clients"),
            Self::Suite(Suite::LambdaEvents) => f.write_str("lambda-events"),
            Self::Suite(Suite::WorkerClients) => f.write_str("worker-clients"),
            Self::Suite(Suite::Worker) => f.write_str("worker-itself"),
        }
    }
}

/// Runs the steps whose name begins with one of `names`, or all where there are none, each whether or not those
/// before it held. The last line is the count over all suites; a suite that could not run, ran nothing, or ended badly
/// for a reason that its count does not show counts as one failure. A check that cannot be made here is named before it.
///
/// # Errors
/// Where a name fits no step, or there is no cache to be had.
pub fn run(names: &[String]) -> anyhow::Result<ExitCode> {
    let steps = steps();
    let fits = |step: &Step, name: &String| step.to_string().starts_with(name.as_str());
    for name in names {
        let known = steps.iter().map(Step::to_string).collect::<Vec<_>>().join(", ");
        ensure!(
            steps.iter().any(|step| fits(step, name)),
            "nothing is called {name}. There are: {known}"
        );
    }
    let cache = Cache::open()?;
    let (mut table, mut total, mut broken) = (String::new(), Count::default(), 0);
    let mut skipped = Vec::new();
    for step in steps {
        if !names.is_empty() && !names.iter().any(|name| fits(&step, name)) {
            continue;
        }
        println!("\n== {step} ==");
        let started = Instant::now();
        let row = match &step {
            Step::Check(check) if let Some(why) = check.impossible() => {
                skipped.push(format!("{step}: {why}"));
                "NOT CHECKED".to_owned()
            }
            Step::Check(check) => match said(check.run(&cache)) {
                Some(()) => "holds".to_owned(),
                None => {
                    broken += 1;
                    "DOES NOT HOLD".to_owned()
                }
            },
            Step::Suite(suite) => {
                let ran = said(suite.run(&cache));
                let remark = if ran.is_none() { "  DID NOT RUN" } else { "" };
                let count = ran.unwrap_or(Count { passed: 0, failed: 1 });
                total += count;
                format!("{} passed, {} failed{remark}", count.passed, count.failed)
            }
        };
        let seconds = started.elapsed().as_secs();
        table.push_str(&format!("{:<22} {seconds:>5} s  {row}\n", step.to_string()));
    }
    println!("\n{table}");
    if broken > 0 {
        println!("Checks that do not hold: {broken}");
    }
    for check in &skipped {
        println!("Not checked: {check}");
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(ExitCode::from(u8::from(total.failed > 0 || broken > 0)))
}

/// The value, or none where there is an error, which is printed.
fn said<T>(outcome: anyhow::Result<T>) -> Option<T> {
    outcome.inspect_err(|error| println!("error: {error:#}")).ok()
}

impl Check {
    /// Why it cannot be made on this machine, if so.
    fn impossible(&self) -> Option<&'static str> {
        let lacks_database = matches!(self, Self::Advisories) && advisories().is_none();
        lacks_database.then_some("no database is at hand (`cargo deny fetch db` gets it)")
    }

    fn run(&self, cache: &Cache) -> anyhow::Result<()> {
        match self {
            Self::Wasm { package, features } => {
                let mut clippy = tools::wasm(cache)?.clippy();
                clippy.args(["--locked", "--package", package]).args(*features);
                let (success, _) = watch(clippy.args(["--", "-D", "warnings"]))?;
                ensure!(success, "clippy is not content with {package} for WebAssembly");
                Ok(())
            }
            Self::Deny => {
                let mut check = command(tools::cargo_deny(cache)?);
                succeed(check.args(["--locked", "check", "--show-stats", "bans", "licenses", "sources"]))
            }
            Self::Advisories => {
                let mut check = command(tools::cargo_deny(cache)?);
                // Offline, so that the database is taken as it is.
                succeed(check.args(["--locked", "--offline", "check", "--show-stats", "advisories"]))
            }
            Self::Races(home) => {
                let arguments = match home {
                    // A list there is of no one moment, and everything takes longer.
                    Home::Lambda => &["--each-name", "--operations", "3000"][..],
                    Home::Worker(_) => &["--operations", "3000"],
                    Home::Native => &[],
                };
                let success = against(*home, cache, "open", &[], "patchbay-races", arguments)?.0;
                ensure!(success, "what clients were told does not fit together");
                Ok(())
            }
            Self::Model(home, mode) => {
                let success = against(*home, cache, mode, &[], "patchbay-model", &home.bound())?.0;
                ensure!(success, "it does not answer as the model does");
                Ok(())
            }
            Self::WorkerCanaries => worker_canaries(cache),
            Self::WorkerSize => worker::deployed(cache)?.check_size(),
        }
    }
}

/// Where cargo-deny keeps advisory databases, if it has any.
fn advisories() -> Option<PathBuf> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()?.join(".cargo"),
    };
    let databases = home.join("advisory-dbs");
    databases.read_dir().ok()?.next().map(|_| databases)
}

impl Suite {
    /// What it counted.
    fn run(&self, cache: &Cache) -> anyhow::Result<Count> {
        let (success, mut count) = match self {
            Self::Cargo => {
                tools::dynamodb_local(cache)?;
                let mut tests = cargo();
                tests.args(["test", "--locked", "--no-fail-fast"]).args(EVERYTHING);
                // Where the tests find it.
                tests.env("PATCHBAY_CACHE", cache.folder());
                let (success, output) = watch(&mut tests)?;
                (success, count::cargo(&output))
            }
            Self::Conformance(home, mode) => {
                let arguments = [home.conformance(), vec!["--operator"]].concat();
                let mut operator = issuer()?;
                operator.retain(|(name, _)| name == OPERATOR);
                let (success, output) = against(*home, cache, mode, &operator, "patchbay-conformance", &arguments)?;
                (success, count::conformance(&output))
            }
            Self::Callers(home) => {
                let mut arguments = [home.conformance(), vec!["--callers"]].concat();
                if let Home::Native = home {
                    arguments.push("--trail");
                }
                let issuer = issuer()?;
                let (success, output) = against(*home, cache, "managed", &issuer, "patchbay-conformance", &arguments)?;
                (success, count::conformance(&output))
            }
            Self::Python(suite) => {
                let [patchbay] = built(["patchbay"])?;
                let mut tests = pytest(cache, suite, suite)?;
                let (success, output) = watch(tests.arg("--patchbay-binary").arg(patchbay))?;
                (success, count::pytest(&output))
            }
            Self::Issuer(home) => {
                let issuer = oidc_provider::start(cache)?;
                let settings = oidc_provider::settings(&issuer.url);
                let (success, output) = home.serving(cache, "managed", &settings, |url| {
                    let mut tests = pytest(cache, "issuer", "clients")?;
                    tests.args(["--patchbay-url", url, "--issuer-url", &issuer.url]);
                    if let Home::Worker(reads) = home {
                        tests.args(["--stale-seconds", &reads.stale_seconds().to_string()]);
                    }
                    watch(&mut tests)
                })?;
                issuer.stop()?;
                (success, count::pytest(&output))
            }
            Self::LambdaClients => {
                let [patchbay, local] = built(["patchbay", "patchbay-dynamodb-local"])?;
                let table = lambda::Table::start(cache, &patchbay, &local)?;
                let cargo_lambda = tools::cargo_lambda(cache)?;
                let open = lambda::watched(&cargo_lambda, &table, "open", "", &[])?;
                let managed = lambda::watched(&cargo_lambda, &table, "managed", "", &[])?;
                let (success, output) = watch(
                    pytest(cache, "clients", "clients")?
                        .args(["--patchbay-url", &open.url])
                        .args(["--patchbay-managed-url", &managed.url])
                        .args(["--patchbay-empty", &table.empty()]),
                )?;
                open.stop()?;
                managed.stop()?;
                (success, count::pytest(&output))
            }
            Self::LambdaEvents => {
                let [patchbay, local] = built(["patchbay", "patchbay-dynamodb-local"])?;
                let count = lambda::events(cache, &patchbay, &local)?;
                (count.failed == 0, count)
            }
            Self::WorkerClients => {
                let worker = worker::deployed(cache)?;
                let mut clients = pytest(cache, "clients", "clients")?;
                clients
                    .args(["--patchbay-binary", worker::AS_BINARY])
                    .envs(worker.environment());
                let (success, output) = watch(&mut clients)?;
                (success, count::pytest(&output))
            }
            Self::Worker => {
                let [issuer, patchbay] = built(["patchbay-issuer", "patchbay"])?;
                let (success, output) = watch(&mut worker::tests(cache, &issuer, &patchbay)?)?;
                (success, count::node(&output))
            }
        };
        ensure!(count != Count::default(), "no test ran");
        if !success && count.failed == 0 {
            println!("error: the runner failed, though none of its tests did");
            count.failed = 1;
        }
        Ok(count)
    }
}

/// The executables of these names, with all features.
///
/// # Errors
/// Where the build fails.
pub fn built<const N: usize>(names: [&str; N]) -> anyhow::Result<[PathBuf; N]> {
    build(&[&EVERYTHING[..], &["--bins"]].concat(), names)
}

/// The variables by which a home knows the tokens of the testkit's issuer and of its operator.
fn issuer() -> anyhow::Result<Vec<(String, String)>> {
    let [binary] = built(["patchbay-issuer"])?;
    settings(&mut command(binary))
}

/// The variables that a binary of the testkit prints as JSON, under `settings`.
fn settings(binary: &mut Command) -> anyhow::Result<Vec<(String, String)>> {
    #[derive(Deserialize)]
    struct Printed {
        settings: BTreeMap<String, String>,
    }
    let printed: Printed = serde_json::from_str(&output(binary)?)?;
    Ok(printed.settings.into_iter().collect())
}

/// pytest on a suite, with the packages of a suite.
fn pytest(cache: &Cache, suite: &str, packages: &str) -> anyhow::Result<Command> {
    let mut pytest = command(tools::python(cache, packages)?);
    pytest.args(["-m", "pytest"]).arg(Path::new("tests").join(suite));
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(pytest)
}

impl Home {
    /// What the testkit's binaries are told of its bound for an answer.
    fn bound(self) -> Vec<&'static str> {
        match self {
            Self::Native => vec![],
            Self::Lambda => vec!["--answer-bytes", lambda::ANSWER_BYTES],
            Self::Worker(_) => vec!["--answer-bytes", worker::ANSWER_BYTES],
        }
    }

    /// Has something done with a home of this kind, told these settings as well, at its address; the home must then end as
    /// it promises when it is asked to.
    fn serving<T>(
        self,
        cache: &Cache,
        mode: &str,
        settings: &[(String, String)],
        done: impl FnOnce(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let [patchbay, local] = built(["patchbay", "patchbay-dynamodb-local"])?;
        let data = tempfile::tempdir().context("no folder for what it stores")?;
        // What the home runs over goes after it.
        let mut table = None;
        let server = match self {
            Self::Native => {
                let mut server = server::patchbay(&patchbay, data.path());
                server.envs(settings.iter().cloned());
                Server::start(server.args(["--workspaces", mode, "--log", "error"]))?
            }
            Self::Lambda => {
                let table = table.insert(lambda::Table::start(cache, &patchbay, &local)?);
                lambda::watched(&tools::cargo_lambda(cache)?, table, mode, "", settings)?
            }
            Self::Worker(reads) => {
                Server::start(&mut worker::deployed(cache)?.serve_for_test(data.path(), reads, mode, settings))?
            }
        };
        let outcome = done(&server.url)?;
        server.stop()?;
        Ok(outcome)
    }

    /// What the conformance cases are told of it.
    fn conformance(self) -> Vec<&'static str> {
        let mut arguments = self.bound();
        if let Self::Lambda = self {
            arguments.push("--lambda-emulator");
        }
        if let Self::Worker(_) = self {
            arguments.push("--apart");
        }
        arguments
    }
}

/// Runs a binary of the testkit against a home of its own, told these settings as well. Gives whether it succeeded, and
/// what it printed.
fn against(
    home: Home,
    cache: &Cache,
    mode: &str,
    settings: &[(String, String)],
    binary: &'static str,
    arguments: &[&str],
) -> anyhow::Result<(bool, String)> {
    let [binary] = built([binary])?;
    home.serving(cache, mode, settings, |url| {
        let mut command = command(binary);
        if let Home::Worker(reads) = home {
            command.args(["--stale-seconds", &reads.stale_seconds().to_string()]);
        }
        watch(command.arg(url).args(["--workspaces", mode]).args(arguments))
    })
}

/// Takes canaries through a Worker that asks for tokens and logs all it can, and looks for them in its answers, its log and
/// all that workerd keeps; then again while it can open nothing of what it keeps.
fn worker_canaries(cache: &Cache) -> anyhow::Result<()> {
    let [canaries] = built(["patchbay-canaries"])?;
    let callers = settings(command(&canaries).arg("settings"))?;
    let folder = tempfile::tempdir().context("no folder for what it stores")?;
    let log = File::create(folder.path().join("log"))?;
    let data = folder.path().join("data");
    let worker = worker::deployed(cache)?;
    // The key that seals first, another one of its id, and one of another id.
    let [key, other] = ["A", "B"].map(|letter| letter.repeat(42) + "A");
    let rings = [format!("k1:{key}"), format!("k1:{other}"), format!("k2:{other}")];
    let tasks: [&[&str]; 3] = [
        &["fly", "--place", "/log", "--place", "/blobs/", "--place", "/data/do/"],
        &["in-vain"],
        &["in-vain"],
    ];
    for (ring, task) in rings.iter().zip(tasks) {
        let mut told: Vec<_> = callers.iter().map(|(name, text)| (&**name, &**text)).collect();
        told.extend([
            ("PATCHBAY_LOG", "requests"),
            ("PATCHBAY_KEYS", ring),
            ("PATCHBAY_ADOPT_TENANT", "adopters"),
        ]);
        let mut serve = worker.serve_with(&data, &told);
        let server = Server::start(serve.stderr(log.try_clone()?))?;
        let mut fly = command(&canaries);
        fly.args(task).arg(&server.url).arg("--folder").arg(folder.path());
        let (success, _) = watch(&mut fly)?;
        server.stop()?;
        ensure!(
            success,
            "a secret leaked, what was leaked on purpose was not found, or the Worker did not do what it was asked to"
        );
    }
    Ok(())
}
