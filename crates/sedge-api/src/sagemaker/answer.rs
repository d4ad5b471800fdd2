use sedge_service::{Response, RunnerError, algorithm_body};

use super::accept::Form;

/// The body of an answer in a form.
pub(super) fn body(form: Form, response: &Response) -> Result<Vec<u8>, RunnerError> {
    match form {
        Form::Dialect => algorithm_body(response),
        Form::Prediction { .. } => {
            let prediction = response.prediction.as_ref().map(serde_json::to_vec);
            let unfit =
                || RunnerError::Failed("the model gave no answer that has this form".into());
            prediction.ok_or_else(unfit)?.map_err(|error| RunnerError::Failed(error.to_string()))
        }
    }
}
