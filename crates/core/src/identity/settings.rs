//! The settings that say how callers are known: variables of the same names and meanings in every home.

use std::sync::Arc;

use super::Authentication;
use super::fetched::Fetched;
use super::keys::{KeySet, Verify};
use super::oidc::{ClaimIs, ClaimPath, Oidc, Rules};
use super::operators::Operators;
use super::source::{Source, Url};
use super::tokens::Tokens;
use crate::model::{Invalid, Workspaces};

const AUTH: &str = "PATCHBAY_AUTH";
const WORKSPACES: &str = "PATCHBAY_WORKSPACES";
const TOKENS: &str = "PATCHBAY_TOKENS";
const ISSUER: &str = "PATCHBAY_ISSUER";
const AUDIENCE: &str = "PATCHBAY_AUDIENCE";
const JWKS: &str = "PATCHBAY_JWKS";
const JWKS_URL: &str = "PATCHBAY_JWKS_URL";
const CLAIM_TENANT: &str = "PATCHBAY_CLAIM_TENANT";
const CLAIM_ADMIN: &str = "PATCHBAY_CLAIM_ADMIN";
const CLAIM_EMAIL: &str = "PATCHBAY_CLAIM_EMAIL";

const OPERATOR_TOKENS: &str = "PATCHBAY_OPERATOR_TOKENS";

/// The variables that [`CallerSettings`] are read from.
pub const VARIABLES: [&str; 11] = [
    AUTH,
    WORKSPACES,
    TOKENS,
    ISSUER,
    AUDIENCE,
    JWKS,
    JWKS_URL,
    CLAIM_TENANT,
    CLAIM_ADMIN,
    CLAIM_EMAIL,
    OPERATOR_TOKENS,
];

/// A setting that is missing, of no use, or means nothing. Names it, and repeats no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongSetting(pub String);

/// How callers are known: `PATCHBAY_AUTH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are not: everybody is the same admin. `off`.
    Off,
    /// By the tokens in `PATCHBAY_TOKENS`. `tokens`.
    Tokens,
    /// By the tokens of an issuer. `oidc`.
    Oidc,
    /// By either. `oidc+tokens`.
    OidcAndTokens,
}

/// What is said of callers, each of its own variable. Does not show, for who pastes a token into the wrong one.
#[derive(Default)]
pub struct CallerSettings {
    /// `PATCHBAY_AUTH`.
    pub mode: Option<Mode>,
    /// `PATCHBAY_WORKSPACES`: whether workspaces come into being by being named.
    pub workspaces: Option<Workspaces>,
    /// `PATCHBAY_TOKENS`: entries, see [`Tokens::parse`].
    pub tokens: Option<String>,
    /// `PATCHBAY_ISSUER`: the `iss` of the tokens that are taken.
    pub issuer: Option<String>,
    /// `PATCHBAY_AUDIENCE`: one of their `aud`.
    pub audience: Option<String>,
    /// `PATCHBAY_JWKS`: the issuer's public keys, see [`KeySet::parse`].
    pub jwks: Option<String>,
    /// `PATCHBAY_JWKS_URL`: where those are, unless where the issuer's discovery document says.
    pub jwks_url: Option<Url>,
    /// `PATCHBAY_CLAIM_TENANT`: the claim with the tenant, `tenant` unless told otherwise.
    pub claim_tenant: Option<ClaimPath>,
    /// `PATCHBAY_CLAIM_ADMIN`: the claim that makes an admin.
    pub claim_admin: Option<ClaimIs>,
    /// `PATCHBAY_CLAIM_EMAIL`: the claim with the e-mail address, `email` unless told otherwise.
    pub claim_email: Option<ClaimPath>,
    /// `PATCHBAY_OPERATOR_TOKENS`: entries, see [`Operators::parse`]. They count whatever the mode is.
    pub operators: Option<String>,
}

