//! A packaged function, started the way Lambda starts it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;

use super::runtime_api::{Answered, Failure, RuntimeApi};

/// How long the init phase may take (AWS Lambda Developer Guide, "Lambda execution environment lifecycle").
const START: Duration = Duration::from_secs(10);
/// The time-out that an invocation is given.
const TIME_OUT: Duration = Duration::from_secs(30);
/// How often it is asked whether the process still runs.
const LOOK: Duration = Duration::from_millis(20);

/// One environment with one function in it. Dropped, it ends.
pub struct Function {
    child: Child,
    api: RuntimeApi,
    start: Duration,
}

impl Function {
    /// Starts `bootstrap` with nothing in its environment but what Lambda puts there, and `variables`. What it writes,
    /// on either stream, goes to `log`, or nowhere.
    ///
    /// # Errors
    /// Where it does not come to ask for an event, and why.
    pub async fn start(bootstrap: &Path, variables: &[(&str, &str)], log: Option<File>) -> anyhow::Result<Self> {
        let api = RuntimeApi::start().await?;
        let written = || match &log {
            Some(log) => Ok::<_, std::io::Error>(log.try_clone()?.into()),
            None => Ok(Stdio::null()),
        };
        let folder = bootstrap.parent().context("the function is in no folder")?;
        let mut command = Command::new(bootstrap);
        command
            .current_dir(folder)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.authority())
            .env("LAMBDA_TASK_ROOT", folder)
            .envs([
                ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
                ("AWS_DEFAULT_REGION", "eu-central-1"),
                ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_FUNCTION_NAME", "patchbay"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/patchbay"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                ("AWS_SESSION_TOKEN", "session"),
                ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
                ("LANG", "en_US.UTF-8"),
                ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
                ("TZ", ":UTC"),
                ("_HANDLER", "bootstrap"),
            ])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(written()?)
            .stderr(written()?);
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{} does not start", bootstrap.display()))?;
        let mut started = Self {
            child,
            api,
            start: Duration::ZERO,
        };
        let asked = tokio::select! {
            asked = started.api.asked() => asked,
            ended = ended(&mut started.child) => Err(ended),
            () = tokio::time::sleep(START) => Err(Failure::new("Sandbox.Timedout", "the start took too long")),
        };
        let asked = asked.map_err(|failure| anyhow!("{} did not start: {failure:?}", bootstrap.display()))?;
        started.start = asked.saturating_duration_since(began);
        Ok(started)
    }

    /// From its execution until it first asked for an event.
    pub fn start_time(&self) -> Duration {
        self.start
    }

    /// Hands it an event and waits for the answer.
    ///
    /// # Errors
    /// What the caller of the real service would be told instead of an answer.
    pub async fn invoke(&mut self, event: impl Into<Bytes>) -> Result<Answered, Failure> {
        tokio::select! {
            answered = self.api.invoke(event, TIME_OUT) => answered,
            ended = ended(&mut self.child) => Err(ended),
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Waits for the process to end.
async fn ended(child: &mut Child) -> Failure {
    loop {
        match child.try_wait() {
            Ok(None) => tokio::time::sleep(LOOK).await,
            Ok(Some(status)) => return Failure::new("Runtime.ExitError", format!("Runtime exited: {status}")),
            Err(error) => return Failure::new("Runtime.Unknown", error.to_string()),
        }
    }
}
