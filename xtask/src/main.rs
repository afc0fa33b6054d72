//! `cargo xtask`: what would otherwise be shell scripts.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod bench;
mod count;
mod fuzz;
mod lambda;
mod oidc_provider;
mod run;
mod server;
mod soak;
mod test;
mod tools;
mod worker;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Patchbay's development tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the tools that the other tasks need, where they are missing.
    Setup,
    /// Run the checks and test suites, and count them together.
    Test {
        /// Only those whose name begins with one of these.
        names: Vec<String>,
    },
    /// Measure the release build beside its yardsticks on this machine.
    Bench(bench::Options),
    /// Load the release build for a long time, and see that memory and files stay flat.
    Soak(soak::Options),
    /// Fuzz what reads strangers' bytes, and show what that covered.
    Fuzz(fuzz::Options),
    /// Build the Cloudflare Worker, or run it here.
    #[command(subcommand)]
    Worker(worker::Task),
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // Every path below is relative to the workspace.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    std::env::set_current_dir(std::path::Path::new(&package).join("..")).context("the workspace is gone")?;
    match arguments.task {
        Task::Setup => tools::set_up().map(|()| ExitCode::SUCCESS),
        Task::Test { names } => test::run(&names),
        Task::Bench(options) => bench::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Worker(task) => worker::run(&task),
    }
}
