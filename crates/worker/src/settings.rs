//! The Worker's variables and secrets.

use std::collections::BTreeMap;

use patchbay_core::identity::Authentication;
use patchbay_core::identity::fetched::{Dispatch, Fetched, Renewal};
use patchbay_core::identity::operators::Operators;
pub use patchbay_core::identity::settings::WrongSetting;
use patchbay_core::identity::settings::{self as callers, CallerSettings};
use patchbay_core::model::{Tenant, Workspaces};
use patchbay_core::seal::KeyRing;
use patchbay_signature::verify_in_rust;

/// Where reads come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// From KV where it has the answer, no older than so many seconds; else from the tenant's object.
    Edge {
        /// The lease of an entry, from [`LEAST_AGE`] to a day.
        max_age: u32,
    },
    /// From the tenant's object, every one.
    Strong,
}

/// The least `PATCHBAY_EDGE_MAX_AGE`, in seconds: KV itself may take as long to show a change.
pub const LEAST_AGE: u32 = 60;
/// `PATCHBAY_EDGE_MAX_AGE` where nothing is said, in seconds.
const DEFAULT_AGE: u32 = 300;
/// The most: a day. Past it, a removed member might read for longer than anybody would expect.
const MOST_AGE: u32 = 86_400;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// A line for every request.
    Requests,
    /// Lines for requests that failed on this side: 5xx.
    Failures,
}

/// Everything that the Worker is told.
#[derive(Debug)]
pub struct Settings {
    /// `PATCHBAY_AUTH` and what goes with it: who may call.
    pub authentication: Authentication,
    /// `PATCHBAY_OPERATOR_TOKENS`: whose tokens make an operator.
    pub operators: Operators,
    /// `PATCHBAY_ADOPT_TENANT`: to whose people an operator may give what was stored while authentication was off.
    pub adopt_tenant: Option<Tenant>,
    /// `PATCHBAY_WORKSPACES`: whether workspaces come into being by being named.
    pub workspaces: Workspaces,
    /// `PATCHBAY_READS` and `PATCHBAY_EDGE_MAX_AGE`.
    pub reads: Reads,
    /// `PATCHBAY_LOG`.
    pub log: Log,
    /// `PATCHBAY_KEYS`, a secret.
    pub keys: KeyRing,
}

/// Variables and secrets by name: those that begin with `PATCHBAY_`.
pub type Variables = BTreeMap<String, String>;

const READS: &str = "PATCHBAY_READS";
const EDGE_MAX_AGE: &str = "PATCHBAY_EDGE_MAX_AGE";
const LOG: &str = "PATCHBAY_LOG";
const KEYS: &str = "PATCHBAY_KEYS";
const ADOPT_TENANT: &str = "PATCHBAY_ADOPT_TENANT";

impl Settings {
    /// What the variables mean where an issuer is asked for its keys so.
    ///
    /// # Errors
    /// The first of them that means nothing, or that there is no such setting.
    pub fn read(variables: &Variables, dispatch: Dispatch) -> Result<Self, WrongSetting> {
        let own = [READS, EDGE_MAX_AGE, LOG, KEYS, ADOPT_TENANT];
        let is_known = |name: &str| own.contains(&name) || callers::VARIABLES.contains(&name);
        if let Some(unknown) = variables.keys().find(|name| !is_known(name)) {
            return Err(WrongSetting(format!("{unknown} is not a setting of Patchbay")));
        }
        let callers = CallerSettings::read(|name| Ok::<_, WrongSetting>(variables.get(name).cloned()))?;
        let fetched = |source| Ok::<_, WrongSetting>(Fetched::new(source, Renewal::Behind, dispatch));
        let authentication = callers.authentication(verify_in_rust, fetched)?;
        let workspaces = callers.workspaces()?;
        let keys = variables.get(KEYS).ok_or_else(|| {
            WrongSetting(format!(
                "{KEYS} is not set: it holds the keys that details are sealed with"
            ))
        })?;
        let keys = KeyRing::parse(keys).map_err(|invalid| WrongSetting(format!("{KEYS}: {invalid}")))?;
        let adopt_tenant = variables
            .get(ADOPT_TENANT)
            .map(|tenant| Tenant::new(tenant))
            .transpose();
        Ok(Self {
            authentication,
            operators: callers.operators()?,
            adopt_tenant: adopt_tenant.map_err(|invalid| WrongSetting(format!("{ADOPT_TENANT} {invalid}")))?,
            workspaces,
            reads: reads(variables)?,
            log: choose(variables, LOG, "requests or failures", |value| match value {
                None | Some("requests") => Some(Log::Requests),
                Some("failures") => Some(Log::Failures),
                Some(_) => None,
            })?,
            keys,
        })
    }
}

fn reads(variables: &Variables) -> Result<Reads, WrongSetting> {
    let ages = LEAST_AGE..=MOST_AGE;
    let expected = format!("whole seconds from {LEAST_AGE} to {MOST_AGE}");
    let max_age = choose(variables, EDGE_MAX_AGE, &expected, |value| match value {
        None => Some(DEFAULT_AGE),
        Some(value) => value.parse().ok().filter(|age| ages.contains(age)),
    })?;
    choose(variables, READS, "edge or strong", |value| match value {
        None | Some("edge") => Some(Reads::Edge { max_age }),
        Some("strong") => Some(Reads::Strong),
        Some(_) => None,
    })
}

