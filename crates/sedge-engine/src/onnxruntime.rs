//! onnxruntime, loaded at run time from a shared library when the device has one.

use std::ffi::OsString;
use std::io::Read;
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

/// The names of a library's symbols stand near its beginning.
const SYMBOL_TABLE_BYTES: u64 = 4 << 20;

/// onnxruntime behind its C interface (1.18 or newer).
///
/// The library is found in this order: the file that `SEDGE_ONNXRUNTIME` names, the newest
/// `libonnxruntime.so*` in Sedge's own runtime directory, the usual places, the
/// system's loader path. It is loaded once per process and stays.
#[derive(Debug)]
pub struct Onnxruntime {
    library: PathBuf,
}

impl Onnxruntime {
    /// Looks for the library without loading it yet.
    pub fn new(library_dir: Option<&Path>) -> Self {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(absolute);
        let installed = || newest_library(&library_dir?.join(NAME));
        let usual = || usual_places().iter().find_map(|place| newest_library(Path::new(place)));
        let library = named.or_else(installed).or_else(usual);
        Self { library: library.unwrap_or_else(|| SYSTEM_LIBRARY.into()) }
    }

    /// The library at a path.
    pub fn at(library: PathBuf) -> Self {
        Self { library }
    }

    fn environment(&self) -> Result<&'static Environment, LoadError> {
        static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
        let start = || {
            let builder = ort::init_from(&self.library).map_err(|error| error.to_string())?;
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

/// A relative path would be looked up beside the executable; a mere name is the loader's business.
fn absolute(path: OsString) -> PathBuf {
    let path = PathBuf::from(path);
    std::path::absolute(&path).ok().filter(|path| path.exists()).unwrap_or(path)
}

/// Directories that distributions and people use, for this processor.
fn usual_places() -> Vec<String> {
    let triple = match std::env::consts::ARCH {
        "arm" => "arm-linux-gnueabihf".to_owned(),
        arch => format!("{arch}-linux-gnu"),
    };
    let multiarch = format!("/usr/lib/{triple}");
    ["/usr/local/lib", &multiarch, "/usr/lib64", "/usr/lib", "/opt/onnxruntime/lib"]
        .map(str::to_owned)
        .into()
}

fn newest_library(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SYSTEM_LIBRARY))
    };
    entries.filter(named).max_by_key(|path| version_numbers(path))
}

/// `[1, 21, 0]` of `libonnxruntime.so.1.21.0`, so that 1.9 is older than 1.21.
fn version_numbers(path: &Path) -> Vec<u32> {
    let version = version_of_name(path).unwrap_or_default();
    version.split('.').map_while(|number| number.parse().ok()).collect()
}

/// What follows `.so.` in the name that links lead to.
fn version_of_name(path: &Path) -> Option<String> {
    let file = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = file.file_name()?.to_string_lossy().into_owned();
    Some(name.split_once(".so.")?.1.to_owned())
}

/// The version that the library's symbols carry (`VERS_1.21.0`), for a file without one in its name.
fn version_of_symbols(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(SYMBOL_TABLE_BYTES).read_to_end(&mut bytes).ok()?;
    let at = bytes.windows(5).position(|window| window == b"VERS_")? + 5;
    let version = bytes[at..].iter().take_while(|&&b| b.is_ascii_digit() || b == b'.').take(16);
    let version: String = version.map(|&b| char::from(b)).collect();
    (!version.is_empty()).then_some(version)
}

/// Where this process has mapped the library from.
fn loaded_from() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    path.filter(|path| path.contains(SYSTEM_LIBRARY)).map(PathBuf::from).next()
}

impl Engine for Onnxruntime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> Result<String, LoadError> {
        self.environment()?;
        // The binding hides the library's version.
        let library = self.library().unwrap_or_default();
        let named = version_of_name(&library).or_else(|| version_of_symbols(&library));
        Ok(named.unwrap_or_else(|| "unknown version".into()))
    }

    fn library(&self) -> Option<PathBuf> {
        let file = self.library.is_absolute().then(|| std::fs::canonicalize(&self.library).ok());
        file.flatten().or_else(loaded_from).or_else(|| Some(self.library.clone()))
    }

    fn variable(&self) -> Option<&'static str> {
        Some(VARIABLE)
    }

    fn load(&self, model: Model, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        let environment = self.environment()?;
        let graph = model.into_graph(WORDS)?;
        let (inputs, outputs) = TensorInfo::of_graph(&graph);
        // Between quantise and dequantise nodes its arithmetic would be its own.
        #[cfg(feature = "native")]
        let graph = {
            let mut graph = graph;
            crate::spell_out(&mut graph);
            graph
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_library_is_the_one_with_the_highest_version() {
        let directory = std::env::temp_dir().join(format!("sedge-newest-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for version in ["1.9.2", "1.21.0", "1.18.1"] {
            std::fs::write(directory.join(format!("libonnxruntime.so.{version}")), "").unwrap();
        }
        std::fs::write(directory.join("libother.so.7"), "").unwrap();
        let newest = newest_library(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(newest.ends_with("libonnxruntime.so.1.21.0"), "{}", newest.display());
    }

    #[test]
    fn a_version_is_read_from_symbols_when_the_name_has_none() {
        let file = std::env::temp_dir().join(format!("sedge-symbols-{}", std::process::id()));
        std::fs::write(&file, b"\x7fELF\0OrtGetApiBase\0VERS_1.20.1\0libm.so.6\0").unwrap();
        let version = version_of_symbols(&file);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(version.as_deref(), Some("1.20.1"));
    }
}
