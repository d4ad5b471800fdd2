//! MXNet models: a symbol file, and the parameter file from the first word of such a file on.

use crate::{Target, model};

/// See the module.
pub const TARGET: Target = Target { name: "mxnet", max_peak_bytes: model::MAX_PEAK_BYTES, body };

/// First word of a parameter file.
pub(crate) const PARAMS: [u8; 8] = 0x112u64.to_le_bytes();

fn body(bytes: &[u8]) {
    let at = bytes.windows(PARAMS.len()).position(|word| word == PARAMS);
    let (symbol, params) = bytes.split_at(at.unwrap_or(bytes.len()));
    model::open_files(&[("m-symbol.json", symbol), ("m-0000.params", params)]);
}
