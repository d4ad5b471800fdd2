//! Objects of S3-compatible stores.

use sedge_cloud::{Aws, ClientError, Refusal, Request, Response, Service, hint_of};

/// One object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) aws: Aws,
    pub(super) bucket: String,
    pub(super) key: String,
}

impl Object {
    /// Gets the object. Answers that are refusals become errors that say what to do.
    pub(super) fn get(&self, headers: &[(&'static str, String)]) -> Result<Response, ClientError> {
        let url = self.aws.object_url(&self.bucket, &self.key);
        let request = Request::get(url).headers(headers);
        let response = self.aws.send(&request, Service::S3)?;
        let customer = "x-amz-server-side-encryption-customer-algorithm";
        match response.status {
            200 | 206 if response.header(customer).is_some() => Err(self.customer_key(400)),
            200 | 206 | 304 | 412 | 416 => Ok(response),
            _ => Err(self.refusal(response)),
        }
    }

    fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    fn customer_key(&self, status: u16) -> ClientError {
        let problem = "it is encrypted with a key of the customer's (SSE-C), which no device has. \
                       Hint: store it with SSE-S3 or SSE-KMS"
            .to_owned();
        ClientError::Status { url: self.name(), status, problem }
    }

    fn refusal(&self, mut response: Response) -> ClientError {
        let Refusal { status, code, message, region, .. } = Refusal::read(&mut response);
        // Some stores refuse without a word.
        let code = match code.as_str() {
            "403" => "AccessDenied",
            "404" => "NoSuchKey",
            code => code,
        };
        let elsewhere = region.filter(|region| region != self.aws.region());
        if message.contains("Server Side Encryption") {
            return self.customer_key(status);
        }
        let known = match code {
            "NoSuchKey" => "there is no such object in the bucket. Hint: check the key",
            "NoSuchBucket" => "there is no such bucket. Hint: check its name and the endpoint",
            "InvalidObjectState" => "it is archived. Hint: restore it to a class that can be read",
            "AccessDenied" if self.aws.is_anonymous() => {
                "nobody without credentials may read it. Hint: give some"
            }
            "AccessDenied" => {
                "these credentials may not read it. Hint: they need s3:GetObject of it, and \
                 kms:Decrypt where it is encrypted with a key of KMS"
            }
            code => hint_of(code).unwrap_or_default(),
        };
        let problem = match elsewhere {
            Some(region) if matches!(status, 301 | 307 | 400) => {
                let own = self.aws.region();
                format!("the bucket is in another region. Hint: region = \"{region}\", not {own}")
            }
            _ if !known.is_empty() => known.to_owned(),
            _ if code != status.to_string() => format!("{code}: {message}"),
            _ if status == 400 => {
                "without a reason, as S3 does for a bucket in another region. Hint: check region"
                    .to_owned()
            }
            _ => "without a reason. Hint: check the endpoint".to_owned(),
        };
        ClientError::Status { url: self.name(), status, problem }
    }
}
