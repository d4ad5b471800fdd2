//! What a store says of an object that it has taken.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Cut;
use crate::aws::{Answer, REQUEST_IDS};

/// Headers and what Amazon's Python client calls them (`PutObjectOutput` of S3's service model).
const MEMBERS: [(&str, &str); 16] = [
    ("x-amz-expiration", "Expiration"),
    ("etag", "ETag"),
    ("x-amz-checksum-crc32", "ChecksumCRC32"),
    ("x-amz-checksum-crc32c", "ChecksumCRC32C"),
    ("x-amz-checksum-crc64nvme", "ChecksumCRC64NVME"),
    ("x-amz-checksum-sha1", "ChecksumSHA1"),
    ("x-amz-checksum-sha256", "ChecksumSHA256"),
    ("x-amz-checksum-type", "ChecksumType"),
    ("x-amz-server-side-encryption", "ServerSideEncryption"),
    ("x-amz-version-id", "VersionId"),
    ("x-amz-server-side-encryption-customer-algorithm", "SSECustomerAlgorithm"),
    ("x-amz-server-side-encryption-customer-key-md5", "SSECustomerKeyMD5"),
    ("x-amz-server-side-encryption-aws-kms-key-id", "SSEKMSKeyId"),
    ("x-amz-server-side-encryption-context", "SSEKMSEncryptionContext"),
    ("x-amz-server-side-encryption-bucket-key-enabled", "BucketKeyEnabled"),
    ("x-amz-request-charged", "RequestCharged"),
];

/// An object that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The bucket that has it.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// The status, 200.
    pub status: u16,
    /// All headers of the answer, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// How often it was sent again.
    pub retries: u32,
    /// What could not be kept with it.
    pub cut: Vec<Cut>,
}

impl Stored {
    pub(super) fn new(answer: Answer) -> Self {
        let Answer { status, headers, retries, .. } = answer;
        Self { status, headers, retries, ..Self::default() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// By which Amazon's support finds the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        REQUEST_IDS.iter().find_map(|name| self.header(name))
    }

    /// By which it finds the server.
    #[must_use]
    pub fn host_id(&self) -> Option<&str> {
        self.header("x-amz-id-2")
    }

    /// The tag of these bytes, in quotation marks.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.header("etag")
    }

    /// When a rule of the bucket removes it, and which rule.
    #[must_use]
    pub fn expiration(&self) -> Option<&str> {
        self.header("x-amz-expiration")
    }

    /// How it is encrypted: `AES256`, `aws:kms`.
    #[must_use]
    pub fn server_side_encryption(&self) -> Option<&str> {
        self.header("x-amz-server-side-encryption")
    }

    /// Its version, in a bucket that keeps versions.
    #[must_use]
    pub fn version_id(&self) -> Option<&str> {
        self.header("x-amz-version-id")
    }

    /// The answer in the shape that `put_object` of Amazon's Python client gives it, which status
    /// messages repeat.
    #[must_use]
    pub fn response(&self) -> Value {
        let mut metadata = json!({
            "HTTPStatusCode": self.status,
            "HTTPHeaders": self.headers,
            "RetryAttempts": self.retries,
        });
        for (member, id) in [("RequestId", self.request_id()), ("HostId", self.host_id())] {
            if let Some(id) = id {
                metadata[member] = Value::from(id);
            }
        }
        let mut response = Map::new();
        response.insert("ResponseMetadata".to_owned(), metadata);
        for (header, member) in MEMBERS {
            let value = match self.header(header) {
                None => continue,
                Some(text) if member == "BucketKeyEnabled" => Value::Bool(text == "true"),
                Some(text) => Value::from(text),
            };
            response.insert(member.to_owned(), value);
        }
        Value::Object(response)
    }
}
