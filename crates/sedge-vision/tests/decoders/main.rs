//! Decoders against stored outputs of real detectors, and against slow, plain implementations.

mod npy;
mod properties;
mod references;
mod slow;
