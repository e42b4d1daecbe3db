//! The Node-API face of `pyprof-core`: converts types and errors, decides nothing.
//!
//! Every call runs on its own OS thread and settles a promise: libuv's pool has four threads that file access
//! and DNS share, and a recording would hold one of them for as long as it runs.

#![allow(
    missing_docs,
    reason = "a field without a sentence of its own means what the core's field of that name means"
)]

pub mod batch;
pub mod doctor;
pub mod error;
pub mod pack;
pub mod process;
pub mod promise;
pub mod session;
pub mod snapshot;
pub mod stats;
