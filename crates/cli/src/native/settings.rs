//! Flags and `PATCHBAY_*` variables.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use patchbay_core::identity;
use patchbay_core::identity::oidc::{ClaimIs, ClaimPath};
use patchbay_core::identity::source::Url;
use patchbay_core::model::{KeyId, Subject, Tenant, Timestamp, Workspaces};
use patchbay_server::TrustedProxies;
use secrecy::SecretString;

use super::audit::AuditCommand;
use super::upkeep::Upkeep;
use crate::variables;

/// The variable that the key ring may come from.
pub const KEYS: &str = "PATCHBAY_KEYS";

/// The variable with the tokens that callers may bring.
pub const TOKENS: &str = "PATCHBAY_TOKENS";

/// The variable with the tokens that operators may bring.
pub const OPERATOR_TOKENS: &str = "PATCHBAY_OPERATOR_TOKENS";

/// The variable with the token that an operator brings to a server.
pub const OPERATOR_TOKEN: &str = "PATCHBAY_OPERATOR_TOKEN";

/// A registry of data connections for machine-learning platforms.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do; without it, `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The folder for the database and, without PATCHBAY_KEYS, the keys.
    #[arg(long, global = true, env = "PATCHBAY_DATA", default_value = "./patchbay-data")]
    pub data: PathBuf,
    #[command(flatten)]
    pub serve: Serve,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer calls over HTTP; the same without a command.
    Serve(Box<Serve>),
    /// Make the table on DynamoDB.
    Table {
        #[command(subcommand)]
        command: TableCommand,
    },
    /// Make keys, say what they seal, and seal everything with a new one.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Make tokens for callers.
    Tokens {
        #[command(subcommand)]
        command: TokensCommand,
    },
    /// Look after the audit trail.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    #[command(flatten)]
    Upkeep(Upkeep),
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Print a new entry for PATCHBAY_KEYS.
    Generate {
        /// The key's id: 1 to 32 of a-z, 0-9 and -.
        #[arg(long, default_value = "k1", value_parser = |id: &str| KeyId::new(id))]
        id: KeyId,
    },
    /// Say how many records each key seals; the server may run.
    Status(At),
    /// Seal again, with the first key of the ring, what others sealed. It may be interrupted, and run again. Over a data
    /// folder the server must not run; over a table every server may, and with --url one must.
    Rotate(At),
}

/// Whom to ask: a server, or the store itself.
#[derive(Debug, Args)]
pub struct At {
    /// A running server, whatever it keeps everything in, by the operator's token in PATCHBAY_OPERATOR_TOKEN; without it
    /// the store itself is asked. https://, or http:// of a loopback address. None of PATCHBAY_STORE, PATCHBAY_TABLE and
    /// PATCHBAY_DYNAMODB_ENDPOINT may be set beside it.
    #[arg(long, value_parser = server, conflicts_with_all = ["store", "table", "endpoint"])]
    pub url: Option<Url>,
    #[command(flatten)]
    pub store: StoreAt,
}

/// A server's address, before the paths of its calls.
fn server(url: &str) -> anyhow::Result<Url> {
    anyhow::ensure!(!url.contains(['?', '#']), "must have neither query nor fragment");
    Ok(Url::new(url)?)
}

/// Where everything is kept.
#[derive(Debug, Args)]
pub struct StoreAt {
    /// Where everything is kept: in the data folder, or in a table on DynamoDB.
    #[arg(long, env = "PATCHBAY_STORE", value_enum, default_value = "sqlite")]
    pub store: StoreKind,
    #[command(flatten)]
    pub table: TableAt,
}

impl StoreAt {
    /// The table, where it is in one.
    ///
    /// # Errors
    /// Where something is said of a table, and it is in the data folder.
    pub fn table(&self) -> anyhow::Result<Option<&TableAt>> {
        if self.store == StoreKind::Dynamodb {
            return Ok(Some(&self.table));
        }
        anyhow::ensure!(
            self.table.table.is_none() && self.table.endpoint.is_none(),
            "what is said of a table needs --store dynamodb beside it"
        );
        Ok(None)
    }
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Print a new token, this once, and the entry for PATCHBAY_TOKENS or PATCHBAY_OPERATOR_TOKENS that knows it.
    Create(NewToken),
}

