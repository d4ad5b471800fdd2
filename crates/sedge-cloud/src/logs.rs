//! Logs of CloudWatch.
//!
//! Source: "PutLogEvents", Amazon CloudWatch Logs API Reference.

mod batches;

use serde::Deserialize;
use serde_json::{Value, json};

pub use batches::log_batches;

use crate::aws::Answer;
use crate::{Aws, AwsError, ClientError, Request, Service};

/// One line of a log, or some that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Milliseconds since 1970, UTC.
    pub timestamp_ms: i64,
    /// Its text, 1 byte to 1 MiB.
    pub message: String,
}

/// What became of events that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsTaken {
    /// By which Amazon's support finds the request.
    pub request_id: Option<String>,
    /// How often it was sent again.
    pub retries: u32,
    /// How many were not kept for being more than 14 days old.
    pub too_old: usize,
    /// How many were not kept for being older than the group keeps them.
    pub expired: usize,
    /// How many were not kept for being more than 2 hours ahead.
    pub too_new: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Put {
    rejected_log_events_info: Option<Rejected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rejected {
    too_new_log_event_start_index: Option<usize>,
    too_old_log_event_end_index: Option<usize>,
    expired_log_event_end_index: Option<usize>,
}

/// Puts log events.
#[derive(Clone, Debug)]
pub struct Logs {
    aws: Aws,
}

impl Logs {
    /// In the region of `aws`.
    #[must_use]
    pub fn new(aws: Aws) -> Self {
        Self { aws }
    }

    /// Puts events, which are one request of [`log_batches`], into a stream of a group. Where one
    /// of the two is not there it is made.
    ///
    /// # Errors
    ///
    /// When a name is none, or CloudWatch refuses them or cannot be reached.
    pub fn put(
        &self,
        group: &str,
        stream: &str,
        events: &[LogEvent],
    ) -> Result<LogsTaken, AwsError> {
        check(group, stream)?;
        let list: Vec<Value> = events
            .iter()
            .map(|event| json!({ "timestamp": event.timestamp_ms, "message": event.message }))
            .collect();
        let names = json!({ "logGroupName": group, "logStreamName": stream });
        let mut body = names.clone();
        body["logEvents"] = Value::Array(list);
        let put = || self.call("PutLogEvents", &body, group, stream);
        let answer = match put() {
            Err(error) if error.code() == "ResourceNotFoundException" => {
                self.make("CreateLogGroup", &json!({ "logGroupName": group }), group, stream)?;
                self.make("CreateLogStream", &names, group, stream)?;
                put()?
            }
            answer => answer?,
        };
        // Whatever else it says, they were taken.
        let put: Option<Put> = serde_json::from_str(&answer.text).ok();
        let rejected = put.and_then(|put| put.rejected_log_events_info);
        let count = |end: Option<usize>| end.unwrap_or(0).min(events.len());
        Ok(LogsTaken {
            request_id: answer.request_id(),
            retries: answer.retries,
            too_old: rejected.as_ref().map_or(0, |it| count(it.too_old_log_event_end_index)),
            expired: rejected.as_ref().map_or(0, |it| count(it.expired_log_event_end_index)),
            too_new: rejected
                .and_then(|it| it.too_new_log_event_start_index)
                .map_or(0, |start| events.len().saturating_sub(start)),
        })
    }

    /// Makes something, unless somebody else has.
    fn make(&self, call: &str, body: &Value, group: &str, stream: &str) -> Result<(), AwsError> {
        match self.call(call, body, group, stream) {
            Err(error) if error.code() == "ResourceAlreadyExistsException" => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn call(
        &self,
        call: &str,
        body: &Value,
        group: &str,
        stream: &str,
    ) -> Result<Answer, AwsError> {
        let url = format!("{}/", self.aws.endpoint(Service::Logs));
        let request = Request::post(url, body.to_string())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("Logs_20140328.{call}"));
        self.aws.call(&request, Service::Logs, &format!("{call} of {group}, {stream},"))
    }
}

/// Names after "CreateLogGroup" and "CreateLogStream".
fn check(group: &str, stream: &str) -> Result<(), ClientError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/#".contains(&byte);
    if !(1..=512).contains(&group.len()) || !group.bytes().all(fits) {
        let problem = "1 to 512 of letters, digits and ._-/#";
        return Err(ClientError::Request(format!(
            "'{group}' is no name of a log group: {problem}"
        )));
    }
    if !(1..=512).contains(&stream.len()) || stream.contains([':', '*']) {
        let problem = "1 to 512 bytes without : and *";
        return Err(ClientError::Request(format!(
            "'{stream}' is no name of a log stream: {problem}"
        )));
    }
    Ok(())
}
