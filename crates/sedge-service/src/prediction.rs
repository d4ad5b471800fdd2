use sedge_tensor::{DType, Tensor};
use sedge_vision::{Class, Object};
use serde::{Deserialize, Serialize};

use crate::Explanation;

/// What a model says about one picture: the one type that the command line, HTTP, JSON lines and
/// the page share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Name of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Name of the service.
    pub service: String,
    /// Name of the model and the first 12 digits of its identity: `name@3f9c21ab77de`.
    pub model: String,
    /// What the model is for.
    pub task: String,
    /// Best classes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// Best objects first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<Object>>,
    /// The outputs themselves, for models whose outputs have no known meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<OutputTensor>>,
    /// What was done to the picture, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
    /// Where the time went.
    pub timings_us: Timings,
}

/// Microseconds that the stages of one request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Timings {
    pub queue: u64,
    pub decode: u64,
    pub preprocess: u64,
    pub inference: u64,
    pub postprocess: u64,
    pub total: u64,
}

/// A tensor in JSON: row-major values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputTensor {
    /// Name of the output.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// The elements as numbers.
    pub data: Vec<f32>,
}

impl OutputTensor {
    /// A tensor's JSON form; `None` when an element is not a finite number.
    pub fn of(name: &str, tensor: &Tensor) -> Option<Self> {
        let data = tensor.to_f32()?.into_owned();
        data.iter().all(|x| x.is_finite()).then(|| Self {
            name: name.to_owned(),
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            data,
        })
    }
}