/// Whom a new token makes its bearer.
#[derive(Debug, Args)]
pub struct NewToken {
    /// Who they are in their tenant, or among operators: 1 to 255 bytes.
    #[arg(long, value_parser = |subject: &str| Subject::new(subject))]
    pub subject: Subject,
    /// Their tenant, which sees nothing of another: 1 to 128 bytes.
    #[arg(long, required_unless_present = "operator", value_parser = |tenant: &str| Tenant::new(tenant))]
    pub tenant: Option<Tenant>,
    /// Make them an operator instead, who rotates keys over all tenants, may have a Worker adopt, and may do nothing else.
    #[arg(long, conflicts_with_all = ["tenant", "email", "admin"])]
    pub operator: bool,
    /// The e-mail address that workspaces may know them by.
    #[arg(long, value_parser = |address: &str| identity::email(address))]
    pub email: Option<Subject>,
    /// Make them an admin of the tenant.
    #[arg(long)]
    pub admin: bool,
    /// When the token ends, like 2030-01-31T00:00:00Z; without it, when its entry is taken out.
    #[arg(long, value_name = "TIME", value_parser = |time: &str| Timestamp::parse(time))]
    pub expires: Option<Timestamp>,
}

/// Which issuer's tokens callers bring, and what their claims mean. Goes with PATCHBAY_AUTH=oidc.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct IssuerAt {
    /// Who issues the tokens: their `iss`.
    #[arg(long, env = "PATCHBAY_ISSUER", value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub issuer: Option<String>,
    /// Whom they are for: one of their `aud`.
    #[arg(long, env = "PATCHBAY_AUDIENCE", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub audience: Option<String>,
    /// The issuer's public keys, as a JSON Web Key Set; without it they are fetched.
    #[arg(long, env = "PATCHBAY_JWKS", value_name = "JSON", hide_env_values = true)]
    pub jwks: Option<String>,
    /// Where to fetch them, if not where the issuer's discovery document says.
    #[arg(long, env = "PATCHBAY_JWKS_URL", value_name = "URL", value_parser = |url: &str| Url::new(url))]
    pub jwks_url: Option<Url>,
    /// The claim with the caller's tenant, or the names on the way to it with dots between them; `tenant`, unless told
    /// otherwise.
    #[arg(long, env = "PATCHBAY_CLAIM_TENANT", value_name = "PATH", value_parser = |path: &str| ClaimPath::new(path))]
    pub claim_tenant: Option<ClaimPath>,
    /// The claim that makes an admin of the tenant by being this text, or a list with it; without it, nobody is one.
    #[arg(long, env = "PATCHBAY_CLAIM_ADMIN", value_name = "PATH=VALUE", value_parser = |claim: &str| ClaimIs::new(claim))]
    pub claim_admin: Option<ClaimIs>,
    /// The claim with the caller's e-mail address; `email`, unless told otherwise. It counts where `email_verified` is true.
    #[arg(long, env = "PATCHBAY_CLAIM_EMAIL", value_name = "PATH", value_parser = |path: &str| ClaimPath::new(path))]
    pub claim_email: Option<ClaimPath>,
}

/// What to do with the table.
#[derive(Debug, Subcommand)]
pub enum TableCommand {
    /// Make the table where it is missing, and wait until it can be used.
    Create(TableAt),
}

/// Which table on DynamoDB. The region and credentials come from where AWS's own tools find them.
#[derive(Debug, Args)]
pub struct TableAt {
    /// The name of the table on DynamoDB.
    #[arg(long, env = "PATCHBAY_TABLE", value_name = "NAME")]
    pub table: Option<String>,
    /// Where DynamoDB is, if not where its region's is.
    #[arg(long, env = "PATCHBAY_DYNAMODB_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
}

/// How to serve.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where everything is kept: in the data folder, or in a table on DynamoDB.
    #[arg(long, env = "PATCHBAY_STORE", value_enum, default_value = "sqlite")]
    pub store: StoreKind,
    #[command(flatten)]
    pub table: TableAt,
    /// How fresh reads of a table on DynamoDB are; strong, unless told otherwise.
    #[arg(long, env = "PATCHBAY_READS", value_enum)]
    pub reads: Option<ReadsMode>,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "PATCHBAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How callers are known.
    #[arg(long, env = "PATCHBAY_AUTH", value_enum, default_value = "off")]
    pub auth: AuthMode,
    #[command(flatten)]
    pub issuer: IssuerAt,
    /// Whether a workspace comes into being by being named; open, unless callers are known.
    #[arg(long, env = "PATCHBAY_WORKSPACES", value_enum)]
    pub workspaces: Option<WorkspacesMode>,
    #[command(flatten)]
    pub audit: AuditAt,
    /// Listen beyond loopback, metrics included, although nobody is asked who they are.
    #[arg(long)]
    pub allow_anonymous: bool,
    /// Listen beyond loopback in cleartext, although callers bring tokens: a proxy in front speaks TLS.
    #[arg(long)]
    pub behind_proxy: bool,
    /// Proxies, by address or network and with commas between them, that are believed when they say whom a request came to
    /// them from, in X-Forwarded-For; nobody else is.
    #[arg(long, env = "PATCHBAY_TRUSTED_PROXIES", value_name = "LIST", value_parser = |list: &str| TrustedProxies::parse(list))]
    pub trusted_proxies: Option<TrustedProxies>,
    /// The certificate to speak TLS with, its chain after it, in PEM; goes with --tls-key.
    #[arg(long, env = "PATCHBAY_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM.
    #[arg(long, env = "PATCHBAY_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The address for `GET /metrics`, in cleartext; without it there are none.
    #[arg(long, env = "PATCHBAY_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// What to log: off, error, warn, info or debug.
    #[arg(long, env = "PATCHBAY_LOG", default_value = "info")]
    pub log: tracing::level_filters::LevelFilter,
}

