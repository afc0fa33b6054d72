//! A KV namespace that keeps what Cloudflare promises of Workers KV, and nothing more.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use patchbay_core::api::Host;

/// KV takes one write of a key in so long.
const PAUSE: i64 = 1_000_000;

/// How a [`StaleKv`] behaves. Times are the longest; each write, place and key has its own, drawn from the seed.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// Until a place shows a write, whatever it shows of other keys; and until it no longer shows what has expired.
    pub delay: Duration,
    /// Whether a place that has shown a write shows none from before it.
    pub in_order: bool,
    /// How long a place remembers that it found nothing under a key.
    pub misses: Duration,
    /// Of a hundred writes, so many are refused.
    pub refused: u8,
    /// Of a hundred writes, so many fail and are done all the same.
    pub ambiguous: u8,
    /// How long such a write may take, while later ones overtake it.
    pub overtaken: Duration,
    /// Of a hundred reads, so many fail.
    pub unreadable: u8,
}

impl Behaviour {
    /// Every write succeeds and is shown everywhere at once.
    pub const PROMPT: Self = Self {
        delay: Duration::ZERO,
        in_order: true,
        misses: Duration::ZERO,
        refused: 0,
        ambiguous: 0,
        overtaken: Duration::ZERO,
        unreadable: 0,
    };
}

/// A call that did not succeed. Of a write it says nothing on whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// A namespace, as one place sees it. All that is promised: a place shows what was written at some time, and what was
/// written last after [`Behaviour::delay`]. Time is that of a host whose clock tests advance.
pub struct StaleKv<H> {
    place: u64,
    shared: Rc<Shared<H>>,
}

impl<H> Clone for StaleKv<H> {
    fn clone(&self) -> Self {
        Self {
            place: self.place,
            shared: Rc::clone(&self.shared),
        }
    }
}

struct Shared<H> {
    host: H,
    seed: u64,
    behaviour: Behaviour,
    state: RefCell<State>,
}

struct State {
    rng: Rng,
    keys: HashMap<String, Key>,
    done: Done,
}

#[derive(Default)]
struct Key {
    /// In the order in which they were done.
    writes: Vec<Write>,
    /// Ambiguous, and not done yet.
    to_come: Vec<Write>,
    /// When it was last written, whatever came of it.
    tried_at: Option<i64>,
    under_way: bool,
    /// Until when a place remembers that there is nothing.
    missed: HashMap<u64, i64>,
}

#[derive(Clone)]
struct Write {
    at: i64,
    /// `None` takes the key away.
    value: Option<Vec<u8>>,
    expires_at: i64,
}

/// What was asked of a [`StaleKv`], and what it answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Reads that found something.
    pub found: usize,
    /// Reads that showed something else than what was written last.
    pub late: usize,
    /// Writes that succeeded.
    pub written: usize,
    /// Writes that failed.
    pub failed: usize,
    /// Writes of a key within a second of the one before, or while that was under way: KV answers 429. Nobody may do so.
    pub too_soon: usize,
}

impl<H: Host> StaleKv<H> {
    /// An empty namespace. What it does, apart from how calls interleave, comes from `seed`.
    pub fn new(host: H, seed: u64, behaviour: Behaviour) -> Self {
        let state = State {
            rng: Rng::with_seed(seed),
            keys: HashMap::new(),
            done: Done::default(),
        };
        let shared = Shared {
            host,
            seed,
            behaviour,
            state: RefCell::new(state),
        };
        Self {
            place: 0,
            shared: Rc::new(shared),
        }
    }

    /// The same namespace, as this place sees it.
    pub fn at(&self, place: u64) -> Self {
        let shared = Rc::clone(&self.shared);
        Self { place, shared }
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.shared.state.borrow().done
    }

