//! From files to a group and everything that is wrong or odd in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use sedge_package::nearest_key;
use serde_json::Value;

use super::document::{Collected, Kind, List};
use super::node::Node;
use super::report::{Recorder, Report};
use super::{
    Connector, Function, Group, Logger, Resource, Subscription, connector, cross, function, logger,
    resource, subscription, yaml,
};

/// Bytes of a file, and files of a group.
const MOST_BYTES: u64 = 4 << 20;
const MOST_FILES: usize = 64;
/// Names of parameters that a hint tells.
const MOST_NAMES: usize = 30;

/// What definitions do not say themselves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Values for a template's parameters, for `AWS::Region` and its like, and for what only the
    /// cloud knows, as `Resource.Attribute`.
    pub parameters: BTreeMap<String, String>,
    /// Processor of the device, as [`std::env::consts::ARCH`] says it.
    pub architecture: &'static str,
}

impl Default for Options {
    /// No parameters, on this device.
    fn default() -> Self {
        Self { parameters: BTreeMap::new(), architecture: std::env::consts::ARCH }
    }
}

/// A group as far as it could be read, and what is wrong or odd in its definitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// What is right of it; all of it when the report has no errors.
    pub group: Group,
    /// What is not.
    pub report: Report,
}

/// Reads a group from its files; of a directory, all files `*.json`, `*.yaml` and `*.yml` in it.
///
/// Each may be a bundle of several definitions, one definition as the AWS CLI takes or prints it, a
/// CloudFormation template in JSON or YAML, `group.json` of a core, or what
/// `aws lambda get-function-configuration` prints. A file that cannot be read is in the report.
pub fn read_files(paths: &[PathBuf], options: &Options) -> Reading {
    let (mut texts, recorder) = (Vec::new(), Recorder::default());
    for path in paths {
        let files = if path.is_dir() { files_in(path) } else { Ok(vec![path.clone()]) };
        let shown = path.display().to_string();
        let told = |rule: String, hint: &str| {
            Node::new(&shown, "", &Value::Null, &recorder).error(rule, hint);
        };
        match files {
            Ok(files) if files.is_empty() => {
                told(
                    "the directory has no file *.json, *.yaml or *.yml".into(),
                    "name the files themselves",
                );
            }
            Ok(files) => {
                for file in files {
                    match read_text(&file) {
                        Ok(text) => texts.push((file.display().to_string(), text)),
                        Err(error) => {
                            let shown = file.display().to_string();
                            Node::new(&shown, "", &Value::Null, &recorder).error(
                                format!("it cannot be read: {error}"),
                                "name a file with definitions",
                            );
                        }
                    }
                }
            }
            Err(error) => told(format!("it cannot be read: {error}"), "name it as it is here"),
        }
    }
    if texts.len() > MOST_FILES {
        let rule = format!("a group has at most {MOST_FILES} files, and these are {}", texts.len());
        Node::new("", "", &Value::Null, &recorder).error(rule, "put definitions together");
        texts.truncate(MOST_FILES);
    }
    understand(&texts, options, recorder)
}

/// Reads a group from texts, each with the name that problems tell it by.
pub fn read_texts(texts: &[(String, String)], options: &Options) -> Reading {
    understand(texts, options, Recorder::default())
}

fn understand(texts: &[(String, String)], options: &Options, recorder: Recorder) -> Reading {
    let mut collected = Collected::default();
    for (file, text) in texts {
        let value = match parse(text.trim_start_matches('\u{feff}')) {
            Ok(value) => value,
            Err((rule, hint)) => {
                Node::new(file, "", &Value::Null, &recorder).error(rule, hint);
                continue;
            }
        };
        let document = Node::new(file, "", &value, &recorder);
        // What is told of a whole file need not show it.
        let known = document.value.is_object() || document.value.is_array();
        if !known || !collected.take(&document, &options.parameters, &recorder) {
            Node::new(file, "", &Value::Null, &recorder).error(
                "no definition of Greengrass V1 is recognised in it",
                "give what `aws greengrass get-connector-definition-version` and its like print, \
                 a CloudFormation template, or group.json of a core",
            );
        }
    }
    unknown(&options.parameters, &collected.names, &recorder);
    let group = group(&collected, options, &recorder);
    Reading { group, report: recorder.into_report() }
}

/// Tells values that are given for what no template has.
fn unknown(given: &BTreeMap<String, String>, names: &BTreeSet<String>, recorder: &Recorder) {
    let known = |name: &str| {
        // The region is given for whichever files come.
        name == "AWS::Region"
            || names.contains(name)
            || name.split_once('.').is_some_and(|(resource, _)| names.contains(resource))
    };
    for name in given.keys().filter(|name| !known(name)) {
        let near = nearest_key(name, names.iter().map(String::as_str));
        let all: Vec<&str> = names.iter().map(String::as_str).take(MOST_NAMES).collect();
        let hint = match (near, all.as_slice()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, []) => "take it out: none of the files is a template".to_owned(),
            (None, all) => format!("there are {}", all.join(", ")),
        };
        Node::new("parameters", name.as_str(), &Value::Null, recorder)
            .warn("no template has a parameter or resource of this name", hint);
    }
}

