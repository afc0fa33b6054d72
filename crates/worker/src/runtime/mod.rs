//! What Cloudflare's runtime calls, and what it lends. Compiled for it alone.

mod bindings;
mod database;
mod error;
mod host;
mod http;
mod isolate;
mod issuer;
mod log;
mod objects;
mod panics;
mod serve;
mod storage;
#[cfg(feature = "test-trigger")]
mod trigger;
