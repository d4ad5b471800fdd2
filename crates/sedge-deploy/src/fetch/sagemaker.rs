//! What a SageMaker training job has made.
//!
//! Source: "DescribeTrainingJob", Amazon SageMaker API Reference.

use sedge_cloud::{Aws, ClientError, Refusal, Request, Service, hint_of};
use serde::Deserialize;

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

/// Asks for a job's artefact: an `s3://` source. `region` is the job's.
pub(super) fn artefact(
    aws: &Aws,
    region: &str,
    job: &str,
    arn: &str,
) -> Result<String, ClientError> {
    let aws = aws.in_region(region)?;
    let body = serde_json::json!({ "TrainingJobName": job }).to_string();
    let request = Request::post(format!("{}/", aws.endpoint(Service::SageMaker)), body)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "SageMaker.DescribeTrainingJob");
    let mut response = aws.send(&request, Service::SageMaker)?;
    let status = response.status;
    let refused =
        |status, problem: String| ClientError::Status { url: arn.to_owned(), status, problem };
    if status != 200 {
        return Err(refused(status, refusal(&Refusal::read(&mut response))));
    }
    let job: Job =
        serde_json::from_str(&response.text()?).map_err(|error| ClientError::Response {
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

fn refusal(refusal: &Refusal) -> String {
    let Refusal { status, code, message, .. } = refusal;
    match code.as_str() {
        "AccessDeniedException" => {
            "these credentials may not ask. Hint: they need sagemaker:DescribeTrainingJob"
                .to_owned()
        }
        code if code == status.to_string() => {
            "without a reason. Hint: check the endpoint and the region".to_owned()
        }
        _ => hint_of(code).map_or_else(|| format!("{code}: {message}"), str::to_owned),
    }
}
