//! TensorFlow Lite files: what `sedge model inspect` does with one, and loading where it is small.

use crate::{Target, model};

/// See the module.
pub const TARGET: Target = Target { name: "tflite", max_peak_bytes: model::MAX_PEAK_BYTES, body };

fn body(bytes: &[u8]) {
    if bytes.get(4..8) == Some(b"TFL3") {
        model::open(bytes);
    }
}
