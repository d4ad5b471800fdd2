//! The shapes that definitions come in, told by their keys: what the AWS CLI takes and prints,
//! CloudFormation templates, `group.json` of a core, and one object with everything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::lambda::Lambda;
use super::node::Node;
use super::pattern::thing_name;
use super::report::Recorder;
use super::{deployed, template};

/// What a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connectors,
    Functions,
    Resources,
    Subscriptions,
    Loggers,
    Cores,
    /// Client devices, whose place is known and which are not served.
    Devices,
}

/// Key of each list in a definition version, and a key of its items that no other has.
pub(super) const LISTS: [(&str, Kind, &str); 7] = [
    ("Connectors", Kind::Connectors, "ConnectorArn"),
    ("Functions", Kind::Functions, "FunctionArn"),
    ("Resources", Kind::Resources, "ResourceDataContainer"),
    ("Subscriptions", Kind::Subscriptions, "Subject"),
    ("Loggers", Kind::Loggers, "Component"),
    ("Cores", Kind::Cores, "ThingArn"),
    ("Devices", Kind::Devices, "ThingArn"),
];

/// Definitions by their own name in a bundle.
const DEFINITIONS: [&str; 7] = [
    "ConnectorDefinition",
    "FunctionDefinition",
    "ResourceDefinition",
    "SubscriptionDefinition",
    "LoggerDefinition",
    "CoreDefinition",
    "DeviceDefinition",
];

/// A list of a definition version and where it stands.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) kind: Kind,
    pub(super) file: String,
    pub(super) path: String,
    pub(super) value: Value,
    /// `DefaultConfig` beside functions, and its path.
    pub(super) default: Option<(String, Value)>,
}

/// Everything that documents hold.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) lists: Vec<List>,
    pub(super) lambdas: Vec<Lambda>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) core_thing: Option<String>,
    pub(super) core_thing_arn: Option<String>,
    /// Parameters and resources of templates, for which values may be given.
    pub(super) names: BTreeSet<String>,
}

impl Collected {
    /// Takes what a document holds; false when that is nothing that is known.
    pub(super) fn take(
        &mut self,
        document: &Node<'_>,
        parameters: &BTreeMap<String, String>,
        recorder: &Recorder,
    ) -> bool {
        if template::is_one(document.value) {
            template::take(self, document, parameters, recorder)
        } else if deployed::is_one(document.value) {
            deployed::take(self, document)
        } else {
            self.definition(document)
        }
    }

    /// Takes a definition, a version of one, or several in one object; false when it is none.
    pub(super) fn definition(&mut self, node: &Node<'_>) -> bool {
        if node.value.is_array() {
            return self.bare(node);
        }
        let mut known = self.lists(node);
        for key in ["Definition", "InitialVersion"].iter().chain(&DEFINITIONS) {
            if let Some(inner) = node.get(key) {
                known |= self.definition(&inner);
            }
        }
        let text = |key: &str| node.get(key).and_then(|node| node.value.as_str());
        let function = node.get("Configuration").unwrap_or_else(|| node.clone());
        if let Some(lambda) = Lambda::from_value(function.value) {
            self.lambdas.push(lambda);
            known = true;
        }
        // A group itself, or a version of one: its name, and where its definitions are kept.
        let versions =
            |map: &Map<String, Value>| map.keys().any(|key| key.ends_with("DefinitionVersionArn"));
        let inner = node.get("Definition").or_else(|| node.get("InitialVersion"));
        let refers = inner.is_some_and(|inner| inner.value.as_object().is_some_and(versions));
        let latest = text("LatestVersionArn");
        if refers || latest.is_some_and(|arn| arn.contains("/groups/")) {
            for (key, field) in [("Id", &mut self.id), ("Name", &mut self.name)] {
                *field = text(key).map(Into::into).or(field.take());
            }
        }
        for (key, field) in [("GroupId", &mut self.id), ("GroupName", &mut self.name)] {
            if let Some(text) = text(key) {
                *field = Some(text.to_owned());
            }
        }
        // `config.json` of a core.
        if let Some(core) = node.get("coreThing") {
            self.core(&core);
            known = true;
        }
        let bare = node.value.as_object().is_some_and(versions);
        // What `create-` and `get-` of a definition print, without its version.
        known || bare || latest.is_some()
    }

    /// The lists of a definition version.
    pub(super) fn lists(&mut self, node: &Node<'_>) -> bool {
        let mut known = false;
        for (key, kind, _) in LISTS {
            let Some(list) = node.get(key) else { continue };
            known = true;
            let default = node.get("DefaultConfig").filter(|_| kind == Kind::Functions);
            self.list(kind, &list, default.as_ref());
        }
        known
    }

    pub(super) fn list(&mut self, kind: Kind, list: &Node<'_>, default: Option<&Node<'_>>) {
        match kind {
            Kind::Cores => return list.items().iter().for_each(|item| self.core(item)),
            Kind::Devices if !list.items().is_empty() => {
                return list.warn(
                    "Sedge serves no client devices",
                    "let them use the HTTP interface; the definition does nothing",
                );
            }
            _ => {}
        }
        self.lists.push(List {
            kind,
            file: list.file.to_owned(),
            path: list.path.clone(),
            value: list.value.clone(),
            default: default.map(|node| (node.path.clone(), node.value.clone())),
        });
    }

    /// A list on its own, as the CLI takes it after `--connectors`, told by its items' keys.
    fn bare(&mut self, node: &Node<'_>) -> bool {
        let items = node.value.as_array().into_iter().flatten();
        let has = |key: &str| items.clone().any(|item| item.get(key).is_some());
        let Some((_, kind, _)) = LISTS.iter().find(|(.., key)| has(key)) else { return false };
        self.list(*kind, node, None);
        true
    }

    /// The thing of the core.
    pub(super) fn core(&mut self, node: &Node<'_>) {
        let arn = node.get("ThingArn").or_else(|| node.get("thingArn"));
        let Some(arn) = arn else { return };
        match arn.value.as_str().and_then(thing_name) {
            Some(name) => {
                self.core_thing = Some(name.to_owned());
                self.core_thing_arn = arn.value.as_str().map(str::to_owned);
            }
            None => arn.warn(
                "it is no ARN of a thing",
                "write arn:aws:iot:REGION:ACCOUNT:thing/NAME; the core goes without a name",
            ),
        }
    }
}
