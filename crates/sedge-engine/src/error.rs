use sedge_graph::GraphError;
use sedge_graph::passes::ExpandError;
use sedge_tensor::{DType, TensorError};

/// What messages call the engine that every device has; it consists of several.
pub(crate) const EMBEDDED: &str = "the embedded engine";

/// What helps when the embedded engine does not.
const OTHER_ENGINE: &str = "Hint: try --engine onnxruntime, which needs onnxruntime 1.18 or newer \
    on this device: SEDGE_ONNXRUNTIME=/path/to/libonnxruntime.so";

fn hint_for(engine: &str) -> &'static str {
    if engine == EMBEDDED { OTHER_ENGINE } else { "Hint: try --engine native" }
}

fn after_stop(engine: &str) -> String {
    if engine == EMBEDDED { format!(". {OTHER_ENGINE}") } else { String::new() }
}

/// Why a model could not be loaded into an engine.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No engine of that name is built in.
    #[error("there is no engine '{name}'. Hint: use one of {known}")]
    UnknownEngine {
        /// The name asked for.
        name: String,
        /// Names that exist, separated by commas.
        known: String,
    },
    /// The engine's library is missing or too old.
    #[error("{engine} is not available: {reason}")]
    Unavailable {
        /// The engine.
        engine: &'static str,
        /// What is missing and how to bring it.
        reason: String,
    },
    /// The model is of a kind this engine does not take.
    #[error("{engine} cannot run {what}. {hint}", hint = hint_for(.engine))]
    Unsupported {
        /// The engine.
        engine: &'static str,
        /// What the model needs.
        what: String,
    },
    /// The engine refused the model.
    #[error("{engine} could not load the model: {reason}{hint}", hint = after_stop(.engine))]
    Engine {
        /// The engine.
        engine: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// The embedded engine lacks an operator, or a form of it.
    #[error("{EMBEDDED} cannot run operator '{operator}'{place}: {reason}. {OTHER_ENGINE}")]
    Operator {
        /// The operator's type.
        operator: String,
        /// Where it is in the model, in words; empty when that is unknown.
        place: String,
        /// What is lacking.
        reason: String,
    },
    /// A compiled package that cannot be run, here or anywhere.
    #[error(
        "the package of SageMaker Neo cannot be run: {0}. Hint: bring the model that was compiled \
         (MXNet, TensorFlow or ONNX), which runs on every device"
    )]
    Compiled(String),
    /// Machine code of others is asked for in a process that has more to lose than one model.
    #[error(
        "engine '{0}' runs machine code of others, in a process of its own only. \
         Hint: isolation = \"process\""
    )]
    Apart(&'static str),
    /// A result that no device can hold.
    #[error(
        "the model's '{name}' would have the shape {shape:?}, which is too large. Hint: the file is damaged, or an input's shape has to be fixed before the model is converted"
    )]
    Vast {
        /// The value.
        name: String,
        /// Its shape as its operator makes it.
        shape: Vec<usize>,
    },
    /// The graph could not be written in operators the engine knows.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// The graph does not hang together.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Why a run gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The number of tensors is not the number of inputs.
    #[error("the model takes {expected} input tensors, {actual} were given")]
    InputCount {
        /// Inputs of the model.
        expected: usize,
        /// Tensors given.
        actual: usize,
    },
    /// A tensor has another element type than the input.
    #[error("input '{name}' takes {expected}, a tensor of {actual} was given")]
    DType {
        /// The input.
        name: String,
        /// What it takes.
        expected: DType,
        /// What was given.
        actual: DType,
    },
    /// A tensor's shape does not fit the input.
    #[error("input '{name}' takes shape {expected}, a tensor of shape {actual:?} was given")]
    Shape {
        /// The input.
        name: String,
        /// What it takes; `?` for free dimensions.
        expected: String,
        /// What was given.
        actual: Vec<usize>,
    },
    /// The engine failed.
    #[error("{engine} failed: {reason}")]
    Engine {
        /// The engine.
        engine: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// The engine's answer is not a tensor that can be handed on.
    #[error(transparent)]
    Output(#[from] TensorError),
}

/// Runs code of an engine that must not, but could, panic on a hostile model.
pub(crate) fn contained<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        format!("it panicked: {}", text.unwrap_or("no message"))
    })
}
