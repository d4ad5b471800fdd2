//! Resources: models, local devices and volumes, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::connector::job_arn;
use super::node::Node;
use super::pattern::{ID, SECRET};
use super::{ModelSource, Permission, Resource, ResourceData, s3};

/// What may stand in `ResourceDataContainer`.
const KINDS: [&str; 5] = [
    "SageMakerMachineLearningModelResourceData",
    "S3MachineLearningModelResourceData",
    "LocalDeviceResourceData",
    "LocalVolumeResourceData",
    "SecretsManagerSecretResourceData",
];

const PERMISSIONS: [(&str, Permission); 2] =
    [("ro", Permission::ReadOnly), ("rw", Permission::ReadWrite)];

/// `ro` or `rw`.
pub(super) fn permission(node: &Node<'_>) -> Option<Permission> {
    node.choice(&PERMISSIONS)
}

/// Reads a resource.
pub(super) fn read(node: &Node<'_>) -> Option<Resource> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["Id", "Name", "ResourceDataContainer"]);
    let id = super::id(node);
    if id.as_deref().is_some_and(|id| !(ID.fits)(id)) {
        let hint = "use letters, digits, colons, underscores and hyphens, at most 128";
        node.below("Id").error(format!("it must match {}", ID.text), hint);
    }
    // Only people read the name.
    let name = match node.get("Name") {
        Some(node) => {
            let text = node.loose_text()?;
            if !(ID.fits)(&text) {
                node.warn(
                    format!("it should match {}", ID.text),
                    "it is kept; only people read it",
                );
            }
            Some(text)
        }
        None => None,
    };
    let container = node.required("ResourceDataContainer", "{ }")?;
    let data = data(&container)?;
    let id = id?;
    Some(Resource { name: name.unwrap_or_else(|| id.clone()), id, data })
}

fn data(container: &Node<'_>) -> Option<ResourceData> {
    if !container.is_object() {
        return None;
    }
    container.knows(&KINDS);
    let found: Vec<&str> = KINDS.into_iter().filter(|kind| container.get(kind).is_some()).collect();
    let [kind] = found.as_slice() else {
        let rule = format!("it must hold exactly one of {}", KINDS.join(", "));
        container.error(rule, "make a resource of its own of each");
        return None;
    };
    let node = container.below(kind);
    if !node.is_object() {
        return None;
    }
    match *kind {
        "SageMakerMachineLearningModelResourceData" => {
            node.knows(&["DestinationPath", "SageMakerJobArn", "OwnerSetting"]);
            let example = "\"arn:aws:sagemaker:REGION:ACCOUNT:training-job/NAME\"";
            let job = node.required("SageMakerJobArn", example).and_then(|node| job_arn(&node));
            model(&node, job.map(ModelSource::Job))
        }
        "S3MachineLearningModelResourceData" => {
            node.knows(&["DestinationPath", "S3Uri", "OwnerSetting"]);
            let uri = node.required("S3Uri", "\"s3://my-bucket/model.tar.gz\"");
            model(&node, uri.and_then(|node| s3::read(&node)).map(ModelSource::S3))
        }
        "LocalDeviceResourceData" => device(&node),
        "LocalVolumeResourceData" => volume(&node),
        _ => secret(&node),
    }
}

fn model(node: &Node<'_>, source: Option<ModelSource>) -> Option<ResourceData> {
    let destination = path(node, "DestinationPath", "\"/models/cats\"");
    let owner = owner(node);
    Some(ResourceData::Model { source: source?, destination: destination?, owner: owner? })
}

/// Who owns a model's files, `None` within where nobody is said to.
fn owner(node: &Node<'_>) -> Option<Option<(u32, Permission)>> {
    let Some(setting) = node.get("OwnerSetting") else { return Some(None) };
    if !setting.is_object() {
        return None;
    }
    setting.knows(&["GroupOwner", "GroupPermission"]);
    let rule = "InvalidMLModelOwner: GroupOwner and GroupPermission must both be there";
    let part = |key: &str, example: &str| {
        let node = setting.get(key);
        if node.is_none() {
            setting.below(key).error(rule, format!("add \"{key}\": {example}"));
        }
        node
    };
    let group = part("GroupOwner", "\"998\"").and_then(|node| {
        let id = match node.value {
            Value::String(text) => super::node::digits(text),
            value => value.as_u64(),
        };
        let id = id.and_then(|id| u32::try_from(id).ok());
        if id.is_none() {
            node.error(
                "it must be the number of a group of this device",
                "ask `getent group NAME` for it",
            );
        }
        id
    });
    let permission = part("GroupPermission", "\"ro\"").and_then(|node| self::permission(&node));
    Some(Some((group?, permission?)))
}

