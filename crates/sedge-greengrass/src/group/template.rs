//! CloudFormation templates: the Greengrass definitions in them, with references resolved
//! as far as a template by itself says what they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::document::{Collected, Kind, LISTS};
use super::node::Node;
use super::report::Recorder;
use super::resolve::Resolver;

const FUNCTIONS: [&str; 2] = ["AWS::Lambda::Function", "AWS::Serverless::Function"];
/// Types that hold definitions, without `AWS::Greengrass::`.
const DEFINITIONS: [&str; 14] = [
    "ConnectorDefinition",
    "ConnectorDefinitionVersion",
    "FunctionDefinition",
    "FunctionDefinitionVersion",
    "ResourceDefinition",
    "ResourceDefinitionVersion",
    "SubscriptionDefinition",
    "SubscriptionDefinitionVersion",
    "LoggerDefinition",
    "LoggerDefinitionVersion",
    "CoreDefinition",
    "CoreDefinitionVersion",
    "DeviceDefinition",
    "DeviceDefinitionVersion",
];

/// What every template may refer to and only the cloud knows.
const PSEUDO: [&str; 5] =
    ["AWS::AccountId", "AWS::Partition", "AWS::Region", "AWS::StackName", "AWS::URLSuffix"];

pub(super) fn is_one(value: &Value) -> bool {
    let typed = |map: &Map<String, Value>| map.values().any(|value| value.get("Type").is_some());
    let resources = value.get("Resources").and_then(Value::as_object);
    value.get("AWSTemplateFormatVersion").is_some() || resources.is_some_and(typed)
}

/// Takes the definitions of a template; false when it has none.
pub(super) fn take(
    collected: &mut Collected,
    document: &Node<'_>,
    given: &BTreeMap<String, String>,
    recorder: &Recorder,
) -> bool {
    let resources = document.below("Resources");
    if !resources.value.is_object() {
        return false;
    }
    let resolver = Resolver::new(document.value, given);
    for section in ["Parameters", "Resources"] {
        let names = document.value.get(section).and_then(Value::as_object);
        collected.names.extend(names.into_iter().flatten().map(|(name, _)| name.clone()));
    }
    collected.names.extend(PSEUDO.map(str::to_owned));
    // A parameter without a value is told where it is first missed.
    let mut told_of = BTreeSet::new();
    let mut resolved = |node: &Node<'_>| {
        let mut missing = Vec::new();
        let value = resolver.value(node.value, &node.path, &mut missing);
        for missing in missing.iter().filter(|missing| told_of.insert(missing.what.clone())) {
            let place = Node::new(document.file, missing.path.as_str(), &Value::Null, recorder);
            place.error(missing.rule.as_str(), missing.hint.as_str());
        }
        missing.iter().for_each(|missing| recorder.leave(document.file, &missing.path));
        value
    };
    let (mut known, mut groups) = (false, 0);
    for (name, resource) in resources.entries() {
        let Some(kind) = resource.get("Type").and_then(|node| node.value.as_str()) else {
            continue;
        };
        let properties = resource.below("Properties");
        if FUNCTIONS.contains(&kind) {
            collected.lambdas.extend(resolver.lambda(name));
            continue;
        }
        let Some(kind) = kind.strip_prefix("AWS::Greengrass::") else { continue };
        match kind {
            "Group" => {
                groups += 1;
                let node = properties.below("Name");
                let value = resolved(&node);
                collected.name = value.as_str().map(Into::into).or(collected.name.take());
                known = true;
            }
            kind if DEFINITIONS.contains(&kind) => {
                known = true;
                for place in [properties.clone(), properties.below("InitialVersion")] {
                    lists(collected, &place, &mut resolved);
                }
            }
            _ => {}
        }
    }
    if groups > 1 {
        resources.warn(
            format!("it has {groups} groups, and the definitions of all are taken for one"),
            "give a template with the group of this device",
        );
    }
    known
}

/// The lists of a definition version, resolved.
fn lists(
    collected: &mut Collected,
    place: &Node<'_>,
    resolved: &mut impl FnMut(&Node<'_>) -> Value,
) {
    let mut whole = Map::new();
    for (key, kind, _) in LISTS {
        let Some(list) = place.get(key) else { continue };
        // Of a core nothing is needed but its thing; certificates stay in the cloud.
        let value = match kind {
            Kind::Cores => things(&list, resolved),
            // They are not served, so that nothing of them needs to be known.
            Kind::Devices => match list.value {
                Value::Array(_) => list.value.clone(),
                other => json!([other]),
            },
            _ => resolved(&list),
        };
        whole.insert(key.to_owned(), value);
    }
    if let Some(default) = place.get("DefaultConfig") {
        whole.insert("DefaultConfig".to_owned(), resolved(&default));
    }
    let whole = Value::Object(whole);
    collected.lists(&place.with(&whole));
}

/// Items of which only the thing is resolved.
fn things(list: &Node<'_>, resolved: &mut impl FnMut(&Node<'_>) -> Value) -> Value {
    let items = list.items();
    let thing = |item: &Node<'_>| json!({ "ThingArn": resolved(&item.below("ThingArn")) });
    Value::Array(items.iter().map(thing).collect())
}
