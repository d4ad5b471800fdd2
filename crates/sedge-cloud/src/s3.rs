//! Objects put into S3, or into a store that speaks like it.
//!
//! Source: "PutObject", Amazon S3 API Reference.

mod metadata;
mod stored;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use metadata::Cut;
pub use stored::Stored;

use crate::{Aws, AwsError, Body, ClientError, Request, Service};

/// What one request may carry. Larger objects would have to be sent in parts, which nothing that a
/// device makes needs.
const MOST_BYTES: u64 = 5 << 30;
/// Buckets whose region is remembered.
const MOST_REGIONS: usize = 256;

/// An object that is to be put.
#[derive(Clone, Debug, Default)]
pub struct PutObject {
    /// The bucket, 3 to 63 characters of `a-z 0-9 - .`.
    pub bucket: String,
    /// The key, 1 to 1024 bytes.
    pub key: String,
    /// Its bytes, at most 5 GiB.
    pub body: Body,
    /// What it is, such as `image/jpeg`; kept as it is given.
    pub content_type: Option<String>,
    /// Names and values that are kept with it: 2 KiB together, what comes first has first claim.
    pub metadata: Vec<(String, String)>,
    /// How the store is to encrypt it; as the bucket says where nothing is said.
    pub encryption: Option<Encryption>,
}

/// Who keeps the key with which an object is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// S3 (SSE-S3).
    S3,
    /// KMS (SSE-KMS): its id or ARN, else Amazon's own for S3.
    Kms(Option<String>),
}

/// Puts objects. Clones share what is known of buckets' regions.
#[derive(Clone, Debug)]
pub struct S3 {
    aws: Aws,
    regions: Arc<Mutex<HashMap<String, String>>>,
}

impl S3 {
    /// Asks in the region of `aws` first; buckets that are elsewhere say where.
    #[must_use]
    pub fn new(aws: Aws) -> Self {
        Self { aws, regions: Arc::default() }
    }

    /// Puts an object. The same may be put again: an object of that key is replaced.
    ///
    /// # Errors
    ///
    /// When the store refuses it, cannot be reached after some attempts, or what is asked for
    /// cannot be sent.
    pub fn put(&self, object: &PutObject) -> Result<Stored, AwsError> {
        check(object)?;
        let what = format!("s3://{}/{}", object.bucket, object.key);
        let (metadata, cut) = metadata::headers(&object.metadata);
        let mut aws = match self.remembered(&object.bucket) {
            Some(region) => self.aws.in_region(&region)?,
            None => self.aws.clone(),
        };
        let mut moved = false;
        loop {
            let request = request(&aws, object, &metadata);
            let error = match aws.call(&request, Service::S3, &what) {
                Ok(answer) => {
                    let (bucket, key) = (object.bucket.clone(), object.key.clone());
                    return Ok(Stored { bucket, key, cut, ..Stored::new(answer) });
                }
                Err(error) => error,
            };
            match elsewhere(&error, aws.region()).filter(|_| !moved) {
                Some(region) => {
                    // What a server names becomes part of a host's name, so that it is checked.
                    let Ok(there) = aws.in_region(&region) else { return Err(error) };
                    self.remember(&object.bucket, &region);
                    (aws, moved) = (there, true);
                }
                None => return Err(error),
            }
        }
    }

    fn remembered(&self, bucket: &str) -> Option<String> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned()
    }

    fn remember(&self, bucket: &str, region: &str) {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if regions.len() >= MOST_REGIONS {
            regions.clear();
        }
        regions.insert(bucket.to_owned(), region.to_owned());
    }
}

fn check(object: &PutObject) -> Result<(), ClientError> {
    let PutObject { bucket, key, body, content_type, .. } = object;
    let refuse = |problem: String| Err(ClientError::Request(problem));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(fits) {
        return refuse(format!("'{bucket}' is no name of a bucket: 3 to 63 of a-z, 0-9, - and ."));
    }
    if key.is_empty() || key.len() > 1024 {
        return refuse(format!("a key has 1 to 1024 bytes, not {}", key.len()));
    }
    if body.len() > MOST_BYTES {
        return refuse(format!("{} bytes are more than the 5 GiB of one request", body.len()));
    }
    let readable = |text: &String| text.bytes().all(|byte| (32..127).contains(&byte));
    match content_type {
        Some(kind) if !readable(kind) => refuse(format!("'{kind:?}' is no type of content")),
        _ => Ok(()),
    }
}

fn request(aws: &Aws, object: &PutObject, metadata: &[(String, String)]) -> Request {
    let mut request = Request::new("PUT", aws.object_url(&object.bucket, &object.key));
    // A body of no bytes is one, too: its length has to be said.
    request.body = match &object.body {
        Body::None => Body::from(Vec::new()),
        body => body.clone(),
    };
    if let Some(kind) = &object.content_type {
        request = request.header("content-type", kind);
    }
    let kind = "x-amz-server-side-encryption";
    request = match &object.encryption {
        None => request,
        Some(Encryption::S3) => request.header(kind, "AES256"),
        Some(Encryption::Kms(None)) => request.header(kind, "aws:kms"),
        Some(Encryption::Kms(Some(key))) => request
            .header(kind, "aws:kms")
            .header("x-amz-server-side-encryption-aws-kms-key-id", key),
    };
    let add =
        |request: Request, (name, value): &(String, String)| request.header(name.clone(), value);
    metadata.iter().fold(request, add)
}

/// The region to which a refusal sends, if it is another one.
fn elsewhere(error: &AwsError, region: &str) -> Option<String> {
    let AwsError::Refused { refusal, .. } = error else { return None };
    let moved = matches!(refusal.status, 301 | 307 | 400 | 403);
    refusal.region.clone().filter(|other| moved && other != region)
}
