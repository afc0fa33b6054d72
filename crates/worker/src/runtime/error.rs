//! What JavaScript throws.

use js_sys::Reflect;
use patchbay_core::store::StoreError;
use wasm_bindgen::JsValue;

use crate::unreached::Unreached;

/// What was thrown, in words: an error's message, or whatever text it is.
pub fn message(thrown: &JsValue) -> String {
    // A panic's text may quote what it choked on.
    if property(thrown, "name").as_string().as_deref() == Some("PanicError") {
        return "something panicked".into();
    }
    let message = property(thrown, "message").as_string();
    let message = message.or_else(|| thrown.as_string());
    message.unwrap_or_else(|| "something without a message was thrown".into())
}

/// Why an object gave no answer, by the properties that the runtime gives its errors.
pub fn unreached(thrown: &JsValue) -> StoreError {
    let marked = |mark| property(thrown, mark).is_truthy();
    let unreached = Unreached {
        message: message(thrown),
        overloaded: marked("overloaded"),
        reset: marked("durableObjectReset"),
        remote: marked("remote"),
    };
    unreached.into()
}

fn property(of: &JsValue, name: &str) -> JsValue {
    // Where it is no object, or its getter throws, there is none.
    Reflect::get(of, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}
