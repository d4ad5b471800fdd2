//! Models arrive on the device: where they come from, how they are fetched, where they are kept,
//! and which versions of a service there are.
//!
//! For: installing the package of a service from a path, a URL, S3 or a SageMaker training job so
//! that after any interruption one whole version is there. Not for: running models or switching
//! running services; whoever does both calls [`Store::install`], tries the candidate, and then
//! [`Store::commit`]s or [`Store::discard`]s it. Everything blocks the thread that calls it.
//!
//! Read [`Source`] first, then [`Store`].

#![forbid(unsafe_code)]

mod bring;
mod error;
mod fetch;
mod install;
mod request;
mod source;
mod store;

pub use error::DeployError;
pub use request::{
    Artefact, Candidate, Check, Hooks, InstallRequest, Installed, Limits, Plan, Progress, Step,
    Trusted,
};
pub use sedge_cloud::{ClientError, Credentials, Keys, Remote};
pub use source::{Source, SourceError};
pub use store::{Collected, History, Problem, State, Store, Version};
