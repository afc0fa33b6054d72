//! KV and the Durable Objects, as the Worker's configuration binds them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{ArrayBuffer, Uint8Array};
use patchbay_core::store::StoreError;
use wasm_bindgen::{JsCast as _, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Delay, Env, Headers, KvStore, Method, ObjectNamespace, Request, RequestInit, web_sys};

use super::error::{message, unreached};
use crate::memory::{Memory, Share};
use crate::surroundings::{Authority, Kv, KvError, Whom};

/// How long a call to KV may take. An object answers within it, so that waiting longer would serve nobody.
const KV_TIME: Duration = Duration::from_secs(5);
/// How long an object may take. It answers in a moment or not at all, and every request must come to an end: after its
/// client went away it has 30 seconds, KV's time included.
const OBJECT_TIME: Duration = Duration::from_secs(20);
/// The header by which both sides say how long a message or its answer is, before it is read.
pub const LENGTH: &str = "patchbay-length";
/// Why something is not read now.
pub const FULL: &str = "the isolate holds as much as it may";
/// The name of the one object in its namespace.
const DIRECTORY: &str = "directory";

/// What is bound. Clones are cheap, and outlive the request that they were made in.
#[derive(Clone)]
pub struct Bindings {
    kv: KvStore,
    tenants: ObjectNamespace,
    directory: ObjectNamespace,
}

/// What one request uses.
#[derive(Default)]
pub struct Usage {
    /// Reads of KV.
    pub kv_reads: Cell<u32>,
    /// Requests to Durable Objects.
    pub object_requests: Cell<u32>,
    /// The isolate's memory, of which it holds a part until it ends.
    memory: Memory,
    /// What it holds of that.
    held: RefCell<Vec<Share>>,
    /// What is to panic.
    #[cfg(feature = "test-trigger")]
    pub panic: Cell<Option<super::trigger::Wanted>>,
}

impl Bindings {
    /// Those that `infra/cloudflare/wrangler.jsonc` names.
    ///
    /// # Errors
    /// Which is missing.
    pub fn of(env: &Env) -> worker::Result<Self> {
        Ok(Self {
            kv: env.kv("EDGE")?,
            tenants: env.durable_object("TENANTS")?,
            directory: env.durable_object("DIRECTORY")?,
        })
    }

    /// The KV namespace, counted in `usage`.
    pub fn kv(&self, usage: &Rc<Usage>) -> KvNamespace {
        KvNamespace {
            kv: self.kv.clone(),
            usage: Rc::clone(usage),
        }
    }

    /// The way to the objects, counted in `usage`.
    pub fn objects(&self, usage: &Rc<Usage>) -> Objects {
        Objects {
            bindings: self.clone(),
            usage: Rc::clone(usage),
        }
    }
}

/// The KV namespace.
pub struct KvNamespace {
    kv: KvStore,
    usage: Rc<Usage>,
}

impl Kv for KvNamespace {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        count(&self.usage.kv_reads);
        let Some(value) = in_time(self.value(key)).await? else {
            return Ok(None);
        };
        // The object is asked then, whose answer is held against the same bound.
        if !self.usage.hold(value.byte_length() as usize) {
            return Err(KvError(FULL.into()));
        }
        Ok(Some(Uint8Array::new(&value).to_vec()))
    }

    async fn put(&self, key: &str, value: Vec<u8>, seconds: u32) -> Result<(), KvError> {
        let put = self.kv.put_bytes(key, &value).map_err(kv_error)?;
        in_time(put.expiration_ttl(seconds.into()).execute()).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        in_time(self.kv.delete(key)).await
    }
}

impl KvNamespace {
    /// The value of a key, in JavaScript's hands still.
    async fn value(&self, key: &str) -> Result<Option<ArrayBuffer>, worker::KvError> {
        let Some(value) = self.kv.get(key).stream().await? else {
            return Ok(None);
        };
        let whole = web_sys::Response::new_with_opt_readable_stream(Some(&value))?.array_buffer()?;
        Ok(Some(JsFuture::from(whole).await?.unchecked_into()))
    }
}

