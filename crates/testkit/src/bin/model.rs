//! Holds a home behind an address against the reference model.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use patchbay_core::model::Workspaces;
use patchbay_testkit::model::Sequences;
use patchbay_testkit::{Address, Patient, Setting};

/// Sends a home random sequences of requests, and holds each answer against that of the reference model. The home must
/// be fresh, and nobody else may use it: the model goes along with all that it is told.
#[derive(Parser)]
struct Arguments {
    /// The home, with authentication off: http://host:port
    url: String,
    /// Its mode of workspaces.
    #[arg(long, value_enum, default_value = "open")]
    workspaces: Mode,
    /// Its bound for an answer, in bytes.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    answer_bytes: usize,
    /// A read that finds something may show what was right up to so many seconds before, and is repeated until it is
    /// right.
    #[arg(long, default_value_t = 0)]
    stale_seconds: u64,
    /// Sequences; the variable PROPTEST_CASES counts for more.
    #[arg(long, default_value_t = 40)]
    sequences: u32,
    /// The most requests of one.
    #[arg(long, default_value_t = 120)]
    steps: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Open,
    Managed,
}

#[allow(clippy::print_stdout, reason = "the report")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let setting = Setting {
        workspaces: match arguments.workspaces {
            Mode::Open => Workspaces::Open,
            Mode::Managed => Workspaces::Managed,
        },
        answer_bytes: arguments.answer_bytes,
        callers: false,
        trail: false,
        apart: false,
    };
    let sequences = Sequences {
        count: arguments.sequences,
        steps: arguments.steps,
        beside: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Its client makes connections on the runtime.
    let address = {
        let _inside = runtime.enter();
        Address::new(&arguments.url)?
    };
    let target = Patient::new(&address, Duration::from_secs(arguments.stale_seconds));
    Ok(match sequences.on_target(&runtime, &target, setting) {
        Ok(came) => {
            let count: usize = came.values().sum();
            println!("{count} requests, answered as the model answers them: {came:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("not as the model: {error}");
            ExitCode::FAILURE
        }
    })
}
