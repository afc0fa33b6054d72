//! The one native binary of Patchbay. Without a command it serves.

mod files;
mod host;
mod keys;
mod log;
mod serve;
mod settings;
mod upkeep;

use std::io::Write as _;
use std::process::ExitCode;

use secrecy::ExposeSecret as _;

use crate::settings::{Cli, Command, KeysCommand};

fn main() -> ExitCode {
    let ended = settings::refuse_unknown_variables().and_then(|()| run(Cli::take()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            _ = writeln!(std::io::stderr(), "patchbay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => serve::run(&cli.serve, &cli.data),
        Some(Command::Serve(serve)) => serve::run(&serve, &cli.data),
        Some(Command::Keys {
            command: KeysCommand::Generate { id },
        }) => {
            let entry = patchbay_core::seal::generate_entry(&host::NativeHost, &id);
            writeln!(std::io::stdout(), "{}", entry.expose_secret())?;
            Ok(())
        }
        Some(Command::Upkeep(upkeep)) => upkeep::run(&upkeep, &cli.data),
    }
}