/// What a call to KV comes to, unless it takes too long.
async fn in_time<T>(call: impl Future<Output = Result<T, worker::KvError>>) -> Result<T, KvError> {
    match within(KV_TIME, call).await {
        Some(done) => done.map_err(kv_error),
        None => Err(KvError(format!("no answer within {KV_TIME:?}"))),
    }
}

/// What a call comes to, unless it takes longer.
pub async fn within<T>(time: Duration, call: impl Future<Output = T>) -> Option<T> {
    match select(pin!(call), Delay::from(time)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}

fn kv_error(error: worker::KvError) -> KvError {
    KvError(match error {
        worker::KvError::JavaScript(thrown) => message(&thrown),
        other => other.to_string(),
    })
}

/// The Durable Objects.
pub struct Objects {
    bindings: Bindings,
    usage: Rc<Usage>,
}

impl Authority for Objects {
    async fn ask(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        count(&self.usage.object_requests);
        let Some(told) = within(OBJECT_TIME, self.send(whom, &message)).await else {
            let silent = format!("the object gave no answer within {OBJECT_TIME:?}");
            return Err(StoreError::Unavailable(silent));
        };
        let told = told.map_err(|error| unreached(&JsValue::from(error)))?;
        told.ok_or_else(|| StoreError::Busy(FULL.into()))
    }

    async fn ask_in_passing(&self, whom: Whom<'_>, message: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        count(&self.usage.object_requests);
        let passing = Self {
            bindings: self.bindings.clone(),
            usage: Usage::of(&self.usage.memory),
        };
        // The message may be as long as an answer: what an object told, sealed anew.
        if !passing.usage.hold(message.len()) {
            return Err(StoreError::Busy(FULL.into()));
        }
        passing.ask(whom, message).await
    }
}

impl Objects {
    /// What an object answers; nothing where the isolate cannot hold it now.
    async fn send(&self, whom: Whom<'_>, message: &[u8]) -> worker::Result<Option<Vec<u8>>> {
        let object = match whom {
            Whom::Tenant(tenant) => self.bindings.tenants.get_by_name(tenant.as_str())?,
            Whom::Directory => self.bindings.directory.get_by_name(DIRECTORY)?,
        };
        let headers = Headers::new();
        headers.set(LENGTH, &message.len().to_string())?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post)
            .with_headers(headers)
            .with_body(Some(Uint8Array::from(message).into()));
        // Only the body says anything, but a request must have some address.
        let address = "http://object/";
        #[cfg(feature = "test-trigger")]
        let address = super::trigger::address(self.usage.panic.get()).unwrap_or(address);
        let request = Request::new_with_init(address, &init)?;
        let mut response = object.fetch_with_request(request).await?;
        // What changes something is told in a few bytes, so this refuses only what can be asked for again.
        if !self.usage.hold(length(response.headers())?) {
            let refused = web_sys::Response::from(response).body();
            // So that the object need not keep it.
            _ = refused.map(|body| body.cancel());
            return Ok(None);
        }
        response.bytes().await.map(Some)
    }
}

/// How long a message or an answer with these headers is.
///
/// # Errors
/// What the runtime throws.
pub fn length(headers: &Headers) -> worker::Result<usize> {
    let length = headers.get(LENGTH)?.and_then(|length| length.parse().ok());
    Ok(length.unwrap_or(0))
}

impl Usage {
    /// The use of one request, in an isolate with this memory.
    pub fn of(memory: &Memory) -> Rc<Self> {
        Rc::new(Self {
            memory: memory.clone(),
            ..Self::default()
        })
    }

    /// Holds so many bytes more, if they may be held now.
    pub fn hold(&self, bytes: usize) -> bool {
        let share = self.memory.hold(bytes);
        let held = share.is_some();
        self.held.borrow_mut().extend(share);
        held
    }
}

fn count(calls: &Cell<u32>) {
    calls.set(calls.get() + 1);
}
