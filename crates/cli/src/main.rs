//! The one binary of Patchbay. Started by AWS Lambda it is the function; otherwise it takes commands, and without one it
//! serves. Features choose what is linked.

#[cfg(any(feature = "lambda", feature = "native"))]
mod host;
#[cfg(feature = "native")]
mod native;
#[cfg(any(feature = "lambda", feature = "native"))]
mod variables;

use std::io::Write as _;
use std::process::ExitCode;

/// Many requests wait at a time for the audit trail, whose thread frees what others allocated: glibc took an eighth of the
/// processor for that.
#[cfg(feature = "native")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Lambda's runtime sets it, and only that.
    let ended = match std::env::var_os("AWS_LAMBDA_RUNTIME_API") {
        Some(_) => function(),
        None => commands(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            _ = writeln!(std::io::stderr(), "patchbay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "lambda")]
fn function() -> anyhow::Result<()> {
    variables::refuse_unknown(patchbay_lambda::is_known)?;
    hush_panics();
    patchbay_lambda::run(host::NativeHost)
}

#[cfg(not(feature = "lambda"))]
fn function() -> anyhow::Result<()> {
    anyhow::bail!(
        "this build is no Lambda function: build one with `cargo build --package patchbay --no-default-features \
         --features lambda`"
    )
}

#[cfg(feature = "native")]
fn commands() -> anyhow::Result<()> {
    native::run()
}

#[cfg(not(feature = "native"))]
fn commands() -> anyhow::Result<()> {
    anyhow::bail!("this build is for AWS Lambda alone: build one for here with `cargo build --package patchbay`")
}

/// The log gets a panic's place alone: its text may quote what it choked on.
#[cfg(any(feature = "lambda", feature = "native"))]
fn hush_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "something panicked");
    }));
}
