/// Whether a topic matches a filter: `+` is one level, `#` at the end all that follow, at least
/// one: other than in MQTT, `a/#` does not match `a` (specification, section 9.3). As in MQTT, a
/// wildcard at the beginning matches no topic that begins with `$`.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/').peekable(), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (None, None) => return true,
            (Some("#"), Some(_)) => return filter.peek().is_none(),
            (Some("+"), Some(_)) => {}
            (Some(level), Some(name)) if level == name => {}
            _ => return false,
        }
    }
}

/// Whether messages can have this topic.
pub(super) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_level_by_level() {
        for (filter, topic, wanted) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b", "a", false),
            ("+/b", "a/b", true),
            ("a/+", "a/", true),
            ("a/+", "a/b/c", false),
            ("a/+/c", "a/b/c", true),
            ("#", "a/b", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", false),
            ("a/#", "a/", true),
            ("a/#/b", "a/c/b", false),
            ("#", "$aws/things/t/shadow/get", false),
            ("+/things/t/shadow/get", "$aws/things/t/shadow/get", false),
            ("$aws/#", "$aws/things/t/shadow/get", true),
            ("$aws/things/+/shadow/get/accepted", "$aws/things/t/shadow/get/accepted", true),
            ("/a", "a", false),
            ("/a", "/a", true),
            ("A", "a", false),
        ] {
            assert_eq!(matches(filter, topic), wanted, "{filter} {topic}");
        }
        for topic in ["", "a/+", "#", "a\0"] {
            assert!(!is_topic(topic), "{topic}");
        }
    }
}