/// What a variable's value means; `None` where it means nothing.
fn choose<T>(
    variables: &Variables,
    name: &str,
    expected: &str,
    meaning: impl FnOnce(Option<&str>) -> Option<T>,
) -> Result<T, WrongSetting> {
    let value = variables.get(name).map(String::as_str);
    let given = value.unwrap_or_default();
    meaning(value).ok_or_else(|| WrongSetting(format!("{name} must be {expected}, not {given:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: (&str, &str) = (KEYS, "k1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    const OFF: (&str, &str) = ("PATCHBAY_AUTH", "off");

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let named = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables = variables.iter().map(named).collect();
        Settings::read(&variables, Box::new(|_| {})).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn with_keys_alone_nobody_may_call_and_workspaces_are_managed() {
        let settings = read(&[RING]).unwrap();
        assert!(matches!(settings.authentication, Authentication::NotConfigured));
        assert_eq!(settings.workspaces, Workspaces::Managed);
        assert_eq!(settings.reads, Reads::Edge { max_age: 300 });
        assert_eq!(settings.log, Log::Requests);
        assert_eq!(settings.keys.sealing_key().as_str(), "k1");
    }

    #[test]
    fn every_variable_is_taken_as_said() {
        let settings = read(&[
            RING,
            OFF,
            ("PATCHBAY_WORKSPACES", "managed"),
            (EDGE_MAX_AGE, "60"),
            (LOG, "failures"),
            (ADOPT_TENANT, "acme"),
        ])
        .unwrap();
        assert!(matches!(settings.authentication, Authentication::Off(_)));
        assert_eq!(settings.workspaces, Workspaces::Managed);
        assert_eq!(settings.reads, Reads::Edge { max_age: 60 });
        assert_eq!(settings.log, Log::Failures);
        assert_eq!(settings.adopt_tenant.unwrap().as_str(), "acme");
        let settings = read(&[RING, OFF, (READS, "strong")]).unwrap();
        assert_eq!((settings.workspaces, settings.reads), (Workspaces::Open, Reads::Strong));
    }

    #[test]
    fn an_issuer_is_asked_for_keys_that_are_not_given() {
        let issuer = [
            RING,
            ("PATCHBAY_AUTH", "oidc"),
            ("PATCHBAY_ISSUER", "https://issuer.example"),
            ("PATCHBAY_AUDIENCE", "patchbay"),
        ];
        let source = |more: &[(&str, &str)]| {
            let Authentication::Oidc(oidc) = read(&[&issuer, more].concat()).unwrap().authentication else {
                panic!("callers bring tokens");
            };
            oidc.source().unwrap().to_string()
        };
        let document = "https://issuer.example/.well-known/openid-configuration";
        assert_eq!(source(&[]), document);
        let url = "https://keys.example/a";
        assert_eq!(source(&[("PATCHBAY_JWKS_URL", url)]), url);
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (variables, complaint) in [
            (
                &[][..],
                "PATCHBAY_KEYS is not set: it holds the keys that details are sealed with",
            ),
            (&[(KEYS, "k1")], "PATCHBAY_KEYS: entry 1: must be `key-id:secret`"),
            (
                &[RING, ("PATCHBAY_READ", "strong")],
                "PATCHBAY_READ is not a setting of Patchbay",
            ),
            (
                &[RING, ("PATCHBAY_AUTH", "on")],
                "PATCHBAY_AUTH must be off, tokens, oidc or oidc+tokens, not \"on\"",
            ),
            (
                &[RING, ("PATCHBAY_WORKSPACES", "open")],
                "PATCHBAY_WORKSPACES may be open only with PATCHBAY_AUTH=off",
            ),
            (
                &[RING, (EDGE_MAX_AGE, "59")],
                "PATCHBAY_EDGE_MAX_AGE must be whole seconds from 60 to 86400, not \"59\"",
            ),
            (
                &[RING, (EDGE_MAX_AGE, "5m")],
                "PATCHBAY_EDGE_MAX_AGE must be whole seconds from 60 to 86400, not \"5m\"",
            ),
            (
                &[RING, (READS, "eventual")],
                "PATCHBAY_READS must be edge or strong, not \"eventual\"",
            ),
            (
                &[RING, (LOG, "loud")],
                "PATCHBAY_LOG must be requests or failures, not \"loud\"",
            ),
            (
                &[RING, (ADOPT_TENANT, "")],
                "PATCHBAY_ADOPT_TENANT must be 1 to 128 bytes of UTF-8",
            ),
        ] {
            assert_eq!(read(variables).map(|_| ()), Err(complaint.to_owned()));
        }
        let refused = read(&[OFF, (KEYS, "k1:secret-and-too-short")]).map(|_| ()).unwrap_err();
        assert!(!refused.contains("secret-and"), "{refused}");
    }
}
