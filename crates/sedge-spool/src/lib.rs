//! One durable, bounded queue on disk for everything that leaves the device.
//!
//! For: taking records that are to be sent and handing them out until somebody says that they
//! arrived, over ends of the process, losses of power, full disks and damaged files; dropping the
//! least important and oldest where a bound is set, and counting every one. Not for: sending, which
//! is up to each destination's consumer, or knowing what the bytes mean. Everything blocks the
//! thread that calls it.
//!
//! Read [`Spool`] first, then [`Consumer`]. `docs/spool.md` is the format on disk and says what is
//! promised.

#![forbid(unsafe_code)]

mod clock;
mod consumer;
mod cursor;
mod error;
mod inspection;
mod kinds;
mod lane;
mod ledger;
mod record;
mod scan;
mod segment;
mod spool;
mod state;
mod sync;
mod system;
#[cfg(test)]
mod tests;

pub use consumer::{Consumer, MAX_IN_FLIGHT};
pub use error::SpoolError;
pub use inspection::{Damage, Inspection, Peek, Verdict};
pub use kinds::{
    Counters, Entry, Id, LaneStatus, OnFull, Options, Priority, Record, Settled, Status, Sync,
};
pub use record::{MAX_BODY_BYTES, MAX_HEADERS_BYTES};
pub use spool::{MAX_DESTINATIONS, OWED_BYTES, Spool};
