//! The connector MLFeedback: samples from functions and from the other connectors, and the messages
//! about them (specification, section 4).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use sedge_cloud::{AwsError, Stored};
use sedge_feedback::{
    Configuration, FeedbackError, Head, Outcomes, Sample, SampleMetadata, Sampler, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::group::{Endpoint, Feedback, Level};
use crate::{
    Answer, Call, Callee, ClientContext, ConnectorArn, Failure, FunctionArn, Logs, Message,
    PublishError, Router, id,
};

/// Name of the function behind the connector.
const FUNCTION: &str = "MLFeedback";
/// What the samples of this connector say of where they come from.
pub const FEEDBACK_ORIGIN: &str = "greengrass";
/// Topic of what became of requests.
const STATUS: &str = "feedback/message/status";
const NAMESPACE: &str = "GreengrassFeedbackConnector";
/// Requests of other connectors that are looked at side by side; more are throttled.
const MOST_OF_CONNECTORS: usize = 64;

/// The connector that takes samples. Cheap to clone.
#[derive(Clone)]
pub struct FeedbackConnector {
    inner: Arc<Inner>,
}

struct Inner {
    source: Endpoint,
    address: FunctionArn,
    configurations: BTreeMap<String, Configuration>,
    /// As many requests as there may be at a time, and how many those are.
    limit: Option<(Semaphore, usize)>,
    of_connectors: Semaphore,
    sampler: Sampler,
    router: Weak<Router>,
    logs: Arc<Logs>,
    runtime: Handle,
}

/// Someone hands over a sample.
struct Request {
    id: String,
    configuration: String,
    prediction: Option<Box<RawValue>>,
    metadata: SampleMetadata,
    bytes: Bytes,
}

/// What the SDK's `publish` puts into the context.
#[derive(Deserialize)]
struct Said {
    custom: Custom,
}

#[derive(Deserialize)]
struct Custom {
    #[serde(rename = "ConfigId")]
    configuration: String,
    #[serde(rename = "ModelPrediction", default)]
    prediction: Option<Box<RawValue>>,
    #[serde(rename = "Metadata", default)]
    metadata: Option<SampleMetadata>,
}

impl FeedbackConnector {
    /// The connector of this ARN and these parameters, which publishes by way of `router`. To be
    /// made within the runtime in which it is called.
    pub fn new(
        arn: &ConnectorArn,
        parameters: &Feedback,
        sampler: Sampler,
        router: &Arc<Router>,
        logs: Arc<Logs>,
    ) -> Self {
        let configurations = parameters.configurations.iter();
        let configurations =
            configurations.map(|one| (one.id.clone(), one.clone())).collect::<BTreeMap<_, _>>();
        let limit = parameters.request_limit.map(|limit| (Semaphore::new(limit), limit));
        let address = FunctionArn {
            partition: arn.partition.clone(),
            region: arn.region.clone(),
            account: "aws".to_owned(),
            name: FUNCTION.to_owned(),
            qualifier: None,
        };
        let told = format!("It takes samples for {}.", configurations.len());
        logs.write_function(&address, Level::Info, &told);
        Self {
            inner: Arc::new(Inner {
                source: Endpoint::Connector(arn.clone()),
                address,
                configurations,
                limit,
                of_connectors: Semaphore::new(MOST_OF_CONNECTORS),
                sampler,
                router: Arc::downgrade(router),
                logs,
                runtime: Handle::current(),
            }),
        }
    }

    /// Function by whose ARN the SDK calls it.
    pub fn address(&self) -> &FunctionArn {
        &self.inner.address
    }

    /// Takes what another connector was asked about and what it answered, later: whoever asked has
    /// the answer by then.
    pub(super) fn take(&self, configuration: &str, bytes: Bytes, body: &str) {
        let request = Request {
            id: id::uuid(),
            configuration: configuration.to_owned(),
            prediction: RawValue::from_string(body.to_owned()).ok(),
            metadata: SampleMetadata::new(),
            bytes,
        };
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let Ok(_place) = inner.of_connectors.try_acquire() else {
                return inner.throttled(&request.id, MOST_OF_CONNECTORS).await;
            };
            // Whatever is wrong was told in the log and on the topic.
            let _ = inner.consider(request).await;
        });
    }
}

