//! The parameters of the connector for CloudWatch metrics.

use std::time::Duration;

use serde_json::Value;

use super::Parameters;
use super::node::{Node, digits};
use crate::arn;

/// First version of the connector that may run without a container.
const WITH_ISOLATION: u32 = 4;
/// Numbers among the parameters, and what they may be.
const NUMBERS: [(&str, u64, u64); 3] = [
    ("PublishInterval", 0, 900),
    ("MemorySize", 1, i32::MAX as u64),
    ("MaxMetricsToRetain", 2000, i32::MAX as u64),
];

/// Parameters of the connector that sends metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Longest wait until metrics are sent; zero is none.
    pub interval: Duration,
    /// Region they are sent to, where that is another one.
    pub region: Option<String>,
    /// Most metrics that wait.
    pub most_waiting: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), region: None, most_waiting: 2000 }
    }
}

/// Checks the parameters.
pub(super) fn read(node: &Node<'_>, version: u32) -> Option<Parameters> {
    if node.value.is_null() {
        return Some(Parameters::Metrics(Metrics::default()));
    }
    node.knows(&[
        "PublishInterval",
        "PublishRegion",
        "MemorySize",
        "MaxMetricsToRetain",
        "IsolationMode",
    ]);
    let mut metrics = Metrics::default();
    for (key, node) in node.entries() {
        // An object here is nothing that a text could be made of.
        if matches!(node.value, Value::Null) {
            continue;
        }
        let Some(text) = node.loose_text() else { continue };
        check(key, &node, &text, version);
        match (key, digits(&text)) {
            ("PublishInterval", Some(seconds)) => metrics.interval = Duration::from_secs(seconds),
            ("MaxMetricsToRetain", Some(most)) => metrics.most_waiting = most,
            ("PublishRegion", _) => metrics.region = Some(text).filter(|text| !text.is_empty()),
            _ => {}
        }
    }
    Some(Parameters::Metrics(metrics))
}

fn check(key: &str, node: &Node<'_>, text: &str, version: u32) {
    if let Some((_, least, most)) = NUMBERS.iter().find(|(name, ..)| *name == key)
        && !digits(text).is_some_and(|number| (*least..=*most).contains(&number))
    {
        let rule = format!("it must be a whole number from {least} to {most}");
        node.error(rule, format!("write \"{least}\" or more, without a unit"));
    }
    match key {
        "PublishRegion" if !text.is_empty() && !arn::is_region(text) => {
            node.error("it must be a region", "write \"eu-west-1\" or the like");
        }
        "IsolationMode" => {
            node.choice(&[("GreengrassContainer", ()), ("NoContainer", ())]);
            if version < WITH_ISOLATION {
                let rule = format!("version {version} of the connector has no such parameter");
                node.warn(rule, "take it out; it is ignored");
            }
        }
        _ => {}
    }
}
