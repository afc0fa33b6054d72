//! The function on AWS Lambda, on this machine: under `cargo lambda watch`, over DynamoDB Local.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::count::Count;
use crate::run::{build, command, output, succeed};
use crate::server::Server;
use crate::tools::{self, Cache, CargoLambda};

/// What is built for Lambda.
const FUNCTION: [&str; 4] = [
    "--package=patchbay",
    "--bin=patchbay",
    "--no-default-features",
    "--features=lambda",
];
/// The table's name.
pub const TABLE: &str = "patchbay";
/// What DynamoDB Local wants to be told, and does not check.
const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_REGION", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
];
/// A ring for tests.
const KEYS: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// The function's bound for an answer.
pub const ANSWER_BYTES: &str = "5242880";
/// Processes of the function that may run at once.
const PROCESSES: &str = "4";
/// Events of the shapes that AWS documents. Each asks for an empty list.
const EVENTS: &str = "crates/lambda/tests/events";
/// The end of the name of an event whose path begins with [`MAPPING`].
const MAPPED: &str = "-domain.json";
/// What a custom domain puts before each path.
const MAPPING: &str = "/patchbay";

/// DynamoDB Local, with an empty table.
pub struct Table(Server);

impl Table {
    /// Starts it with the testkit's binary for that, and makes the table with `patchbay`.
    ///
    /// # Errors
    /// Where it does not start, or the table cannot be made.
    pub fn start(cache: &Cache, patchbay: &Path, dynamodb_local: &Path) -> anyhow::Result<Self> {
        tools::dynamodb_local(cache)?;
        let local = Server::start(command(dynamodb_local).env("PATCHBAY_CACHE", cache.folder()))?;
        let mut create = command(patchbay);
        create.args(["table", "create", "--table", TABLE, "--endpoint", &local.url]);
        succeed(create.envs(CREDENTIALS))?;
        Ok(Self(local))
    }

    /// Where DynamoDB Local is.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The command that empties it.
    pub fn empty(&self) -> String {
        format!("python3 tests/lambda/empty.py {} {TABLE}", self.url())
    }
}

/// The function under `cargo lambda watch`, told these settings as well.
///
/// # Errors
/// Where it does not build, or does not come to answer.
pub fn watched(
    cargo_lambda: &CargoLambda,
    table: &Table,
    workspaces: &str,
    base_path: &str,
    settings: &[(String, String)],
) -> anyhow::Result<Server> {
    let mut watch = cargo_lambda.command()?;
    // So that the wait for its first answer is no wait for a compiler.
    build(&FUNCTION, ["patchbay"])?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    watch
        .args(["watch", "--ignore-changes", "--disable-cors"])
        .args(["--invoke-address", "127.0.0.1", "--invoke-port", &port])
        .args(["--concurrency", PROCESSES, "--locked"])
        .args(FUNCTION)
        .envs(CREDENTIALS)
        .env_remove("AWS_SESSION_TOKEN")
        // Of cargo lambda itself.
        .env("RUST_LOG", "warn")
        .envs([
            ("PATCHBAY_AUTH", "off"),
            ("PATCHBAY_BASE_PATH", base_path),
            ("PATCHBAY_DYNAMODB_ENDPOINT", table.url()),
            ("PATCHBAY_KEYS", KEYS),
            ("PATCHBAY_LOG", "error"),
            ("PATCHBAY_TABLE", TABLE),
            ("PATCHBAY_WORKSPACES", workspaces),
        ])
        .envs(settings.iter().cloned());
    Server::start_at(
        &mut watch,
        format!("http://127.0.0.1:{port}"),
        &format!("{base_path}/healthz"),
    )
}

/// Hands each event to the function by `cargo lambda invoke`, once where paths are as they are and once behind a custom
/// domain's mapping, and counts the answers that are as they should be.
///
/// # Errors
/// Where the function does not run, or there are no events.
pub fn events(cache: &Cache, patchbay: &Path, dynamodb_local: &Path) -> anyhow::Result<Count> {
    let mut files: Vec<_> = Path::new(EVENTS)
        .read_dir()
        .with_context(|| format!("{EVENTS} cannot be read"))?
        .map(|file| file.map(|file| file.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{EVENTS} is empty");
    let cargo_lambda = tools::cargo_lambda(cache)?;
    let table = Table::start(cache, patchbay, dynamodb_local)?;
    let mut count = Count::default();
    for base_path in ["", MAPPING] {
        let function = watched(&cargo_lambda, &table, "open", base_path, &[])?;
        for file in &files {
            let name = file.to_string_lossy();
            let wanted = match name.ends_with(MAPPED) == (base_path == MAPPING) {
                true => (200, Some(r#"{"connections":[]}"#)),
                false => (404, None),
            };
            let answer = output(&mut invoke(&cargo_lambda, &function, file)?)?;
            let answer: Value = serde_json::from_str(&answer).with_context(|| format!("{name}: {answer}"))?;
            let status = answer.get("statusCode").and_then(Value::as_u64);
            let body = answer.get("body").and_then(Value::as_str);
            if status == Some(wanted.0) && (wanted.1.is_none() || body == wanted.1) {
                count.passed += 1;
            } else {
                println!("FAILED {name} at {base_path:?}: {answer}");
                count.failed += 1;
            }
        }
        function.stop()?;
    }
    Ok(count)
}

fn invoke(cargo_lambda: &CargoLambda, function: &Server, event: &Path) -> anyhow::Result<Command> {
    let port = function.url.rsplit(':').next().context("the function has no port")?;
    let mut invoke = cargo_lambda.command()?;
    invoke.args(["invoke", "--invoke-address", "127.0.0.1", "--invoke-port", port]);
    invoke.arg("--data-file").arg(event);
    Ok(invoke)
}
