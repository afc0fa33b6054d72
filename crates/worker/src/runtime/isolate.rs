//! What an isolate, the runtime's smallest process, makes once and keeps for all of its requests.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::Reflect;
use patchbay_core::api::{Config, Readiness};
use patchbay_core::identity::operators::Operators;
use patchbay_core::model::Tenant;
use patchbay_core::seal::KeyRing;
use wasm_bindgen::JsValue;
use worker::Env;

use super::bindings::Bindings;
use super::{issuer, log};
use crate::memory::Memory;
use crate::owners::Owners;
use crate::settings::{Log, Reads, Settings, Variables};

/// The Worker's bound for an answer (contract, "Errors").
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The settings, read, and the bindings.
pub struct Isolate {
    /// How the core is run.
    pub config: Config,
    /// Whose tokens make an operator.
    pub operators: Operators,
    /// To whose people an operator may give anything.
    pub adopt_tenant: Option<Tenant>,
    /// The keys.
    pub ring: Arc<KeyRing>,
    /// What its requests hold of its memory.
    pub memory: Memory,
    /// Who was seen to own what.
    pub owners: Rc<Owners>,
    /// What is known of the directory.
    pub readiness: Arc<Readiness>,
    /// Where reads come from.
    pub reads: Reads,
    /// What is logged.
    pub log: Log,
    /// KV and the objects.
    pub bindings: Bindings,
}

thread_local! {
    static ISOLATE: OnceCell<Result<Rc<Isolate>, String>> = const { OnceCell::new() };
}

impl Isolate {
    /// That of `env`, which is the same for all requests of an isolate.
    ///
    /// # Errors
    /// What the Worker was told wrongly, for the log.
    pub fn of(env: &Env) -> Result<Rc<Self>, String> {
        ISOLATE.with(|isolate| isolate.get_or_init(|| Self::new(env).map(Rc::new)).clone())
    }

    fn new(env: &Env) -> Result<Self, String> {
        #[cfg(panic = "unwind")]
        super::panics::log_the_place();
        let settings = Settings::read(&variables(env)?, issuer::dispatch());
        let settings = settings.map_err(|error| error.to_string())?;
        for key in settings.authentication.left_out() {
            log::left_out(key);
        }
        Ok(Self {
            config: Config {
                authentication: settings.authentication,
                workspaces: settings.workspaces,
                answer_bytes: ANSWER_BYTES,
            },
            operators: settings.operators,
            adopt_tenant: settings.adopt_tenant,
            ring: Arc::new(settings.keys),
            memory: Memory::default(),
            owners: Rc::default(),
            readiness: Arc::default(),
            reads: settings.reads,
            log: settings.log,
            bindings: Bindings::of(env).map_err(|error| error.to_string())?,
        })
    }
}

/// The variables and secrets of `env`.
fn variables(env: &Env) -> Result<Variables, String> {
    let names = Reflect::own_keys(env).unwrap_or_default();
    let names = names.iter().filter_map(|name| name.as_string());
    names
        .filter(|name| name.starts_with("PATCHBAY_"))
        .map(|name| {
            let value = Reflect::get(env, &JsValue::from_str(&name)).ok();
            // A variable may be any JSON.
            match value.and_then(|value| value.as_string()) {
                Some(value) => Ok((name, value)),
                None => Err(format!("{name} must be a string")),
            }
        })
        .collect()
}
