//! Where a model comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a model comes from: a package directory, an archive of one, or a model file.
///
/// Reads from text and writes itself back: a path, `file:///path`, `https://host/path`,
/// `http://host/path`, `s3://bucket/key`, or the ARN of a SageMaker training job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file or directory of this device, absolute.
    Path(PathBuf),
    /// The URL of one file, `https` or `http`.
    Url(String),
    /// An object of an S3-compatible store.
    S3 {
        /// The bucket, without periods.
        bucket: String,
        /// The object's key, 1 to 1024 bytes.
        key: String,
    },
    /// What a SageMaker training job has made.
    SageMakerJob {
        /// Region of the job, which is asked there.
        region: String,
        /// The job's name.
        job: String,
        /// The ARN in the form that SageMaker gives it.
        arn: String,
    },
}

/// Why a text names no source.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{text}' is no source of a model: {problem}")]
pub struct SourceError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

const KINDS: &str = "Hint: an absolute path, file:///path, https://host/path, s3://bucket/key, \
                     or arn:aws:sagemaker:REGION:ACCOUNT:training-job/NAME";

impl Source {
    /// Whether the source is asked over the network.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Path(_))
    }

    /// The source as people are shown it: of a URL without what follows its question mark, which
    /// may be a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = self.to_string();
        match (self, text.split_once('?')) {
            (Self::Url(_), Some((url, _))) => url.to_owned(),
            _ => text,
        }
    }

    /// What is odd about how a source was written, though it is understood.
    #[must_use]
    pub fn note(text: &str) -> Option<String> {
        let colon = text.starts_with("arn:") && text.contains(":training-job:");
        colon.then(|| {
            format!("'{text}' has a colon after 'training-job'; SageMaker itself writes a slash")
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("it has control characters".to_owned());
        }
        if text.starts_with('/') {
            return path(text);
        }
        if text.starts_with("arn:") {
            return job(text);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return path(text);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => file_url(rest),
            "s3" => object(rest),
            scheme @ ("https" | "http") => url(scheme, rest),
            _ => Err(format!("'{scheme}' is no scheme that is known. {KINDS}")),
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        Self::parse(text).map_err(|problem| SourceError { text: text.to_owned(), problem })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::SageMakerJob { arn, .. } => f.write_str(arn),
        }
    }
}

/// A service has no current directory that its user knows of, so that paths are absolute.
fn path(text: &str) -> Result<Source, String> {
    match Path::new(text) {
        path if path.is_absolute() => Ok(Source::Path(path.to_owned())),
        _ if text.is_empty() => Err(format!("it is empty. {KINDS}")),
        _ => Err(format!("the path is not absolute. {KINDS}")),
    }
}

/// `file:///path` and `file://localhost/path` (RFC 8089), with percent-encoded bytes.
fn file_url(rest: &str) -> Result<Source, String> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("a file URL names no other host. Hint: file:///path".to_owned());
    }
    let decoded = percent_decoded(path).ok_or("its percent-encoding is broken")?;
    if decoded.chars().any(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    Ok(Source::Path(PathBuf::from(decoded)))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn url(scheme: &str, rest: &str) -> Result<Source, String> {
    let rest = rest.split('#').next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') {
        return Err("it carries a password, which would be kept and shown. \
                    Hint: use s3:// with credentials, or a URL that is signed"
            .to_owned());
    }
    if host.is_empty() || host.starts_with(':') {
        return Err("it names no host".to_owned());
    }
    if path.is_empty() || path.starts_with('?') {
        return Err("it names no file. Hint: https://host/path/model.tar.gz".to_owned());
    }
    if rest.contains(char::is_whitespace) || !rest.is_ascii() {
        return Err("it holds characters that are percent-encoded in URLs".to_owned());
    }
    Ok(Source::Url(format!("{scheme}://{}/{path}", host.to_ascii_lowercase())))
}

/// Greengrass refused buckets with periods: no certificate fits their host names.
fn object(rest: &str) -> Result<Source, String> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('.') {
        return Err(format!(
            "the bucket '{bucket}' has a period in its name. \
             Hint: copy the model to a bucket without; no certificate fits such a host name"
        ));
    }
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(inner)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-');
    if !fits {
        return Err(format!(
            "'{bucket}' is no name of a bucket. \
             Hint: 3 to 63 lowercase letters, digits and hyphens"
        ));
    }
    match key.len() {
        0 => Err("it names no object. Hint: s3://bucket/path/model.tar.gz".to_owned()),
        1..=1024 if key.ends_with('/') => {
            Err("it names a prefix, not an object. Hint: s3://bucket/path/model.tar.gz".to_owned())
        }
        1..=1024 => Ok(Source::S3 { bucket: bucket.to_owned(), key: key.to_owned() }),
        _ => Err("the key is longer than the 1024 bytes that S3 allows".to_owned()),
    }
}

