//! Prints the issuer for tests as JSON, for those who do not link it: `settings`, by which a home knows its tokens and the
//! operator's; `good`
//! and `bad` tokens, each under its name.

use patchbay_core::api::Host as _;
use patchbay_testkit::SystemHost;
use patchbay_testkit::issuer::Issuer;
use serde_json::{Map, Value, json};

#[allow(clippy::print_stdout, reason = "what it is for")]
fn main() {
    let (issuer, now) = (Issuer::default(), SystemHost.now());
    let object = |pairs: Vec<(String, String)>| {
        let pairs = pairs.into_iter().map(|(name, text)| (name, Value::from(text)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    let settings = issuer.settings().map(|(name, text)| (name.to_owned(), text));
    let all = json!({
        "settings": object(settings.into()),
        "good": object(issuer.good(now)),
        "bad": object(issuer.bad(now)),
    });
    println!("{all}");
}
