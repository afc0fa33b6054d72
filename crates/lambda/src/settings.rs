//! The function's settings: `PATCHBAY_*` variables.

use anyhow::{Context as _, bail};
use patchbay_core::identity::Authentication;
use patchbay_core::identity::fetched::Fetched;
use patchbay_core::identity::operators::Operators;
use patchbay_core::identity::settings::{self as callers, CallerSettings};
use patchbay_core::identity::source::Source;
use patchbay_core::model::Workspaces;
use patchbay_dynamodb::Reads;
use patchbay_signature::verify_by_ring;
use secrecy::SecretString;
use tracing::level_filters::LevelFilter;

/// The variables that the function reads besides those of callers.
const VARIABLES: [&str; 8] = [
    TABLE,
    ENDPOINT,
    KEYS,
    KEYS_SECRET,
    SECRETS_ENDPOINT,
    READS,
    BASE_PATH,
    LOG,
];

const TABLE: &str = "PATCHBAY_TABLE";
const ENDPOINT: &str = "PATCHBAY_DYNAMODB_ENDPOINT";
const KEYS: &str = "PATCHBAY_KEYS";
const KEYS_SECRET: &str = "PATCHBAY_KEYS_SECRET";
const SECRETS_ENDPOINT: &str = "PATCHBAY_SECRETS_ENDPOINT";
const READS: &str = "PATCHBAY_READS";
const BASE_PATH: &str = "PATCHBAY_BASE_PATH";
const LOG: &str = "PATCHBAY_LOG";

/// Whether the function reads a variable of this name.
pub fn is_known(name: &str) -> bool {
    VARIABLES.contains(&name) || callers::VARIABLES.contains(&name)
}

/// What the function is told.
#[derive(Debug)]
pub struct Settings {
    /// The table's name.
    pub table: String,
    /// Where DynamoDB answers, where that is not the region's own address.
    pub endpoint: Option<String>,
    /// Where the key ring is.
    pub keys: Keys,
    /// Who may call.
    pub authentication: Authentication,
    /// Whose tokens make an operator.
    pub operators: Operators,
    /// Whether workspaces come into being by being named.
    pub workspaces: Workspaces,
    /// How fresh reads are.
    pub reads: Reads,
    /// What stands before every path: empty, or `/` and more without a `/` at its end.
    pub base_path: String,
    /// From which level on there is a log.
    pub log: LevelFilter,
}

/// Where the key ring is.
#[derive(Debug)]
pub enum Keys {
    /// Here, its entries between commas.
    Given(SecretString),
    /// In a secret of Secrets Manager, as a JSON object.
    Secret {
        /// Its name or ARN.
        id: String,
        /// Where Secrets Manager answers, where that is not the region's own address.
        endpoint: Option<String>,
    },
}

