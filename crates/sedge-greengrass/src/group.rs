//! What a group of Greengrass V1 consists of, after it was read and found right.
//!
//! [`read_files`] reads it, whatever shape its definitions come in, and tells everything that is
//! wrong or odd in them at once.

mod connector;
mod cross;
mod deployed;
mod document;
mod feedback;
mod function;
mod lambda;
mod logger;
mod metrics;
mod node;
mod pattern;
mod read;
mod report;
mod resolve;
mod resource;
mod s3;
mod subscription;
mod template;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use feedback::Feedback;
pub use metrics::Metrics;
pub use read::{Options, Reading, read_files, read_texts};
pub use report::{Problem, Report, Severity};

use crate::{ConnectorArn, FunctionArn};
use read::{absolute, id};

/// A group: everything that a deployment brings to a device.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Group {
    /// Identifier of the group, where the definitions say it.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Name of the core's thing.
    pub core_thing: Option<String>,
    /// Its whole ARN, with account and region.
    pub core_thing_arn: Option<String>,
    pub connectors: Vec<Connector>,
    pub functions: Vec<Function>,
    pub resources: Vec<Resource>,
    pub subscriptions: Vec<Subscription>,
    pub loggers: Vec<Logger>,
}

/// A connector of the group.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// Its id in the definition.
    pub id: String,
    /// Which connector it is, and which version.
    pub arn: ConnectorArn,
    /// What it is to do.
    pub parameters: Parameters,
}

/// What a connector is told to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameters {
    /// Image classification or object detection.
    Inference(Inference),
    /// ML feedback.
    Feedback(Feedback),
    /// CloudWatch metrics.
    Metrics(Metrics),
}

/// Parameters of a connector that answers about pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inference {
    /// What its model does.
    pub algorithm: Algorithm,
    /// Name by which callers know it.
    pub service: String,
    /// Id of the resource its model comes from.
    pub resource: String,
    /// Where functions see that resource.
    pub destination: PathBuf,
    /// Training job of the model.
    pub job: Option<String>,
    /// Most time for one request.
    pub timeout: Duration,
    /// Most memory.
    pub memory_bytes: u64,
    /// Whether it is to compute on a GPU.
    pub gpu: bool,
    /// Which configuration of the feedback connector its samples go by.
    pub feedback: Option<String>,
}

/// What a connector's model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `image-classification`
    ImageClassification,
    /// `object-detection`
    ObjectDetection,
}

impl Algorithm {
    /// The word for it in addresses and in the SDK.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageClassification => "image-classification",
            Self::ObjectDetection => "object-detection",
        }
    }
}

/// A function of the user's.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its id in the definition.
    pub id: String,
    /// Which function, with its version or alias.
    pub arn: FunctionArn,
    /// `module.function` that answers, where the definitions say it.
    pub handler: Option<String>,
    /// `python3.7` and its like, where the definitions say it.
    pub runtime: Option<String>,
    /// Whether it runs all the time and answers one call after the other.
    pub pinned: bool,
    /// Most memory; `None` without a container, where there is no limit.
    pub memory_bytes: Option<u64>,
    /// Most time for one call.
    pub timeout: Duration,
    /// Whether its handler takes bytes instead of JSON.
    pub binary: bool,
    /// Arguments for an executable.
    pub exec_args: Option<String>,
    /// Variables of its environment.
    pub variables: BTreeMap<String, String>,
    /// Whether it runs in a container of its own.
    pub container: bool,
    /// User and group it runs as, where that is said.
    pub run_as: Option<(u32, u32)>,
    /// Whether it sees `/sys`.
    pub access_sysfs: bool,
    /// The resources it may use.
    pub resources: Vec<ResourceAccess>,
}

/// That a function may use a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceAccess {
    /// Id of the resource.
    pub resource: String,
    /// What it may do with it; without one, what the resource's owner may.
    pub permission: Option<Permission>,
}

/// What may be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// `ro`
    ReadOnly,
    /// `rw`
    ReadWrite,
}

/// Something on the device that functions use.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Its id in the definition.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it is.
    pub data: ResourceData,
}

/// What a resource is.
#[derive(Clone, Debug, PartialEq)]
pub enum ResourceData {
    /// A model.
    Model {
        /// Where it comes from.
        source: ModelSource,
        /// Where functions see it.
        destination: PathBuf,
        /// Group that owns its files, and what that group may do.
        owner: Option<(u32, Permission)>,
    },
    /// A device node.
    Device {
        /// Path of the node.
        source: PathBuf,
        /// Whether functions get the group that owns it.
        add_group_owner: bool,
        /// Group whose rights functions get, where one is named.
        group: Option<String>,
    },
    /// A directory or file.
    Volume {
        /// Path on the device.
        source: PathBuf,
        /// Where functions see it.
        destination: PathBuf,
        /// Whether functions get the group that owns it.
        add_group_owner: bool,
        /// Group whose rights functions get, where one is named.
        group: Option<String>,
    },
    /// A secret of Secrets Manager.
    Secret {
        /// ARN of the secret.
        arn: String,
        /// Labels besides `AWSCURRENT` that are brought to the device.
        labels: Vec<String>,
    },
}

impl ResourceData {
    /// What Greengrass calls its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Model { source: ModelSource::Job(_), .. } => "ML_Model.SageMaker.Job",
            Self::Model { source: ModelSource::S3(_), .. } => "ML_Model.S3_Object",
            Self::Device { .. } => "Local.Device",
            Self::Volume { .. } => "Local.Volume",
            Self::Secret { .. } => "SecretsManager.Secret",
        }
    }
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// `s3://bucket/key`
    S3(String),
    /// ARN of a training job.
    Job(String),
}

/// A way that messages take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id in the definition.
    pub id: String,
    /// Who sends.
    pub source: Endpoint,
    /// Topic filter: `+` is one level, `#` all that follow.
    pub subject: String,
    /// Who receives.
    pub target: Endpoint,
}

/// One end of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The broker in the cloud.
    Cloud,
    /// The shadows on the device.
    Shadows,
    /// A function.
    Function(FunctionArn),
    /// A connector.
    Connector(ConnectorArn),
    /// A device, by the ARN of its thing.
    Device(String),
}

/// Where logs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logger {
    /// Its id in the definition.
    pub id: String,
    /// `AWSCloudWatch` instead of files.
    pub cloud: bool,
    /// `Lambda` instead of `GreengrassSystem`.
    pub functions: bool,
    /// Least level that is kept.
    pub level: Level,
    /// Most bytes that files may take.
    pub space_bytes: u64,
}

/// How much a line of a log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}
