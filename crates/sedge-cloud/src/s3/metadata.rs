//! What is told of an object beside its bytes, in headers and within S3's bounds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The sum of all names and values, in bytes as they are sent ("Working with object metadata",
/// Amazon S3 User Guide).
const MOST_BYTES: usize = 2048;
/// Most bytes of text in one encoded word: 75 characters, without the frame, of Base64 (RFC 2047,
/// section 2).
const WORD_BYTES: usize = (75 - "=?UTF-8?B??=".len()) / 4 * 3;

/// A name or value that could not be sent as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The name as it was given.
    pub name: String,
    /// What became of it.
    pub problem: &'static str,
}

/// The headers for names and values, and what had to be cut. In their order: what comes first has
/// first claim to the 2 KiB.
pub(super) fn headers(metadata: &[(String, String)]) -> (Vec<(String, String)>, Vec<Cut>) {
    let (mut headers, mut cut) = (Vec::new(), Vec::new());
    let mut left = MOST_BYTES;
    for (given, value) in metadata {
        let mut tell = |problem| cut.push(Cut { name: given.clone(), problem });
        let name: String = given.chars().map(token).collect();
        if name.is_empty() || name.len() >= left {
            tell("it was left out: there is no room for it");
            continue;
        }
        let header = format!("x-amz-meta-{name}");
        if headers.iter().any(|(other, _)| *other == header) {
            tell("it was left out: another one has its name");
            continue;
        }
        if !name.eq_ignore_ascii_case(given) {
            tell("its name was changed to one that a header can have");
        }
        let (sent, whole) = fitting(value, left - name.len());
        if !whole {
            tell("it was shortened: all together have 2048 bytes");
        }
        left -= name.len() + sent.len();
        headers.push((header, sent));
    }
    (headers, cut)
}

/// Characters that a header's name may have (RFC 9110, section 5.6.2), in lower case as S3 keeps
/// them.
fn token(c: char) -> char {
    match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c) => c,
        _ => '-',
    }
}

/// As much of a value as fits, as a header can have it, and whether that is all. What is not plain
/// text becomes encoded words (RFC 2047), which S3 decodes when it keeps them and gives back.
fn fitting(value: &str, most: usize) -> (String, bool) {
    let plain = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    // Spaces at the ends, and several together, are not kept by HTTP and signatures.
    let kept = value.trim() == value && !value.contains("  ") && !value.starts_with("=?");
    if plain && kept {
        let end = value.len().min(most);
        return (value[..end].trim_end().to_owned(), end == value.len());
    }
    let words = words(value);
    if words.len() <= most {
        return (words, true);
    }
    let ends: Vec<usize> = value.char_indices().map(|(at, _)| at).collect();
    let fit = ends.partition_point(|end| self::words(&value[..*end]).len() <= most);
    let end = fit.checked_sub(1).map_or(0, |last| ends[last]);
    (self::words(&value[..end]), false)
}

/// Text as encoded words.
fn words(mut text: &str) -> String {
    let mut words = Vec::new();
    while !text.is_empty() {
        let end = text.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = end.take_while(|end| *end <= WORD_BYTES).last().unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        text = rest;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(value: &str) -> String {
        if !value.starts_with("=?UTF-8?B?") {
            return value.to_owned();
        }
        let words = value.split(' ').flat_map(|word| {
            assert!(word.len() <= 75, "{word}");
            let word = word.strip_prefix("=?UTF-8?B?").unwrap().strip_suffix("?=").unwrap();
            STANDARD.decode(word).unwrap()
        });
        String::from_utf8(words.collect()).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn values_are_sent_as_headers_can_have_them() {
        for (value, sent) in [
            ("2019-07-11 00:12:48.816752", "2019-07-11 00:12:48.816752"),
            ("", ""),
            ("Grüße", "=?UTF-8?B?R3LDvMOfZQ==?="),
            ("a\nb", "=?UTF-8?B?YQpi?="),
            (" a", "=?UTF-8?B?IGE=?="),
            ("=?x", "=?UTF-8?B?PT94?="),
        ] {
            assert_eq!(headers(&[pair("N", value)]), (vec![pair("x-amz-meta-n", sent)], vec![]));
        }
    }

    #[test]
    fn what_is_cut_is_told() {
        let (sent, cut) = headers(&[
            pair("long", &"x".repeat(2000)),
            pair("my key", "ä"),
            pair("MY-KEY", "1"),
            pair("rest", &"y".repeat(100)),
            pair("none", ""),
        ]);
        let names: Vec<_> = sent.iter().map(|(name, _)| &name[11..]).collect();
        assert_eq!(names, ["long", "my-key", "rest"]);
        assert_eq!(
            sent.iter().map(|(name, value)| name.len() - 11 + value.len()).sum::<usize>(),
            2048
        );
        let told: Vec<_> = cut.iter().map(|cut| (cut.name.as_str(), cut.problem)).collect();
        assert_eq!(
            told,
            [
                ("my key", "its name was changed to one that a header can have"),
                ("MY-KEY", "it was left out: another one has its name"),
                ("rest", "it was shortened: all together have 2048 bytes"),
                ("none", "it was left out: there is no room for it"),
            ]
        );
    }

    proptest! {
        #[test]
        fn anything_becomes_headers_within_bounds(
            metadata in proptest::collection::vec((".{0,40}", "\\PC{0,900}"), 0..8)
        ) {
            let (sent, cut) = headers(&metadata);
            let bytes = sent.iter().map(|(name, value)| name.len() - 11 + value.len());
            prop_assert!(bytes.sum::<usize>() <= MOST_BYTES);
            for (name, value) in &sent {
                prop_assert!(name.chars().all(|c| token(c) == c));
                prop_assert!(value.bytes().all(|byte| (32..127).contains(&byte)));
            }
            for (given, value) in &metadata {
                if cut.iter().any(|cut| cut.name == *given) { continue; }
                let name = format!("x-amz-meta-{}", given.to_ascii_lowercase());
                let (_, found) = sent.iter().find(|(other, _)| *other == name).unwrap();
                prop_assert_eq!(&decoded(found), value);
            }
        }
    }
}
