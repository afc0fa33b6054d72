//! The commands: serve, keys, tokens, audit, and the data folder's upkeep.

mod audit;
mod auth;
#[cfg_attr(not(feature = "dynamodb"), path = "without_dynamodb.rs")]
mod dynamodb;
mod files;
mod keys;
mod log;
mod operator;
mod rotation;
mod serve;
mod settings;
mod upkeep;

use std::io::Write as _;

use secrecy::ExposeSecret as _;
use settings::{Cli, Command, KeysCommand, TableCommand, TokensCommand};

use crate::host::NativeHost;

/// Does what this process's arguments say.
///
/// # Errors
/// What stopped it, in a sentence that says what to do.
pub fn run() -> anyhow::Result<()> {
    settings::refuse_unknown_variables()?;
    let cli = Cli::take();
    match cli.command {
        None => serve::run(&cli.serve, &cli.data),
        Some(Command::Serve(serve)) => serve::run(&serve, &cli.data),
        Some(Command::Keys {
            command: KeysCommand::Generate { id },
        }) => {
            let entry = patchbay_core::seal::generate_entry(&NativeHost, &id);
            writeln!(std::io::stdout(), "{}", entry.expose_secret())?;
            Ok(())
        }
        Some(Command::Keys {
            command: KeysCommand::Status(at),
        }) => match &at.url {
            Some(url) => operator::status(url),
            None => rotation::status(&at.store, &cli.data),
        },
        Some(Command::Keys {
            command: KeysCommand::Rotate(at),
        }) => match &at.url {
            Some(url) => operator::rotate(url),
            None => rotation::rotate(&at.store, &cli.data),
        },
        Some(Command::Table {
            command: TableCommand::Create(table),
        }) => dynamodb::create_table(&table),
        Some(Command::Tokens {
            command: TokensCommand::Create(token),
        }) => auth::create_token(token),
        Some(Command::Audit { command }) => audit::run(&command, &cli.data),
        Some(Command::Upkeep(upkeep)) => upkeep::run(&upkeep, &cli.data),
    }
}
