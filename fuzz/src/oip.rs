//! Requests of the Open Inference Protocol, in JSON and with binary tensors, to a service that
//! gives its inputs back.

use crate::{Target, http};

/// See the module.
pub const TARGET: Target = Target { name: "oip", max_peak_bytes: http::MAX_PEAK_BYTES, body };

fn body(bytes: &[u8]) {
    http::ask("POST /v2/models/echo/infer", bytes);
}
