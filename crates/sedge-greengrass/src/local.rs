//! What a group expects of the device that it runs on.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::function::may_mount;
use crate::group::{Group, Problem, Resource, ResourceData, Severity};

/// Devices, directories and groups of users that resources name and that are not here, and what
/// this process cannot show to functions. They may come later, so that all are warnings.
pub fn missing(group: &Group) -> Vec<Problem> {
    let resources = group.resources.iter().flat_map(of_resource);
    let unseen = if may_mount() { Vec::new() } else { unseen(group) };
    resources.chain(unseen).collect()
}

/// Volumes that functions look for where they are not, as mounts are root's to make.
fn unseen(group: &Group) -> Vec<Problem> {
    let mut problems = Vec::new();
    for function in group.functions.iter().filter(|function| function.container) {
        for access in &function.resources {
            let resource = group.resources.iter().find(|known| known.id == access.resource);
            let Some(resource) = resource else { continue };
            let ResourceData::Volume { source, destination, .. } = &resource.data else { continue };
            // Somebody may have linked it.
            let real = |path: &Path| path.canonicalize().ok();
            if source == destination || real(destination).is_some_and(|at| Some(at) == real(source))
            {
                continue;
            }
            let (source, destination) = (source.display(), destination.display());
            problems.push(Problem {
                severity: Severity::Warning,
                file: "this device".to_owned(),
                path: format!("function {}, resource {}", function.id, resource.id),
                value: destination.to_string(),
                rule: format!(
                    "the function looks for {source} there, and this user may not mount it"
                ),
                hint: format!("run Sedge as root, or link it: ln -s {source} {destination}"),
            });
        }
    }
    problems
}

fn of_resource(resource: &Resource) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tell = |value: String, rule: &str, hint: &str| {
        problems.push(Problem {
            severity: Severity::Warning,
            file: "this device".to_owned(),
            path: format!("resource {}", resource.id),
            value,
            rule: rule.to_owned(),
            hint: hint.to_owned(),
        });
    };
    match &resource.data {
        ResourceData::Device { source, group, .. } => {
            let shown = source.display().to_string();
            match source.metadata() {
                Err(_) => tell(shown, "it is not here", "plug the device in, or load its driver"),
                Ok(found) => {
                    let kind = found.file_type();
                    if !(kind.is_char_device() || kind.is_block_device() || kind.is_dir()) {
                        tell(shown, "it is no device", "write the path of a device's node");
                    }
                }
            }
            named(group.as_deref(), &mut tell);
        }
        ResourceData::Volume { source, group, .. } => {
            if !source.exists() {
                let shown = source.display().to_string();
                tell(shown, "it is not here", "make it, or mount what it is to be");
            }
            named(group.as_deref(), &mut tell);
        }
        ResourceData::Model { owner: Some((group, _)), .. } => {
            let known = groups().any(|(_, id)| id == *group);
            if !known {
                let hint = "make one with `groupadd --gid`, or name another in OwnerSetting";
                tell(group.to_string(), "there is no group of users with this number", hint);
            }
        }
        ResourceData::Model { owner: None, .. } | ResourceData::Secret { .. } => {}
    }
    problems
}

fn named(group: Option<&str>, tell: &mut impl FnMut(String, &str, &str)) {
    if let Some(name) = group.filter(|name| !groups().any(|(known, _)| known == *name)) {
        let hint = "make it with `groupadd`, or name another in GroupOwnerSetting";
        tell(name.to_owned(), "there is no such group of users", hint);
    }
}

/// Names and numbers of the groups of users of this device.
fn groups() -> impl Iterator<Item = (String, u32)> {
    let text = fs::read_to_string(Path::new("/etc/group")).unwrap_or_default();
    let parsed: Vec<(String, u32)> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            Some((name.to_owned(), parts.nth(1)?.parse().ok()?))
        })
        .collect();
    parsed.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Options, read_texts};

    #[test]
    fn a_volume_at_another_place_is_told_and_a_link_is_enough() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        std::fs::create_dir(at("pictures")).unwrap();
        let volume = |id: &str, to: &str| {
            format!(
                "{{\"Id\": \"{id}\", \"Name\": \"{id}\", \"ResourceDataContainer\": \
                 {{\"LocalVolumeResourceData\": {{\"SourcePath\": \"{}\", \"DestinationPath\": \
                 \"{to}\"}}}}}}",
                at("pictures")
            )
        };
        let access = |id: &str| format!("{{\"ResourceId\": \"{id}\", \"Permission\": \"ro\"}}");
        let text = format!(
            "{{\"Resources\": [{}, {}], \"Functions\": [{{\"Id\": \"f\", \"FunctionArn\": \
             \"arn:aws:lambda:eu-west-1:1:function:f:1\", \"FunctionConfiguration\": \
             {{\"MemorySize\": 20000, \"Environment\": {{\"ResourceAccessPolicies\": [{}, {}]}}}}}}]}}",
            volume("same", &at("pictures")),
            volume("other", &at("test_img")),
            access("same"),
            access("other"),
        );
        let reading = read_texts(&[("a".into(), text)], &Options::default());
        assert_eq!(reading.group.functions.len(), 1, "{:?}", reading.report);
        let told = unseen(&reading.group);
        let [problem] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(problem.path, "function f, resource other");
        assert!(problem.hint.contains("ln -s"), "{problem}");
        std::os::unix::fs::symlink(at("pictures"), at("test_img")).unwrap();
        assert_eq!(unseen(&reading.group), []);
    }

    #[test]
    fn what_is_not_here_is_told() {
        let resource = |id: &str, data: &str| {
            format!("{{\"Id\": \"{id}\", \"Name\": \"{id}\", \"ResourceDataContainer\": {data}}}")
        };
        let text = format!(
            "[{}, {}, {}, {}]",
            resource("null", r#"{"LocalDeviceResourceData": {"SourcePath": "/dev/null"}}"#),
            resource("none", r#"{"LocalDeviceResourceData": {"SourcePath": "/dev/no/such"}}"#),
            resource(
                "tmp",
                r#"{"LocalVolumeResourceData": {"SourcePath": "/no/such", "DestinationPath": "/a",
                    "GroupOwnerSetting": {"GroupOwner": "no-such-group"}}}"#
            ),
            resource(
                "model",
                r#"{"S3MachineLearningModelResourceData": {"S3Uri": "s3://models/a.zip",
                    "DestinationPath": "/m",
                    "OwnerSetting": {"GroupOwner": 4294967294, "GroupPermission": "ro"}}}"#
            ),
        );
        let reading = read_texts(&[("a".into(), text)], &Options::default());
        let told: Vec<String> =
            missing(&reading.group).into_iter().map(|problem| problem.value).collect();
        assert_eq!(told, ["/dev/no/such", "/no/such", "no-such-group", "4294967294"]);
    }
}
