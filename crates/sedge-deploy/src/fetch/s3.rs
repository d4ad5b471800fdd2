//! Objects of S3-compatible stores.

use super::aws::{Aws, domain, endpoint, known_code};
use crate::client::sign::{Scope, encoded};
use crate::client::{ClientError, Request, Response};

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
        let mut request = Request::get(self.url());
        request.headers.extend_from_slice(headers);
        let scope = Scope { region: &self.aws.region, service: "s3" };
        let response = self.aws.send(request, scope)?;
        let customer = "x-amz-server-side-encryption-customer-algorithm";
        match response.status {
            200 | 206 if response.header(customer).is_some() => Err(self.customer_key(400)),
            200 | 206 | 304 | 412 | 416 => Ok(response),
            _ => Err(self.refusal(response)),
        }
    }

    /// In Amazon's own store the bucket stands in the host's name.
    fn url(&self) -> String {
        let (bucket, key, region) = (&self.bucket, encoded(&self.key), &self.aws.region);
        let own = endpoint(self.aws.remote.s3_endpoint.as_deref(), "S3");
        let path_style = self.aws.remote.path_style.unwrap_or(own.is_some());
        let base = own.unwrap_or_else(|| format!("https://s3.{region}.{}", domain(region)));
        match base.split_once("://") {
            Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{host}/{key}"),
            _ => format!("{base}/{bucket}/{key}"),
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
        let status = response.status;
        let region = response.header("x-amz-bucket-region").map(str::to_owned);
        // Without a body there is only the status to go by.
        let text = response.text().unwrap_or_default();
        let field = |name: &str| element(&text, name);
        let (code, message) = (field("Code").unwrap_or_default(), field("Message"));
        let message = message.unwrap_or_default();
        // Some stores refuse without a word.
        let code = match (code, status) {
            ("", 403) => "AccessDenied",
            ("", 404) => "NoSuchKey",
            (code, _) => code,
        };
        let region = region.or_else(|| field("Region").map(str::to_owned));
        let elsewhere = region.filter(|region| *region != self.aws.region);
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
            code => known_code(code).unwrap_or_default(),
        };
        let problem = match elsewhere {
            Some(region) if matches!(status, 301 | 307 | 400) => {
                let own = &self.aws.region;
                format!("the bucket is in another region. Hint: region = \"{region}\", not {own}")
            }
            _ if !known.is_empty() => known.to_owned(),
            _ if !code.is_empty() => format!("{code}: {message}"),
            _ if status == 400 => {
                "without a reason, as S3 does for a bucket in another region. Hint: check region"
                    .to_owned()
            }
            _ => "without a reason. Hint: check the endpoint".to_owned(),
        };
        ClientError::Status { url: self.name(), status, problem }
    }
}

/// The text of the first element of a name, in the short answers that S3 gives.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}
