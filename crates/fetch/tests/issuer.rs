//! Keys fetched over HTTP from issuers of every kind, by a home whose clock stands still until it is moved on. Requests
//! are counted, not timed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::join_all;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use patchbay_core::api::Host;
use patchbay_core::identity::fetched::{Fetched, Renewal};
use patchbay_core::identity::oidc::{ClaimPath, Oidc, Rules};
use patchbay_core::identity::source::{Source, Url};
use patchbay_core::identity::{Authentication, Unauthenticated};
use patchbay_core::model::{Caller, Timestamp};
use patchbay_testkit::issuer::{AUDIENCE, By, Issuer, Manner, Published};
use patchbay_testkit::sample::caller;

const HOUR: i64 = 3_600;
/// Every manner but the good one and that which takes time.
const BAD: [Manner; 5] = [
    Manner::Garbage,
    Manner::Floods,
    Manner::OtherIssuer,
    Manner::Redirects,
    Manner::Fails,
];

#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn fill(&self, _: &mut [u8]) {}
}

fn ann() -> Caller {
    caller("acme", "ann", false)
}

/// What takes an issuer's tokens.
struct Home {
    authentication: Authentication,
    clock: Clock,
    issuer: Issuer,
}

impl Home {
    fn over(source: Source, issuer: Issuer, name: String) -> Self {
        let clock = Clock(Arc::new(AtomicI64::new(1_700_000_000_000_000)));
        let rules = Rules {
            issuer: name,
            audience: AUDIENCE.to_owned(),
            tenant: ClaimPath::new("tenant").unwrap(),
            admin: None,
            email: ClaimPath::new("email").unwrap(),
        };
        let dispatch = patchbay_fetch::dispatch(clock.clone()).unwrap();
        let keys = Fetched::new(source, Renewal::Behind, dispatch);
        // Which signatures are right is not the question here.
        let oidc = Oidc::fetching(rules, keys, |_, _, _, _| true);
        Self {
            authentication: Authentication::Oidc(Arc::new(oidc)),
            clock,
            issuer,
        }
    }

    /// An issuer that behaves, and a home that finds its keys by its discovery document.
    async fn and_issuer() -> (Self, Published) {
        let issuer = Issuer::default();
        let published = Published::start(issuer.jwks()).await.unwrap();
        let name = published.name();
        let home = Self::over(Source::discovery(&name).unwrap(), issuer.named(&name), name);
        (home, published)
    }

    /// Whether this issuer's token is taken.
    async fn takes(&self, issuer: &Issuer) -> Result<Caller, Unauthenticated> {
        self.takes_token(&issuer.token(By::Es256, &ann(), self.clock.now()))
            .await
    }

    async fn takes_token(&self, token: &str) -> Result<Caller, Unauthenticated> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
        self.authentication.caller(&headers, self.clock.now()).await
    }

    async fn takes_its_own(&self) -> Result<Caller, Unauthenticated> {
        self.takes(&self.issuer).await
    }

    /// An issuer with keys of other ids.
    fn rotated(&self, published: &Published, generation: &str) -> Issuer {
        Issuer::other().named(&published.name()).rotated(generation)
    }
}

#[tokio::test]
async fn keys_are_found_by_the_discovery_document_and_kept() {
    let (home, published) = Home::and_issuer().await;
    home.authentication.prepare(home.clock.now()).await;
    for _ in 0..100 {
        home.takes_its_own().await.unwrap();
    }
    assert_eq!((published.documents(), published.sets()), (1, 1));
}

#[tokio::test]
async fn keys_are_found_at_an_address_whoever_issues_the_tokens() {
    let issuer = Issuer::default();
    let published = Published::start(issuer.jwks()).await.unwrap();
    let source = Source::At(Url::new(&published.keys_url()).unwrap());
    let name = "https://login.example";
    let home = Home::over(source, issuer.named(name), name.to_owned());
    home.takes_its_own().await.unwrap();
    assert_eq!((published.documents(), published.sets()), (0, 1));
}