impl Callee for FeedbackConnector {
    fn call(&self, call: Call) -> Answer {
        let inner = self.inner.clone();
        Box::pin(async move {
            let request = request(&call.context, call.id, call.payload)?;
            inner.consider(request).await.map(|()| Bytes::new()).map_err(Failure::Handled)
        })
    }
}

fn request(context: &ClientContext, id: String, bytes: Bytes) -> Result<Request, Failure> {
    let Some(Said { custom }) = context.read() else {
        return Err(Failure::Handled(
            "the context names no feedback configuration. Hint: call the feedback client's publish \
             with ConfigId, ModelInput and ModelPrediction"
                .into(),
        ));
    };
    Ok(Request {
        id,
        configuration: custom.configuration,
        prediction: custom.prediction,
        metadata: custom.metadata.unwrap_or_default(),
        bytes,
    })
}

impl Inner {
    /// Decides about a sample and tells of it.
    ///
    /// # Errors
    /// What the caller is told.
    async fn consider(self: &Arc<Self>, request: Request) -> Result<(), String> {
        let _place = match &self.limit {
            Some((places, limit)) => match places.try_acquire() {
                Ok(place) => Some(place),
                // The documentation says that such requests are ignored: no error for the caller.
                Err(_) => {
                    self.throttled(&request.id, *limit).await;
                    return Ok(());
                }
            },
            None => None,
        };
        let Some(configuration) = self.configurations.get(&request.configuration) else {
            let known: Vec<&str> = self.configurations.keys().map(String::as_str).collect();
            let text = format!(
                "there is no feedback configuration '{}'. Hint: the map has {}",
                request.configuration,
                known.join(", ")
            );
            self.failed(&request.id, "ValueError", &text).await;
            return Err(text);
        };
        let (id, bytes) = (request.id.clone(), request.bytes.len());
        let (sampler, configuration) = (self.sampler.clone(), configuration.clone());
        // It writes a file.
        let considered = tokio::task::spawn_blocking(move || {
            let sample = Sample {
                id: request.id,
                name: id::uuid(),
                origin: FEEDBACK_ORIGIN.to_owned(),
                bytes: &request.bytes,
                prediction: request.prediction,
                scores: None,
                metadata: request.metadata,
                time: SystemTime::now(),
            };
            sampler.consider(&configuration, sample)
        });
        match considered.await {
            Ok(Ok(Verdict::Queued)) => {
                self.metric("SampleSize", "Bytes", bytes).await;
                Ok(())
            }
            Ok(Ok(verdict)) => {
                let status = match verdict {
                    Verdict::OverBudget => "sample_dropped_by_budget",
                    Verdict::Dry => "sample_dropped_by_dry_run",
                    Verdict::Queued | Verdict::NotTaken => "sample_dropped_by_strategy",
                };
                self.metric("SampleNotUsed", "Count", 1).await;
                self.status(&id, json!({ "status": status })).await;
                Ok(())
            }
            Ok(Err(error)) => {
                let kind = match &error {
                    FeedbackError::NoScores(_) | FeedbackError::Head(_) => "ValueError",
                    FeedbackError::Spool(_) => "OSError",
                };
                self.failed(&id, kind, &error.to_string()).await;
                Err(error.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn throttled(&self, id: &str, limit: usize) {
        let text =
            format!("Request limit has been reached (max request: {limit} ). Dropping request.");
        self.logs.write_function(&self.address, Level::Warn, &text);
        self.metric("ErrorRequestThrottled", "Count", 1).await;
        let response = json!({ "status": "fail", "error_message": text, "error": "Queue.Full" });
        self.status(id, response).await;
    }

    /// Tells whoever handed a sample over that it will not get there.
    async fn failed(&self, id: &str, kind: &str, why: &str) {
        self.metric("SampleUploadFailure", "Count", 1).await;
        let response = self.failure(id, kind, why);
        self.status(id, response).await;
    }

    /// The status of a sample that will not get there, in the words of the original.
    fn failure(&self, id: &str, kind: &str, why: &str) -> Value {
        let text = format!(
            "[RequestId: {id}] Failed to upload model input data due to exception. Model prediction \
             will not be published. Exception type: {kind}, error: {why}"
        );
        self.logs.write_function(&self.address, Level::Error, &text);
        json!({ "status": "fail", "error_message": text, "error": kind })
    }

    async fn status(&self, id: &str, response: Value) {
        let payload = json!({ "response": response, "id": id });
        self.publish(STATUS, payload.to_string()).await;
    }

    async fn metric(&self, name: &str, unit: &str, value: usize) {
        let data = json!({ "metricName": name, "value": value, "unit": unit });
        let request = json!({ "request": { "namespace": NAMESPACE, "metricData": data } });
        self.publish("cloudwatch/metric/put", request.to_string()).await;
    }

    async fn publish(&self, topic: &str, payload: String) {
        // What a target does not take, the router tells; what is no message is told here.
        if let Err(error) = self.send(topic, payload, false).await {
            self.logs.write_function(&self.address, Level::Error, &error);
        }
    }

    /// Publishes what a sample that was taken is owed.
    async fn owe(&self, topic: &str, payload: String) -> Result<(), String> {
        self.send(topic, payload, true).await
    }

    async fn send(&self, topic: &str, payload: String, owed: bool) -> Result<(), String> {
        let router = self.router.upgrade().ok_or("the group is being stopped")?;
        let (source, topic) = (self.source.clone(), topic.to_owned());
        let message = Message { source, topic, payload: payload.into(), all_or_error: false, owed };
        match router.publish(&message).await {
            // Too large for ever: nobody waits for that.
            Err(error @ (PublishError::TooLarge(_) | PublishError::Topic(_))) if owed => {
                self.logs.write_function(&self.address, Level::Error, &error.to_string());
                Ok(())
            }
            sent => sent.map_err(|error| error.to_string()),
        }
    }
}

/// What is published of a sample that got there.
#[derive(Serialize)]
struct Prediction<'a> {
    #[serde(rename = "source-ref")]
    source_ref: String,
    #[serde(rename = "model-prediction")]
    prediction: Option<&'a RawValue>,
    #[serde(rename = "config-id")]
    configuration: &'a str,
    metadata: &'a SampleMetadata,
}

impl Outcomes for FeedbackConnector {
    fn is_ready(&self, _: &Head) -> Result<(), String> {
        Ok(())
    }

    fn uploaded(&self, head: &Head, _: usize, stored: Option<&Stored>) -> Result<(), String> {
        let inner = &self.inner;
        let prediction = to_raw_value(&Prediction {
            source_ref: format!("s3://{}/{}", head.bucket, head.key),
            prediction: head.prediction.as_deref(),
            configuration: &head.configuration,
            metadata: &head.metadata,
        });
        let prediction = prediction.map_err(|error| error.to_string())?;
        // A sample that was there already has no answer of the bucket.
        let mut response = stored.map_or_else(|| json!({}), Stored::response);
        response["bucket"] = head.bucket.as_str().into();
        response["key"] = head.key.as_str().into();
        let response = json!({ "status": "success", "s3_response": response });
        let status = json!({ "response": response, "id": head.id });
        inner.runtime.block_on(async {
            // What has to be kept comes first: what fails is told again from the beginning.
            inner.owe("feedback/message/prediction", prediction.get().to_owned()).await?;
            inner.owe(STATUS, status.to_string()).await?;
            if stored.is_some() {
                inner.metric("SampleUploadSuccess", "Count", 1).await;
            }
            inner.metric("SampleAndPredictionPublished", "Count", 1).await;
            Ok(())
        })
    }

    fn refused(&self, head: &Head, _: usize, error: &AwsError) -> Result<(), String> {
        let kind = error.code().to_owned();
        let why = match error {
            // As Amazon's Python client says it.
            AwsError::Refused { refusal, .. } => format!(
                "An error occurred ({kind}) when calling the PutObject operation: {}",
                refusal.message
            ),
            AwsError::Client(error) => error.to_string(),
        };
        let inner = &self.inner;
        let status = json!({ "response": inner.failure(&head.id, &kind, &why), "id": head.id });
        inner.runtime.block_on(async {
            inner.owe(STATUS, status.to_string()).await?;
            inner.metric("SampleUploadFailure", "Count", 1).await;
            Ok(())
        })
    }
}
