//! The connectors for image classification and object detection: an address that functions call,
//! and a service that answers.

mod feedback;
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use sedge_service::{RunnerError, ServiceState, Services, algorithm_body, algorithm_request};
use serde_json::json;

use crate::group::{Algorithm, Level};
use crate::models::Unserved;
use crate::{Answer, Call, Callee, ClientContext, Failure, FunctionArn, Logs, id};

pub use feedback::{FEEDBACK_ORIGIN, FeedbackConnector};
pub use metrics::{Metric, MetricsConnector, metrics_destination};

/// Pause between two looks at a service that is being loaded.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the SDK is told an answer is.
const CONTENT_TYPE: &str = "application/json";

/// A connector that answers about pictures.
#[derive(Clone)]
pub struct InferenceConnector {
    services: Arc<Services>,
    service: String,
    address: FunctionArn,
    logs: Arc<Logs>,
    /// Who takes samples, and by which configuration.
    feedback: Option<(FeedbackConnector, String)>,
}

impl InferenceConnector {
    /// The connector at `address` that answers with the service of this name, and writes the log
    /// that is named for it.
    pub fn new(
        services: Arc<Services>,
        service: impl Into<String>,
        address: FunctionArn,
        logs: Arc<Logs>,
    ) -> Self {
        let service = service.into();
        let told = format!("The service '{service}' is at {address}.");
        logs.write_function(&address, Level::Info, &told);
        Self { services, service, address, logs, feedback: None }
    }

    /// The same, with what it is asked about handed to the feedback connector, by one of that one's
    /// configurations.
    #[must_use]
    pub fn with_feedback(self, connector: FeedbackConnector, configuration: String) -> Self {
        Self { feedback: Some((connector, configuration)), ..self }
    }

