//! onnxruntime, loaded at run time from a shared library when the device has one.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::session::{SessionInputValue, builder::GraphOptimizationLevel};
use ort::value::{DynValue, TensorElementType, TensorRef};
use sedge_tensor::{DType, Tensor};

use crate::error::contained;
use crate::session::accept_all;
use crate::{Engine, LoadError, LoadOptions, Model, RunError, Session, TensorInfo, prepare};

const NAME: &str = "onnxruntime";

/// The engine in messages.
const WORDS: &str = "engine 'onnxruntime'";

/// Environment variable that names the library.
const VARIABLE: &str = "SEDGE_ONNXRUNTIME";

/// Name the system's loader is asked for when nothing names a path.
const SYSTEM_LIBRARY: &str = "libonnxruntime.so";

/// onnxruntime behind its C interface (1.18 or newer).
///
/// The library is found in this order: the file that `SEDGE_ONNXRUNTIME` names, the newest
/// `libonnxruntime.so*` in Sedge's own runtime directory, the system's loader path. It is loaded
/// once per process and stays.
#[derive(Debug)]
pub struct Onnxruntime {
    library: PathBuf,
}

impl Onnxruntime {
    /// Looks for the library without loading it yet.
    pub fn new(library_dir: Option<&Path>) -> Self {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let installed = || newest_library(&library_dir?.join(NAME));
        let library = named.or_else(installed).unwrap_or_else(|| SYSTEM_LIBRARY.into());
        Self { library }
    }

    fn environment(&self) -> Result<&'static Environment, LoadError> {
        static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
        let start = || {
            // A relative path would be looked up beside the executable.
            let path = std::path::absolute(&self.library)
                .ok()
                .filter(|path| path.exists())
                .unwrap_or_else(|| self.library.clone());
            let builder = ort::init_from(path).map_err(|error| error.to_string())?;
            builder
                .with_name("sedge")
                .with_telemetry(false)
                .build()
                .map_err(|error| error.to_string())
        };
        let environment = ENVIRONMENT.get_or_init(|| contained(start).and_then(|started| started));
        environment.as_ref().map_err(|reason| LoadError::Unavailable {
            engine: WORDS,
            reason: format!(
                "{reason}. Hint: install onnxruntime 1.18 or newer and name its library: \
                 {VARIABLE}=/path/to/libonnxruntime.so"
            ),
        })
    }
}

fn newest_library(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SYSTEM_LIBRARY))
    };
    entries.filter(named).max()
}

impl Engine for Onnxruntime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> Result<String, LoadError> {
        self.environment()?;
        // The binding hides the library's version; its file name has it as the system's loader does.
        let file = std::fs::canonicalize(&self.library).unwrap_or_else(|_| self.library.clone());
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(name.split(".so.").nth(1).map_or_else(|| name.clone(), str::to_owned))
    }

    fn load(&self, model: Model, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        let environment = self.environment()?;
        let Model::Graph(graph) = model;
        let (inputs, outputs) = TensorInfo::of_graph(&graph);
        let file = prepare::whole(&prepare::plain(graph, WORDS)?);
        let load = || -> Result<ort::session::Session, String> {
            fn text<E: std::fmt::Display>(error: E) -> String {
                error.to_string()
            }
            ort::session::Session::builder(environment)
                .map_err(text)?
                .with_intra_threads(options.threads.max(1))
                .map_err(text)?
                .with_optimization_level(GraphOptimizationLevel::All)
                .map_err(text)?
                // Without it the optimiser breaks graphs whose activations are int8.
                .with_config_entry("session.qdqisint8allowed", "1")
                .map_err(text)?
                .commit_from_memory(&file)
                .map_err(text)
        };
        let session = contained(load)
            .and_then(|loaded| loaded)
            .map_err(|reason| LoadError::Engine { engine: WORDS, reason })?;
        Ok(Box::new(OnnxruntimeSession { session: Mutex::new(session), inputs, outputs }))
    }
}

#[derive(Debug)]
struct OnnxruntimeSession {
    // The binding wants exclusive access; the service runs one request per instance anyway.
    session: Mutex<ort::session::Session>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl Session for OnnxruntimeSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        accept_all(&self.inputs, inputs)?;
        let refuse = |reason: String| RunError::Engine { engine: WORDS, reason };
        let mut values = Vec::with_capacity(inputs.len());
        for (info, tensor) in self.inputs.iter().zip(inputs) {
            values.push((info.name.as_str(), input(tensor).map_err(refuse)?));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = session.run(values).map_err(|error| refuse(error.to_string()))?;
        let one = |info: &TensorInfo| {
            let value = answered.get(&info.name);
            let value = value.ok_or_else(|| refuse(format!("no output '{}'", info.name)))?;
            output(value).map_err(refuse)
        };
        self.outputs.iter().map(one).collect()
    }
}

macro_rules! element_types {
    ($($dtype:ident => $ty:ty, $ort:ident);* $(;)?) => {
        fn input(tensor: &Tensor) -> Result<SessionInputValue<'_>, String> {
            match tensor.dtype() {
                $(DType::$dtype => {
                    let view = tensor.view::<$ty>().map_err(|error| error.to_string())?;
                    let shape = tensor.shape().to_vec();
                    // Aligned data is lent, not copied.
                    match view {
                        std::borrow::Cow::Borrowed(slice) => TensorRef::from_array_view((shape, slice))
                            .map(Into::into),
                        std::borrow::Cow::Owned(data) => ort::value::Tensor::from_array((shape, data))
                            .map(Into::into),
                    }
                    .map_err(|error| error.to_string())
                })*
                DType::Bool => {
                    let data: Vec<bool> = tensor.bytes().iter().map(|&b| b != 0).collect();
                    ort::value::Tensor::from_array((tensor.shape().to_vec(), data))
                        .map(Into::into)
                        .map_err(|error| error.to_string())
                }
                dtype => Err(format!("inputs of type {dtype} are not supported")),
            }
        }

        fn output(value: &DynValue) -> Result<Tensor, String> {
            let ort::value::ValueType::Tensor { ty, .. } = value.dtype() else {
                return Err("an output is no tensor".into());
            };
            match ty {
                $(TensorElementType::$ort => {
                    let (shape, data) =
                        value.try_extract_tensor::<$ty>().map_err(|error| error.to_string())?;
                    let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
                    Tensor::new(shape, data.to_vec()).map_err(|error| error.to_string())
                })*
                TensorElementType::Bool => {
                    let (shape, data) =
                        value.try_extract_tensor::<bool>().map_err(|error| error.to_string())?;
                    let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
                    let bytes: Vec<u8> = data.iter().map(|&b| u8::from(b)).collect();
                    Tensor::from_bytes(DType::Bool, shape, bytes.into()).map_err(|error| error.to_string())
                }
                other => Err(format!("outputs of type {other:?} are not supported")),
            }
        }
    };
}

element_types! {
    F32 => f32, Float32;
    F64 => f64, Float64;
    F16 => half::f16, Float16;
    Bf16 => half::bf16, Bfloat16;
    U8 => u8, Uint8;
    I8 => i8, Int8;
    U16 => u16, Uint16;
    I16 => i16, Int16;
    U32 => u32, Uint32;
    I32 => i32, Int32;
    U64 => u64, Uint64;
    I64 => i64, Int64;
}
