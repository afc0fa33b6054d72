//! The classes of Durable Objects that the runtime makes.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use patchbay_core::api::Host;
use patchbay_core::model::Timestamp;
use patchbay_core::store::StoreError;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::bindings::{FULL, KvNamespace, LENGTH, Objects, Usage, length};
use super::database::ObjectDatabase;
use super::error::message;
use super::host::WorkerHost;
use super::isolate::Isolate;
use super::log;
use super::panics::caught;
use super::storage::{Storage, storage};
use crate::directory::DirectoryObject;
use crate::memory::Memory;
use crate::protocol::encode;
use crate::surroundings::Around;
use crate::tenant::TenantObject;

/// After how long an alarm that failed rings again. The runtime by itself repeats it six times in two minutes and then
/// drops it, and nothing that it was set for would be done.
const ALARM_AGAIN: i64 = 60_000_000;

/// A tenant's object. It outlives the panic of a request: what it keeps beside the database is counts and what it knows
/// of the database, each right at any time.
#[durable_object(alarm)]
pub struct Tenant(AssertUnwindSafe<Parts>);

struct Parts {
    /// Or what the Worker was told wrongly.
    object: std::result::Result<TenantObject<ObjectDatabase, KvNamespace, Objects, ObjectHost>, String>,
    host: ObjectHost,
    /// What the isolate holds.
    memory: Memory,
}

impl DurableObject for Tenant {
    fn new(state: State, env: Env) -> Self {
        let storage = storage(&state);
        let host = ObjectHost(storage.clone());
        let isolate = Isolate::of(&env);
        let memory = isolate
            .as_ref()
            .map(|isolate| isolate.memory.clone())
            .unwrap_or_default();
        let object = isolate.map(|isolate| {
            let usage = Rc::<Usage>::default();
            TenantObject::new(
                ObjectDatabase::new(storage),
                isolate.bindings.kv(&usage),
                isolate.bindings.objects(&usage),
                host.clone(),
                isolate.reads,
            )
        });
        Self(AssertUnwindSafe(Parts { object, host, memory }))
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let object = self.0.object.as_ref().map_err(String::as_str)?;
        // Held before it is read, until it is answered: the object's own count begins where it is read.
        let Some(_share) = self.0.memory.hold(length(request.headers())?) else {
            return told(encode(&Err::<(), _>(StoreError::Busy(FULL.into()))));
        };
        let message = request.bytes().await?;
        #[cfg(feature = "test-trigger")]
        super::trigger::arm(&request.inner().url());
        told(caught(object.answer(&message)).await?)
    }

    async fn alarm(&self) -> Result<Response> {
        let Parts { object, host, .. } = &*self.0;
        let followed = async {
            let object = object.as_ref().map_err(Clone::clone)?;
            caught(object.wake()).await?.map_err(|error| error.to_string())
        };
        match followed.await {
            Ok(followed) => log::followed(&followed),
            Err(why) => {
                log::unfollowed(&why);
                let again = host.now().as_micros() + ALARM_AGAIN;
                host.wake_at(Timestamp::from_micros(again));
            }
        }
        Response::empty()
    }
}

/// The directory's object.
#[durable_object(fetch)]
pub struct Directory(AssertUnwindSafe<DirectoryObject<ObjectDatabase>>);

impl DurableObject for Directory {
    fn new(state: State, _env: Env) -> Self {
        Self(AssertUnwindSafe(DirectoryObject::new(ObjectDatabase::new(storage(
            &state,
        )))))
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        // The runtime holds the answer back until what was written is durable.
        let message = request.bytes().await?;
        told(caught(async { self.0.answer(&message) }).await?)
    }
}

/// The response to a message.
fn told(answer: Vec<u8>) -> Result<Response> {
    Response::builder()
        .with_header(LENGTH, &answer.len().to_string())?
        .from_bytes(answer)
}

/// What a tenant's object has around it.
#[derive(Clone)]
struct ObjectHost(Storage);

impl Host for ObjectHost {
    fn now(&self) -> Timestamp {
        WorkerHost.now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        WorkerHost.fill(bytes);
    }
}

impl Around for ObjectHost {
    fn wake_at(&self, at: Timestamp) {
        // Rounded up, so that it is not too early. Where it cannot be set, the object's output gate breaks: nothing
        // that this turn wrote is acknowledged.
        _ = self.0.set_alarm((at.as_micros() as f64 / 1000.0).ceil());
    }

    async fn durable(&self) -> std::result::Result<(), StoreError> {
        let unknown =
            |thrown| StoreError::Unavailable(format!("whether it was kept is not known: {}", message(&thrown)));
        let synced = self.0.sync().map(JsFuture::from).map_err(unknown)?;
        synced.await.map(|_| ()).map_err(unknown)
    }
}
