//! What every remote source is: something that answers to GET.

use sedge_cloud::{Aws, Client, ClientError, Response, back_off};

use super::Seen;
use super::pace::wait;
use super::part::Content;
use super::s3::Object;
use super::sagemaker;
use super::url::Page;
use crate::request::Hooks;
use crate::{Artefact, DeployError, InstallRequest, Source};

/// A remote source, found and ready to be asked.
#[derive(Debug)]
pub(super) struct Site {
    place: Place,
    /// How often what may pass by itself is tried.
    pub(super) attempts: u32,
    /// Its file's name, fit for this device.
    pub(super) file_name: String,
}

#[derive(Debug)]
enum Place {
    Url(Page),
    S3(Box<Object>),
}

impl Site {
    /// Finds where the file is: a training job is asked.
    pub(super) fn new(request: &InstallRequest) -> Result<Self, DeployError> {
        let remote = &request.remote;
        let client = Client::new(remote)?;
        let attempts = remote.attempts.max(1);
        let object = |aws: Aws, bucket: &str, key: &str| Self {
            file_name: file_name(key),
            place: Place::S3(Box::new(Object {
                aws,
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            })),
            attempts,
        };
        match &request.source {
            Source::Path(path) => {
                Err(DeployError::Request(format!("{} is on this device", path.display())))
            }
            Source::Url(url) => Ok(Self {
                file_name: file_name(url.split('?').next().unwrap_or_default()),
                place: Place::Url(Page {
                    client,
                    url: url.clone(),
                    is_known: request.sha256.is_some(),
                }),
                attempts,
            }),
            Source::S3 { bucket, key } => Ok(object(Aws::new(client, remote, None)?, bucket, key)),
            Source::SageMakerJob { region, job, arn } => {
                let aws = Aws::new(client, remote, Some(region))?;
                match sagemaker::artefact(&aws, region, job, arn)?.parse()? {
                    Source::S3 { bucket, key } => Ok(object(aws, &bucket, &key)),
                    other => Err(DeployError::Request(format!(
                        "the training job {job} has left its model at {other}, which is not in S3"
                    ))),
                }
            }
        }
    }

    pub(super) fn get(&self, headers: &[(&'static str, String)]) -> Result<Response, ClientError> {
        match &self.place {
            Place::Url(page) => page.get(headers),
            Place::S3(object) => object.get(headers),
        }
    }

    /// The header that makes a server answer with the rest only when it is of the same content.
    /// S3 refuses others with 412; a web server sends them whole.
    pub(super) fn same(&self, etag: &str) -> (&'static str, String) {
        let name = if matches!(self.place, Place::S3(_)) { "if-match" } else { "if-range" };
        (name, etag.to_owned())
    }

    /// Asks for the first byte and whether it is another than the one that is known. A GET, as
    /// signed URLs allow nothing else and refusals of HEAD have no text.
    pub(super) fn check(
        &self,
        known: Option<&Artefact>,
        hooks: &Hooks<'_>,
    ) -> Result<Seen, DeployError> {
        let mut headers = vec![("range", "bytes=0-0".to_owned())];
        if let Some(etag) = known.and_then(|known| known.etag.clone()) {
            headers.push(("if-none-match", etag));
        } else if let Some(date) = known.and_then(|known| known.last_modified.clone()) {
            headers.push(("if-modified-since", date));
        }
        let mut failures = 0;
        let response = loop {
            match self.get(&headers) {
                Ok(response) => break response,
                Err(error) => {
                    failures += 1;
                    if failures >= self.attempts || !error.may_pass() {
                        return Err(error.into());
                    }
                    wait(back_off(failures), hooks)?;
                }
            }
        };
        if response.status == 304 {
            return Ok(Seen::Unchanged);
        }
        let content = content(&response);
        let same = known.is_some_and(|known| match (&known.etag, &content.etag) {
            (Some(known), Some(now)) => known == now,
            _ => {
                content.last_modified.is_some()
                    && content.last_modified == known.last_modified
                    && content.bytes == Some(known.bytes)
            }
        });
        Ok(if same { Seen::Unchanged } else { Seen::Changed(content.bytes) })
    }
}

/// What an answer says of the content it gives, wholly or in part.
pub(super) fn content(response: &Response) -> Content {
    let text = |name: &str| response.header(name).map(str::to_owned);
    let range = response.header("content-range").and_then(range);
    let bytes = match response.status {
        206 | 416 => range.and_then(|(_, whole)| whole),
        _ => response.header("content-length").and_then(|length| length.parse().ok()),
    };
    Content { etag: text("etag"), last_modified: text("last-modified"), bytes }
}

/// First byte and whole size of a `Content-Range`: `bytes 5-9/10`, `bytes */10`, `bytes 5-9/*`.
pub(super) fn range(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (bytes, whole) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    Some((bytes.split('-').next()?.parse().ok(), whole.parse().ok()))
}

/// The last part of a path or key with other characters replaced: formats are told by names, too.
fn file_name(path: &str) -> String {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = last.chars().take(128).map(|c| if fits(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ranges_are_read() {
        for (path, name) in [
            ("https://host/a/model.tflite", "model.tflite"),
            ("a/b c%20d.onnx", "b-c-20d.onnx"),
            ("a/..", "model"),
            ("a/.hidden", "hidden"),
            ("a/ä", "model"),
        ] {
            assert_eq!(file_name(path), name, "{path}");
        }
        assert_eq!(range("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(range("bytes */10"), Some((None, Some(10))));
        assert_eq!(range("lines 1-2/3"), None);
    }
}
