//! Which samples leave the device to train the next model, and what is told of them.
//!
//! For: choosing samples by what the model said about them, within budgets, and bringing them from
//! the spool to a bucket with everything that belongs to them. Not for: the words in which
//! Greengrass or others are told of it, which are [`Outcomes`].
//!
//! Read [`Configuration`] and [`Strategy`] first, then [`Sampler`] and [`Uploads`].

#![forbid(unsafe_code)]

mod budget;
mod configuration;
mod counts;
mod known;
mod parcel;
mod sampler;
mod scores;
mod strategy;
mod uploads;

pub use configuration::Configuration;
pub use counts::{Counted, Counts};
pub use parcel::{Head, SampleMetadata, split};
pub use sampler::{FeedbackError, Sample, Sampler, Verdict, bucket, destination};
pub use scores::{Finding, NoScores, Scores};
pub use strategy::Strategy;
pub use uploads::{BucketStatus, Outcomes, Uploads};
