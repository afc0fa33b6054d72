//! The classes of Durable Objects that the runtime makes.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use patchbay_core::api::Host;
use patchbay_core::model::Timestamp;
use patchbay_core::store::StoreError;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::bindings::{KvNamespace, LENGTH, Objects, Usage};
use super::database::ObjectDatabase;
use super::error::message;
use super::host::WorkerHost;
use super::isolate::Isolate;
use super::log;
use super::panics::caught;
use super::storage::{Storage, storage};
use crate::directory::DirectoryObject;
use crate::surroundings::Around;
use crate::tenant::TenantObject;

/// A tenant's object, or what the Worker was told wrongly. It outlives the panic of a request: what it keeps beside the
/// database is counts and what it knows of the database, each right at any time.
#[durable_object(alarm)]
pub struct Tenant(AssertUnwindSafe<Told<TenantObject<ObjectDatabase, KvNamespace, Objects, ObjectHost>>>);

/// Or what the Worker was told wrongly.
type Told<T> = std::result::Result<T, String>;

impl DurableObject for Tenant {
    fn new(state: State, env: Env) -> Self {
        let storage = storage(&state);
        Self(AssertUnwindSafe(Isolate::of(&env).map(|isolate| {
            let usage = Rc::<Usage>::default();
            TenantObject::new(
                ObjectDatabase::new(storage.clone()),
                isolate.bindings.kv(&usage),
                isolate.bindings.objects(&usage),
                ObjectHost(storage),
                isolate.reads,
            )
        })))
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let object = self.0.as_ref().map_err(String::as_str)?;
        let message = request.bytes().await?;
        #[cfg(feature = "test-trigger")]
        super::trigger::arm(&request.inner().url());
        told(caught(object.answer(&message)).await?)
    }

    async fn alarm(&self) -> Result<Response> {
        let object = self.0.as_ref().map_err(String::as_str)?;
        // The runtime calls again where this fails.
        let followed = caught(object.wake()).await?.map_err(|error| error.to_string())?;
        log::followed(&followed);
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
