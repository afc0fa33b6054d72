//! An issuer's keys, fetched from it. The core says what to ask and judges what is answered; a home does the asking, in
//! a task of its own, so that a request that goes away ends nothing that others wait for.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Response, StatusCode, Uri};

use super::keys::KeySet;
use super::life::Life;
use super::source::{Source, Url, keys_url};
use crate::limits;
use crate::model::{Invalid, Timestamp};

/// When keys that still count for a while are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// In the background.
    Behind,
    /// While the request that finds them due waits: for homes that stand still between requests.
    Within,
}

/// How a home takes an errand on: at once, and in a task of its own.
pub type Dispatch = Box<dyn Fn(Errand) + Send + Sync>;

/// The keys of an issuer, which are asked for when they are needed, and kept.
pub struct Fetched {
    source: Source,
    renewal: Renewal,
    dispatch: Dispatch,
    state: Mutex<State>,
    /// Requests that wait for an answer.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct State {
    life: Life,
    /// Of what was asked last.
    answer: Option<Answered>,
}

/// Ends once there is an answer, or it is lost.
type Answered = Shared<oneshot::Receiver<()>>;

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fetched").field(&self.source).finish()
    }
}

impl Fetched {
    /// Keys from there. Nothing is asked before there is a need.
    pub fn new(source: Source, renewal: Renewal, dispatch: Dispatch) -> Self {
        Self {
            source,
            renewal,
            dispatch,
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Where they are.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The keys for a token that names this one; none where the issuer has not given any for too long. They are asked
    /// for where they are due, and waited for where the token cannot be judged without, by
    /// [`limits::WAITING_FOR_KEYS`] requests at most: what a token costs before it is judged is to be bounded.
    pub(super) async fn keys(self: &Arc<Self>, key_id: Option<&str>, now: Timestamp) -> Option<Arc<KeySet>> {
        self.suiting(|keys| key_id.is_none_or(|id| keys.names(id)), now).await
    }

    /// Other keys than these, for a token that names none and is not signed with them: its issuer may have others by now.
    /// They are asked for and waited for as for a token that names an unknown key, and no more often.
    pub(super) async fn instead_of(self: &Arc<Self>, tried: &Arc<KeySet>, now: Timestamp) -> Option<Arc<KeySet>> {
        let others = |keys: &Arc<KeySet>| !Arc::ptr_eq(keys, tried);
        self.suiting(others, now).await.filter(others)
    }

    /// The keys; asked for where they are due, or those that are known do not suit a token.
    async fn suiting(self: &Arc<Self>, suit: impl Fn(&Arc<KeySet>) -> bool, now: Timestamp) -> Option<Arc<KeySet>> {
        let (known, answer) = self.arrival(suit, now);
        let Some((answer, _place)) = answer.zip(self.place()) else {
            return known;
        };
        // Where it is lost, there is what there was.
        _ = answer.await;
        self.state().life.known(now).cloned()
    }

    /// Has the issuer asked where that is due. Gives the keys that are known, and the answer to wait for.
    fn arrival(
        self: &Arc<Self>,
        suit: impl Fn(&Arc<KeySet>) -> bool,
        now: Timestamp,
    ) -> (Option<Arc<KeySet>>, Option<Answered>) {
        let mut state = self.state();
        let known = state.life.known(now).cloned();
        let unknown = known.as_ref().is_some_and(|keys| !suit(keys));
        let step = state.life.arrival(now, unknown);
        if !step.ask {
            return (known, state.answer.clone().filter(|_| step.wait));
        }
        let (answered, answer) = oneshot::channel();
        let answer = answer.shared();
        state.answer = Some(answer.clone());
        let number = state.life.errand();
        drop(state);
        let (url, asked) = match &self.source {
            Source::At(url) => (url, Asked::Keys),
            Source::Discovery { document, .. } => (document, Asked::Document),
        };
        (self.dispatch)(Errand {
            url: url.clone(),
            asked,
            number,
            keys: Arc::clone(self),
            _answered: answered,
        });
        let wait = step.wait || self.renewal == Renewal::Within;
        (known, wait.then_some(answer))
    }

    /// A place among those who wait, until it is dropped, if there is one.
    fn place(&self) -> Option<Place<'_>> {
        let place = Place(&self.waiting);
        (self.waiting.fetch_add(1, Ordering::Relaxed) < limits::WAITING_FOR_KEYS).then_some(place)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One more who waits, counted from the moment it is tried.
struct Place<'f>(&'f AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Something to ask an issuer: a GET of [`Errand::url`], which follows no redirect, takes
/// [`ISSUER_SECONDS`](crate::limits::ISSUER_SECONDS) at most, and reads no more than
/// [`ISSUER_BYTES`](crate::limits::ISSUER_BYTES). Dropped, it counts as lost.
#[derive(Debug)]
pub struct Errand {
    url: Url,
    asked: Asked,
    number: u64,
    keys: Arc<Fetched>,
    /// Its end tells those who wait.
    _answered: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    /// For the discovery document.
    Document,
    /// For the key set.
    Keys,
}

/// What comes of an errand.
#[derive(Debug)]
pub enum Outcome {
    /// There is another thing to ask.
    Next(Errand),
    /// The issuer has these keys, which count from now on.
    Keys {
        /// Its keys.
        keys: Arc<KeySet>,
        /// Seconds until they are asked for again at the latest, if a token arrives.
        fresh_seconds: i64,
    },
    /// It failed.
    Failed {
        /// Why.
        why: String,
        /// Whether keys are known that go on counting. Without any, no token is taken.
        known: bool,
    },
}

impl Errand {
    /// What to GET.
    pub fn url(&self) -> &Uri {
        self.url.uri()
    }

    /// Takes the answer, or why there is none.
    pub fn answered(self, now: Timestamp, answer: Result<Response<Bytes>, String>) -> Outcome {
        let judged = answer.and_then(|answer| match answer.status() {
            StatusCode::OK => self.judge(&answer).map_err(|wrong| wrong.to_string()),
            status => Err(format!("the answer is {status}")),
        });
        let mut state = self.keys.state();
        let why = match judged {
            Ok(Judged::Keys { keys, max_age }) => {
                let keys = Arc::new(keys);
                let taken = state.life.answered(self.number, now, Arc::clone(&keys), max_age);
                if let Some(fresh_seconds) = taken {
                    return Outcome::Keys { keys, fresh_seconds };
                }
                "the answer to a later question came before".to_owned()
            }
            Ok(Judged::At(url)) => {
                drop(state);
                let asked = Asked::Keys;
                return Outcome::Next(Self { url, asked, ..self });
            }
            Err(why) => {
                state.life.failed(self.number);
                why
            }
        };
        let known = state.life.known(now).is_some();
        Outcome::Failed { why, known }
    }

    fn judge(&self, answer: &Response<Bytes>) -> Result<Judged, Invalid> {
        match (self.asked, &self.keys.source) {
            (Asked::Document, Source::Discovery { issuer, document }) => {
                keys_url(answer.body(), issuer, document).map(Judged::At)
            }
            _ => Ok(Judged::Keys {
                keys: KeySet::read(answer.body())?,
                max_age: max_age(answer.headers()),
            }),
        }
    }
}

/// What an answer says.
enum Judged {
    At(Url),
    Keys { keys: KeySet, max_age: Option<u64> },
}

/// The `max-age` of `Cache-Control` (RFC 9111, 5.2.2); 0 where it says that the answer is not to be kept.
fn max_age(headers: &HeaderMap) -> Option<u64> {
    let directives = || {
        let values = headers.get_all(CACHE_CONTROL).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim)
    };
    let says = |name: &str| directives().any(|directive| directive.eq_ignore_ascii_case(name));
    if says("no-store") || says("no-cache") {
        return Some(0);
    }
    let (_, seconds) = directives().find_map(|directive| {
        directive
            .split_once('=')
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
    })?;
    seconds.trim().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use http::HeaderValue;

    use super::*;

    const ISSUER: &str = "https://issuer.example";
    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn later(seconds: i64) -> Timestamp {
        Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000)
    }

    fn set(ids: &[&str]) -> String {
        let x = "E".repeat(43);
        let key = |id| format!("{{\"kid\":\"{id}\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}");
        format!("{{\"keys\":[{}]}}", ids.iter().map(key).collect::<Vec<_>>().join(","))
    }

    fn answer(body: impl Into<Bytes>) -> Result<Response<Bytes>, String> {
        Ok(Response::new(body.into()))
    }

    /// Keys and the errands that a home is given for them.
    fn keys(source: Source, renewal: Renewal) -> (Arc<Fetched>, Receiver<Errand>) {
        let (sender, errands) = channel();
        let dispatch = move |errand| sender.send(errand).unwrap();
        (Arc::new(Fetched::new(source, renewal, Box::new(dispatch))), errands)
    }

    fn at_url() -> (Arc<Fetched>, Receiver<Errand>) {
        keys(
            Source::At(Url::new("https://issuer.example/keys").unwrap()),
            Renewal::Behind,
        )
    }

    /// The ids among these that there are keys of, without anybody being waited for.
    fn names(keys: &Arc<Fetched>, ids: &[&str], now: Timestamp) -> Option<Vec<bool>> {
        let found = keys.keys(None, now).now_or_never().expect("nobody is waited for")?;
        Some(ids.iter().map(|id| found.names(id)).collect())
    }

    #[test]
    fn the_issuers_document_says_where_its_keys_are() {
        for issuer in [ISSUER, "https://issuer.example/realms/a/"] {
            let (keys, errands) = keys(Source::discovery(issuer).unwrap(), Renewal::Behind);
            let mut token = Box::pin(keys.keys(Some("a"), NOW));
            assert!((&mut token).now_or_never().is_none());
            let errand = errands.recv().unwrap();
            let base = issuer.trim_end_matches('/');
            assert_eq!(
                errand.url().to_string(),
                format!("{base}/.well-known/openid-configuration")
            );
            let document = format!("{{\"issuer\":\"{issuer}\",\"jwks_uri\":\"https://keys.example/a\",\"more\":[]}}");
            let Outcome::Next(errand) = errand.answered(NOW, answer(document)) else {
                panic!("there is more to ask");
            };
            assert_eq!(errand.url(), "https://keys.example/a");
            assert!((&mut token).now_or_never().is_none());
            assert!(matches!(
                errand.answered(NOW, answer(set(&["a"]))),
                Outcome::Keys { .. }
            ));
            assert!(token.now_or_never().unwrap().unwrap().names("a"));
        }
    }

    #[test]
    fn a_document_of_somebody_else_or_that_leads_astray_is_refused() {
        for (document, said) in [
            (
                "{\"issuer\":\"https://issuer.example/\",\"jwks_uri\":\"https://a\"}",
                "another `issuer`",
            ),
            ("{\"jwks_uri\":\"https://a\"}", "another `issuer`"),
            ("{\"issuer\":\"https://issuer.example\"}", "`jwks_uri` that must be"),
            (
                "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":\"http://keys.example/\"}",
                "`jwks_uri` that must be",
            ),
            (
                "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":\"http://127.0.0.1/\"}",
                "is not https",
            ),
            ("[]", "not a JSON object"),
        ] {
            let (keys, errands) = keys(Source::discovery(ISSUER).unwrap(), Renewal::Behind);
            _ = keys.keys(None, NOW).now_or_never();
            match errands.recv().unwrap().answered(NOW, answer(document)) {
                Outcome::Failed { why, known: false } => assert!(why.contains(said), "{document}: {why}"),
                other => panic!("{document}: {other:?}"),
            }
        }
    }

    #[test]
    fn ten_thousand_tokens_of_unknown_keys_cause_one_errand_and_as_many_as_may_wait_for_it() {
        let (keys, errands) = at_url();
        let ids: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
        for (now, known) in [(NOW, "old"), (later(30), "7")] {
            let (mut tokens, mut others) = (Vec::new(), Vec::new());
            for id in &ids {
                let mut token = Box::pin(keys.keys(Some(id), now));
                match (&mut token).now_or_never() {
                    None => tokens.push(token),
                    Some(known) => others.push(known),
                }
            }
            assert_eq!(tokens.len(), limits::WAITING_FOR_KEYS);
            assert!(others.iter().all(|keys| keys.is_some() == (now != NOW)));
            let errand = errands.try_recv().unwrap();
            assert!(errands.try_recv().is_err());
            // Whoever asked goes away, and another may wait.
            drop(tokens.remove(0));
            tokens.push(Box::pin(keys.keys(Some("x"), now)));
            assert!(tokens.last_mut().unwrap().now_or_never().is_none());
            assert!(matches!(
                errand.answered(now, answer(set(&[known]))),
                Outcome::Keys { .. }
            ));
            assert!(
                tokens
                    .into_iter()
                    .all(|token| token.now_or_never().unwrap().unwrap().names(known))
            );
            // Those that are still unknown are not asked for again so soon.
            for id in &ids {
                assert!(keys.keys(Some(id), later(29)).now_or_never().unwrap().is_some());
            }
            assert!(errands.try_recv().is_err());
        }
    }

    #[test]
    fn an_errand_that_is_lost_lets_everybody_go_on() {
        let (keys, errands) = at_url();
        let mut token = Box::pin(keys.keys(None, NOW));
        assert!((&mut token).now_or_never().is_none());
        drop(errands.recv().unwrap());
        assert!(token.now_or_never().unwrap().is_none());
    }

    #[test]
    fn an_errand_that_counts_as_lost_takes_away_no_newer_keys_when_it_comes_back() {
        let (keys, errands) = at_url();
        let [lost, errand] = [NOW, later(30)].map(|now| {
            _ = keys.keys(None, now).now_or_never();
            errands.try_recv().unwrap()
        });
        assert!(matches!(
            errand.answered(later(31), answer(set(&["new"]))),
            Outcome::Keys { .. }
        ));
        let outcome = lost.answered(later(32), answer(set(&["old"])));
        assert!(matches!(outcome, Outcome::Failed { known: true, .. }), "{outcome:?}");
        assert_eq!(names(&keys, &["new", "old"], later(32)), Some(vec![true, false]));
    }

    #[test]
    fn a_key_that_is_gone_from_a_fresh_set_no_longer_counts() {
        let (keys, errands) = at_url();
        _ = keys.keys(None, NOW).now_or_never();
        errands.recv().unwrap().answered(NOW, answer(set(&["a", "b"])));
        assert_eq!(names(&keys, &["a", "b"], NOW), Some(vec![true, true]));
        for (now, fresh, left) in [
            (later(2_880), set(&["b"]), vec![false, true]),
            (later(5_760), set(&[]), vec![false, false]),
        ] {
            // In the background: nobody waits.
            assert!(names(&keys, &[], now).is_some());
            errands.recv().unwrap().answered(now, answer(fresh));
            assert_eq!(names(&keys, &["a", "b"], now), Some(left));
        }
    }

    #[test]
    fn what_is_no_key_set_leaves_the_known_keys_as_they_are() {
        let (keys, errands) = at_url();
        _ = keys.keys(None, NOW).now_or_never();
        errands.recv().unwrap().answered(NOW, answer(set(&["a"])));
        let status = |status: u16| Response::builder().status(status).body(Bytes::from(set(&["b"])));
        let mut now = NOW;
        for wrong in [
            Err("it is gone".to_owned()),
            Ok(status(500).unwrap()),
            Ok(status(302).unwrap()),
            Ok(status(204).unwrap()),
            answer(""),
            answer("<html>"),
            answer("{\"keys\":{}}"),
            answer(&b"\xff\xfe"[..]),
        ] {
            now = Timestamp::from_micros(now.as_micros() + 240_000_000);
            let mut token = Box::pin(keys.keys(Some("b"), now));
            assert!((&mut token).now_or_never().is_none());
            let outcome = errands.recv().unwrap().answered(now, wrong);
            assert!(matches!(outcome, Outcome::Failed { known: true, .. }), "{outcome:?}");
            assert!(!token.now_or_never().unwrap().unwrap().names("b"));
            assert_eq!(names(&keys, &["a"], now), Some(vec![true]));
        }
    }

    #[test]
    fn a_home_that_stands_still_between_requests_renews_keys_within_one() {
        let (keys, errands) = keys(Source::discovery(ISSUER).unwrap(), Renewal::Within);
        let known = Arc::new(KeySet::read(set(&["a"]).as_bytes()).unwrap());
        keys.state().life.answered(0, NOW, known, None);
        let mut token = Box::pin(keys.keys(Some("a"), later(2_880)));
        assert!((&mut token).now_or_never().is_none());
        let others = keys.keys(Some("a"), later(2_880));
        assert!(others.now_or_never().unwrap().is_some());
        errands.recv().unwrap().answered(later(2_880), Err(String::new()));
        assert!(token.now_or_never().unwrap().unwrap().names("a"));
    }

    #[test]
    fn max_age_is_found_among_what_else_is_said_of_caching() {
        let said = |values: &[&'static str]| {
            let values = values
                .iter()
                .map(|value| (CACHE_CONTROL, HeaderValue::from_static(value)));
            max_age(&values.collect())
        };
        assert_eq!(said(&["public, max-age=600, must-revalidate"]), Some(600));
        assert_eq!(said(&["no-transform", "MAX-AGE = \"7\""]), Some(7));
        for now in ["no-store", "max-age=600, No-Cache", "no-cache,max-age=x"] {
            assert_eq!(said(&[now]), Some(0), "{now}");
        }
        for none in [
            "",
            "no-cache=\"set-cookie\"",
            "max-age",
            "max-age=",
            "max-age=-1",
            "s-maxage=5",
            "x-max-age=5",
        ] {
            assert_eq!(said(&[none]), None, "{none}");
        }
    }
}