fn group(collected: &Collected, options: &Options, recorder: &Recorder) -> Group {
    let items = |kind: Kind| -> Vec<(Node<'_>, Option<Node<'_>>)> {
        let of_kind = collected.lists.iter().filter(|list| list.kind == kind);
        let items = of_kind.flat_map(|list| {
            let default = list.default.as_ref();
            let default = default.map(|(path, value)| Node::new(&list.file, path, value, recorder));
            let List { file, path, value, .. } = list;
            let items = Node::new(file, path.as_str(), value, recorder).items();
            items.into_iter().map(move |item| (item, default.clone()))
        });
        items.collect()
    };
    let connectors: Vec<(Node<'_>, Connector)> =
        kept(items(Kind::Connectors), |node, _| connector::read(node, options.architecture));
    let functions: Vec<(Node<'_>, Function)> = kept(items(Kind::Functions), |node, default| {
        function::read(node, default, &collected.lambdas)
    });
    let resources: Vec<(Node<'_>, Resource)> =
        kept(items(Kind::Resources), |node, _| resource::read(node));
    let subscriptions: Vec<(Node<'_>, Subscription)> =
        kept(items(Kind::Subscriptions), |node, _| subscription::read(node));
    let loggers: Vec<(Node<'_>, Logger)> = kept(items(Kind::Loggers), |node, _| logger::read(node));
    for kind in
        [Kind::Connectors, Kind::Functions, Kind::Resources, Kind::Subscriptions, Kind::Loggers]
    {
        unique(&items(kind));
    }
    connector::check_all(&connectors);
    function::check_all(&functions);
    resource::check_all(&resources);
    logger::check_all(&loggers);
    let group = Group {
        id: collected.id.clone(),
        name: collected.name.clone(),
        core_thing: collected.core_thing.clone(),
        core_thing_arn: collected.core_thing_arn.clone(),
        connectors: plain(&connectors),
        functions: plain(&functions),
        resources: plain(&resources),
        subscriptions: plain(&subscriptions),
        loggers: plain(&loggers),
    };
    let named = |kind: Kind, key: &str| -> BTreeSet<String> {
        let nodes = items(kind).into_iter();
        nodes.filter_map(|(node, _)| Some(node.below(key).value.as_str()?.to_owned())).collect()
    };
    let named = Named {
        resources: named(Kind::Resources, "Id"),
        functions: named(Kind::Functions, "FunctionArn"),
        connectors: named(Kind::Connectors, "ConnectorArn"),
    };
    cross::connectors(&connectors, &group, &named);
    cross::functions(&functions, &group, &named);
    subscription::check_all(&subscriptions, &group, &named);
    group
}

/// What definitions name, right or not: what could not be read was told, and is not missed.
pub(super) struct Named {
    pub(super) resources: BTreeSet<String>,
    pub(super) functions: BTreeSet<String>,
    pub(super) connectors: BTreeSet<String>,
}

/// The items that can be read.
fn kept<'a, T>(
    items: Vec<(Node<'a>, Option<Node<'a>>)>,
    read: impl Fn(&Node<'a>, Option<&Node<'a>>) -> Option<T>,
) -> Vec<(Node<'a>, T)> {
    let one = |(node, default): (Node<'a>, Option<Node<'a>>)| {
        let item = read(&node, default.as_ref())?;
        Some((node, item))
    };
    items.into_iter().filter_map(one).collect()
}

fn plain<T: Clone>(items: &[(Node<'_>, T)]) -> Vec<T> {
    items.iter().map(|(_, item)| item.clone()).collect()
}

/// Tells ids that are there twice, of items that cannot be read, too.
fn unique(items: &[(Node<'_>, Option<Node<'_>>)]) {
    let mut seen: BTreeMap<&str, &Node<'_>> = BTreeMap::new();
    for (node, _) in items {
        let id = node.below("Id");
        let Some(text) = id.value.as_str() else { continue };
        match seen.get(text) {
            None => drop(seen.insert(text, node)),
            Some(other) => {
                let mut place = other.path.clone();
                if other.file != node.file {
                    place = format!("{place} of {}", other.file);
                }
                let rule = format!("another one of its kind has this id: {place}");
                id.error(rule, "give each an id of its own, or take out what is there twice");
            }
        }
    }
}

/// The id of an item.
pub(super) fn id(node: &Node<'_>) -> Option<String> {
    let id = node.required("Id", "\"my-id\"")?;
    let text = id.loose_text()?;
    if text.is_empty() {
        id.error("it must not be empty", "write an id that no other has");
        return None;
    }
    Some(text)
}

/// An absolute path without `..`.
pub(super) fn absolute(node: &Node<'_>, text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if !path.is_absolute() || climbs || text.chars().any(char::is_control) {
        node.error("it must be an absolute path without ..", "write it as /path/to/it");
        return None;
    }
    // Without slashes at the end and doubled ones, which name the same.
    Some(path.components().collect())
}

fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("json" | "yaml" | "yml")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that ends from one that does not.
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        let problem = format!("it is larger than {} MiB", MOST_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// What a text holds: JSON by its first character, else YAML.
///
/// # Errors
/// What is wrong with it, and what to do.
fn parse(text: &str) -> Result<Value, (String, &'static str)> {
    let start = text.trim_start();
    if start.is_empty() {
        return Err(("it is empty".into(), "give a file with definitions in JSON or YAML"));
    }
    if start.starts_with(['{', '[']) {
        return serde_json::from_str(text)
            .map_err(|error| (format!("it is no JSON: {error}"), "check it with `jq . FILE`"));
    }
    yaml::parse(text).map_err(|error| {
        (format!("it is neither JSON nor YAML: {error}"), "give a file with definitions")
    })
}
