//! What a topic, a filter and a message may be, told before anything is kept or sent.

use super::packet::Qos;

/// What a broker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a topic or filter, in UTF-8.
    pub topic_bytes: usize,
    /// Most slashes of one, where there is a bound.
    pub slashes: Option<usize>,
    /// Most bytes of a message's payload.
    pub payload_bytes: usize,
    /// Most filters in one SUBSCRIBE.
    pub filters_per_request: usize,
    /// Most filters of a connection.
    pub filters: usize,
}

/// In front of a topic that goes to one rule of AWS IoT and to no subscriber (Basic Ingest).
const BASIC_INGEST: &str = "$aws/rules/";

impl Limits {
    /// Those of AWS IoT Core (its "message broker and protocol" quotas).
    #[must_use]
    pub const fn aws_iot() -> Self {
        Self {
            topic_bytes: 256,
            slashes: Some(7),
            payload_bytes: 131_072,
            filters_per_request: 8,
            filters: 50,
        }
    }

    /// Those of the protocol, with a bound on what one device can subscribe to.
    #[must_use]
    pub const fn plain() -> Self {
        Self {
            topic_bytes: 65_535,
            slashes: None,
            payload_bytes: 2_621_440,
            filters_per_request: 64,
            filters: 1000,
        }
    }
}

/// Why a message cannot be published, or a filter not subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Neither messages nor filters go without.
    #[error("the topic is empty. Hint: name one, like factory/line-1/defects")]
    Empty,
    /// Too long a topic.
    #[error("the topic '{shown}' has {bytes} bytes, and the broker takes at most {limit}")]
    TooLong {
        /// Its beginning.
        shown: String,
        /// Of the whole.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Too many levels.
    #[error(
        "the topic '{topic}' has {slashes} slashes, and the broker takes at most {limit}. \
         Hint: AWS IoT does not count those of a leading $aws/rules/RULE/"
    )]
    TooDeep {
        /// The topic.
        topic: String,
        /// Its slashes, as they count.
        slashes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A message to a filter.
    #[error(
        "the topic '{0}' has a wildcard. Hint: messages are published to one topic; only \
             subscriptions have + and #"
    )]
    Wildcard(String),
    /// A filter whose wildcards are in the wrong place.
    #[error(
        "the filter '{0}' is wrong. Hint: + and # stand alone between slashes, and # at the \
             end"
    )]
    Filter(String),
    /// A character that no topic may have.
    #[error("the topic '{0}' has a character that none may have: a zero byte")]
    Zero(String),
    /// Too large a message.
    #[error(
        "a message to '{topic}' has {bytes} bytes, and the broker takes at most {limit}. \
         Hint: put what is large into S3, and publish where it is"
    )]
    TooLarge {
        /// Where it was to go.
        topic: String,
        /// Of its payload.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Too many filters.
    #[error("there are {count} filters, and the broker takes at most {limit} of one connection")]
    TooMany {
        /// How many.
        count: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// Whether a message of so many bytes may be published to a topic.
pub fn check(topic: &str, payload_bytes: usize, limits: &Limits) -> Result<(), TopicError> {
    measure(topic, limits)?;
    if topic.contains(['+', '#']) {
        return Err(TopicError::Wildcard(shown(topic)));
    }
    let limit = limits.payload_bytes;
    if payload_bytes > limit {
        return Err(TopicError::TooLarge { topic: shown(topic), bytes: payload_bytes, limit });
    }
    Ok(())
}

/// Whether a filter may be subscribed to.
pub fn check_filter(filter: &str, limits: &Limits) -> Result<(), TopicError> {
    measure(filter, limits)?;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_right = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            level => !level.contains(['+', '#']),
        };
        if !is_right {
            return Err(TopicError::Filter(shown(filter)));
        }
    }
    Ok(())
}

/// Whether all filters of a connection may be subscribed to, with any QoS.
pub fn check_filters(filters: &[(String, Qos)], limits: &Limits) -> Result<(), TopicError> {
    if filters.len() > limits.filters {
        return Err(TopicError::TooMany { count: filters.len(), limit: limits.filters });
    }
    filters.iter().try_for_each(|(filter, _)| check_filter(filter, limits))
}

fn measure(topic: &str, limits: &Limits) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.contains('\0') {
        return Err(TopicError::Zero(shown(topic)));
    }
    let (bytes, limit) = (topic.len(), limits.topic_bytes);
    if bytes > limit {
        return Err(TopicError::TooLong { shown: shown(topic), bytes, limit });
    }
    let counted = topic
        .strip_prefix(BASIC_INGEST)
        .and_then(|rest| rest.split_once('/'))
        .map_or(topic, |(_, counted)| counted);
    let slashes = counted.matches('/').count();
    match limits.slashes {
        Some(limit) if slashes > limit => {
            Err(TopicError::TooDeep { topic: shown(topic), slashes, limit })
        }
        _ => Ok(()),
    }
}

/// What can be shown of a text that may be anything.
fn shown(text: &str) -> String {
    text.chars().take(300).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_to_the_last_byte_and_slash() {
        let aws = Limits::aws_iot();
        let published = |topic: &str, bytes| check(topic, bytes, &aws);
        assert_eq!(published(&"t".repeat(256), 131_072), Ok(()));
        assert!(matches!(published("t", 131_073), Err(TopicError::TooLarge { .. })));
        assert!(matches!(published(&"t".repeat(257), 0), Err(TopicError::TooLong { .. })));
        // Bytes are counted, not characters.
        assert!(matches!(published(&"é".repeat(129), 0), Err(TopicError::TooLong { .. })));
        assert_eq!(published("1/2/3/4/5/6/7/8", 0), Ok(()));
        assert!(matches!(published("1/2/3/4/5/6/7/8/9", 0), Err(TopicError::TooDeep { .. })));
        assert_eq!(published("$aws/rules/keep/1/2/3/4/5/6/7/8", 0), Ok(()));
        let deep = "$aws/rules/keep/1/2/3/4/5/6/7/8/9";
        assert!(matches!(published(deep, 0), Err(TopicError::TooDeep { slashes: 8, .. })));
        assert_eq!(check(deep, 1 << 20, &Limits::plain()), Ok(()));
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        let published = |topic: &str| check(topic, 0, &Limits::plain());
        assert_eq!(published(""), Err(TopicError::Empty));
        assert!(matches!(published("a\0b"), Err(TopicError::Zero(_))));
        for wild in ["a/+/b", "#", "a+b"] {
            assert!(matches!(published(wild), Err(TopicError::Wildcard(_))), "{wild}");
        }
        for plain in ["/", "a//b", "a b", "$SYS/x"] {
            assert_eq!(published(plain), Ok(()), "{plain}");
        }
    }

    #[test]
    fn filters_have_wildcards_where_they_belong() {
        let filter = |text: &str| check_filter(text, &Limits::aws_iot());
        for right in ["#", "+", "a/#", "+/a/+", "/+", "a", "$share/group/a/#"] {
            assert_eq!(filter(right), Ok(()), "{right}");
        }
        for wrong in ["a#", "#/a", "a+", "a/+b/c", ""] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
        let many: Vec<(String, Qos)> = (0..51).map(|n| (n.to_string(), Qos::default())).collect();
        assert!(check_filters(&many[..50], &Limits::aws_iot()).is_ok());
        let error = check_filters(&many, &Limits::aws_iot());
        assert_eq!(error, Err(TopicError::TooMany { count: 51, limit: 50 }));
    }
}