impl CallerSettings {
    /// Reads them through `variable`, which gives a variable's text, or that there is none.
    ///
    /// # Errors
    /// Names the variable that means nothing by itself; or what `variable` says.
    pub fn read<E: From<WrongSetting>>(variable: impl Fn(&str) -> Result<Option<String>, E>) -> Result<Self, E> {
        let path = |name| match variable(name)? {
            Some(path) => ClaimPath::new(&path).map(Some).map_err(about(name)).map_err(E::from),
            None => Ok(None),
        };
        Ok(Self {
            mode: variable(AUTH)?.map(|mode| Mode::named(&mode)).transpose()?,
            workspaces: match variable(WORKSPACES)?.as_deref() {
                None => None,
                Some("open") => Some(Workspaces::Open),
                Some("managed") => Some(Workspaces::Managed),
                Some(other) => {
                    return Err(WrongSetting(format!("{WORKSPACES} must be open or managed, not {other:?}")).into());
                }
            },
            tokens: variable(TOKENS)?,
            issuer: variable(ISSUER)?,
            audience: variable(AUDIENCE)?,
            jwks: variable(JWKS)?,
            jwks_url: match variable(JWKS_URL)? {
                Some(url) => Some(Url::new(&url).map_err(about(JWKS_URL))?),
                None => None,
            },
            claim_tenant: path(CLAIM_TENANT)?,
            claim_admin: match variable(CLAIM_ADMIN)? {
                Some(claim) => Some(ClaimIs::new(&claim).map_err(about(CLAIM_ADMIN))?),
                None => None,
            },
            claim_email: path(CLAIM_EMAIL)?,
            operators: variable(OPERATOR_TOKENS)?,
        })
    }

    /// What they come to where signatures are verified and keys are fetched so; [`Authentication::NotConfigured`] where
    /// nothing is said.
    ///
    /// # Errors
    /// Names the setting that is missing, wrong or of no use; or what `fetched` says.
    pub fn authentication<E: From<WrongSetting>>(
        &self,
        verify: Verify,
        fetched: impl FnOnce(Source) -> Result<Fetched, E>,
    ) -> Result<Authentication, E> {
        let with_tokens = matches!(self.mode, Some(Mode::Tokens | Mode::OidcAndTokens));
        let with_issuer = matches!(self.mode, Some(Mode::Oidc | Mode::OidcAndTokens));
        let tokens = self.known_tokens(with_tokens)?;
        let oidc = self.known_issuer(with_issuer, verify, fetched)?;
        Ok(match (oidc, tokens) {
            (None, None) if self.mode.is_none() => Authentication::NotConfigured,
            (None, None) => Authentication::off(),
            (None, Some(tokens)) => Authentication::Tokens(tokens),
            (Some(oidc), None) => Authentication::Oidc(oidc),
            (Some(oidc), Some(tokens)) => Authentication::OidcAndTokens(oidc, tokens),
        })
    }

    /// The mode of workspaces: what is said, or what goes with how callers are known.
    ///
    /// # Errors
    /// For `open` where callers are known: whoever may name a workspace into being would be in it beside its members.
    pub fn workspaces(&self) -> Result<Workspaces, WrongSetting> {
        match (self.mode, self.workspaces) {
            (Some(Mode::Off), said) => Ok(said.unwrap_or(Workspaces::Open)),
            (_, Some(Workspaces::Open)) => Err(WrongSetting(format!("{WORKSPACES} may be open only with {AUTH}=off"))),
            (_, _) => Ok(Workspaces::Managed),
        }
    }

    /// Whose tokens make an operator.
    ///
    /// # Errors
    /// Names what is wrong with them.
    pub fn operators(&self) -> Result<Operators, WrongSetting> {
        let Some(entries) = &self.operators else {
            return Ok(Operators::default());
        };
        Operators::parse(entries).map_err(|wrong| WrongSetting(format!("{OPERATOR_TOKENS}: {wrong}")))
    }