/// What is recorded of who did what.
#[derive(Debug, Args)]
pub struct AuditAt {
    /// Keep an audit record of every call: in the data folder, or with a table on DynamoDB in the log; on, where callers
    /// are known, unless told otherwise.
    #[arg(long, env = "PATCHBAY_AUDIT", value_enum)]
    pub audit: Option<AuditMode>,
    /// MiB of a file in the data folder's audit trail, past which the next one is begun; 64, unless told otherwise.
    #[arg(long, env = "PATCHBAY_AUDIT_FILE_MIB", value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..))]
    pub audit_file_mib: Option<u16>,
}

/// Whether there is an audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditMode {
    /// There is.
    On,
    /// There is none.
    Off,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// SQLite, in the data folder.
    Sqlite,
    /// A table on DynamoDB.
    Dynamodb,
}

/// How fresh reads are.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ReadsMode {
    /// Every change that was acknowledged before is in them.
    Strong,
    /// Changes of the last moments may be missing; costs half.
    Eventual,
}

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// They are not: everybody is the same admin.
    Off,
    /// By the tokens in PATCHBAY_TOKENS.
    Tokens,
    /// By the tokens of an OpenID Connect issuer.
    Oidc,
    /// By either.
    #[value(name = "oidc+tokens")]
    OidcAndTokens,
}

impl From<AuthMode> for identity::settings::Mode {
    fn from(mode: AuthMode) -> Self {
        match mode {
            AuthMode::Off => Self::Off,
            AuthMode::Tokens => Self::Tokens,
            AuthMode::Oidc => Self::Oidc,
            AuthMode::OidcAndTokens => Self::OidcAndTokens,
        }
    }
}

/// See [`Workspaces`].
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum WorkspacesMode {
    /// Any id may be used.
    Open,
    /// Only what was created exists.
    Managed,
}

impl From<WorkspacesMode> for Workspaces {
    fn from(mode: WorkspacesMode) -> Self {
        match mode {
            WorkspacesMode::Open => Self::Open,
            WorkspacesMode::Managed => Self::Managed,
        }
    }
}

/// The key ring's entries out of `PATCHBAY_KEYS`.
///
/// # Errors
/// Where the variable is not Unicode; its text is not repeated.
pub fn keys() -> anyhow::Result<Option<SecretString>> {
    Ok(variable(KEYS)?.map(SecretString::from))
}

/// The entries of `PATCHBAY_TOKENS`.
///
/// # Errors
/// Where the variable is not Unicode; its text is not repeated.
pub fn tokens() -> anyhow::Result<Option<String>> {
    variable(TOKENS)
}

/// The entries of `PATCHBAY_OPERATOR_TOKENS`.
///
/// # Errors
/// Where the variable is not Unicode; its text is not repeated.
pub fn operators() -> anyhow::Result<Option<String>> {
    variable(OPERATOR_TOKENS)
}

/// The token in `PATCHBAY_OPERATOR_TOKEN`.
///
/// # Errors
/// Where the variable is not Unicode; its text is not repeated.
pub fn operator_token() -> anyhow::Result<Option<SecretString>> {
    Ok(variable(OPERATOR_TOKEN)?.map(SecretString::from))
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => anyhow::bail!("{name} is not UTF-8"),
    }
}

impl Cli {
    /// Takes the arguments of this process, or ends it with what is wrong with them.
    pub fn take() -> Self {
        let mut command = Self::command();
        let matches = command.get_matches_mut();
        let serving = Serve::augment_args(clap::Command::new("serve"));
        let given = |flag: &&clap::Arg| matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine);
        if let (Some(name), Some(flag)) = (matches.subcommand_name(), serving.get_arguments().find(given)) {
            let flag = flag.get_long().unwrap_or_default();
            let wrong = format!("`--{flag}` is for serving: it does not stand before `{name}`");
            command.error(ErrorKind::ArgumentConflict, wrong).exit();
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Refuses `PATCHBAY_*` variables that neither a flag names nor keys or tokens come from.
///
/// # Errors
/// Names the first such variable.
pub fn refuse_unknown_variables() -> anyhow::Result<()> {
    let command = Cli::command();
    variables::refuse_unknown(|name| {
        let named = command.get_arguments().filter_map(clap::Arg::get_env);
        [KEYS, TOKENS, OPERATOR_TOKENS, OPERATOR_TOKEN].contains(&name) || named.into_iter().any(|env| env == name)
    })
}
