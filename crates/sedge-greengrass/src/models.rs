//! The models of a group: what its connectors serve, and what its functions see of them.

mod resources;

use std::time::Duration;

use sedge_deploy::{Source, SourceError};
use sedge_package::Origin;
use toml::Value;

use crate::group::{
    Algorithm, Connector, Group, Inference, ModelSource, Parameters, Resource, ResourceData,
};

use crate::{FunctionArn, function_name};

pub use resources::{ResourceError, Resources, is_used};

/// Edge of the pictures that object detection takes: the connector's models are trained at it.
const DETECTION_EDGE: i64 = 512;

/// Why a connector cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// It asks for what this device does not have.
    #[error(
        "the connector '{connector}' asks for a GPU, and Sedge computes on the processor. \
         Hint: write \"GPUAcceleration\": \"CPU\""
    )]
    Gpu {
        /// Id of the connector.
        connector: String,
    },
    /// Its resource is no model, which a group that was read without errors rules out.
    #[error("the connector '{connector}' has no model: '{resource}' is none")]
    NoModel {
        /// Id of the connector.
        connector: String,
        /// Id of the resource.
        resource: String,
    },
    /// The address of its model.
    #[error("the model of the connector '{connector}'")]
    Source {
        /// Id of the connector.
        connector: String,
        /// What is wrong with it.
        source: SourceError,
    },
}

/// What a connector serves.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectorService {
    /// Name of the service, as callers of the SDK give it.
    pub name: String,
    /// Id of the connector.
    pub connector: String,
    /// Function by whose ARN the SDK calls it.
    pub address: FunctionArn,
    /// What its model does.
    pub algorithm: Algorithm,
    /// Id of the resource of its model.
    pub resource: String,
    /// Where its model comes from.
    pub source: Source,
    /// Most time for a request.
    pub timeout: Duration,
    /// Most memory of its process.
    pub memory_bytes: u64,
    /// Configuration of the feedback connector that takes its samples.
    pub feedback: Option<String>,
    /// How it prepares pictures, where the model itself does not say.
    pub settings: Vec<(String, Value, Origin)>,
}

/// A connector that asks for what this device does not have. The others of its group are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Function by whose ARN the SDK calls it.
    pub address: FunctionArn,
    /// Why it is not served.
    pub error: ConnectorError,
}

/// What becomes of a group's inference connectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    /// The services.
    pub services: Vec<ConnectorService>,
    /// Those that cannot be served.
    pub unserved: Vec<Unserved>,
}

/// The services of a group's inference connectors.
pub fn services(group: &Group) -> Served {
    let mut served = Served::default();
    for connector in &group.connectors {
        let Parameters::Inference(inference) = &connector.parameters else { continue };
        let address = FunctionArn {
            partition: connector.arn.partition.clone(),
            region: connector.arn.region.clone(),
            account: "aws".to_owned(),
            name: function_name(inference.algorithm, &inference.service),
            qualifier: None,
        };
        match source(connector, inference, group) {
            Err(error) => served.unserved.push(Unserved { address, error }),
            Ok(source) => served.services.push(ConnectorService {
                address,
                settings: settings(&connector.arn.name, &inference.service, inference.algorithm),
                name: inference.service.clone(),
                connector: connector.id.clone(),
                algorithm: inference.algorithm,
                resource: inference.resource.clone(),
                source,
                timeout: inference.timeout,
                feedback: inference.feedback.clone(),
                memory_bytes: inference.memory_bytes,
            }),
        }
    }
    served
}

/// Where a connector's model comes from, if this device can serve it.
fn source(
    connector: &Connector,
    inference: &Inference,
    group: &Group,
) -> Result<Source, ConnectorError> {
    let id = || connector.id.clone();
    if inference.gpu {
        return Err(ConnectorError::Gpu { connector: id() });
    }
    let resource = group.resources.iter().find(|resource| resource.id == inference.resource);
    let source = resource.and_then(source_of).ok_or_else(|| {
        let resource = inference.resource.clone();
        ConnectorError::NoModel { connector: id(), resource }
    })?;
    source.parse().map_err(|source| ConnectorError::Source { connector: id(), source })
}

/// Where the model of a resource comes from, if it is one.
fn source_of(resource: &Resource) -> Option<&str> {
    match &resource.data {
        ResourceData::Model { source: ModelSource::S3(uri), .. } => Some(uri),
        ResourceData::Model { source: ModelSource::Job(arn), .. } => Some(arn),
        _ => None,
    }
}

/// How the connectors always prepared pictures: the whole picture stretched, the camera's note of
/// its orientation ignored. Classification feeds pixels from 0 to 255, as SageMaker's networks
/// take them; detection what GluonCV's presets make of them, at 512 x 512.
pub fn settings(
    connector: &str,
    service: &str,
    algorithm: Algorithm,
) -> Vec<(String, Value, Origin)> {
    let mut all: Vec<(&str, Value)> = vec![
        ("color", "rgb".into()),
        ("orientation", "ignore".into()),
        ("alpha", "drop".into()),
        ("resize", "stretch".into()),
    ];
    match algorithm {
        Algorithm::ImageClassification => all.extend([
            ("filter", "pillow-bilinear".into()),
            ("scale", 1.0.into()),
            ("mean", vec![0.0].into()),
            ("std", vec![1.0].into()),
        ]),
        Algorithm::ObjectDetection => all.extend([
            ("width", DETECTION_EDGE.into()),
            ("height", DETECTION_EDGE.into()),
            ("filter", "opencv-linear".into()),
            ("scale", (1.0 / 255.0).into()),
            ("mean", vec![0.485, 0.456, 0.406].into()),
            ("std", vec![0.229, 0.224, 0.225].into()),
        ]),
    }
    let origin = Origin::Custom(format!("the connector {connector}"));
    let setting = |(key, value)| (format!("input.0.{key}"), value, origin.clone());
    // Training jobs call all their models the same.
    let name = ("model.name".to_owned(), service.into(), origin.clone());
    std::iter::once(name).chain(all.into_iter().map(setting)).collect()
}
