//! The Worker's variables and secrets.

use patchbay_core::identity::Authentication;
use patchbay_core::model::Workspaces;
use patchbay_core::seal::KeyRing;

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
    /// `PATCHBAY_AUTH`: who may call.
    pub authentication: Authentication,
    /// `PATCHBAY_WORKSPACES`: whether workspaces come into being by being named.
    pub workspaces: Workspaces,
    /// `PATCHBAY_READS` and `PATCHBAY_EDGE_MAX_AGE`.
    pub reads: Reads,
    /// `PATCHBAY_LOG`.
    pub log: Log,
    /// `PATCHBAY_KEYS`, a secret.
    pub keys: KeyRing,
}

/// A variable that means nothing. Never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongSetting(String);

impl Settings {
    /// Takes each variable as `lookup` gives it: `None` where it is not set.
    ///
    /// # Errors
    /// The first variable that means nothing.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, WrongSetting> {
        let authentication = Authentication::of_setting(lookup("PATCHBAY_AUTH").as_deref());
        let authentication = authentication.map_err(|wrong| WrongSetting(wrong.to_string()))?;
        let off = matches!(authentication, Authentication::Off(_));
        let workspaces = choose(&lookup, "PATCHBAY_WORKSPACES", "open or managed", |value| match value {
            None if off => Some(Workspaces::Open),
            None | Some("managed") => Some(Workspaces::Managed),
            Some("open") => Some(Workspaces::Open),
            Some(_) => None,
        })?;
        if workspaces == Workspaces::Open && !off {
            let why = "PATCHBAY_WORKSPACES may be open only with PATCHBAY_AUTH=off";
            return Err(WrongSetting(why.into()));
        }
        let keys = lookup("PATCHBAY_KEYS").unwrap_or_default();
        let keys = KeyRing::parse(&keys).map_err(|invalid| WrongSetting(format!("PATCHBAY_KEYS {invalid}")))?;
        Ok(Self {
            authentication,
            workspaces,
            reads: Reads::read(&lookup)?,
            log: choose(&lookup, "PATCHBAY_LOG", "requests or failures", |value| match value {
                None | Some("requests") => Some(Log::Requests),
                Some("failures") => Some(Log::Failures),
                Some(_) => None,
            })?,
            keys,
        })
    }
}

impl Reads {
    /// For how long KV may hold an entry that counts, in seconds: where it is not read, one from before that was decided.
    pub(crate) fn max_age(self) -> u32 {
        match self {
            Self::Edge { max_age } => max_age,
            Self::Strong => MOST_AGE,
        }
    }

    /// The part of the settings that a tenant's object needs as well.
    ///
    /// # Errors
    /// The first variable that means nothing.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, WrongSetting> {
        let age = format!("whole seconds from {LEAST_AGE} to {MOST_AGE}");
        let max_age = choose(&lookup, "PATCHBAY_EDGE_MAX_AGE", &age, |value| match value {
            None => Some(DEFAULT_AGE),
            Some(value) => value.parse().ok().filter(|age| (LEAST_AGE..=MOST_AGE).contains(age)),
        })?;
        choose(&lookup, "PATCHBAY_READS", "edge or strong", |value| match value {
            None | Some("edge") => Some(Self::Edge { max_age }),
            Some("strong") => Some(Self::Strong),
            Some(_) => None,
        })
    }
}

/// What a variable's value means; `None` where it means nothing.
fn choose<T>(
    lookup: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &str,
    meaning: impl FnOnce(Option<&str>) -> Option<T>,
) -> Result<T, WrongSetting> {
    let value = lookup(name);
    let wrong = || {
        WrongSetting(format!(
            "{name} must be {expected}, not {:?}",
            value.as_deref().unwrap_or_default()
        ))
    };
    meaning(value.as_deref()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: (&str, &str) = ("PATCHBAY_KEYS", "k1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    const OFF: (&str, &str) = ("PATCHBAY_AUTH", "off");

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(lookup).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn with_keys_alone_nobody_may_call_and_workspaces_are_managed() {
        let settings = read(&[KEYS]).unwrap();
        assert!(matches!(settings.authentication, Authentication::NotConfigured));
        assert_eq!(settings.workspaces, Workspaces::Managed);
        assert_eq!(settings.reads, Reads::Edge { max_age: 300 });
        assert_eq!(settings.log, Log::Requests);
        assert_eq!(settings.keys.sealing_key().as_str(), "k1");
    }

    #[test]
    fn every_variable_is_taken_as_said() {
        let settings = read(&[
            KEYS,
            OFF,
            ("PATCHBAY_WORKSPACES", "managed"),
            ("PATCHBAY_EDGE_MAX_AGE", "60"),
            ("PATCHBAY_LOG", "failures"),
        ])
        .unwrap();
        assert!(matches!(settings.authentication, Authentication::Off(_)));
        assert_eq!(settings.workspaces, Workspaces::Managed);
        assert_eq!(settings.reads, Reads::Edge { max_age: 60 });
        assert_eq!(settings.log, Log::Failures);
        let settings = read(&[KEYS, OFF, ("PATCHBAY_READS", "strong")]).unwrap();
        assert_eq!((settings.workspaces, settings.reads), (Workspaces::Open, Reads::Strong));
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (variables, complaint) in [
            (&[][..], "PATCHBAY_KEYS entry 1: must be `key-id:secret`"),
            (
                &[KEYS, ("PATCHBAY_AUTH", "on")],
                "PATCHBAY_AUTH must be off or not set, not \"on\"",
            ),
            (
                &[KEYS, ("PATCHBAY_WORKSPACES", "open")],
                "PATCHBAY_WORKSPACES may be open only with PATCHBAY_AUTH=off",
            ),
            (
                &[KEYS, OFF, ("PATCHBAY_WORKSPACES", "")],
                "PATCHBAY_WORKSPACES must be open or managed, not \"\"",
            ),
            (
                &[KEYS, ("PATCHBAY_EDGE_MAX_AGE", "59")],
                "PATCHBAY_EDGE_MAX_AGE must be whole seconds from 60 to 86400, not \"59\"",
            ),
            (
                &[KEYS, ("PATCHBAY_EDGE_MAX_AGE", "5m")],
                "PATCHBAY_EDGE_MAX_AGE must be whole seconds from 60 to 86400, not \"5m\"",
            ),
            (
                &[KEYS, ("PATCHBAY_READS", "eventual")],
                "PATCHBAY_READS must be edge or strong, not \"eventual\"",
            ),
            (
                &[KEYS, ("PATCHBAY_LOG", "loud")],
                "PATCHBAY_LOG must be requests or failures, not \"loud\"",
            ),
        ] {
            assert_eq!(read(variables).map(|_| ()), Err(complaint.to_owned()));
        }
        let refused = read(&[OFF, ("PATCHBAY_KEYS", "k1:secret-and-too-short")])
            .map(|_| ())
            .unwrap_err();
        assert!(!refused.contains("secret-and"), "{refused}");
    }
}