impl Settings {
    /// Reads the settings through `variable`, which gives a variable's text, or that there is none. An issuer's keys that
    /// are not among them are to be had as `fetched` says.
    ///
    /// # Errors
    /// Names the variable that is missing or wrong, and repeats no key.
    pub fn read(
        variable: impl Fn(&str) -> anyhow::Result<Option<String>>,
        fetched: impl FnOnce(Source) -> anyhow::Result<Fetched>,
    ) -> anyhow::Result<Self> {
        let keys = variable(KEYS)?.map(SecretString::from);
        let keys = match (keys, variable(KEYS_SECRET)?, variable(SECRETS_ENDPOINT)?) {
            (Some(keys), None, None) => Keys::Given(keys),
            (None, Some(id), endpoint) => Keys::Secret { id, endpoint },
            (None, None, _) => bail!("{KEYS_SECRET} must name the secret with the key ring, or {KEYS} be the ring"),
            (Some(_), ..) => bail!("{KEYS} goes with neither {KEYS_SECRET} nor {SECRETS_ENDPOINT}"),
        };
        let callers = CallerSettings::read(&variable)?;
        let base_path = variable(BASE_PATH)?.unwrap_or_default();
        let is_path = base_path.is_empty() || base_path.starts_with('/') && !base_path.ends_with('/');
        anyhow::ensure!(is_path, "{BASE_PATH} must begin with / and not end with one");
        Ok(Self {
            table: variable(TABLE)?.with_context(|| format!("{TABLE} must name the table"))?,
            endpoint: variable(ENDPOINT)?,
            keys,
            authentication: callers.authentication(verify_by_ring, fetched)?,
            operators: callers.operators()?,
            workspaces: callers.workspaces()?,
            reads: Reads::of_setting(variable(READS)?.as_deref())?,
            base_path,
            log: match variable(LOG)? {
                None => LevelFilter::INFO,
                Some(level) => level
                    .parse()
                    .map_err(|_| anyhow::anyhow!("{LOG} must be off, error, warn, info or debug, not {level:?}"))?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        for name in variables.keys() {
            assert!(is_known(name), "{name}");
        }
        let variable = |name: &str| Ok(variables.get(name).map(|text| (*text).to_owned()));
        Settings::read(variable, |_| bail!("nothing is fetched here"))
    }

    const RING: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_table_and_keys_are_enough_and_nobody_may_call() {
        let settings = read(&[(TABLE, "patchbay"), (KEYS, RING)]).unwrap();
        assert_eq!(settings.table, "patchbay");
        assert!(matches!(settings.keys, Keys::Given(_)));
        assert!(matches!(settings.authentication, Authentication::NotConfigured));
        assert_eq!(settings.workspaces, Workspaces::Managed);
        assert_eq!(settings.reads, Reads::Strong);
        assert_eq!(settings.log, LevelFilter::INFO);
        assert!(!format!("{settings:?}").contains("AAAA"));
    }

    #[test]
    fn every_setting_is_taken() {
        let settings = read(&[
            (TABLE, "patchbay"),
            (ENDPOINT, "http://127.0.0.1:8000"),
            (KEYS_SECRET, "arn"),
            (SECRETS_ENDPOINT, "http://127.0.0.1:8001"),
            ("PATCHBAY_AUTH", "off"),
            ("PATCHBAY_WORKSPACES", "managed"),
            (READS, "eventual"),
            (BASE_PATH, "/patchbay"),
            (LOG, "warn"),
        ])
        .unwrap();
        assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1:8000"));
        let Keys::Secret { id, endpoint } = settings.keys else {
            panic!("{:?}", settings.keys);
        };
        assert_eq!((&*id, endpoint.as_deref()), ("arn", Some("http://127.0.0.1:8001")));
        assert!(matches!(settings.authentication, Authentication::Off(_)));
        assert_eq!(settings.workspaces, Workspaces::Managed);
        assert_eq!(settings.reads, Reads::Eventual);
        assert_eq!(settings.base_path, "/patchbay");
        assert_eq!(settings.log, LevelFilter::WARN);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let whole = [(TABLE, "patchbay"), (KEYS, RING)];
        for (variables, named) in [
            (vec![(KEYS, RING)], TABLE),
            (vec![(TABLE, "patchbay")], KEYS_SECRET),
            (vec![(TABLE, "patchbay"), (SECRETS_ENDPOINT, "http://x")], KEYS_SECRET),
            ([&whole[..], &[(KEYS_SECRET, "arn")]].concat(), KEYS_SECRET),
            (
                [&whole[..], &[(SECRETS_ENDPOINT, "http://x")]].concat(),
                SECRETS_ENDPOINT,
            ),
            ([&whole[..], &[("PATCHBAY_AUTH", "on")]].concat(), "PATCHBAY_AUTH"),
            (
                [&whole[..], &[("PATCHBAY_WORKSPACES", "open")]].concat(),
                "PATCHBAY_AUTH=off",
            ),
            ([&whole[..], &[(BASE_PATH, "patchbay")]].concat(), BASE_PATH),
            ([&whole[..], &[(READS, "stale")]].concat(), READS),
            ([&whole[..], &[(BASE_PATH, "/")]].concat(), BASE_PATH),
            ([&whole[..], &[(LOG, "loud")]].concat(), LOG),
        ] {
            let error = format!("{:#}", read(&variables).unwrap_err());
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("AAAA"), "{error}");
        }
    }
}
