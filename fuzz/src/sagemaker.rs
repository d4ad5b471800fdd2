//! Requests of the SageMaker Runtime dialect, about a picture, to a service that answers it.

use crate::{Target, http};

/// See the module.
pub const TARGET: Target = Target { name: "sagemaker", max_peak_bytes: http::MAX_PEAK_BYTES, body };

fn body(bytes: &[u8]) {
    http::ask("POST /endpoints/pictures/invocations", bytes);
}
