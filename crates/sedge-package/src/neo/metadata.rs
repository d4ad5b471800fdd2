//! `compiled.meta`: what the compiler says of the target, inputs and outputs.

use serde_json::Value;

use super::{Neo, NeoTensor};

/// True for a document with the sections of the compiler's.
pub(super) fn is_metadata(document: &Value) -> bool {
    document.get("Model").is_some_and(Value::is_object)
        || document.get("Requirements").is_some_and(Value::is_object)
}

/// Takes over what is there and of the right kind; the rest is left unknown.
pub(super) fn describe(document: &Value, neo: &mut Neo) {
    let text = |path: &str| document.pointer(path)?.as_str().map(str::to_owned);
    neo.target_device = text("/Requirements/TargetDevice");
    neo.device_type = text("/Requirements/TargetDeviceType");
    neo.created = document.pointer("/Compilation/CreatedTime").and_then(Value::as_f64);
    let tensors = |path: &str| {
        let listed = document.pointer(path).and_then(Value::as_array);
        listed.into_iter().flatten().map(tensor).collect()
    };
    neo.inputs = tensors("/Model/Inputs");
    neo.outputs = tensors("/Model/Outputs");
}

fn tensor(entry: &Value) -> NeoTensor {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let dims = entry.get("shape").and_then(Value::as_array).into_iter().flatten();
    // `null` is a dimension that the request decides.
    let shape = dims.map(|dim| dim.as_i64().unwrap_or(-1)).collect();
    NeoTensor { name: text("name"), dtype: text("dtype"), shape }
}
