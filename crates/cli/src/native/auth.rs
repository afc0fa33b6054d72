//! How callers are known, and what follows from it for where the server may listen.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{bail, ensure};
use patchbay_core::api::Host as _;
use patchbay_core::identity::Authentication;
use patchbay_core::identity::oidc::Oidc;
use patchbay_core::identity::operators;
use patchbay_core::identity::settings::CallerSettings;
use patchbay_core::identity::tokens::{self, Entry, Tokens};
use patchbay_core::model::{Caller, Workspaces};
use secrecy::ExposeSecret as _;

use super::settings::{self, AuthMode, NewToken, OPERATOR_TOKENS, Serve, TOKENS};
use crate::host::NativeHost;

/// What is said of callers.
///
/// # Errors
/// Where `PATCHBAY_TOKENS` or `PATCHBAY_OPERATOR_TOKENS` is not Unicode; its text is not repeated.
pub fn callers(serve: &Serve) -> anyhow::Result<CallerSettings> {
    let issuer = serve.issuer.clone();
    Ok(CallerSettings {
        mode: Some(serve.auth.into()),
        workspaces: serve.workspaces.map(Workspaces::from),
        tokens: settings::tokens()?,
        issuer: issuer.issuer,
        audience: issuer.audience,
        jwks: issuer.jwks,
        jwks_url: issuer.jwks_url,
        claim_tenant: issuer.claim_tenant,
        claim_admin: issuer.claim_admin,
        claim_email: issuer.claim_email,
        operators: settings::operators()?,
    })
}

/// Whether the server may listen where it is told to.
///
/// # Errors
/// Where that would let everybody in, or show tokens to everybody on the way.
pub fn may_listen(serve: &Serve, with_operators: bool) -> anyhow::Result<()> {
    let beyond = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    let metrics = serve.metrics_listen.filter(|address| beyond(*address));
    let calls = Some(serve.listen).filter(|address| beyond(*address));
    if serve.auth == AuthMode::Off {
        if let Some(address) = calls.or(metrics).filter(|_| !serve.allow_anonymous) {
            bail!(
                "authentication is off, so {address} would let everybody in: listen on 127.0.0.1, or give \
                 --allow-anonymous"
            );
        }
        ensure!(
            !serve.behind_proxy || with_operators,
            "--behind-proxy is for callers who bring tokens: set PATCHBAY_AUTH as well"
        );
        if !with_operators {
            return Ok(());
        }
    } else if let Some(address) = metrics.filter(|_| !serve.allow_anonymous) {
        bail!("{address} would show the metrics to everybody: listen on 127.0.0.1, or give --allow-anonymous");
    }
    match calls {
        Some(address) if serve.tls_cert.is_none() && !serve.behind_proxy => bail!(
            "callers would send their tokens to {address} in cleartext: give --tls-cert and --tls-key, listen on \
             127.0.0.1, or say --behind-proxy where a proxy in front speaks TLS"
        ),
        _ => Ok(()),
    }
}

/// What the greeting says of it.
pub fn describe(authentication: &Authentication) -> String {
    let by_tokens = |tokens: &Tokens| format!("the tokens in {TOKENS} ({})", tokens.count());
    let by_issuer = |oidc: &Oidc| {
        let from = oidc.source().map(|source| format!(" (keys from {source})"));
        format!("the tokens of {}{}", oidc.issuer(), from.unwrap_or_default())
    };
    match authentication {
        Authentication::Tokens(tokens) => format!("Callers are known by {}.", by_tokens(tokens)),
        Authentication::Oidc(oidc) => format!("Callers are known by {}.", by_issuer(oidc)),
        Authentication::OidcAndTokens(oidc, tokens) => {
            format!("Callers are known by {} and by {}.", by_issuer(oidc), by_tokens(tokens))
        }
        Authentication::Off(_) | Authentication::NotConfigured => {
            "Authentication is off: whoever reaches this address may do everything.".to_owned()
        }
    }
}

/// Prints a new token and its entry.
///
/// # Errors
/// Where it would have ended already, or cannot be printed.
pub fn create_token(new: NewToken) -> anyhow::Result<()> {
    let ended = new.expires.is_some_and(|expires| expires <= NativeHost.now());
    ensure!(!ended, "--expires has passed already");
    let token = tokens::generate(&NativeHost);
    let (variable, entry) = match new.tenant {
        Some(tenant) => {
            let caller = Caller {
                tenant,
                subject: new.subject,
                email: new.email,
                admin: new.admin,
            };
            (TOKENS, Entry::new(&token, caller, new.expires).to_string())
        }
        // Without a tenant it is an operator's, as the arguments are declared.
        None => {
            let entry = operators::Entry::new(&token, new.subject, new.expires);
            (OPERATOR_TOKENS, entry.to_string())
        }
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "The token, which is kept nowhere and not shown again:\n{}\n\nIts entry for {variable}:\n{entry}",
        token.expose_secret()
    )?;
    Ok(())
}
