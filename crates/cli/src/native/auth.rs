//! How callers are known, and what follows from it for where the server may listen.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use patchbay_core::api::Host as _;
use patchbay_core::identity::Authentication;
use patchbay_core::identity::keys::KeySet;
use patchbay_core::identity::oidc::{ClaimPath, Oidc, Rules};
use patchbay_core::identity::tokens::{self, Entry, Tokens};
use patchbay_core::model::{Caller, Workspaces};
use secrecy::ExposeSecret as _;

use super::settings::{self, AuthMode, IssuerAt, NewToken, Serve, TOKENS};
use crate::host::NativeHost;

/// What `PATCHBAY_AUTH` comes to.
///
/// # Errors
/// Names a setting that is missing, wrong or of no use; repeats nothing of a token.
pub fn authentication(serve: &Serve) -> anyhow::Result<Authentication> {
    let (with_tokens, with_issuer) = match serve.auth {
        AuthMode::Off => (false, false),
        AuthMode::Tokens => (true, false),
        AuthMode::Oidc => (false, true),
        AuthMode::OidcAndTokens => (true, true),
    };
    let tokens = known_tokens(with_tokens)?;
    let oidc = known_issuer(&serve.issuer, with_issuer)?;
    Ok(match (oidc, tokens) {
        (None, None) => Authentication::off(),
        (None, Some(tokens)) => Authentication::Tokens(tokens),
        (Some(oidc), None) => Authentication::Oidc(oidc),
        (Some(oidc), Some(tokens)) => Authentication::OidcAndTokens(oidc, tokens),
    })
}

/// What `PATCHBAY_TOKENS` comes to, where it is asked for.
fn known_tokens(wanted: bool) -> anyhow::Result<Option<Arc<Tokens>>> {
    let entries = settings::tokens()?;
    if !wanted {
        ensure!(
            entries.is_none(),
            "{TOKENS} is set, but nobody asks for those tokens: set PATCHBAY_AUTH=tokens or oidc+tokens as well"
        );
        return Ok(None);
    }
    let entries = entries.with_context(|| {
        format!("PATCHBAY_AUTH=tokens needs {TOKENS}; `patchbay tokens create` prints an entry for it")
    })?;
    let tokens = Tokens::parse(&entries).map_err(|wrong| anyhow::anyhow!("{TOKENS}: {wrong}"))?;
    Ok(Some(Arc::new(tokens)))
}

/// What is said of an issuer, where it is asked for.
fn known_issuer(at: &IssuerAt, wanted: bool) -> anyhow::Result<Option<Arc<Oidc>>> {
    let said = [
        ("PATCHBAY_ISSUER", at.issuer.is_some()),
        ("PATCHBAY_AUDIENCE", at.audience.is_some()),
        ("PATCHBAY_JWKS", at.jwks.is_some()),
        ("PATCHBAY_CLAIM_TENANT", at.claim_tenant.is_some()),
        ("PATCHBAY_CLAIM_ADMIN", at.claim_admin.is_some()),
    ];
    if !wanted {
        if let Some((name, _)) = said.into_iter().find(|(_, said)| *said) {
            bail!(
                "{name} is of an issuer, but nobody asks for its tokens: set PATCHBAY_AUTH=oidc or oidc+tokens as well"
            );
        }
        return Ok(None);
    }
    let needed = |what: &Option<String>, name: &str, of: &str| {
        let text = what.clone();
        text.with_context(|| format!("PATCHBAY_AUTH=oidc needs {name}, {of}"))
    };
    let rules = Rules {
        issuer: needed(&at.issuer, "PATCHBAY_ISSUER", "the `iss` of the tokens that are taken")?,
        audience: needed(
            &at.audience,
            "PATCHBAY_AUDIENCE",
            "an `aud` of the tokens that are taken",
        )?,
        tenant: match &at.claim_tenant {
            Some(path) => path.clone(),
            None => ClaimPath::new("tenant").map_err(anyhow::Error::new)?,
        },
        admin: at.claim_admin.clone(),
    };
    let keys = needed(
        &at.jwks,
        "PATCHBAY_JWKS",
        "the issuer's public keys as a JSON Web Key Set",
    )?;
    let keys = KeySet::parse(&keys).map_err(|wrong| anyhow::anyhow!("PATCHBAY_JWKS {wrong}"))?;
    Ok(Some(Arc::new(Oidc::new(rules, keys, patchbay_server::verify))))
}

/// The mode of workspaces: what was said, or what goes with how callers are known.
///
/// # Errors
/// For `open` where callers are known: whoever may name a workspace into being would be in it beside its members.
pub fn workspaces(serve: &Serve) -> anyhow::Result<Workspaces> {
    match (serve.auth, serve.workspaces.map(Workspaces::from)) {
        (AuthMode::Off, said) => Ok(said.unwrap_or(Workspaces::Open)),
        (_, Some(Workspaces::Open)) => bail!("PATCHBAY_WORKSPACES may be open only with PATCHBAY_AUTH=off"),
        (_, _) => Ok(Workspaces::Managed),
    }
}

/// Whether the server may listen where it is told to.
///
/// # Errors
/// Where that would let everybody in, or show tokens to everybody on the way.
pub fn may_listen(serve: &Serve) -> anyhow::Result<()> {
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
            !serve.behind_proxy,
            "--behind-proxy is for callers who bring tokens: set PATCHBAY_AUTH as well"
        );
        return Ok(());
    }
    if let Some(address) = metrics.filter(|_| !serve.allow_anonymous) {
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
    match authentication {
        Authentication::Tokens(tokens) => format!("Callers are known by {}.", by_tokens(tokens)),
        Authentication::Oidc(oidc) => format!("Callers are known by the tokens of {}.", oidc.issuer()),
        Authentication::OidcAndTokens(oidc, tokens) => format!(
            "Callers are known by the tokens of {} and by {}.",
            oidc.issuer(),
            by_tokens(tokens)
        ),
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
    let caller = Caller {
        tenant: new.tenant,
        subject: new.subject,
        email: new.email,
        admin: new.admin,
    };
    let token = tokens::generate(&NativeHost);
    let entry = Entry::new(&token, caller, new.expires);
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "The token, which is kept nowhere and not shown again:\n{}\n\nIts entry for {TOKENS}:\n{entry}",
        token.expose_secret()
    )?;
    Ok(())
}
