//! What one definition says of another.

use super::node::Node;
use super::read::Named;
use super::{
    Connector, Function, Group, Inference, ModelSource, Parameters, Permission, Resource,
    ResourceData, resource,
};

/// Checks connectors against resources and the feedback connector.
pub(super) fn connectors(connectors: &[(Node<'_>, Connector)], group: &Group, named: &Named) {
    let feedback = group.connectors.iter().find_map(|connector| match &connector.parameters {
        Parameters::Feedback(feedback) => Some(feedback.ids.as_ref()),
        _ => None,
    });
    for (node, connector) in connectors {
        let Parameters::Inference(inference) = &connector.parameters else { continue };
        let node = node.below("Parameters");
        model_of(&node, inference, group, named);
        let Some(wanted) = &inference.feedback else { continue };
        let at = node.below("MLFeedbackConnectorConfigId");
        match &feedback {
            // A map that cannot be read was told.
            Some(None) => {}
            Some(Some(ids)) if ids.contains(wanted) => {}
            Some(Some(ids)) => {
                let known: Vec<&str> = ids.iter().map(String::as_str).collect();
                at.error(
                    "the map of the connector MLFeedback has no such id",
                    format!("it has {}", known.join(", ")),
                );
            }
            None => at.error(
                "the group has no connector MLFeedback",
                "add it, or write \"\" here for no feedback",
            ),
        }
    }
}

/// Checks a connector's model against the resource that it comes from.
fn model_of(node: &Node<'_>, inference: &Inference, group: &Group, named: &Named) {
    let at = node.below("MLModelResourceId");
    let found = group.resources.iter().find(|resource| resource.id == inference.resource);
    let Some(resource) = found else {
        if named.resources.contains(&inference.resource) {
            return;
        }
        let known: Vec<&str> = group.resources.iter().map(|known| known.id.as_str()).collect();
        let hint = match known.as_slice() {
            [] => "give the resource definition, too".to_owned(),
            known => format!("the group's resources are {}", known.join(", ")),
        };
        at.error("the group has no such resource", hint);
        return;
    };
    let ResourceData::Model { source, destination, .. } = &resource.data else {
        let rule = "a model comes from a resource of type ML_Model";
        at.error(rule, format!("'{}' is a {}", resource.id, resource.data.type_name()));
        return;
    };
    if *destination != inference.destination {
        node.below("MLModelDestinationPath").error(
            format!("the DestinationPath of '{}' is {}", resource.id, destination.display()),
            "write the same path in both",
        );
    }
    match (source, &inference.job) {
        (ModelSource::Job(job), Some(wanted)) if job != wanted => {
            node.below("MLModelSageMakerJobArn").error(
                format!("the SageMakerJobArn of '{}' is {job}", resource.id),
                "write the same training job in both",
            );
        }
        (ModelSource::S3(_), Some(_)) => at.warn(
            "image classification takes a resource of type ML_Model.SageMaker.Job",
            "the model at the resource's S3Uri is used",
        ),
        (ModelSource::Job(_), None) => at.warn(
            "object detection takes a resource of type ML_Model.S3_Object",
            "the model of the training job is used",
        ),
        _ => {}
    }
}

/// Checks which resources functions use, and how.
pub(super) fn functions(functions: &[(Node<'_>, Function)], group: &Group, named: &Named) {
    for (node, function) in functions {
        let environment = node.below("FunctionConfiguration").below("Environment");
        let policies = environment.below("ResourceAccessPolicies");
        let items = if policies.value.is_null() { Vec::new() } else { policies.items() };
        let mut models: Vec<&Resource> = Vec::new();
        for access in &function.resources {
            let same = |item: &&Node<'_>| {
                item.get("ResourceId").is_some_and(|id| id.value == access.resource.as_str())
            };
            let Some(item) = items.iter().find(same) else { continue };
            let found = group.resources.iter().find(|resource| resource.id == access.resource);
            let Some(resource) = found else {
                if !named.resources.contains(&access.resource) {
                    item.below("ResourceId").error(
                        "the group has no such resource",
                        "add it to the resource definition, or take it out here",
                    );
                }
                continue;
            };
            permission(item, function, resource, access.permission);
            let ResourceData::Model { destination, .. } = &resource.data else { continue };
            let overlaps = models.iter().any(|other| match &other.data {
                ResourceData::Model { destination: other, .. } => {
                    resource::nested(other, destination)
                }
                _ => false,
            });
            if overlaps && !function.container {
                item.error(
                    format!(
                        "NoContainer Function {} refers to resources of nested destination path",
                        function.arn
                    ),
                    "give each of its models a DestinationPath that is not below another's",
                );
            }
            models.push(resource);
        }
        shared_group(node, function, group);
    }
}

/// The table of permissions of core 1.10.
fn permission(
    item: &Node<'_>,
    function: &Function,
    resource: &Resource,
    asked: Option<Permission>,
) {
    let (arn, id, kind) = (&function.arn, &resource.id, resource.data.type_name());
    let at = item.below("Permission");
    match (&resource.data, function.container, asked) {
        (ResourceData::Secret { .. }, ..) => {}
        (ResourceData::Device { .. } | ResourceData::Volume { .. }, false, _) => item.error(
            format!(
                "RESOURCE_TYPE_UNEXPECTED_ERROR: Function {arn} refers to resource of type \
                 '{kind}' that is not allowed in IsolationMode='NoContainer'"
            ),
            "take it out: without a container the function sees the device's own paths",
        ),
        (ResourceData::Device { .. } | ResourceData::Volume { .. }, true, None) => {
            at.error("it is missing", "add \"Permission\": \"ro\" or \"rw\"");
        }
        (ResourceData::Model { .. }, false, Some(_)) => at.error(
            format!(
                "NoContainer function cannot configure permission when attaching Machine \
                 Learning resources: {arn} refers to {id} with one"
            ),
            "take Permission out; what the resource's OwnerSetting says holds",
        ),
        (ResourceData::Model { owner: None, .. }, false, None) => item.error(
            format!(
                "RESOURCE_TYPE_UNEXPECTED_ERROR: Function {arn} refers to resource of type \
                 '{kind}' that is not allowed in IsolationMode='NoContainer'"
            ),
            "add an OwnerSetting to the resource: whose files they are, and ro or rw",
        ),
        (ResourceData::Model { owner: None, .. }, true, None) => at.error(
            format!(
                "Function {arn} refers to Machine Learning resource {id} with missing \
                 permission in both ResourceAccessPolicy and resource OwnerSetting"
            ),
            "add \"Permission\": \"ro\"",
        ),
        (
            ResourceData::Model { owner: Some((_, Permission::ReadOnly)), .. },
            true,
            Some(Permission::ReadWrite),
        ) => at.error(
            format!(
                "Function {arn} refers to Machine Learning resource {id} with permission \
                 \"rw\", while resource owner setting GroupPermission only allows \"ro\""
            ),
            "write \"ro\" here, or \"rw\" in the resource's OwnerSetting",
        ),
        _ => {}
    }
}

/// That a function does not read a model only because its group owns the files.
fn shared_group(node: &Node<'_>, function: &Function, group: &Group) {
    // Greengrass skips this for root, who may read everything.
    let Some((_, gid)) = function.run_as.filter(|(uid, _)| *uid != 0) else { return };
    for resource in &group.resources {
        let ResourceData::Model { owner: Some((owner, _)), .. } = &resource.data else { continue };
        let attached = function.resources.iter().any(|access| access.resource == resource.id);
        if *owner == gid && !attached {
            node.error(
                format!(
                    "Lambda {} gains access to resource {} by sharing the same group owner id",
                    function.arn, resource.id
                ),
                "attach the resource to the function, or choose another group for one of them",
            );
        }
    }
}
