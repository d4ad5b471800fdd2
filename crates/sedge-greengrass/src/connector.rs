//! The connectors for image classification and object detection: an address that functions call,
//! and a service that answers.

use std::sync::Arc;

use sedge_service::{RunnerError, Services, algorithm_body, algorithm_request};
use serde_json::{Value, json};

use crate::group::{Algorithm, Level};
use crate::{Answer, Call, Callee, Failure, FunctionArn, Logs};

/// What the SDK is told an answer is.
const CONTENT_TYPE: &str = "application/json";

/// A connector that answers about pictures.
#[derive(Clone, Debug)]
pub struct InferenceConnector {
    services: Arc<Services>,
    service: String,
    address: FunctionArn,
    logs: Arc<Logs>,
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
        Self { services, service, address, logs }
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
        let wire =
            json!({ "Body": body, "ContentType": CONTENT_TYPE, "Content-Type": CONTENT_TYPE });
        Ok(wire.to_string().into_bytes())
    }
}

impl InferenceConnector {
    /// The two lines that people of V1 look for when a worker took too much.
    fn tell_memory(&self, worker: &str, error: &RunnerError) {
        let &RunnerError::Memory { limit_mib, used_mib, .. } = error else { return };
        let who = [("workerId", json!(worker)), ("funcArn", json!(self.address.to_string()))];
        let about = |more: &[(&'static str, Value)]| [&who[..], more].concat();
        self.logs.write_runtime(
            Level::Warn,
            "Worker consumed all allocated memory! Memory Usage (KB).",
            &about(&[("memSize", json!(limit_mib << 10)), ("memUsed", json!(used_mib << 10))]),
        );
        let state = [("state", json!("signal: killed"))];
        self.logs.write_runtime(Level::Error, "Worker is ungracefully killed.", &about(&state));
    }
}

/// Checks what the caller says it sends. The SDK asks for a content type and takes none as well;
/// whether it is true, the bytes tell.
fn takes(context: &Value) -> Result<(), Failure> {
    let Some(given) = context.pointer("/custom/Content-Type").filter(|given| !given.is_null())
    else {
        return Ok(());
    };
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
    use super::*;

    #[test]
    fn content_types_of_pictures_are_taken() {
        let said = |given: Value| takes(&json!({ "custom": { "Content-Type": given } }));
        for given in ["image/jpeg", "image/png", "IMAGE/JPEG; q=1", "image/jpg", ""] {
            assert_eq!(said(given.into()), Ok(()), "{given}");
        }
        for context in [Value::Null, json!({}), json!({ "custom": {} })] {
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
        let logs = Arc::new(Logs::new(place.path(), &[]));
        let text = "arn:aws:lambda:eu-west-1:aws:function:GG-ML-INF-image-classification-cats";
        let address: FunctionArn = text.parse().unwrap();
        let services = Arc::new(Services::default());
        let connector = InferenceConnector::new(services, "cats", address, logs);
        let (id, kind) = ("1".to_owned(), crate::Kind::Request);
        let payload = bytes::Bytes::from_static(b"picture");
        let call = Call { id, caller: None, context: Value::Null, kind, payload };
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
