//! Connectors: which there are, and the rules of their parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::node::{Node, digits};
use super::pattern::{self, ID, JOB, Pattern};
use super::{Algorithm, Connector, Inference, Parameters, feedback, metrics};
use crate::ConnectorArn;

/// Platforms of the inference connectors, each with the processors it was made for.
const PLATFORMS: [(&str, &str); 3] =
    [("Aarch64JTX2", "aarch64"), ("x86-64", "x86_64"), ("ARMv7", "arm")];
/// Seconds for a request to an object detection connector that does not say: its reference calls
/// the parameter required and tells a default all the same.
const DETECTION_TIMEOUT_S: u64 = 10;

/// What a connector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Inference(Algorithm, &'static str),
    Feedback,
    Metrics,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        let inference = |prefix, algorithm| {
            let platform = name.strip_prefix(prefix)?;
            let (platform, _) = PLATFORMS.iter().find(|(known, _)| *known == platform)?;
            Some(Self::Inference(algorithm, platform))
        };
        match name {
            "MLFeedback" => Some(Self::Feedback),
            "CloudWatchMetrics" => Some(Self::Metrics),
            _ => inference("ImageClassification", Algorithm::ImageClassification)
                .or_else(|| inference("ObjectDetection", Algorithm::ObjectDetection)),
        }
    }

    /// The last version there was of it.
    fn versions(self) -> u32 {
        match self {
            Self::Inference(Algorithm::ImageClassification, _) => 2,
            Self::Inference(Algorithm::ObjectDetection, _) | Self::Feedback => 1,
            Self::Metrics => 5,
        }
    }
}

/// Reads a connector, for a device with this processor (as [`std::env::consts::ARCH`] says it).
pub(super) fn read(node: &Node<'_>, architecture: &str) -> Option<Connector> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["Id", "ConnectorArn", "Parameters"]);
    let id = super::id(node);
    let example = "\"arn:aws:greengrass:REGION::/connectors/NAME/versions/N\"";
    let arn = arn(&node.required("ConnectorArn", example)?)?;
    let parameters = match kind(&node.below("ConnectorArn"), &arn, architecture)? {
        Kind::Feedback => feedback::read(&node.required("Parameters", "{ }")?),
        Kind::Metrics => metrics::read(&node.below("Parameters"), arn.version),
        Kind::Inference(algorithm, platform) => {
            let parameters = node.required("Parameters", "{ }")?;
            inference(&parameters, algorithm, platform, arn.version).map(Parameters::Inference)
        }
    };
    Some(Connector { id: id?, arn, parameters: parameters? })
}

fn arn(node: &Node<'_>) -> Option<ConnectorArn> {
    let arn = node.text()?.parse::<ConnectorArn>();
    let hint = "write arn:aws:greengrass:REGION::/connectors/NAME/versions/N, the account empty";
    let arn = arn.map_err(|error| node.error(error.expected(), hint)).ok()?;
    if arn.region == ConnectorArn::NO_REGION {
        node.warn(
            "'region' is no region",
            "write the device's, such as eu-west-1; nothing needs it",
        );
    }
    Some(arn)
}

fn kind(node: &Node<'_>, arn: &ConnectorArn, architecture: &str) -> Option<Kind> {
    let Some(kind) = Kind::of(&arn.name) else {
        node.error(
            format!("Sedge stands in for no connector {}", arn.name),
            "take it out; there are ImageClassification and ObjectDetection, each for \
             Aarch64JTX2, x86-64 and ARMv7, MLFeedback and CloudWatchMetrics",
        );
        return None;
    };
    let last = kind.versions();
    if !(1..=last).contains(&arn.version) {
        node.error(
            format!("{} has the versions 1 to {last}", arn.name),
            format!("write /versions/{last}"),
        );
        return None;
    }
    if let Kind::Inference(_, platform) = kind {
        let made_for = PLATFORMS.iter().find(|(known, _)| *known == platform);
        if made_for.is_some_and(|(_, made_for)| *made_for != architecture) {
            node.warn(
                format!("it was made for {platform}, and this device is {architecture}"),
                "it runs all the same: Sedge's code is one for all platforms",
            );
        }
    }
    Some(kind)
}

fn inference(
    node: &Node<'_>,
    algorithm: Algorithm,
    platform: &str,
    version: u32,
) -> Option<Inference> {
    if !node.is_object() {
        return None;
    }
    let classification = algorithm == Algorithm::ImageClassification;
    let mut known = vec![
        "MLModelDestinationPath",
        "MLModelResourceId",
        "LocalInferenceServiceName",
        "LocalInferenceServiceTimeoutSeconds",
        "LocalInferenceServiceMemoryLimitKB",
        "GPUAcceleration",
        "MLFeedbackConnectorConfigId",
    ];
    if classification {
        known.push("MLModelSageMakerJobArn");
    }
    node.knows(&known);
    let destination = destination(node);
    let resource = matching(node, "MLModelResourceId", ID, "\"my-model\"");
    let job = if classification { self::job(node) } else { Some(None) };
    let service = matching(node, "LocalInferenceServiceName", pattern::NAME, "\"my-service\"");
    let timeout = timeout(node, classification);
    let memory = counted(node, "LocalInferenceServiceMemoryLimitKB", "\"512000\"");
    let gpu = gpu(node, platform);
    let feedback = feedback_id(node, classification && version == 1);
    Some(Inference {
        algorithm,
        service: service?,
        resource: resource?,
        destination: destination?,
        job: job?,
        timeout: Duration::from_secs(timeout?),
        memory_bytes: memory?.saturating_mul(1024),
        gpu: gpu?,
        feedback: feedback?,
    })
}