    /// Waits until the service answers, or was found not to, which is then written to the logs.
    pub async fn settled(&self) {
        loop {
            if let Some(service) = self.services.get(&self.service) {
                if service.is_ready() {
                    return;
                }
                if let ServiceState::Broken(why) = service.state() {
                    return tell_unserved(&self.logs, &self.address, &why);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Name of the function behind a connector, which also names its log.
pub fn function_name(algorithm: Algorithm, service: &str) -> String {
    format!("GG-ML-INF-{}-{service}", algorithm.name())
}

impl Callee for InferenceConnector {
    fn call(&self, call: Call) -> Answer {
        let this = self.clone();
        Box::pin(async move {
            let answer = this.answer(call).await;
            if let Err(failure) = &answer {
                this.logs.write_function(&this.address, Level::Error, &failure.to_string());
            }
            answer.map(Into::into)
        })
    }
}

/// A connector that this device cannot serve: whoever calls it is told why.
#[derive(Clone, Debug)]
pub struct UnservedConnector {
    why: String,
}

impl UnservedConnector {
    /// Writes the lines about a start that failed.
    pub fn new(unserved: &Unserved, logs: &Logs) -> Self {
        let why = unserved.error.to_string();
        tell_unserved(logs, &unserved.address, &why);
        Self { why }
    }
}

impl Callee for UnservedConnector {
    fn call(&self, _: Call) -> Answer {
        let why = self.why.clone();
        Box::pin(async move { Err(Failure::Unhandled(why)) })
    }
}

/// Writes why a connector did not start, to its own log and to the core's.
fn tell_unserved(logs: &Logs, address: &FunctionArn, why: &str) {
    logs.write_function(address, Level::Fatal, why);
    logs.write_not_started(&id::uuid(), address, why);
}

impl InferenceConnector {
    async fn answer(&self, call: Call) -> Result<Vec<u8>, Failure> {
        takes(&call.context)?;
        if call.payload.is_empty() {
            return Err(Failure::Handled(
                "the request has no picture. Hint: give Body the bytes of a JPEG or PNG file"
                    .into(),
            ));
        }
        let unknown = || Failure::Unhandled(format!("there is no service '{}'", self.service));
        let service = self.services.get(&self.service).ok_or_else(unknown)?;
        let picture = call.payload.clone();
        let mut request = algorithm_request(&service, call.payload);
        request.caller = call.caller.as_ref().map(ToString::to_string);
        request.trace_id = Some(call.id.clone());
        let response = service.submit(request).await.map_err(|error| {
            self.tell_memory(&call.id, &error);
            failure(&error)
        })?;
        let body = algorithm_body(&response).map_err(|error| failure(&error))?;
        // JSON in JSON: the SDK makes a stream of the text. Its README reads `ContentType`, its
        // documentation `Content-Type`.
        let body = String::from_utf8(body).map_err(|_| Failure::Handled("not text".into()))?;
        if let Some((feedback, configuration)) = &self.feedback {
            feedback.take(configuration, picture, &body);
        }
        let wire =
            json!({ "Body": body, "ContentType": CONTENT_TYPE, "Content-Type": CONTENT_TYPE });
        Ok(wire.to_string().into_bytes())
    }
}

impl InferenceConnector {
    /// The two lines that people of V1 look for when a worker took too much.
    fn tell_memory(&self, worker: &str, error: &RunnerError) {
        let &RunnerError::Memory { limit_mib, used_mib, .. } = error else { return };
        let arn = self.address.to_string();
        self.logs.write_memory(worker, &arn, limit_mib << 10, used_mib << 10);
        self.logs.write_killed(worker, &arn, "signal: killed");
    }
}

/// Checks what the caller says it sends. The SDK asks for a content type and takes none as well;
/// whether it is true, the bytes tell.
fn takes(context: &ClientContext) -> Result<(), Failure> {
    let Some(given) = context.custom("Content-Type") else { return Ok(()) };
    let essence = given.as_str().and_then(|text| text.split(';').next()).map(str::trim);
    match essence.map(str::to_ascii_lowercase).as_deref() {
        Some(
            "image/jpeg"
            | "image/jpg"
            | "image/png"
            | "application/x-image"
            | "application/octet-stream"
            | "",
        ) => Ok(()),
        _ => Err(Failure::Handled(format!(
            "content type {given} is not supported. Hint: send a picture as image/jpeg or image/png"
        ))),
    }
}

/// What a caller of the original saw: errors of the connector's code, and its end.
fn failure(error: &RunnerError) -> Failure {
    let text = error.to_string();
    match error {
        RunnerError::Picture(_)
        | RunnerError::Unprepared(_)
        | RunnerError::Tensors(_)
        | RunnerError::Failed(_) => Failure::Handled(text),
        RunnerError::Overloaded { .. }
        | RunnerError::Deadline { .. }
        | RunnerError::Crashed(_)
        | RunnerError::Memory { .. }
        | RunnerError::Broken(_)
        | RunnerError::Stopping => Failure::Unhandled(text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn content_types_of_pictures_are_taken() {
        let said = |given: Value| takes(&ClientContext::of(&json!({ "Content-Type": given })));
        for given in ["image/jpeg", "image/png", "IMAGE/JPEG; q=1", "image/jpg", ""] {
            assert_eq!(said(given.into()), Ok(()), "{given}");
        }
        for context in [ClientContext::default(), ClientContext::of(&json!({}))] {
            assert_eq!(takes(&context), Ok(()), "{context}");
        }
        assert_eq!(said(Value::Null), Ok(()));
        for given in [json!("text/csv"), json!(7), json!(["image/jpeg"])] {
            let Err(Failure::Handled(text)) = said(given.clone()) else { panic!("{given}") };
            assert!(text.contains("Hint"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_fails_is_in_the_log_that_is_named_for_the_connector() {
        let place = tempfile::tempdir().unwrap();
        let logs = Arc::new(Logs::new(place.path(), &[], None));
        let text = "arn:aws:lambda:eu-west-1:aws:function:GG-ML-INF-image-classification-cats";
        let address: FunctionArn = text.parse().unwrap();
        let services = Arc::new(Services::default());
        let connector = InferenceConnector::new(services, "cats", address, logs);
        let (id, kind) = ("1".to_owned(), crate::Kind::Request);
        let payload = bytes::Bytes::from_static(b"picture");
        let call = Call { id, caller: None, context: ClientContext::default(), kind, payload };
        let Err(Failure::Unhandled(_)) = connector.call(call).await else { panic!("no service") };
        connector.tell_memory(
            "1",
            &RunnerError::Memory { limit_mib: 100, used_mib: 120, suggested_mib: 150 },
        );
        let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
        let log = read("user/eu-west-1/aws/GG-ML-INF-image-classification-cats.log");
        assert!(log.contains("[ERROR]-there is no service 'cats'"), "{log}");
        assert_eq!(read("user/eu-west-1/aws/cats.log"), log);
        let runtime = read("system/runtime.log");
        assert!(runtime.contains("Memory Usage (KB).\t{\"workerId\": \"1\""), "{runtime}");
        assert!(runtime.contains("\"memSize\": 102400, \"memUsed\": 122880"), "{runtime}");
        assert!(runtime.contains("Worker is ungracefully killed."), "{runtime}");
    }
}
