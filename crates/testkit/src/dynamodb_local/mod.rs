//! DynamoDB Local, AWS's own stand-in for DynamoDB.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

/// The version that `cargo xtask setup` puts into the cache.
const VERSION: &str = include_str!("version");
/// Java, which is told when whoever started it is gone, however it went: its end of the pipe closes. What waits for that
/// is a shell, whose only child Java is.
const UNTIL_CLOSED: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & read -r _ <&3; kill $!"#;

/// A DynamoDB in memory on a free port of this machine. It ends with this process, or when it is dropped.
#[derive(Debug)]
pub struct DynamoDbLocal {
    /// Its standard input is the pipe.
    shell: Child,
    url: String,
}

impl DynamoDbLocal {
    /// Starts one.
    ///
    /// # Errors
    /// Where it is not in the cache or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let jars = cached()?;
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dynamodb_local/Loopback.java");
        let mut shell = Command::new("sh")
            .args(["-c", UNTIL_CLOSED, "sh", "java", "-Xmx512m"])
            .arg(format!("-Djava.library.path={}", jars.display()))
            .arg("-cp")
            .arg(jars.join("*"))
            .arg(launcher)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("sh does not start")?;
        let mut output = BufReader::new(shell.stdout.take().context("its output is not piped")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().strip_prefix("port ").map(str::to_owned);
        let started = Self {
            shell,
            url: format!("http://127.0.0.1:{}", port.as_deref().unwrap_or_default()),
        };
        ensure!(
            port.is_some(),
            "DynamoDB Local did not come up; it wants a JDK of version 17 or later"
        );
        Ok(started)
    }

    /// The one that this process shares.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<DynamoDbLocal> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for DynamoDbLocal {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The shell ends once it has ended Java.
        _ = self.shell.wait();
    }
}

/// The folder with its jars.
fn cached() -> anyhow::Result<PathBuf> {
    let cache = match std::env::var_os("PATCHBAY_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => std::env::home_dir()
            .context("there is no home folder")?
            .join(".cache/patchbay"),
    };
    let folder = cache.join(format!("dynamodb-local-{VERSION}"));
    ensure!(
        folder.join("complete").exists(),
        "DynamoDB Local {VERSION} is not in {}: run `cargo xtask setup`",
        cache.display()
    );
    Ok(folder.canonicalize()?)
}
