use crate::Strategy;

/// Where the samples of one kind go, and which of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// What callers name it by.
    pub id: String,
    /// The bucket.
    pub bucket: String,
    /// What keys begin with; a slash follows.
    pub prefix: Option<String>,
    /// What keys end with, without a dot. Several, with commas between them, are a choice: the one
    /// that fits the sample.
    pub extension: Option<String>,
    /// Type of content that objects get, as it is given; without one, what their first bytes say.
    pub content_type: Option<String>,
    /// Which samples are taken.
    pub strategy: Strategy,
    /// Most bytes of samples a day (UTC).
    pub daily_bytes: Option<u64>,
    /// Whether a sample that is in the bucket already is not put there again.
    pub once: bool,
    /// Whether nothing leaves, and it is only told what would.
    pub dry_run: bool,
}

impl Configuration {
    /// A configuration that takes everything.
    pub fn new(id: &str, bucket: &str, content_type: &str) -> Self {
        Self {
            id: id.to_owned(),
            bucket: bucket.to_owned(),
            prefix: None,
            extension: None,
            content_type: Some(content_type.to_owned()),
            strategy: Strategy::Everything,
            daily_bytes: None,
            once: true,
            dry_run: false,
        }
    }

    /// The key of a sample with this name: `prefix/name.extension`.
    pub fn key(&self, name: &str, sample: &[u8]) -> String {
        let mut key = String::new();
        if let Some(prefix) = self.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/'))
            && !prefix.is_empty()
        {
            key = format!("{prefix}/");
        }
        key.push_str(name);
        let extensions = self.extension.as_deref().unwrap_or_default();
        if let Some(extension) = fitting(extensions, sample) {
            key.push('.');
            key.push_str(extension);
        }
        key
    }

    /// Type of content of a sample's object.
    pub fn content_type(&self, sample: &[u8]) -> String {
        let own = || match kind(sample).first() {
            Some(&"jpg") => "image/jpeg".to_owned(),
            Some(&"json") => "application/json".to_owned(),
            Some(sound @ (&"wav" | &"ogg")) => format!("audio/{sound}"),
            Some(picture) => format!("image/{picture}"),
            None => "application/octet-stream".to_owned(),
        };
        self.content_type.clone().unwrap_or_else(own)
    }
}

/// The extension that fits a sample best: of one there is no choice.
fn fitting<'a>(extensions: &'a str, sample: &[u8]) -> Option<&'a str> {
    let all = || extensions.split(',').map(|one| one.trim().trim_start_matches('.'));
    let given = || all().filter(|one| !one.is_empty());
    let known = kind(sample);
    let fits = |one: &&str| known.iter().any(|known| one.eq_ignore_ascii_case(known));
    given().find(fits).or_else(|| given().next())
}

/// The extensions of what the first bytes say that it is.
fn kind(sample: &[u8]) -> &'static [&'static str] {
    match sample {
        [0xff, 0xd8, 0xff, ..] => &["jpg", "jpeg", "jpe"],
        [0x89, b'P', b'N', b'G', ..] => &["png"],
        [b'G', b'I', b'F', b'8', ..] => &["gif"],
        [b'B', b'M', ..] => &["bmp"],
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => &["webp"],
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => &["wav"],
        [b'O', b'g', b'g', b'S', ..] => &["ogg"],
        [b'{' | b'[', ..] => &["json"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_given_or_seen() {
        let mut configuration = Configuration::new("c", "bucket", "image/jpeg,image/png");
        assert_eq!(configuration.content_type(b"\x89PNG"), "image/jpeg,image/png");
        configuration.content_type = None;
        let cases: [(&[u8], &str); 5] = [
            (&[0xff, 0xd8, 0xff, 0xe0], "image/jpeg"),
            (b"\x89PNG\r\n", "image/png"),
            (b"OggS", "audio/ogg"),
            (b"[1]", "application/json"),
            (b"", "application/octet-stream"),
        ];
        for (sample, expected) in cases {
            assert_eq!(configuration.content_type(sample), expected);
        }
    }

    #[test]
    fn keys_are_as_documented() {
        let (jpeg, png): (&[u8], &[u8]) = (&[0xff, 0xd8, 0xff, 0xe0], b"\x89PNG\r\n\x1a\n");
        let cases = [
            (None, None, jpeg, "id"),
            (Some("a/b"), None, jpeg, "a/b/id"),
            (Some("a/"), Some("jpg"), jpeg, "a/id.jpg"),
            (Some(""), Some("jpg"), png, "id.jpg"),
            (None, Some("png,jpg"), jpeg, "id.jpg"),
            (None, Some("png, jpg"), png, "id.png"),
            (None, Some("png,jpg"), &[], "id.png"),
            (None, Some(".jpeg"), jpeg, "id.jpeg"),
            (None, Some(""), jpeg, "id"),
            (None, Some(","), jpeg, "id"),
        ];
        for (prefix, extension, sample, key) in cases {
            let mut configuration = Configuration::new("c", "bucket", "image/jpeg");
            configuration.prefix = prefix.map(str::to_owned);
            configuration.extension = extension.map(str::to_owned);
            assert_eq!(configuration.key("id", sample), key);
        }
    }
}
