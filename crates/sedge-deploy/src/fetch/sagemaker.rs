//! What a SageMaker training job has made.
//!
//! Source: "DescribeTrainingJob", Amazon SageMaker API Reference.

use serde::Deserialize;

use super::aws::{Aws, domain, endpoint, known_code};
use crate::client::sign::Scope;
use crate::client::{ClientError, Request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Job {
    training_job_status: String,
    failure_reason: Option<String>,
    model_artifacts: Option<Artifacts>,
}

#[derive(Deserialize)]
struct Artifacts {
    #[serde(rename = "S3ModelArtifacts")]
    s3: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    code: String,
    #[serde(default, alias = "Message")]
    message: String,
}

/// Asks for a job's artefact: an `s3://` source. `region` is the job's.
pub(super) fn artefact(
    aws: &Aws,
    region: &str,
    job: &str,
    arn: &str,
) -> Result<String, ClientError> {
    let own = endpoint(aws.remote.sagemaker_endpoint.as_deref(), "SAGEMAKER");
    let base = own.unwrap_or_else(|| format!("https://api.sagemaker.{region}.{}", domain(region)));
    let body = serde_json::json!({ "TrainingJobName": job }).to_string();
    let request = Request {
        method: "POST",
        body: Some(body.into_bytes()),
        ..Request::get(format!("{base}/"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "SageMaker.DescribeTrainingJob")
    };
    let mut response = aws.send(request, Scope { region, service: "sagemaker" })?;
    let (status, text) = (response.status, response.text()?);
    let refused =
        |status, problem: String| ClientError::Status { url: arn.to_owned(), status, problem };
    if status != 200 {
        return Err(refused(status, refusal(&text)));
    }
    let job: Job = serde_json::from_str(&text).map_err(|error| ClientError::Response {
        url: arn.to_owned(),
        problem: format!("it describes no training job: {error}"),
    })?;
    match (job.training_job_status.as_str(), job.model_artifacts) {
        ("Completed" | "Stopped", Some(artifacts)) => Ok(artifacts.s3),
        ("Failed", _) => {
            let reason = job.failure_reason.unwrap_or_else(|| "nobody says why".to_owned());
            Err(refused(status, format!("the training job has failed: {reason}")))
        }
        (state, _) => Err(refused(
            status,
            format!("the training job is {state} and has no model. Hint: wait until it is done"),
        )),
    }
}

fn refusal(text: &str) -> String {
    let Ok(Refusal { code, message }) = serde_json::from_str(text) else {
        return "without a reason. Hint: check the endpoint and the region".to_owned();
    };
    let code = code.rsplit('#').next().unwrap_or_default();
    match code {
        "AccessDeniedException" => {
            "these credentials may not ask. Hint: they need sagemaker:DescribeTrainingJob"
                .to_owned()
        }
        _ => known_code(code).map_or_else(|| format!("{code}: {message}"), str::to_owned),
    }
}
