//! Who is let in, and with what.

use patchbay_core::api::Host as _;
use patchbay_core::identity::{Authentication, tokens};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Canaries, Flight, Landed};
use crate::SystemHost;
use crate::issuer::{By, Issuer};
use crate::operator::{self, Always};

/// Signed tokens that are brought in turns.
const SIGNED: usize = 20;

/// The tenant that is given what callers make, by a home that is told that it may be (`PATCHBAY_ADOPT_TENANT`).
pub(super) const ADOPTERS: &str = "adopters";

/// An issuer's tokens of every kind and an opaque one, which make an admin of all that callers make where nobody is asked
/// for a token, and an operator's token. What a home is told of them is the same in every process: one may tell it, and
/// another bring the tokens.
pub struct Callers {
    issuer: Issuer,
    opaque: SecretString,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            issuer: Issuer::default(),
            opaque: tokens::generate(&Always(5)),
        }
    }
}

impl Callers {
    /// The variables by which a home knows them.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let entry = tokens::Entry::new(&self.opaque, Authentication::anonymous(), None);
        let mut settings = Vec::from(self.issuer.settings());
        // It says that an issuer's tokens alone are taken.
        settings.retain(|(name, _)| *name != "PATCHBAY_AUTH");
        settings.extend([
            ("PATCHBAY_AUTH", "oidc+tokens".to_owned()),
            ("PATCHBAY_TOKENS", entry.to_string()),
            ("PATCHBAY_OPERATOR_TOKENS", operator::entry()),
        ]);
        settings
    }

    /// The opaque token.
    pub fn opaque(&self) -> &str {
        self.opaque.expose_secret()
    }

    /// A flight of theirs: their tokens are canaries.
    pub fn flight<'c>(&self, authority: &'c str, canaries: &'c mut Canaries) -> Flight<'c> {
        let operator = operator::token();
        for (what, token) in [("an opaque token", &self.opaque), ("an operator's token", &operator)] {
            // All of them begin alike.
            let secret = token.expose_secret().trim_start_matches("patchbay_");
            canaries.add(what, secret);
        }
        let mut tokens = vec![self.opaque().to_owned()];
        for by in By::ALL.into_iter().cycle().take(SIGNED) {
            let token = self.issuer.token(by, &Authentication::anonymous(), SystemHost.now());
            canaries.add_jwt(&format!("a token by {by:?}"), &token);
            tokens.push(token);
        }
        let mut turn = 0;
        let token = move || {
            turn += 1;
            tokens.get(turn % tokens.len()).cloned()
        };
        Flight::new(authority, canaries, token).with_operator(operator.expose_secret())
    }

    /// Takes canaries through a home that asks for tokens, so many rounds, and every wrong token before.
    ///
    /// # Errors
    /// As those of [`Flight::fly`].
    pub fn fly(&self, authority: &str, canaries: &mut Canaries, rounds: usize) -> anyhow::Result<Landed> {
        let wrong = self.issuer.bad(SystemHost.now());
        for (name, token) in &wrong {
            canaries.add_jwt(name, token);
        }
        let mut flight = self.flight(authority, canaries);
        for (_, token) in &wrong {
            let bearer = format!("authorization: Bearer {}\r\n", token.replace(['\r', '\n'], ""));
            let request = flight.post("connections/list", &bearer, "{}");
            flight.send(&request)?;
        }
        flight.fly(rounds)
    }
}
