//! ONNX files: what `sedge model inspect` does with one, and loading where it is small.

use crate::{Target, model};

/// See the module.
pub const TARGET: Target = Target { name: "onnx", max_peak_bytes: model::MAX_PEAK_BYTES, body };

fn body(bytes: &[u8]) {
    // A model of another format is the other target's.
    if bytes.get(4..8) != Some(b"TFL3") {
        model::open(bytes);
    }
}
