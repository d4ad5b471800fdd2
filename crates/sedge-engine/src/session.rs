use std::path::PathBuf;

use sedge_graph::{Dim, Graph, Value};
use sedge_tensor::{DType, Quantization, Tensor};
use serde::{Deserialize, Serialize};

use crate::{LoadError, RunError};

/// What an engine is asked to load.
///
/// A graph runs in any engine, a compiled package in its own runtime only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Model {
    /// A graph of ONNX operators and those of the domain `ai.sedge`.
    Graph(Graph),
    /// Machine code of SageMaker Neo.
    Compiled(Compiled),
}

impl Model {
    /// The graph, for an engine that runs no machine code.
    pub(crate) fn into_graph(self, engine: &'static str) -> Result<Graph, LoadError> {
        match self {
            Model::Graph(graph) => Ok(graph),
            Model::Compiled(_) => Err(LoadError::Compiled(format!(
                "it is machine code for the runtime DLR, which {engine} does not run"
            ))),
        }
    }
}

/// A package of SageMaker Neo, as its own files describe it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The directory it lies in.
    pub directory: PathBuf,
    /// Names of the files that the runtime is given.
    pub parts: Vec<String>,
    /// What it takes, in the model's order.
    pub inputs: Vec<TensorInfo>,
    /// What it gives, in the model's order.
    pub outputs: Vec<TensorInfo>,
    /// True for decision trees, which take rows of any number of columns up to theirs.
    pub trees: bool,
    /// The processor it was compiled for, as `std::env::consts::ARCH` names them.
    pub machine: Option<String>,
    /// What it was compiled for in the compiler's words, such as `ML_C4`.
    pub target: Option<String>,
    /// A runtime that lies beside it.
    pub runtime: Option<PathBuf>,
    /// Why a runtime that reads whole directories must not be given this one.
    pub unfit_as_directory: Option<String>,
}

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Threads one run may use.
    pub threads: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { threads: crate::available_threads() }
    }
}

/// Something that can run models. One instance serves the whole process, from any thread.
pub trait Engine: Send + Sync {
    /// The name used in configuration and reports.
    fn name(&self) -> &'static str;

    /// The engine's version, when its library is there; else what is missing.
    fn version(&self) -> Result<String, LoadError>;

    /// The shared library behind the engine, when it has one: as loaded, else as looked for.
    fn library(&self) -> Option<PathBuf> {
        None
    }

    /// The variable of the environment that names its library, also for processes that are started.
    fn variable(&self) -> Option<&'static str> {
        None
    }

    /// Loads a model. This may take long and allocates what the model needs; it must not be called
    /// on an async thread.
    fn load(&self, model: Model, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError>;
}

/// A loaded model. Runs block the calling thread; several at once are allowed and may or may not
/// run side by side. Dropping it frees what it took.
pub trait Session: Send + Sync + std::fmt::Debug {
    /// Inputs in the model's order.
    fn inputs(&self) -> &[TensorInfo];

    /// Outputs in the model's order.
    fn outputs(&self) -> &[TensorInfo];

    /// Answers one tensor per input with one per output, both in the model's order.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError>;
}

/// Name, type and shape of an input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Name in the source file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions; empty for a scalar, and unknown entries for a shape that varies.
    pub shape: Vec<Dim>,
    /// False when not even the number of dimensions is known.
    pub ranked: bool,
    /// Meaning of integer elements.
    pub quantization: Option<Quantization>,
}

impl TensorInfo {
    /// What a graph says about one of its values; `f32` when it does not say the type.
    pub fn of(value: &Value) -> Self {
        Self {
            name: value.name.clone(),
            dtype: value.dtype.unwrap_or(DType::F32),
            shape: value.shape.clone().unwrap_or_default(),
            ranked: value.shape.is_some(),
            quantization: value.quantization.clone(),
        }
    }

    /// Inputs and outputs of a graph.
    pub fn of_graph(graph: &Graph) -> (Vec<Self>, Vec<Self>) {
        let infos = |ids: &[sedge_graph::ValueId]| {
            ids.iter().map(|&id| Self::of(graph.value(id))).collect()
        };
        (infos(&graph.inputs), infos(&graph.outputs))
    }

    /// A tensor of zeros that can be fed to this input; `None` where its shape varies.
    pub fn zeros(&self) -> Option<Tensor> {
        let shape: Option<Vec<usize>> = self.shape.iter().map(Dim::fixed).collect();
        let shape = shape.filter(|_| self.ranked)?;
        let bytes = sedge_tensor::element_count(&shape)?.checked_mul(self.dtype.size()?)?;
        Tensor::from_bytes(self.dtype, shape, vec![0; bytes].into()).ok()
    }

    /// The shape in words: `1x224x224x3`, `?` where a dimension is free.
    pub fn shape_text(&self) -> String {
        if !self.ranked {
            return "any".into();
        }
        let dim = |dim: &Dim| match dim {
            Dim::Fixed(n) => n.to_string(),
            Dim::Symbol(name) => name.clone(),
            Dim::Unknown => "?".into(),
        };
        if self.shape.is_empty() {
            return "scalar".into();
        }
        self.shape.iter().map(dim).collect::<Vec<_>>().join("x")
    }

    /// Checks that a tensor can be fed to this input.
    pub fn accept(&self, tensor: &Tensor) -> Result<(), RunError> {
        if tensor.dtype() != self.dtype {
            return Err(RunError::DType {
                name: self.name.clone(),
                expected: self.dtype,
                actual: tensor.dtype(),
            });
        }
        let fits = |(dim, &n): (&Dim, &usize)| dim.fixed().is_none_or(|fixed| fixed == n);
        let same_rank = tensor.shape().len() == self.shape.len();
        if self.ranked && !(same_rank && self.shape.iter().zip(tensor.shape()).all(fits)) {
            return Err(RunError::Shape {
                name: self.name.clone(),
                expected: self.shape_text(),
                actual: tensor.shape().to_vec(),
            });
        }
        // Operators go through the dimensions, also where there is nothing in them.
        let dims = tensor.shape().iter().filter(|&&n| n > 0);
        let places = dims.fold(1usize, |places, &n| places.saturating_mul(n));
        if tensor.is_empty() && places > MAX_EMPTY_PLACES {
            return Err(RunError::Shape {
                name: self.name.clone(),
                expected: format!("{} with elements in it", self.shape_text()),
                actual: tensor.shape().to_vec(),
            });
        }
        Ok(())
    }
}

/// Product of the other dimensions up to which a tensor without elements is accepted: its shape
/// costs whoever sends it nothing.
const MAX_EMPTY_PLACES: usize = 1 << 16;

/// Checks a whole set of inputs.
pub(crate) fn accept_all(infos: &[TensorInfo], inputs: &[Tensor]) -> Result<(), RunError> {
    if infos.len() != inputs.len() {
        return Err(RunError::InputCount { expected: infos.len(), actual: inputs.len() });
    }
    infos.iter().zip(inputs).try_for_each(|(info, tensor)| info.accept(tensor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vast_shapes_without_elements_are_refused() {
        let info = TensorInfo {
            name: "x".into(),
            dtype: DType::F32,
            shape: vec![Dim::Unknown, Dim::Unknown],
            ranked: true,
            quantization: None,
        };
        let empty = |shape: [usize; 2]| Tensor::new(shape, Vec::<f32>::new()).unwrap();
        assert!(info.accept(&empty([3, 0])).is_ok());
        let error = info.accept(&empty([1 << 40, 0])).unwrap_err();
        assert!(error.to_string().contains("takes shape ?x? with elements in it"), "{error}");
    }
}