#[tokio::test]
async fn rotated_keys_are_taken_at_their_first_token_and_the_old_ones_no_more() {
    let (home, published) = Home::and_issuer().await;
    home.takes_its_own().await.unwrap();
    for round in 1..=3 {
        let rotated = home.rotated(&published, &format!("-{round}"));
        published.publish(rotated.jwks());
        home.clock.forward(30);
        home.takes(&rotated).await.unwrap();
        assert_eq!(published.sets(), 1 + round);
        let gone = home.takes_its_own().await.unwrap_err();
        assert!(matches!(gone, Unauthenticated::Invalid(_)), "{gone}");
    }
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cause_one_fetch_in_30_seconds() {
    let (home, published) = Home::and_issuer().await;
    home.takes_its_own().await.unwrap();
    home.clock.forward(HOUR / 2);
    let unknown = home.rotated(&published, "-unknown");
    for fetches in 2..=4 {
        let tokens = home.issuer.by_unknown_keys(10_000, &ann(), home.clock.now());
        let refused = join_all(tokens.iter().map(|token| home.takes_token(token))).await;
        assert!(
            refused
                .iter()
                .all(|refused| matches!(refused, Err(Unauthenticated::Invalid(_))))
        );
        assert_eq!((published.documents(), published.sets()), (fetches, fetches));
        home.clock.forward(29);
        home.takes(&unknown).await.unwrap_err();
        assert_eq!(published.sets(), fetches);
        home.takes_its_own().await.unwrap();
        home.clock.forward(1);
    }
}

#[tokio::test]
async fn keys_are_fresh_for_as_long_as_their_issuer_says() {
    for (says, seconds) in [
        ("public, max-age=600", 600),
        ("no-store", 300),
        ("max-age=99999", 21_600),
    ] {
        let (home, published) = Home::and_issuer().await;
        published.say(says);
        home.takes_its_own().await.unwrap();
        home.clock.forward(seconds / 5 * 4 - 1);
        home.takes_its_own().await.unwrap();
        assert_eq!(published.sets(), 1, "{says}");
        // Nobody asked for them in the last fifth of that time: whoever comes thereafter waits.
        home.clock.forward(seconds / 5 + 1);
        home.takes_its_own().await.unwrap();
        assert_eq!(published.sets(), 2, "{says}");
    }
}

#[tokio::test]
async fn an_issuer_that_goes_away_leaves_its_keys_for_a_day() {
    let (home, published) = Home::and_issuer().await;
    home.takes_its_own().await.unwrap();
    drop(published);
    for _ in 0..23 {
        home.clock.forward(HOUR);
        home.takes_its_own().await.unwrap();
    }
    home.clock.forward(HOUR);
    assert_eq!(home.takes_its_own().await, Err(Unauthenticated::NoKeys));
}

#[tokio::test]
async fn an_issuer_that_comes_back_is_heard() {
    let (home, published) = Home::and_issuer().await;
    published.behave(Manner::Fails);
    assert_eq!(home.takes_its_own().await, Err(Unauthenticated::NoKeys));
    published.behave(Manner::Well);
    home.clock.forward(29);
    assert_eq!(home.takes_its_own().await, Err(Unauthenticated::NoKeys));
    home.clock.forward(1);
    home.takes_its_own().await.unwrap();
}

/// The runtime's clock moves on by itself when all wait.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_holds_nobody_for_more_than_five_seconds() {
    let (home, published) = Home::and_issuer().await;
    published.behave(Manner::Hangs);
    let began = tokio::time::Instant::now();
    let all = join_all((0..100).map(|_| home.takes_its_own())).await;
    assert!(all.iter().all(|taken| *taken == Err(Unauthenticated::NoKeys)));
    assert_eq!(began.elapsed().as_secs(), 5);
    // And until it is asked again, nobody at all.
    assert_eq!(home.takes_its_own().await, Err(Unauthenticated::NoKeys));
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn an_issuer_that_misbehaves_gives_no_keys_and_takes_none_away() {
    for manner in BAD {
        let (home, published) = Home::and_issuer().await;
        published.behave(manner);
        assert_eq!(home.takes_its_own().await, Err(Unauthenticated::NoKeys), "{manner:?}");
        published.behave(Manner::Well);
        home.clock.forward(30);
        home.takes_its_own().await.unwrap();
        published.behave(manner);
        home.clock.forward(30);
        let rotated = home.rotated(&published, "-next");
        published.publish(rotated.jwks());
        let refused = home.takes(&rotated).await.unwrap_err();
        assert!(matches!(refused, Unauthenticated::Invalid(_)), "{manner:?}: {refused}");
        home.takes_its_own().await.unwrap();
        // It was not read to its end, twice.
        assert!(published.flooded() < 40 * 1024 * 1024, "{}", published.flooded());
    }
}

#[tokio::test]
async fn a_request_that_goes_away_ends_nothing_that_others_wait_for() {
    let (home, published) = Home::and_issuer().await;
    let mut gone = Box::pin(home.takes_its_own());
    assert!(futures_util::poll!(&mut gone).is_pending());
    let mut waits = Box::pin(home.takes_its_own());
    assert!(futures_util::poll!(&mut waits).is_pending());
    drop(gone);
    waits.await.unwrap();
    assert_eq!(published.sets(), 1);
}
