//! Engines: what runs a graph, behind one trait.
//!
//! For: loading a [`sedge_graph::Graph`] into something that answers tensors with tensors, and the
//! registry of what this build and this device offer. Not for: pictures, manifests, queues.
//!
//! Read [`Engine`] first, then [`Session`].

#![deny(unsafe_code)]

#[cfg(feature = "dlr")]
mod dlr;
mod error;
#[cfg(feature = "native")]
mod exact;
#[cfg(feature = "native")]
mod integers;
#[cfg(feature = "native")]
mod native;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "native")]
mod operators;
mod prepare;
mod registry;
#[cfg(feature = "rten")]
mod rten;
mod session;
mod threads;

#[cfg(feature = "dlr")]
pub use dlr::{Dlr, probe};
pub use error::{LoadError, RunError};
#[cfg(feature = "native")]
pub use exact::spell_out;
#[cfg(feature = "native")]
pub use native::Native;
#[cfg(feature = "onnxruntime")]
pub use onnxruntime::Onnxruntime;
#[cfg(feature = "native")]
pub use operators::{How, Operator, operators};
pub use registry::{Registry, Status};
#[cfg(feature = "rten")]
pub use rten::Rten;
pub use session::{Compiled, Engine, LoadOptions, Model, Session, TensorInfo};
pub use threads::{available_threads, worker_environment};