    /// What [`Self::tokens`] come to, where they are asked for.
    fn known_tokens(&self, wanted: bool) -> Result<Option<Arc<Tokens>>, WrongSetting> {
        match (&self.tokens, wanted) {
            (None, false) => Ok(None),
            (Some(_), false) => Err(WrongSetting(format!(
                "{TOKENS} is set, but nobody asks for those tokens: set {AUTH}=tokens or oidc+tokens as well"
            ))),
            (None, true) => Err(WrongSetting(format!(
                "{AUTH}=tokens needs {TOKENS}; `patchbay tokens create` prints an entry for it"
            ))),
            (Some(entries), true) => {
                let tokens = Tokens::parse(entries);
                let tokens = tokens.map_err(|wrong| WrongSetting(format!("{TOKENS}: {wrong}")))?;
                Ok(Some(Arc::new(tokens)))
            }
        }
    }

    /// What is said of an issuer, where it is asked for.
    fn known_issuer<E: From<WrongSetting>>(
        &self,
        wanted: bool,
        verify: Verify,
        fetched: impl FnOnce(Source) -> Result<Fetched, E>,
    ) -> Result<Option<Arc<Oidc>>, E> {
        if !wanted {
            return match self.of_an_issuer() {
                None => Ok(None),
                Some(name) => Err(E::from(WrongSetting(format!(
                    "{name} is of an issuer, but nobody asks for its tokens: set {AUTH}=oidc or oidc+tokens as well"
                )))),
            };
        }
        let needed = |text: &Option<String>, name: &str, what: &str| {
            let text = text.clone().filter(|text| !text.is_empty());
            text.ok_or_else(|| WrongSetting(format!("{AUTH}=oidc needs {name}, {what}")))
        };
        let path = |said: &Option<ClaimPath>, usual| said.clone().unwrap_or(ClaimPath::fixed(usual));
        let rules = Rules {
            issuer: needed(&self.issuer, ISSUER, "the `iss` of the tokens that are taken")?,
            audience: needed(&self.audience, AUDIENCE, "an `aud` of the tokens that are taken")?,
            tenant: path(&self.claim_tenant, "tenant"),
            admin: self.claim_admin.clone(),
            email: path(&self.claim_email, "email"),
        };
        let oidc = match &self.jwks {
            Some(keys) if self.jwks_url.is_none() => {
                Oidc::new(rules, KeySet::parse(keys).map_err(about(JWKS))?, verify)
            }
            Some(_) => {
                return Err(E::from(WrongSetting(format!(
                    "{JWKS} and {JWKS_URL} do not go together"
                ))));
            }
            None => {
                let source = self.source(&rules.issuer)?;
                Oidc::fetching(rules, fetched(source)?, verify)
            }
        };
        Ok(Some(Arc::new(oidc)))
    }

    /// Where the issuer's keys are to be fetched from.
    fn source(&self, issuer: &str) -> Result<Source, WrongSetting> {
        match &self.jwks_url {
            Some(url) => Ok(Source::At(url.clone())),
            None => Source::discovery(issuer)
                .map_err(|wrong| WrongSetting(format!("without {JWKS} and {JWKS_URL}, {ISSUER} {wrong}"))),
        }
    }

    /// The first setting that says something of an issuer.
    fn of_an_issuer(&self) -> Option<&'static str> {
        let said = [
            (ISSUER, self.issuer.is_some()),
            (AUDIENCE, self.audience.is_some()),
            (JWKS, self.jwks.is_some()),
            (JWKS_URL, self.jwks_url.is_some()),
            (CLAIM_TENANT, self.claim_tenant.is_some()),
            (CLAIM_ADMIN, self.claim_admin.is_some()),
            (CLAIM_EMAIL, self.claim_email.is_some()),
        ];
        said.into_iter().find_map(|(name, said)| said.then_some(name))
    }
}

