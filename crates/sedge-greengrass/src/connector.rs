//! The connectors for image classification and object detection: an address that functions call,
//! and a service that answers.

use std::sync::Arc;

use sedge_service::{RunnerError, Services, algorithm_body, algorithm_request};
use serde_json::{Value, json};

use crate::group::{Algorithm, Inference};
use crate::{Answer, Call, Callee, Failure, FunctionArn};

/// What the SDK is told an answer is.
const CONTENT_TYPE: &str = "application/json";

/// A connector that answers about pictures.
#[derive(Clone, Debug)]
pub struct InferenceConnector {
    services: Arc<Services>,
    service: String,
}

impl InferenceConnector {
    /// The connector that answers with the service of this name.
    pub fn new(services: Arc<Services>, service: impl Into<String>) -> Self {
        Self { services, service: service.into() }
    }

    /// Where functions of a region find a connector.
    pub fn address(parameters: &Inference, region: &str) -> FunctionArn {
        let name = function_name(parameters.algorithm, &parameters.service);
        let (partition, region, account) = ("aws".into(), region.into(), "aws".into());
        FunctionArn { partition, region, account, name, qualifier: None }
    }
}

/// Name of the function behind a connector, which also names its log.
pub fn function_name(algorithm: Algorithm, service: &str) -> String {
    format!("GG-ML-INF-{}-{service}", algorithm.name())
}

impl Callee for InferenceConnector {
    fn call(&self, call: Call) -> Answer {
        let this = self.clone();
        Box::pin(async move { this.answer(call).await.map(Into::into) })
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
        request.trace_id = Some(call.id);
        let response = service.submit(request).await.map_err(|error| failure(&error))?;
        let body = algorithm_body(&response).map_err(|error| failure(&error))?;
        // JSON in JSON: the SDK makes a stream of the text. Its README reads `ContentType`, its
        // documentation `Content-Type`.
        let body = String::from_utf8(body).map_err(|_| Failure::Handled("not text".into()))?;
        let wire =
            json!({ "Body": body, "ContentType": CONTENT_TYPE, "Content-Type": CONTENT_TYPE });
        Ok(wire.to_string().into_bytes())
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

    #[test]
    fn an_address_names_algorithm_and_service() {
        let parameters = Inference {
            algorithm: Algorithm::ObjectDetection,
            service: "yard".into(),
            resource: "model".into(),
            destination: "/model".into(),
            job: None,
            timeout: std::time::Duration::from_secs(10),
            memory_bytes: 1 << 30,
            gpu: false,
            feedback: None,
        };
        assert_eq!(
            InferenceConnector::address(&parameters, "eu-west-1").to_string(),
            "arn:aws:lambda:eu-west-1:aws:function:GG-ML-INF-object-detection-yard"
        );
    }
}
