//! A sample as it waits in the spool: what has to be known of it, and its bytes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What callers say of a sample beside what the model said.
pub type SampleMetadata = Map<String, Value>;

/// What is known of a sample that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Identifier of the request that brought it.
    pub id: String,
    /// Who is to be told what becomes of it, in words of the one who tells.
    pub origin: String,
    /// Id of its configuration.
    pub configuration: String,
    /// The bucket it goes to.
    pub bucket: String,
    /// Its key there.
    pub key: String,
    /// Type of content.
    pub content_type: String,
    /// What the caller says of it, with `publish-ts`.
    pub metadata: SampleMetadata,
    /// What the model said, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Box<RawValue>>,
    /// What it is known by, where it is to be put there only once; in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub print: Option<String>,
    /// Whether it was there under this key when it was taken, and the parcel has no bytes.
    #[serde(default)]
    pub is_there: bool,
}

impl Head {
    /// Names and values that are kept with the object: texts as they are, the rest as JSON. The
    /// time comes first, as what has no room is left out.
    pub(crate) fn object_metadata(&self) -> Vec<(String, String)> {
        let pair = |(name, value): (&String, &Value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            (name.clone(), text)
        };
        let mut pairs: Vec<_> = self.metadata.iter().map(pair).collect();
        pairs.sort_by_key(|(name, _)| name != PUBLISH_TS);
        pairs
    }
}

/// Key of the time at which a sample came.
pub(crate) const PUBLISH_TS: &str = "publish-ts";

/// Head and bytes of a sample as one body of a record.
pub(crate) fn pack(head: &Head, sample: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let head = serde_json::to_vec(head)?;
    let mut body = Vec::with_capacity(4 + head.len() + sample.len());
    body.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend_from_slice(&head);
    body.extend_from_slice(sample);
    Ok(body)
}

/// The same taken apart; `None` where it is no sample.
pub(crate) fn unpack(body: &[u8]) -> Option<(Head, &[u8])> {
    let (head, sample) = split(body)?;
    Some((serde_json::from_slice(head).ok()?, sample))
}

/// The body of a record that waits for a bucket, for people: what is known of the sample as JSON, as
/// in [`Head`], and its bytes. `None` where it is no sample.
pub fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn head() -> Head {
        let metadata = json!({"some": "thing", "n": 1.5, PUBLISH_TS: "2019-07-11 00:12:48.816752"});
        Head {
            id: "1".into(),
            origin: "test".into(),
            configuration: "unsure".into(),
            bucket: "samples".into(),
            key: "a/b.jpg".into(),
            content_type: "image/jpeg".into(),
            metadata: metadata.as_object().unwrap().clone(),
            prediction: Some(
                RawValue::from_string("{\"b\":[0.10000000000000001],\"a\":1}".into()).unwrap(),
            ),
            print: None,
            is_there: false,
        }
    }

    #[test]
    fn what_is_packed_is_there_as_it_was() {
        let body = pack(&head(), b"bytes").unwrap();
        let (read, sample) = unpack(&body).unwrap();
        assert_eq!(sample, b"bytes");
        let prediction = read.prediction.as_ref().unwrap().get();
        assert_eq!(prediction, "{\"b\":[0.10000000000000001],\"a\":1}");
        let pairs = read.object_metadata();
        assert_eq!(pairs[0].0, PUBLISH_TS);
        assert!(pairs.contains(&("n".into(), "1.5".into())));
        for end in 0..body.len() - 5 {
            assert!(unpack(&body[..end]).is_none());
        }
    }
}
