//! A service in a process of its own: requests across, walls around, limits, restarts.
//!
//! For: [`Worker`], a [`sedge_service::Backend`] whose answers come from a process that holds one
//! model, has no network and no credentials, may read its package and libraries and write nothing,
//! and is ended when it takes too much memory or time; and [`run`], what that process does. Not
//! for: models, pictures, services; both sides only carry requests to a
//! [`sedge_service::Runner`].
//!
//! [`Tree`] and [`BackOff`] also serve those who keep processes of another kind.
//!
//! Requests cross by a Unix socket for each lane; what is larger than 64 KiB lies in shared
//! memory. Read [`Launch`] first, then `message`, then [`Worker`].

mod arena;
mod back_off;
mod channel;
mod group;
mod lane;
mod life;
mod logs;
mod memory;
mod message;
mod sandbox;
mod sealed;
mod serve;
mod tree;
mod worker;

pub use back_off::BackOff;
pub use group::{clear_away, prepare};
pub use logs::LogLine;
pub use message::LoadSpec;
pub use serve::{Loaded, run};
pub use tree::Tree;
pub use worker::{Launch, StartError, Worker};
