//! Errors as JavaScript sees them: a message and a stable `code`.

use std::any::Any;

use napi::{Env, JsError};

/// Why a call failed; becomes an `Error` with `code`.
#[derive(Debug)]
pub struct Failure {
    code: String,
    message: String,
}

impl Failure {
    /// A panic of the core. It never reaches Node as an abort.
    pub fn from_panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self {
            code: "ERR_PYPROF_INTERNAL".to_owned(),
            message: format!("internal error in pyprof-rs, please report it: {text}"),
        }
    }

    /// Somebody waits for the session's end already.
    #[must_use]
    pub fn already_awaited() -> Self {
        Self {
            code: "ERR_PYPROF_INVALID_ARGUMENT".to_owned(),
            message: "ended() was already called on this session".to_owned(),
        }
    }

    /// The session ended by an error, which `ended()` tells.
    #[must_use]
    pub fn nothing_collected() -> Self {
        Self {
            code: "ERR_PYPROF_PROCESS_EXITED".to_owned(),
            message: "the session failed before it had collected anything".to_owned(),
        }
    }

    /// Builds the JavaScript error. Only on the JavaScript thread.
    #[must_use]
    pub fn into_napi(self, env: Env) -> napi::Error {
        let error = JsError::from(napi::Error::<String>::new(self.code, self.message));
        napi::Error::from(error.into_unknown(env))
    }
}

impl From<pyprof_core::Error> for Failure {
    fn from(error: pyprof_core::Error) -> Self {
        Self { code: format!("ERR_PYPROF_{}", error.code()), message: error.to_string() }
    }
}