fn destination(node: &Node<'_>) -> Option<PathBuf> {
    let path = node.required("MLModelDestinationPath", "\"/path/of/the/resource\"")?;
    super::absolute(&path, &path.loose_text()?)
}

/// A parameter that has to fit a pattern.
fn matching(node: &Node<'_>, key: &str, pattern: Pattern, example: &str) -> Option<String> {
    let node = node.required(key, example)?;
    let text = node.loose_text()?;
    if !(pattern.fits)(&text) {
        node.error(
            format!("it must match {}", pattern.text),
            format!("write {example} or the like"),
        );
        return None;
    }
    Some(text)
}

/// The training job, `None` within where it is none.
fn job(node: &Node<'_>) -> Option<Option<String>> {
    let example = "\"arn:aws:sagemaker:REGION:ACCOUNT:training-job/NAME\"";
    let node = node.required("MLModelSageMakerJobArn", example)?;
    job_arn(&node).map(Some)
}

/// The ARN of a training job as SageMaker itself writes it. The vendor's samples have a colon
/// before its name, which their own pattern refuses.
pub(super) fn job_arn(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    let slashed = text.replacen(":training-job:", ":training-job/", 1);
    if !(JOB.fits)(&slashed) {
        node.error(
            format!("it must match {}", JOB.text),
            "copy the ARN from `aws sagemaker describe-training-job`",
        );
        return None;
    }
    if slashed != text {
        node.warn(
            format!("it must match {}", JOB.text),
            "write a slash after training-job; it is read as if one stood there",
        );
    }
    Some(slashed)
}

fn timeout(node: &Node<'_>, classification: bool) -> Option<u64> {
    let key = "LocalInferenceServiceTimeoutSeconds";
    if node.get(key).is_none() && !classification {
        let rule = format!("it is missing, and {DETECTION_TIMEOUT_S} is taken");
        node.below(key).warn(rule, format!("add \"{key}\": \"{DETECTION_TIMEOUT_S}\""));
        return Some(DETECTION_TIMEOUT_S);
    }
    counted(node, key, "\"10\"")
}

/// A parameter that is a number of at least 1, `[1-9][0-9]*`.
fn counted(node: &Node<'_>, key: &str, example: &str) -> Option<u64> {
    // As much as Greengrass itself takes for numbers elsewhere: 2 TiB, or 68 years.
    const MOST: u64 = i32::MAX as u64;
    let node = node.required(key, example)?;
    let text = node.loose_text()?;
    let number = digits(&text).filter(|number| (1..=MOST).contains(number));
    if number.is_none() || text.starts_with('0') {
        let rule = format!("it must match ^[1-9][0-9]*$ and be at most {MOST}");
        node.error(rule, format!("write {example} or the like, without a unit"));
        return None;
    }
    number
}

fn gpu(node: &Node<'_>, platform: &str) -> Option<bool> {
    let key = "GPUAcceleration";
    if platform != "Aarch64JTX2" {
        if let Some(node) = node.get(key) {
            let rule = format!("{platform} has no such parameter");
            node.warn(rule, "take it out; it is ignored");
        }
        return Some(false);
    }
    let node = node.required(key, "\"CPU\"")?;
    let gpu = node.choice(&[("CPU", false), ("GPU", true)]);
    if gpu == Some(true) {
        node.warn(
            "Sedge computes on the processor, and this connector is not started",
            "write \"CPU\"; the others of the group run",
        );
    }
    gpu
}

/// The feedback configuration, `None` within where there is none.
fn feedback_id(node: &Node<'_>, first_version: bool) -> Option<Option<String>> {
    let Some(node) = node.get("MLFeedbackConnectorConfigId") else { return Some(None) };
    if first_version {
        node.warn(
            "version 1 of the connector has no such parameter",
            "write /versions/2 in ConnectorArn; it is ignored",
        );
        return Some(None);
    }
    let text = node.loose_text()?;
    if text.is_empty() {
        return Some(None);
    }
    if !(pattern::NAME.fits)(&text) {
        let rule = format!("it must match ^$|{}", pattern::NAME.text);
        node.error(rule, "write an id of the map of the connector MLFeedback, or \"\" for none");
        return None;
    }
    Some(Some(text))
}

/// What there may be only one of: connectors of a kind, names of services.
pub(super) fn check_all(connectors: &[(Node<'_>, Connector)]) {
    let (mut names, mut services) = (BTreeMap::new(), BTreeSet::new());
    for (node, connector) in connectors {
        let arn = node.below("ConnectorArn");
        if let Some(version) = names.insert(&connector.arn.name, connector.arn.version) {
            let rule = if version == connector.arn.version {
                "Greengrass takes one instance of a connector"
            } else {
                "Greengrass takes one version of a connector"
            };
            arn.warn(rule, "Sedge runs both; messages of both have the one ARN");
        }
        if let Parameters::Inference(inference) = &connector.parameters
            && !services.insert(&inference.service)
        {
            node.below("Parameters").below("LocalInferenceServiceName").error(
                "another connector has this name for its service",
                "give each service a name of its own",
            );
        }
    }
}
