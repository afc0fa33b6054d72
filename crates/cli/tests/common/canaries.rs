//! Canaries with tokens.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;

use patchbay_core::api::Host as _;
use patchbay_core::identity::Authentication;
use patchbay_testkit::SystemHost;
use patchbay_testkit::canaries::{Canaries, Flight, Landed};
use patchbay_testkit::issuer::{AUDIENCE, By, CLAIM_ADMIN, ISSUER, Issuer};

use super::{done, upkeep};

/// Who is let in, and with what.
pub struct Callers {
    issuer: Issuer,
    /// An opaque token, and its entry.
    pub token: String,
    entry: String,
}

impl Callers {
    /// An admin of all that callers make where nobody is asked for a token.
    pub fn new(data: &Path) -> Self {
        let create = [
            "tokens",
            "create",
            "--tenant",
            "default",
            "--subject",
            "anonymous",
            "--admin",
        ];
        let printed = done(upkeep(data, &create));
        let lines: Vec<_> = printed.lines().collect();
        let issuer = Issuer::default();
        let [token, entry] = [lines[1], lines[4]].map(str::to_owned);
        Self { issuer, token, entry }
    }

    /// The variables by which a home knows them.
    pub fn settings(&self) -> [(&'static str, String); 6] {
        [
            ("PATCHBAY_AUTH", "oidc+tokens".to_owned()),
            ("PATCHBAY_TOKENS", self.entry.clone()),
            ("PATCHBAY_ISSUER", ISSUER.to_owned()),
            ("PATCHBAY_AUDIENCE", AUDIENCE.to_owned()),
            ("PATCHBAY_JWKS", self.issuer.jwks()),
            ("PATCHBAY_CLAIM_ADMIN", CLAIM_ADMIN.to_owned()),
        ]
    }

    /// Takes canaries through a home that asks for tokens, so many rounds: right ones of either kind, and every wrong one.
    pub fn fly(&self, address: &str, canaries: &mut Canaries, rounds: usize) -> Landed {
        canaries.add("an opaque token", &self.token["patchbay_".len()..]);
        let everybody = Authentication::anonymous();
        let mut tokens = vec![self.token.clone()];
        for by in By::ALL.into_iter().cycle().take(20) {
            let token = self.issuer.token(by, &everybody, SystemHost.now());
            canaries.add_jwt(&format!("a token by {by:?}"), &token);
            tokens.push(token);
        }
        let mut wrong = Vec::new();
        for (name, token) in self.issuer.bad(SystemHost.now()) {
            canaries.add_jwt(&name, &token);
            let token = token.replace(['\r', '\n'], "");
            wrong.push(format!(
                "POST /v1/api/connections/list HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
                 authorization: Bearer {token}\r\ncontent-length: 2\r\n\r\n{{}}"
            ));
        }
        let mut tokens = tokens.iter().cycle().cloned();
        let mut flight = Flight::new(address, canaries, move || tokens.next());
        for request in wrong {
            flight.send(request.as_bytes()).unwrap();
        }
        flight.fly(rounds).unwrap()
    }
}

/// Every way that a request goes wrong was gone, in so many rounds.
pub fn went_everywhere(landed: &Landed, canaries: &Canaries, rounds: usize) {
    let statuses = &landed.statuses;
    for status in [200, 204, 400, 401, 404, 405, 409, 413, 415] {
        assert!(statuses.contains_key(&status), "no {status} among {statuses:?}");
    }
    assert!(canaries.count() > 50 * rounds, "only {} secrets", canaries.count());
}
