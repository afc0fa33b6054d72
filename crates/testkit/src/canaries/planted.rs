//! Leaks on purpose, which show that every place is looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scanner::{Leak, hex};
use super::{Flight, Landed};

/// What a secret is that is leaked on purpose.
const PLANTED: &str = "a leak on purpose";
/// What it is made into.
const FORMS: [&str; 4] = ["as it is", "hexadecimal", "base64", "percent-encoded"];

impl Flight<'_> {
    /// Leaks a secret on purpose: what it was made into are the names of connections and the ids of requests, which homes
    /// keep and say in the clear. They stay.
    ///
    /// # Errors
    /// Where there is no home, or it does not do what it is asked to.
    pub fn plant(mut self) -> anyhow::Result<Landed> {
        let secret = self.canaries.fresh_token(PLANTED);
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for form in [
            secret.clone(),
            hex(secret.as_bytes()),
            STANDARD.encode(&secret),
            percent,
        ] {
            let header = format!("x-request-id: {form}\r\n");
            for (operation, body) in [
                ("connections/create", format!("{{\"name\":\"{form}\",\"type\":\"K\"}}")),
                ("connections/get", format!("{{\"name\":\"{form}\"}}")),
            ] {
                let request = self.request(operation, &header, &body);
                self.expect(&request, 200)?;
            }
        }
        Ok(self.landed)
    }
}

/// Whether this was leaked on purpose.
pub fn was_planted(leak: &Leak) -> bool {
    leak.what == PLANTED
}

/// Which of these places, each a part of the names of some, are not among the leaks with what was [planted](Flight::plant)
/// in every form.
pub fn missed<'p>(leaks: &[Leak], places: &[&'p str]) -> Vec<&'p str> {
    let found = |place: &str, form: &str| {
        let mut planted = leaks.iter().filter(|leak| was_planted(leak) && leak.form == form);
        planted.any(|leak| leak.place.contains(place))
    };
    let whole = |place: &&str| FORMS.iter().all(|form| found(place, form));
    places.iter().copied().filter(|place| !whole(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_missed_unless_every_form_is_found_there() {
        let leak = |form| Leak {
            place: "/data/log".to_owned(),
            at: 0,
            form,
            what: PLANTED.to_owned(),
        };
        let mut leaks = FORMS.map(leak).to_vec();
        assert_eq!(missed(&leaks, &["/log", "/data/"]), [""; 0]);
        assert_eq!(missed(&leaks, &["/log", "/kv/"]), ["/kv/"]);
        leaks.pop();
        assert_eq!(missed(&leaks, &["/log"]), ["/log"]);
        leaks.push(Leak {
            what: "something else".to_owned(),
            ..leak("percent-encoded")
        });
        assert_eq!(missed(&leaks, &["/log"]), ["/log"]);
    }
}
