//! The smallest Worker that reads from KV, as one would write it by the book: what the benchmarks hold Patchbay's
//! against. `GET /key` answers with the value, `PUT /key` stores the body.

#![cfg(target_arch = "wasm32")]

use worker::{Context, Env, Method, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    let kv = env.kv("KV")?;
    let key = request.path();
    if request.method() == Method::Put {
        kv.put_bytes(&key, &request.bytes().await?)?.execute().await?;
        return Response::empty();
    }
    match kv.get(&key).bytes().await? {
        Some(value) => Response::from_bytes(value),
        None => Response::error("no such key", 404),
    }
}
