//! TensorFlow graphs: what `sedge model inspect` does with one, and loading where it is small.

use crate::{Target, model};

/// See the module.
pub const TARGET: Target =
    Target { name: "tensorflow", max_peak_bytes: model::MAX_PEAK_BYTES, body };

fn body(bytes: &[u8]) {
    // A model of another format is another target's.
    if bytes.first() == Some(&0x0a) {
        model::open(bytes);
    }
}