    /// The value that this place shows.
    ///
    /// # Errors
    /// [`Failed`], as often as it is to.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failed> {
        tokio::task::yield_now().await;
        let Shared { behaviour, state, .. } = &*self.shared;
        let now = self.now();
        let State { rng, keys, done } = &mut *state.borrow_mut();
        if rng.u8(0..100) < behaviour.unreadable {
            return Err(Failed);
        }
        let key_hash = hash(self.shared.seed, key);
        let key = keys.entry(key.to_owned()).or_default();
        key.settle(now);
        let last = key.writes.last();
        if key.missed.get(&self.place).is_some_and(|until| now < *until) {
            done.late += usize::from(last.is_some_and(|last| last.value.is_some()));
            return Ok(None);
        }
        let delay = micros(behaviour.delay);
        let delay_of = |write: &Write| self.delay(key_hash, write, delay);
        let shown = if behaviour.in_order {
            let has_come = |write: &&Write| write.at + delay_of(write) <= now;
            key.writes.iter().rev().find(has_come)
        } else {
            // All that was the last write at some moment within the delay.
            let sure = key.writes.iter().rposition(|write| write.at + delay <= now);
            let first = sure.map_or(0, |sure| sure + 1);
            match rng.usize(first..=key.writes.len()) {
                0 => None,
                place => key.writes.get(place - 1),
            }
        };
        let fresh = shown.filter(|write| now < write.expires_at + delay_of(write));
        let value = fresh.and_then(|write| write.value.clone());
        if value.is_none() {
            let until = now + rng.i64(0..=micros(behaviour.misses));
            key.missed.insert(self.place, until);
        }
        done.found += usize::from(value.is_some());
        done.late += usize::from(value.as_ref() != last.and_then(|last| last.value.as_ref()));
        Ok(value)
    }

    /// Writes a value, for `seconds`.
    ///
    /// # Errors
    /// [`Failed`], as often as it is to, and where the key was written too soon before.
    pub async fn put(&self, key: &str, value: Vec<u8>, seconds: u32) -> Result<(), Failed> {
        self.write(key, Some(value), i64::from(seconds) * 1_000_000).await
    }

    /// Takes a key away.
    ///
    /// # Errors
    /// As those of [`Self::put`].
    pub async fn delete(&self, key: &str) -> Result<(), Failed> {
        self.write(key, None, 0).await
    }

    /// Where the caller goes away during the write, it is done or not, as it would have been.
    async fn write(&self, key: &str, value: Option<Vec<u8>>, lasts: i64) -> Result<(), Failed> {
        let (outcome, under_way) = self.begin(key, value, lasts)?;
        tokio::task::yield_now().await;
        drop(under_way);
        outcome
    }

    fn begin<'k>(
        &'k self,
        name: &'k str,
        value: Option<Vec<u8>>,
        lasts: i64,
    ) -> Result<(Result<(), Failed>, UnderWay<'k, H>), Failed> {
        let Shared { behaviour, state, .. } = &*self.shared;
        let now = self.now();
        let State { rng, keys, done } = &mut *state.borrow_mut();
        let key = keys.entry(name.to_owned()).or_default();
        if key.under_way || key.tried_at.is_some_and(|at| now < at + PAUSE) {
            done.too_soon += 1;
            return Err(Failed);
        }
        key.under_way = true;
        key.settle(now);
        let mut write = Write {
            at: now,
            value,
            expires_at: now.saturating_add(lasts),
        };
        let fate = rng.u8(0..100);
        let outcome = if fate >= behaviour.refused + behaviour.ambiguous {
            key.writes.push(write);
            done.written += 1;
            Ok(())
        } else {
            if fate >= behaviour.refused {
                write.at += rng.i64(0..=micros(behaviour.overtaken));
                key.to_come.push(write);
            }
            done.failed += 1;
            Err(Failed)
        };
        Ok((outcome, UnderWay { kv: self, key: name }))
    }

    fn now(&self) -> i64 {
        self.shared.host.now().as_micros()
    }

    /// How long it takes this place to show a write.
    fn delay(&self, key: u64, write: &Write, most: i64) -> i64 {
        let mut rng = Rng::with_seed(key ^ self.place.rotate_left(32) ^ write.at.unsigned_abs());
        rng.i64(0..=most)
    }
}

/// A write of a key that is under way.
struct UnderWay<'k, H: Host> {
    kv: &'k StaleKv<H>,
    key: &'k str,
}

impl<H: Host> Drop for UnderWay<'_, H> {
    fn drop(&mut self) {
        let now = self.kv.now();
        if let Some(key) = self.kv.shared.state.borrow_mut().keys.get_mut(self.key) {
            (key.under_way, key.tried_at) = (false, Some(now));
        }
    }
}

impl Key {
    /// Does what has come by now.
    fn settle(&mut self, now: i64) {
        self.to_come.sort_unstable_by_key(|write| write.at);
        let come = self.to_come.partition_point(|write| write.at <= now);
        self.writes.extend(self.to_come.drain(..come));
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn hash(seed: u64, key: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (seed, key).hash(&mut hasher);
    hasher.finish()
}