impl Mode {
    fn named(name: &str) -> Result<Self, WrongSetting> {
        match name {
            "off" => Ok(Self::Off),
            "tokens" => Ok(Self::Tokens),
            "oidc" => Ok(Self::Oidc),
            "oidc+tokens" => Ok(Self::OidcAndTokens),
            other => Err(WrongSetting(format!(
                "{AUTH} must be off, tokens, oidc or oidc+tokens, not {other:?}"
            ))),
        }
    }
}

fn about(name: &str) -> impl FnOnce(Invalid) -> WrongSetting {
    move |wrong| WrongSetting(format!("{name} {wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fetched::Renewal;

    const ENTRY: &str = "sha256=5ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4 tenant=t subject=s";
    const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"}]}"#;
    const OF_ISSUER: [(&str, &str); 3] = [(ISSUER, "https://issuer.example"), (AUDIENCE, "patchbay"), (JWKS, KEYS)];

    fn read(variables: &[(&str, &str)]) -> Result<(Authentication, Workspaces), WrongSetting> {
        let variable = |name: &str| {
            assert!(VARIABLES.contains(&name), "{name}");
            let found = variables.iter().find(|(known, _)| *known == name);
            Ok::<_, WrongSetting>(found.map(|(_, text)| (*text).to_owned()))
        };
        let settings = CallerSettings::read(variable)?;
        let fetched = |source| Ok::<_, WrongSetting>(Fetched::new(source, Renewal::Behind, Box::new(|_| {})));
        Ok((
            settings.authentication(|_, _, _, _| false, fetched)?,
            settings.workspaces()?,
        ))
    }

    #[test]
    fn callers_are_known_as_is_said_and_workspaces_are_open_only_where_they_are_not() {
        let (none, workspaces) = read(&[]).unwrap();
        assert!(matches!(none, Authentication::NotConfigured));
        assert_eq!(workspaces, Workspaces::Managed);
        let (off, workspaces) = read(&[(AUTH, "off")]).unwrap();
        assert!(matches!(off, Authentication::Off(_)));
        assert_eq!(workspaces, Workspaces::Open);
        let (_, workspaces) = read(&[(AUTH, "off"), (WORKSPACES, "managed")]).unwrap();
        assert_eq!(workspaces, Workspaces::Managed);

        let (tokens, workspaces) = read(&[(AUTH, "tokens"), (TOKENS, ENTRY)]).unwrap();
        assert!(matches!(tokens, Authentication::Tokens(_)));
        assert_eq!(workspaces, Workspaces::Managed);
        let (oidc, workspaces) = read(&[&[(AUTH, "oidc"), (WORKSPACES, "managed")], &OF_ISSUER[..]].concat()).unwrap();
        assert!(matches!(oidc, Authentication::Oidc(_)));
        assert_eq!(workspaces, Workspaces::Managed);
        let (both, _) = read(&[&[(AUTH, "oidc+tokens"), (TOKENS, ENTRY)], &OF_ISSUER[..]].concat()).unwrap();
        assert!(matches!(both, Authentication::OidcAndTokens(..)));
    }

    #[test]
    fn keys_that_are_not_given_are_fetched_from_an_address_or_by_discovery() {
        let source = |more: &[(&str, &str)]| {
            let of_issuer = &OF_ISSUER[..2];
            match read(&[&[(AUTH, "oidc")], of_issuer, more].concat()).unwrap().0 {
                Authentication::Oidc(oidc) => oidc.source().map(Source::to_string),
                other => panic!("{other:?}"),
            }
        };
        let url = "https://keys.example/a";
        assert_eq!(source(&[(JWKS_URL, url)]).as_deref(), Some(url));
        let document = "https://issuer.example/.well-known/openid-configuration";
        assert_eq!(source(&[]).as_deref(), Some(document));
        assert_eq!(source(&[(JWKS, KEYS)]), None);
    }

    #[test]
    fn each_claim_may_be_elsewhere() {
        let claims = [
            (AUTH, "oidc"),
            (CLAIM_TENANT, "org.id"),
            (CLAIM_ADMIN, "realm_access.roles=root"),
            (CLAIM_EMAIL, "contact.email"),
        ];
        let (oidc, _) = read(&[&claims, &OF_ISSUER[..]].concat()).unwrap();
        let shown = format!("{oidc:?}");
        for (_, claim) in claims.into_iter().skip(1) {
            assert!(shown.contains(claim.trim_end_matches("=root")), "{shown}");
        }
    }

    #[test]
    fn what_is_missing_wrong_or_of_no_use_is_named_and_not_shown() {
        let oidc = |more: &[(&'static str, &'static str)]| {
            let mut variables = more.to_vec();
            variables.push((AUTH, "oidc"));
            variables.extend(
                OF_ISSUER
                    .into_iter()
                    .filter(|(name, _)| more.iter().all(|(other, _)| other != name)),
            );
            variables
        };
        for (variables, said) in [
            (
                vec![(AUTH, "")],
                "PATCHBAY_AUTH must be off, tokens, oidc or oidc+tokens, not \"\"",
            ),
            (vec![(AUTH, "OFF")], "PATCHBAY_AUTH must be"),
            (
                vec![(WORKSPACES, "closed")],
                "PATCHBAY_WORKSPACES must be open or managed",
            ),
            (
                vec![(WORKSPACES, "open")],
                "PATCHBAY_WORKSPACES may be open only with PATCHBAY_AUTH=off",
            ),
            (oidc(&[(WORKSPACES, "open")]), "PATCHBAY_WORKSPACES may be open only"),
            (vec![(AUTH, "tokens")], "PATCHBAY_AUTH=tokens needs PATCHBAY_TOKENS"),
            (vec![(AUTH, "tokens"), (TOKENS, "5ec4e7")], "PATCHBAY_TOKENS: entry 1: "),
            (vec![(TOKENS, ENTRY)], "PATCHBAY_TOKENS is set, but"),
            (oidc(&[(TOKENS, ENTRY)]), "PATCHBAY_TOKENS is set, but"),
            (
                vec![(AUTH, "off"), (ISSUER, "i")],
                "PATCHBAY_ISSUER is of an issuer, but",
            ),
            (
                vec![(CLAIM_EMAIL, "email")],
                "PATCHBAY_CLAIM_EMAIL is of an issuer, but",
            ),
            (oidc(&[(ISSUER, "")]), "PATCHBAY_AUTH=oidc needs PATCHBAY_ISSUER"),
            (oidc(&[(AUDIENCE, "")]), "PATCHBAY_AUTH=oidc needs PATCHBAY_AUDIENCE"),
            (oidc(&[(JWKS, "")]), "PATCHBAY_JWKS must be a JSON Web Key Set"),
            (
                oidc(&[(JWKS_URL, "https://keys.example")]),
                "PATCHBAY_JWKS and PATCHBAY_JWKS_URL do not go together",
            ),
            (
                oidc(&[(JWKS_URL, "http://keys.example")]),
                "PATCHBAY_JWKS_URL must be an https:// URL",
            ),
            (
                vec![(AUTH, "oidc"), (ISSUER, "issuer"), (AUDIENCE, "a")],
                "without PATCHBAY_JWKS and PATCHBAY_JWKS_URL, PATCHBAY_ISSUER must be",
            ),
            (
                vec![(AUTH, "off"), (JWKS_URL, "https://keys.example")],
                "PATCHBAY_JWKS_URL is of an issuer, but",
            ),
            (oidc(&[(JWKS, "5ec4e7")]), "PATCHBAY_JWKS must be a JSON Web Key Set"),
            (oidc(&[(CLAIM_TENANT, "")]), "PATCHBAY_CLAIM_TENANT must be"),
            (
                oidc(&[(CLAIM_ADMIN, "5ec4e7")]),
                "PATCHBAY_CLAIM_ADMIN must be path=value",
            ),
            (oidc(&[(CLAIM_EMAIL, "")]), "PATCHBAY_CLAIM_EMAIL must be"),
        ] {
            let error = read(&variables).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("5ec4e7"), "{error}");
        }
    }
}
