//! The patterns of Greengrass's reference, each as the regular expression it publishes and a
//! function that does the same.

use crate::arn;

/// A pattern and what fits it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    /// The regular expression, for people.
    pub(crate) text: &'static str,
    pub(crate) fits: fn(&str) -> bool,
}

/// Names of inference services and of feedback configurations.
pub(crate) const NAME: Pattern = Pattern {
    text: "^[a-zA-Z0-9][a-zA-Z0-9-]{1,62}$",
    fits: |text| {
        (2..=63).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    },
};

/// Ids of resources and of whatever else a definition lists.
pub(crate) const ID: Pattern = Pattern {
    text: "^[a-zA-Z0-9:_-]{1,128}$",
    fits: |text| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":_-".contains(&b))
    },
};

/// Training jobs, in any partition.
pub(crate) const JOB: Pattern = Pattern {
    text: "^arn:aws:sagemaker:[a-zA-Z0-9-]+:[0-9]+:training-job/[a-zA-Z0-9][a-zA-Z0-9-]+$",
    fits: |text| {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "sagemaker", region, account, job] = parts.as_slice() else {
            return false;
        };
        let words = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let numbered = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
        let named = job
            .strip_prefix("training-job/")
            .is_some_and(|name| name.len() > 1 && words(name) && !name.starts_with('-'));
        arn::is_partition(partition) && words(region) && numbered && named
    },
};

/// Secrets of Secrets Manager.
pub(crate) const SECRET: Pattern = Pattern {
    text: "^arn:aws:secretsmanager:[a-zA-Z0-9-]+:[0-9]+:secret:.+$",
    fits: |text| {
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        let &["arn", partition, "secretsmanager", region, account, "secret", name] =
            parts.as_slice()
        else {
            return false;
        };
        let numbered = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
        arn::is_partition(partition) && arn::is_region(region) && numbered && !name.is_empty()
    },
};

/// Things of AWS IoT.
pub(crate) const THING: Pattern = Pattern {
    text: "^arn:aws:iot:[a-zA-Z0-9-]+:[0-9]+:thing/[a-zA-Z0-9:_-]+$",
    fits: |text| thing_name(text).is_some(),
};

/// The name in the ARN of a thing.
pub(crate) fn thing_name(text: &str) -> Option<&str> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", partition, "iot", region, account, thing] = parts.as_slice() else {
        return None;
    };
    let name = thing.strip_prefix("thing/")?;
    let numbered = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
    let fits = |b: u8| b.is_ascii_alphanumeric() || b":_-".contains(&b);
    let named = !name.is_empty() && name.bytes().all(fits);
    (arn::is_partition(partition) && arn::is_region(region) && numbered && named).then_some(name)
}

/// Buckets that samples are uploaded to.
pub(crate) const FEEDBACK_BUCKET: Pattern = Pattern {
    text: r"^[a-z0-9\.\-]{3,63}$",
    fits: |text| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        (3..=63).contains(&text.len()) && text.bytes().all(fits)
    },
};

/// Most requests of the feedback connector at once.
pub(crate) const REQUEST_LIMIT: Pattern = Pattern {
    text: "^$|^[0-9]{1,3}$",
    fits: |text| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit()),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_their_expressions_take() {
        let long = "a".repeat(64);
        for (pattern, fitting, other) in [
            (NAME, vec!["ab", "1-", &long[..63]], vec!["", "a", "-a", "a_b", &long[..], "ä1"]),
            (ID, vec!["a", ":_-9"], vec!["", "a b", "a.b"]),
            (
                JOB,
                vec![
                    "arn:aws:sagemaker:eu-west-1:123456789012:training-job/ab",
                    "arn:aws-cn:sagemaker:cn-north-1:1:training-job/a-b",
                ],
                vec![
                    "arn:aws:sagemaker:eu-west-1:123456789012:training-job:ab",
                    "arn:aws:sagemaker:eu-west-1:me:training-job/ab",
                    "arn:aws:sagemaker:eu-west-1:1:training-job/-a",
                    "arn:aws:sagemaker:eu-west-1:1:training-job/a",
                    "arn:aws:sagemaker:eu-west-1:1:endpoint/ab",
                ],
            ),
            (
                SECRET,
                vec!["arn:aws:secretsmanager:us-west-2:123456789012:secret:a/b-AbCdEf"],
                vec!["arn:aws:secretsmanager:us-west-2:123456789012:secret:", "a"],
            ),
            (
                THING,
                vec!["arn:aws:iot:us-west-2:123456789012:thing/core_1"],
                vec!["arn:aws:iot:us-west-2:123456789012:thing/", "arn:aws:iot:x:1:thing/a"],
            ),
            (FEEDBACK_BUCKET, vec!["a.b", "abc-1"], vec!["ab", "A.b", "a_b"]),
            (REQUEST_LIMIT, vec!["", "0", "999"], vec!["1000", "-1", "1 "]),
        ] {
            for text in fitting {
                assert!((pattern.fits)(text), "{text} fits {}", pattern.text);
            }
            for text in other {
                assert!(!(pattern.fits)(text), "{text} does not fit {}", pattern.text);
            }
        }
    }
}
