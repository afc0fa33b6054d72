//! A real OpenID Connect issuer, for homes that are to take its tokens.

use crate::run::command;
use crate::server::Server;
use crate::tools::{self, Cache};

/// The program. Its packages are beside it.
const ISSUER: &str = "tests/issuer/issuer.mjs";

/// Starts one.
///
/// # Errors
/// Where there is no fit Node.js, or its packages cannot be had.
pub fn start(cache: &Cache) -> anyhow::Result<Server> {
    tools::npm(cache, "issuer")?;
    Server::start(command("node").arg(ISSUER))
}

/// What a home is told that takes the tokens of the issuer at `url`.
pub fn settings(url: &str) -> [(String, String); 5] {
    [
        ("PATCHBAY_AUTH", "oidc"),
        ("PATCHBAY_ISSUER", url),
        ("PATCHBAY_AUDIENCE", "https://patchbay.example"),
        ("PATCHBAY_CLAIM_TENANT", "org.tenant"),
        ("PATCHBAY_CLAIM_ADMIN", "roles=patchbay-admin"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
