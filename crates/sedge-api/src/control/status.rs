use std::collections::BTreeMap;

use sedge_engine::TensorInfo;
use sedge_service::{BackendStatus, Histogram, ModelInfo, Outcome, Service, ServiceState, Stage};
use sedge_tensor::DType;
use serde::Serialize;

use crate::oip;

/// A service as `/api/v1/services` and the page show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// Name of the service.
    pub name: String,
    /// `ready`; `asleep` until its first request, `starting` or `restarting` while requests wait,
    /// `broken` or `stopping` when it takes no more.
    pub state: &'static str,
    /// Why it is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which install of the service answers, from 1; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<u64>,
    /// The process or threads that answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendStatus>,
    /// Name of the model and the first 12 digits of its identity; empty before the first.
    pub model: String,
    /// Version for people, when the manifest has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the model is for.
    pub task: String,
    /// Format of its file.
    pub format: String,
    /// Engine that runs it.
    pub engine: String,
    /// False when it takes tensors only.
    pub takes_pictures: bool,
    /// What would have to be said for it to take pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Labels that are known.
    pub labels: usize,
    /// Inputs in the model's order.
    pub inputs: Vec<TensorStatus>,
    /// Outputs in the model's order.
    pub outputs: Vec<TensorStatus>,
    /// Requests that may wait.
    pub queue: usize,
    /// Requests that run side by side.
    pub instances: usize,
    /// Milliseconds from admission to answer.
    pub timeout_ms: u64,
    /// Requests that ended, since the service began.
    pub requests: Requests,
    /// Requests that run now.
    pub running: usize,
    /// Requests that wait now.
    pub waiting: usize,
    /// The longest the queue has been.
    pub most_waiting: usize,
    /// The stages of a request in their order, then `total`; answered requests only.
    pub latency_us: Vec<Latency>,
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorStatus {
    /// Name in the model's file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, -1 where they vary.
    pub shape: Vec<i64>,
}

/// How requests ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Answered.
    pub ok: u64,
    /// Not answered, for whichever reason.
    pub errors: u64,
    /// Given up by the client.
    pub cancelled: u64,
    /// Errors by kind, those that happened.
    pub errors_by_kind: BTreeMap<&'static str, u64>,
}

/// What requests spent in a stage, in microseconds; `null` before the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// `queue`, `decode`, `preprocess`, `inference`, `postprocess` or `total`.
    pub stage: &'static str,
    /// The median.
    pub p50: Option<u64>,
    /// Nine of ten took at most this.
    pub p90: Option<u64>,
    /// All but one of a hundred took at most this.
    pub p99: Option<u64>,
}

impl ServiceStatus {
    /// What a service is and does now.
    pub fn of(service: &Service) -> Self {
        let (limits, statistics, serving) =
            (service.limits(), service.statistics(), service.serving());
        let nothing = ModelInfo::default();
        let info = serving.as_ref().map_or(&nothing, |version| version.info());
        let state = service.state();
        let errors = Outcome::ALL.into_iter().filter_map(|outcome| match outcome {
            Outcome::Error(kind) => Some((kind, statistics.count(outcome))),
            _ => None,
        });
        let errors_by_kind: BTreeMap<_, _> = errors.filter(|&(_, count)| count > 0).collect();
        let stages = Stage::ALL.map(|stage| Latency::of(stage.name(), statistics.stage(stage)));
        let total = Latency::of("total", statistics.requests());
        Self {
            name: service.name().to_owned(),
            state: state.name(),
            error: match state {
                ServiceState::Broken(error) => Some(error),
                _ => None,
            },
            install: serving.as_ref().map(|version| version.number()),
            backend: serving.as_ref().map(|version| version.status()),
            model: match serving {
                Some(_) => format!("{}@{}", info.name, info.identity),
                None => String::new(),
            },
            version: info.version.clone(),
            task: info.task.clone(),
            format: info.format.clone(),
            engine: info.engine.clone(),
            takes_pictures: info.picture_input.is_some(),
            missing: info.missing.clone(),
            labels: info.labels.len(),
            inputs: info.inputs.iter().map(TensorStatus::of).collect(),
            outputs: info.outputs.iter().map(TensorStatus::of).collect(),
            queue: limits.queue,
            instances: limits.instances,
            timeout_ms: limits.timeout_ms,
            requests: Requests {
                ok: statistics.count(Outcome::Ok),
                errors: errors_by_kind.values().sum(),
                cancelled: statistics.count(Outcome::Cancelled),
                errors_by_kind,
            },
            running: statistics.running(),
            waiting: service.waiting(),
            most_waiting: statistics.most_waiting(),
            latency_us: stages.into_iter().chain([total]).collect(),
        }
    }
}

impl TensorStatus {
    fn of(info: &TensorInfo) -> Self {
        Self { name: info.name.clone(), dtype: info.dtype, shape: oip::shape(info) }
    }
}

impl Latency {
    fn of(stage: &'static str, histogram: &Histogram) -> Self {
        let quantile = |quantile| histogram.quantile_us(quantile);
        Self { stage, p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) }
    }
}