/// `arn:aws:sagemaker:REGION:ACCOUNT:training-job/NAME`, in any partition. The samples of
/// Greengrass wrote a colon for the slash.
fn job(text: &str) -> Result<Source, String> {
    let form = "Hint: arn:aws:sagemaker:REGION:ACCOUNT:training-job/NAME";
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &[_, partition, service, region, account, resource] = parts.as_slice() else {
        return Err(format!("it is no whole ARN. {form}"));
    };
    if !partition.starts_with("aws") || service != "sagemaker" {
        return Err(format!("it is not SageMaker's. {form}"));
    }
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !word(region) || account.is_empty() || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("its region or account is none. {form}"));
    }
    let name = resource
        .strip_prefix("training-job/")
        .or_else(|| resource.strip_prefix("training-job:"))
        .ok_or_else(|| format!("it names no training job. {form}"))?;
    // A name has 1 to 63 characters (SageMaker API reference, CreateTrainingJob).
    if !word(name) || name.starts_with('-') || name.len() > 63 {
        return Err(format!("'{name}' is no name of a training job. {form}"));
    }
    Ok(Source::SageMakerJob {
        region: region.to_owned(),
        job: name.to_owned(),
        arn: format!("arn:{partition}:sagemaker:{region}:{account}:training-job/{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_written() {
        for (text, written) in [
            ("/models/a b.tflite", "/models/a b.tflite"),
            ("file:///models/a%20b.tflite", "/models/a b.tflite"),
            ("file://localhost/m", "/m"),
            ("/models/http://x", "/models/http://x"),
            ("HTTPS://Host.example:8443/A/b?x=1#top", "https://host.example:8443/A/b?x=1"),
            ("http://127.0.0.1:80/m.onnx", "http://127.0.0.1:80/m.onnx"),
            ("s3://my-bucket/a/b c.tar.gz", "s3://my-bucket/a/b c.tar.gz"),
            (
                "arn:aws:sagemaker:eu-west-1:123456789012:training-job/job-1",
                "arn:aws:sagemaker:eu-west-1:123456789012:training-job/job-1",
            ),
            (
                "arn:aws-cn:sagemaker:cn-north-1:1:training-job:job-1",
                "arn:aws-cn:sagemaker:cn-north-1:1:training-job/job-1",
            ),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), written);
            assert_eq!(written.parse(), Ok(source), "{written}");
            assert_eq!(Source::note(text).is_some(), text.contains("job:"), "{text}");
        }
    }

    /// Texts made of the pieces that matter, thousands of them: none panics, and what is
    /// understood is written so that it is understood as the same.
    #[test]
    fn whatever_is_read_reads_back_the_same() {
        let pieces = [
            "/",
            ":",
            "//",
            "://",
            "s3",
            "https",
            "http",
            "file",
            "arn:aws:sagemaker:",
            "bucket",
            "eu-west-1",
            ":12:",
            "training-job",
            "a",
            ".",
            "..",
            "%",
            "%2",
            "%2f",
            "?",
            "#",
            "@",
            "[::1]",
            "é",
            " ",
            "\0",
            "-",
            "key.tar.gz",
            "localhost",
            "127.0.0.1",
        ];
        let mut state = 1_u32;
        let mut next = |most: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % most
        };
        let mut understood = 0;
        for _ in 0..200_000 {
            let text: String = (0..1 + next(8)).map(|_| pieces[next(pieces.len())]).collect();
            let Ok(source) = text.parse::<Source>() else { continue };
            understood += 1;
            assert_eq!(source.to_string().parse(), Ok(source), "{text}");
        }
        assert!(understood > 1000, "{understood}");
    }

    #[test]
    fn signatures_of_urls_are_not_shown() {
        let url: Source = "https://host/m.tar.gz?X-Amz-Signature=abc".parse().unwrap();
        assert_eq!(url.shown(), "https://host/m.tar.gz");
        assert!(url.to_string().ends_with("=abc"));
        let key: Source = "s3://bucket/what?.tar.gz".parse().unwrap();
        assert_eq!(key.shown(), "s3://bucket/what?.tar.gz");
    }

    #[test]
    fn what_is_no_source_is_told_why() {
        for (text, words) in [
            ("", "it is empty. Hint: an absolute path"),
            ("models/a.tflite", "the path is not absolute"),
            ("ftp://host/a", "'ftp' is no scheme"),
            ("file://other/a", "no other host"),
            ("file:///a%0", "percent-encoding"),
            ("file:///a%00b", "control characters"),
            ("https:///a", "no host"),
            ("https://host", "names no file"),
            ("https://host/?a=b", "names no file"),
            ("https://me:secret@host/a", "password"),
            ("https://host/ä", "percent-encoded"),
            ("s3://my.bucket/a", "'my.bucket' has a period in its name. Hint: copy"),
            ("s3://My-Bucket/a", "no name of a bucket"),
            ("s3://ab/a", "3 to 63"),
            ("s3://bucket", "names no object"),
            ("s3://bucket/a/", "a prefix"),
            ("/a\nb", "control characters"),
            ("arn:aws:sagemaker:eu-west-1", "no whole ARN"),
            ("arn:aws:lambda:eu-west-1:1:training-job/a", "not SageMaker's"),
            ("arn:aws:sagemaker:eu-west-1:me:training-job/a", "region or account"),
            ("arn:aws:sagemaker:eu-west-1:1:endpoint/a", "names no training job"),
            ("arn:aws:sagemaker:eu-west-1:1:training-job/-a", "'-a' is no name"),
        ] {
            let message = text.parse::<Source>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        let long = format!("s3://bucket/{}", "k".repeat(1025));
        assert!(long.parse::<Source>().unwrap_err().problem.contains("1024"));
    }
}
