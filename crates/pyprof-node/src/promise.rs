//! Work on a thread of its own, its outcome in a promise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use napi::bindgen_prelude::{PromiseRaw, ToNapiValue};
use napi::{Env, JsValue, Status};

use crate::error::Failure;

type Resolver<T> = Box<dyn FnOnce(Env) -> napi::Result<T> + Send>;

/// Runs `work` on a new thread and settles the returned promise with its outcome; a panic is an outcome too.
pub fn run<T, F>(env: &Env, work: F) -> napi::Result<PromiseRaw<'_, T>>
where
    T: ToNapiValue + Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    let (deferred, promise) = env.create_deferred::<T, Resolver<T>>()?;
    let promise = PromiseRaw::new(env.raw(), promise.raw());
    let settle = deferred.clone();
    let spawned = thread::Builder::new().name("pyprof".to_owned()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|payload| Err(Failure::from_panic(payload.as_ref())));
        settle.resolve(Box::new(move |env| outcome.map_err(|failure| failure.into_napi(env))));
    });
    if let Err(error) = spawned {
        // An unsettled promise would keep Node's event loop alive for ever.
        deferred.reject(napi::Error::new(Status::GenericFailure, format!("no thread to work on: {error}")));
    }
    Ok(promise)
}
