//! Services kept as a configuration says: brought, proved, switched, taken back.
//!
//! For: a [`Host`] that has each [`ServiceSpec`]'s model installed, loaded beside what answers,
//! held against its golden cases, and only then put in its place; that goes back by itself when a
//! new version does worse; and that changes only what a new configuration changes. Not for: where
//! models come from (`sedge-deploy`), processes (`sedge-worker`), requests (`sedge-service`), files
//! of configuration.
//!
//! Read [`ServiceSpec`] first, then [`Host`].

#![forbid(unsafe_code)]

mod error;
mod host;
mod keeper;
mod load;
mod proof;
mod spec;
mod telling;
mod watch;

pub use error::HostError;
pub use host::{Change, Host, Planned};
pub use keeper::{Details, Update};
pub use load::load_in_place;
pub use spec::{HostOptions, Isolation, ServiceSpec, Watch};
