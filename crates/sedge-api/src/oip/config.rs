use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use sedge_engine::TensorInfo;
use serde_json::{Map, json};

use super::metadata::{json_body, platform, shape};
use super::{Error, ModelPath, PREDICTION, datatype};
use crate::App;

/// A model's configuration in the JSON form of Triton's `ModelConfig`.
pub(super) async fn model(State(app): State<Arc<App>>, path: ModelPath) -> Result<Response, Error> {
    let (service, version) = path.version(&app).await?;
    let info = version.info();
    let tensor = |info: &TensorInfo| {
        json!({
            "name": info.name,
            "data_type": datatype::config_name(info.dtype),
            "dims": shape(info),
        })
    };
    let mut parameters = Map::new();
    let mut parameter = |key: &str, value: &str| {
        parameters.insert(key.into(), json!({ "string_value": value }));
    };
    parameter("task", &info.task);
    parameter("engine", &info.engine);
    parameter("identity", &info.identity);
    if let Some(input) = info.picture_input.and_then(|index| info.inputs.get(index)) {
        parameter("picture_input", &input.name);
        if !info.outputs.iter().any(|output| output.name == PREDICTION) {
            parameter("prediction_output", PREDICTION);
        }
    }
    Ok(json_body(&json!({
        "name": service.name(),
        "platform": platform(&info.format),
        "backend": "sedge",
        "version_policy": { "specific": { "versions": [version.number()] } },
        "max_batch_size": 0,
        "input": info.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "output": info.outputs.iter().map(tensor).collect::<Vec<_>>(),
        "instance_group": [{
            "name": service.name(),
            "kind": "KIND_CPU",
            "count": version.limits().instances,
        }],
        "parameters": parameters,
        "model_transaction_policy": { "decoupled": false },
    })))
}
