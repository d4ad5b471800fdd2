use bytes::Bytes;
use sedge_tensor::Tensor;
use sedge_vision::Selection;
use serde::{Deserialize, Serialize};

use crate::{Prediction, Timings, TraceParent};

/// What a request brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// An encoded picture; its kind is told by its bytes, not by a content type.
    Picture(Bytes),
    /// Tensors by name, as the model takes them.
    Tensors(Vec<(String, Tensor)>),
}

/// One request to one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Name of the service.
    pub service: String,
    /// Name of the picture for the answer: a file name or whatever the caller calls it.
    pub image: Option<String>,
    /// What is asked about.
    pub payload: Payload,
    /// What is wanted of the answer.
    pub selection: Selection,
    /// Who asks, for fairness: callers take turns. `None` is one caller as well.
    pub caller: Option<String>,
    /// Most milliseconds between admission and answer; `None` leaves it to the service.
    pub timeout_ms: Option<u64>,
    /// Identifier under which logs and traces know this request.
    pub trace_id: Option<String>,
    /// The caller's place in a distributed trace.
    pub trace_parent: Option<TraceParent>,
    /// Whether the prediction tells what was done to the picture.
    pub explain: bool,
}

impl Request {
    /// A request about a picture.
    pub fn picture(service: impl Into<String>, bytes: Bytes) -> Self {
        Self::new(service, Payload::Picture(bytes))
    }

    /// A request with tensors.
    pub fn tensors(service: impl Into<String>, tensors: Vec<(String, Tensor)>) -> Self {
        Self::new(service, Payload::Tensors(tensors))
    }

    fn new(service: impl Into<String>, payload: Payload) -> Self {
        let selection = Selection::default();
        let service = service.into();
        Self {
            service,
            image: None,
            payload,
            selection,
            caller: None,
            timeout_ms: None,
            trace_id: None,
            trace_parent: None,
            explain: false,
        }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// For a picture: what is in it. `None` for tensors.
    pub prediction: Option<Prediction>,
    /// For a classifier asked about a picture: every class's score in output order.
    pub probabilities: Option<Vec<f32>>,
    /// The model's outputs as they are, by name, in the model's order.
    pub outputs: Vec<(String, Tensor)>,
    /// Where the time went; the same as in the prediction.
    pub timings_us: Timings,
}

impl Response {
    /// Adds what it waited, in microseconds, to its times.
    pub(crate) fn add_queue_time(&mut self, queued: u64) {
        self.timings_us.queue += queued;
        self.timings_us.total += queued;
        if let Some(prediction) = &mut self.prediction {
            prediction.timings_us = self.timings_us;
        }
    }
}
