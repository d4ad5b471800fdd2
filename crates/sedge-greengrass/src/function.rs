//! Functions of the user's as processes: started, given work, held to their limits, ended whole.
//!
//! A [`Launch`](launch::Launch) says how a function is started; an [`Instance`](instance::Instance)
//! is one process of it. [`Pinned`] keeps one instance and gives it one call after the other;
//! [`OnDemand`] starts instances as calls come.
//!
//! What is not kept apart as in V1: a function sees the whole file system and network of the device
//! with its user's rights, and `/sys`, also where its group says that it has a container.

mod account;
mod instance;
mod launch;
mod mount_points;
mod on_demand;
mod pinned;
mod process;
mod python;
mod status;

use std::sync::Arc;

use tokio::sync::watch;

pub(crate) use account::default_account;
pub use launch::LaunchError;
pub(crate) use launch::{Launch, Surroundings, may_mount};
pub(crate) use mount_points::MountPoints;
pub(crate) use on_demand::{Fleet, OnDemand};
pub(crate) use pinned::Pinned;
pub(crate) use python::install;
pub(crate) use status::Board;
pub use status::{FunctionStatus, State};

use crate::ipc::Seats;
use crate::log::Logs;

/// What all functions share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) seats: Arc<Seats>,
    pub(crate) logs: Arc<Logs>,
    /// True when all processes are to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Waits until all processes are to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
