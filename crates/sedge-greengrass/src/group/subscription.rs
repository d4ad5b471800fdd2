//! Subscriptions: who sends what to whom.

use super::node::Node;
use super::pattern::THING;
use super::read::Named;
use super::{Connector, Endpoint, Group, Subscription};
use crate::ArnError;

/// Bytes of a topic at AWS IoT.
const MOST_BYTES: usize = 256;

/// Reads a subscription.
pub(super) fn read(node: &Node<'_>) -> Option<Subscription> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["Id", "Source", "Subject", "Target"]);
    let id = super::id(node);
    let end = |key: &str| endpoint(&node.required(key, "\"cloud\"")?);
    let (source, target) = (end("Source"), end("Target"));
    let subject = node.required("Subject", "\"my/topic\"").and_then(|node| subject(&node));
    let (source, target) = (source?, target?);
    if source == Endpoint::Cloud && target == Endpoint::Cloud {
        let rule = "one end of a subscription has to be in the group";
        node.below("Target").error(rule, "name a function, a connector or a device");
        return None;
    }
    Some(Subscription { id: id?, source, subject: subject?, target })
}

fn endpoint(node: &Node<'_>) -> Option<Endpoint> {
    let text = node.text()?;
    if text == "cloud" {
        return Some(Endpoint::Cloud);
    }
    if text == "GGShadowService" || text.contains(":function:GGShadowService") {
        return Some(Endpoint::Shadows);
    }
    let refused = |error: ArnError| {
        node.error(error.expected(), "copy it from the definition of what is meant");
    };
    if text.contains(":lambda:") {
        return text.parse().map(Endpoint::Function).map_err(refused).ok();
    }
    if text.contains(":greengrass:") {
        return text.parse().map(Endpoint::Connector).map_err(refused).ok();
    }
    if (THING.fits)(text) {
        return Some(Endpoint::Device(text.to_owned()));
    }
    node.error(
        "it must be cloud, GGShadowService, or the ARN of a function, a connector or a thing",
        "write \"cloud\", or copy the ARN from the definition of what is meant",
    );
    None
}

fn subject(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    let problem = if text.is_empty() {
        Some(("a topic must not be empty", "write a topic, or # for all"))
    } else if text.len() > MOST_BYTES || text.contains('\0') {
        Some(("a topic has at most 256 bytes, none of them zero", "write a shorter one"))
    } else {
        let levels: Vec<&str> = text.split('/').collect();
        let (last, before) = levels.split_last()?;
        let wild = |level: &&str| level.contains('+') && *level != "+";
        if levels.iter().any(wild) {
            Some(("+ stands for a whole level", "write a/+/b"))
        } else if before.iter().any(|level| level.contains('#'))
            || (last.contains('#') && *last != "#")
        {
            Some(("# stands for whole levels, at the end", "write a/#"))
        } else {
            None
        }
    };
    if let Some((rule, hint)) = problem {
        node.error(rule, hint);
        return None;
    }
    Some(text.to_owned())
}

/// Whether what subscriptions name is in the group.
pub(super) fn check_all(subscriptions: &[(Node<'_>, Subscription)], group: &Group, named: &Named) {
    for (node, subscription) in subscriptions {
        for (key, end) in [("Source", &subscription.source), ("Target", &subscription.target)] {
            let node = node.below(key);
            let text = node.value.as_str().unwrap_or_default();
            let all = [&named.functions, &named.connectors];
            if !all.iter().any(|all| all.contains(text)) {
                check(&node, end, group);
            }
        }
    }
}

fn check(node: &Node<'_>, end: &Endpoint, group: &Group) {
    match end {
        Endpoint::Connector(arn) => {
            // Wherever it is: a connector's region is that of the group's account.
            let same =
                |known: &Connector| known.arn.name == arn.name && known.arn.version == arn.version;
            if group.connectors.iter().any(same) {
                return;
            }
            let other = group.connectors.iter().find(|known| known.arn.name == arn.name);
            match other {
                Some(other) => node.error(
                    format!("the group has version {} of this connector", other.arn.version),
                    format!("write {}", other.arn),
                ),
                None => node.warn(
                    "the group has no such connector",
                    "add it, or take the subscription out: it never carries a message",
                ),
            }
        }
        Endpoint::Function(arn) => {
            if arn.is_system() || group.functions.iter().any(|function| function.arn == *arn) {
                return;
            }
            let bare = arn.unqualified();
            match group.functions.iter().find(|function| function.arn.unqualified() == bare) {
                Some(other) => node.error(
                    "the group has this function in another version or by another alias",
                    format!("write {}", other.arn),
                ),
                None => node.warn(
                    "the group has no such function",
                    "add it, or take the subscription out: it never carries a message",
                ),
            }
        }
        Endpoint::Device(_) => node.warn(
            "Sedge serves no client devices",
            "let the device use the HTTP interface; the subscription carries no message",
        ),
        Endpoint::Cloud | Endpoint::Shadows => {}
    }
}
