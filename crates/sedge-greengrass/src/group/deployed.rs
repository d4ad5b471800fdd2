//! `ggc/deployment/group/group.json`: what a deployment left on a core.
//!
//! Nobody published its form. What programs in use read of it is `Arn`, `Region`, `Cores` with
//! `thingArn`, and `GroupDefinitions` with `Lambdas`, `Subscriptions`, `Resources` and `Logging`,
//! each a list under `Content`; a resource has `Type` and `Data` for `ResourceDataContainer`.

use serde_json::{Map, Value, json};

use super::document::{Collected, Kind};
use super::lambda::Lambda;
use super::node::Node;

/// What a deployed group calls its lists.
const CONTENTS: [(&str, Kind); 6] = [
    ("Lambdas", Kind::Functions),
    ("Functions", Kind::Functions),
    ("Resources", Kind::Resources),
    ("Subscriptions", Kind::Subscriptions),
    ("Logging", Kind::Loggers),
    ("Connectors", Kind::Connectors),
];

/// Types of resources, and what definitions call them.
const TYPES: [(&str, &str); 5] = [
    ("Local.Device", "LocalDeviceResourceData"),
    ("Local.Volume", "LocalVolumeResourceData"),
    ("ML_Model.SageMaker.Job", "SageMakerMachineLearningModelResourceData"),
    ("ML_Model.S3_Object", "S3MachineLearningModelResourceData"),
    ("SecretsManager.Secret", "SecretsManagerSecretResourceData"),
];

pub(super) fn is_one(value: &Value) -> bool {
    value.get("GroupDefinitions").is_some_and(Value::is_object)
}

/// Takes everything that is understood of it.
pub(super) fn take(collected: &mut Collected, document: &Node<'_>) -> bool {
    // arn:aws:greengrass:REGION:ACCOUNT:/greengrass/groups/ID/versions/VERSION
    let arn = document.get("Arn").and_then(|node| node.value.as_str());
    let after = arn.and_then(|arn| arn.split_once("/groups/").map(|(_, rest)| rest));
    if let Some(id) = after.and_then(|rest| rest.split('/').next()) {
        collected.id = Some(id.to_owned());
    }
    if let Some(core) = document.get("Cores").and_then(|list| list.items().into_iter().next()) {
        collected.core(&core);
    }
    let definitions = document.below("GroupDefinitions");
    for (key, kind) in CONTENTS {
        let Some(section) = definitions.get(key) else { continue };
        let list = section.get("Content").unwrap_or(section);
        let items = list.value.as_array().into_iter().flatten();
        if kind == Kind::Functions {
            collected.lambdas.extend(items.clone().filter_map(lambda));
        }
        let value = Value::Array(items.map(|item| as_defined(item, kind)).collect());
        collected.list(kind, &list.with(&value), None);
    }
    true
}

/// What it knows about a function's code.
fn lambda(item: &Value) -> Option<Lambda> {
    let inner = ["DeploymentConfiguration", "Configuration", "FunctionConfiguration"];
    let all = std::iter::once(item).chain(inner.iter().filter_map(|key| item.get(key)));
    let merged: Map<String, Value> = all
        .filter_map(Value::as_object)
        .flat_map(|map| map.iter().map(|(key, value)| (key.clone(), value.clone())))
        .collect();
    Lambda::from_value(&Value::Object(merged))
}

/// An item as a definition has it.
fn as_defined(item: &Value, kind: Kind) -> Value {
    let Some(map) = item.as_object() else { return item.clone() };
    let known = ["Id", "Name"].into_iter();
    let mut kept: Map<String, Value> =
        known.filter_map(|key| Some((key.to_owned(), map.get(key)?.clone()))).collect();
    match kind {
        Kind::Resources => {
            if let (Some(kind), Some(data)) = (map.get("Type"), map.get("Data")) {
                let known = TYPES.iter().find(|(name, _)| kind == *name).map(|(_, key)| *key);
                let key = known.unwrap_or_else(|| kind.as_str().unwrap_or_default());
                kept.insert("ResourceDataContainer".into(), json!({ key: data }));
                return Value::Object(kept);
            }
            item.clone()
        }
        Kind::Functions => {
            let configuration = ["FunctionConfiguration", "Configuration"];
            let found = configuration.iter().find_map(|key| map.get(*key));
            let parts = [("FunctionArn", map.get("FunctionArn")), ("FunctionConfiguration", found)];
            for (key, value) in parts {
                kept.extend(value.map(|value| (key.to_owned(), value.clone())));
            }
            // A function that the core brought has no id of its own.
            if let Some(arn) = map.get("FunctionArn").filter(|_| !map.contains_key("Id")) {
                kept.insert("Id".into(), arn.clone());
            }
            Value::Object(kept)
        }
        _ => item.clone(),
    }
}
