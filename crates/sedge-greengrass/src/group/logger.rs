//! Where logs go.

use std::collections::BTreeSet;

use super::node::Node;
use super::{Level, Logger};

/// KB of files for a logger that does not say.
const SPACE_KB: u64 = 128;

const LEVELS: [(&str, Level); 5] = [
    ("DEBUG", Level::Debug),
    ("INFO", Level::Info),
    ("WARN", Level::Warn),
    ("ERROR", Level::Error),
    ("FATAL", Level::Fatal),
];

/// Reads a logger.
pub(super) fn read(node: &Node<'_>) -> Option<Logger> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["Id", "Type", "Component", "Level", "Space"]);
    let id = super::id(node);
    let types = [("FileSystem", false), ("AWSCloudWatch", true)];
    let cloud = node.get("Type").map_or(Some(false), |node| node.choice(&types));
    let components = [("GreengrassSystem", false), ("Lambda", true)];
    let functions = node.required("Component", "\"Lambda\"");
    let functions = functions.and_then(|node| node.choice(&components));
    let level = node.get("Level").map_or(Some(Level::Info), |node| node.choice(&LEVELS));
    let space = node.get("Space").map_or(Some(SPACE_KB), |node| node.whole(1, i32::MAX as u64));
    Some(Logger {
        id: id?,
        cloud: cloud?,
        functions: functions?,
        level: level?,
        space_bytes: space?.saturating_mul(1024),
    })
}

/// What there may be only one of.
pub(super) fn check_all(loggers: &[(Node<'_>, Logger)]) {
    let mut seen = BTreeSet::new();
    for (node, logger) in loggers {
        if !seen.insert((logger.cloud, logger.functions)) {
            node.error(
                "another logger is of this type and component",
                "keep one for each type and component",
            );
        }
    }
}
