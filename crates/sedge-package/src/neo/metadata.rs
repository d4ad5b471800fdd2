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

/// True where rows of trees are said to hold zeros for what is missing.
pub(super) fn has_sparse_input(document: &Value) -> bool {
    document.pointer("/Model/SparseInput").and_then(Value::as_str) == Some("1")
}

/// What in the metadata the runtime would not survive: it takes the kinds of these fields for
/// granted, and an exception that nobody catches ends its process.
pub(super) fn problem(document: &Value) -> Option<String> {
    let wrong = |path: &str, fits: fn(&Value) -> bool, kind: &str| {
        let value = document.pointer(path)?;
        let key = path.trim_start_matches('/').replace('/', ".");
        (!fits(value)).then(|| format!("{key} of its metadata is no {kind}"))
    };
    let named = |list: &str| {
        let entries = document.pointer(list)?.as_array()?;
        let key = list.trim_start_matches('/').replace('/', ".");
        let bad = |entry: &Value| {
            let is_text = |name: &str| entry.get(name).is_some_and(Value::is_string);
            let is_dim = |dim: &Value| dim.is_null() || dim.is_i64();
            let dims = entry.get("shape").and_then(Value::as_array);
            !(is_text("name") && is_text("dtype") && dims.is_some_and(|d| d.iter().all(is_dim)))
        };
        entries.iter().position(bad).map(|index| {
            format!("{key}.{index} of its metadata lacks a name, a dtype or a shape of numbers")
        })
    };
    wrong("/Requirements", Value::is_object, "object")
        .or_else(|| wrong("/Requirements/TargetDevice", Value::is_string, "text"))
        .or_else(|| wrong("/Requirements/TargetDeviceType", Value::is_string, "text"))
        .or_else(|| wrong("/Model", Value::is_object, "object"))
        .or_else(|| wrong("/Model/Inputs", Value::is_array, "list"))
        .or_else(|| wrong("/Model/Outputs", Value::is_array, "list"))
        .or_else(|| wrong("/Model/SparseInput", Value::is_string, "text"))
        .or_else(|| named("/Model/Inputs"))
        .or_else(|| named("/Model/Outputs"))
}

/// True for packages that transform columns of text before or after the model.
pub(super) fn has_transform(document: &Value) -> bool {
    document.get("DataTransform").is_some_and(|transform| !transform.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_end_the_runtime_is_named() {
        for (document, words) in [
            (json!({"Requirements": {"TargetDeviceType": null}}), "Requirements.TargetDeviceType"),
            (json!({"Requirements": []}), "Requirements of its metadata is no object"),
            (json!({"Model": {"Inputs": 7}}), "Model.Inputs of its metadata is no list"),
            (json!({"Model": {"Outputs": [{"name": "x"}]}}), "Model.Outputs.0 of its metadata"),
            (
                json!({"Model": {"Inputs": [{"name": "x", "dtype": "u", "shape": ["1"]}]}}),
                "Model.Inputs.0",
            ),
        ] {
            let found = problem(&document).unwrap_or_default();
            assert!(found.contains(words), "{document}: {found}");
        }
        let fine = json!({"Model": {"Inputs": [{"name": "x", "dtype": "u", "shape": [null, 1]}]}});
        assert_eq!(problem(&fine), None);
    }
}