fn device(node: &Node<'_>) -> Option<ResourceData> {
    node.knows(&["SourcePath", "GroupOwnerSetting"]);
    let source = path(node, "SourcePath", "\"/dev/video0\"");
    if source.as_ref().is_some_and(|source| !source.starts_with("/dev")) {
        node.below("SourcePath").error(
            "a local device must lie below /dev",
            "write the path of its node, or make it a local volume",
        );
        return None;
    }
    let (add_group_owner, group) = group_setting(node)?;
    Some(ResourceData::Device { source: source?, add_group_owner, group })
}

fn volume(node: &Node<'_>) -> Option<ResourceData> {
    node.knows(&["SourcePath", "DestinationPath", "GroupOwnerSetting"]);
    let source = path(node, "SourcePath", "\"/data\"");
    let destination = path(node, "DestinationPath", "\"/data\"");
    if let Some(source) = &source {
        let at = node.below("SourcePath");
        if source.starts_with("/sys") {
            at.error("a local volume must not lie below /sys", "set AccessSysfs for the function");
            return None;
        }
        if source.starts_with("/dev") || source.starts_with("/var") {
            let rule = "Greengrass takes no volume below /dev or /var";
            at.warn(rule, "it is passed on all the same; a device is a local device");
        }
    }
    let (add_group_owner, group) = group_setting(node)?;
    let (source, destination) = (source?, destination?);
    Some(ResourceData::Volume { source, destination, add_group_owner, group })
}

/// Whether functions get the group that owns a resource, and which other.
fn group_setting(node: &Node<'_>) -> Option<(bool, Option<String>)> {
    let Some(setting) = node.get("GroupOwnerSetting") else { return Some((false, None)) };
    if !setting.is_object() {
        return None;
    }
    setting.knows(&["AutoAddGroupOwner", "GroupOwner"]);
    let add = match setting.get("AutoAddGroupOwner") {
        Some(node) => node.truth()?,
        None => false,
    };
    let group = match setting.get("GroupOwner") {
        Some(node) => node.loose_text().filter(|name| !name.is_empty()),
        None => None,
    };
    Some((add, group))
}

fn secret(node: &Node<'_>) -> Option<ResourceData> {
    node.knows(&["ARN", "AdditionalStagingLabelsToDownload"]);
    let example = "\"arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME\"";
    let at = node.required("ARN", example)?;
    let arn = at.text()?;
    if !(SECRET.fits)(arn) {
        at.error(format!("it must match {}", SECRET.text), format!("write {example}"));
        return None;
    }
    let labels = match node.get("AdditionalStagingLabelsToDownload") {
        Some(list) => list.items().iter().filter_map(Node::text).map(Into::into).collect(),
        None => Vec::new(),
    };
    Some(ResourceData::Secret { arn: arn.to_owned(), labels })
}

fn path(node: &Node<'_>, key: &str, example: &str) -> Option<PathBuf> {
    let node = node.required(key, example)?;
    super::absolute(&node, node.text()?)
}

/// What there may be only one of: devices at a path, models at a path, places of a volume.
pub(super) fn check_all(resources: &[(Node<'_>, Resource)]) {
    let (mut devices, mut models, mut volumes) =
        (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for (node, resource) in resources {
        let container = node.below("ResourceDataContainer");
        let at = |kind: &str, key: &str| container.below(kind).below(key);
        match &resource.data {
            ResourceData::Device { source, .. } => {
                if !devices.insert(source) {
                    at("LocalDeviceResourceData", "SourcePath").error(
                        "another resource is this device",
                        "take one out, and attach the other to both functions",
                    );
                }
            }
            ResourceData::Volume { source, destination, .. } => {
                let before = volumes.insert(source, destination);
                if before.is_some_and(|before| before != destination) {
                    at("LocalVolumeResourceData", "DestinationPath").warn(
                        "Greengrass takes one destination for a source",
                        "it is passed on all the same",
                    );
                }
            }
            ResourceData::Model { source, destination, .. } => {
                if !models.insert(destination) {
                    let kind = match source {
                        ModelSource::Job(_) => "SageMakerMachineLearningModelResourceData",
                        ModelSource::S3(_) => "S3MachineLearningModelResourceData",
                    };
                    at(kind, "DestinationPath").error(
                        "another model has this destination",
                        "give each model a path of its own",
                    );
                }
            }
            ResourceData::Secret { .. } => {}
        }
    }
}

/// Whether one path is the other, or lies below it.
pub(super) fn nested(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
