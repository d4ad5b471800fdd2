//! Packages of SageMaker Neo: models compiled for the runtime DLR, recognised and described.
//!
//! They are machine code for one target and run only in their own runtime. What they take and give
//! is said by their metadata and, where TVM's graph is there, by that; never by the runtime, whose
//! releases up to 1.9 list inputs in two orders at once. Layout: the published runtime
//! `neo-ai/neo-ai-dlr` 1.6 (`dlr.cc`, `dlr_common.h`).

mod files;
mod graph;
mod interface;
mod library;
mod metadata;
mod target;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use sedge_tensor::DType;
use serde::Serialize;

pub use files::NeoFile;
use files::{EXECUTABLE_MAGIC, Files, PARAMS_MAGIC, RUNTIME, role};
use library::Library;

/// What runs a package inside DLR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// TVM's graph runtime: library, graph and weights.
    Tvm,
    /// TVM's virtual machine: library and executable.
    RelayVm,
    /// Decision trees in a library.
    Treelite,
    /// A Hexagon processor's library.
    Hexagon,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Backend::Tvm => "tvm",
            Backend::RelayVm => "relayvm",
            Backend::Treelite => "treelite",
            Backend::Hexagon => "hexagon",
        })
    }
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeoTensor {
    /// Its name; `output_N` where nothing says one.
    pub name: String,
    /// Element type as NumPy writes it, such as `float32`.
    pub dtype: String,
    /// Dimensions, -1 for an open one.
    pub shape: Vec<i64>,
}

/// A Neo package, described.
#[derive(Clone, Debug, PartialEq)]
pub struct Neo {
    /// The directory it lies in.
    pub path: PathBuf,
    /// What runs it.
    pub backend: Backend,
    /// What it was compiled for, such as `ML_M4`.
    pub target_device: Option<String>,
    /// `cpu`, `gpu` or `opencl`.
    pub device_type: Option<String>,
    /// The processor of the library, as Rust calls it: `x86_64`, `aarch64`, `arm`.
    pub machine: Option<String>,
    /// When it was compiled, in seconds since 1970.
    pub created: Option<f64>,
    /// What it takes, in the model's order.
    pub inputs: Vec<NeoTensor>,
    /// What it gives, in the model's order.
    pub outputs: Vec<NeoTensor>,
    /// Its files.
    pub files: Vec<NeoFile>,
    /// Why no runtime could run it, on whatever device.
    pub problem: Option<String>,
    /// What a runtime that reads all files of the directory would not survive or take for another
    /// package.
    unfit_beside: Option<String>,
    /// Whether the runtime is to see the metadata: where it needs it, and it is sound.
    hands_metadata: bool,
    /// The function of TVM's graph that gives the only output.
    last_function: Option<String>,
}

impl Neo {
    /// The package whose files lie in `directory`, not below it; `None` when there is none.
    pub fn in_directory(directory: &Path) -> Option<Self> {
        let files = Files::list(directory);
        let has = |role: &str| files.with(role).next().is_some();
        let backend = match () {
            () if files.all.iter().any(|file| file.name.ends_with("_hexagon_model.so")) => {
                Backend::Hexagon
            }
            // A library with a graph lacks its weights; with metadata alone it may be anything.
            () if has("weights") || (has("library") && files.graph.is_some()) => Backend::Tvm,
            () if has("executable") => Backend::RelayVm,
            () if has("library") && (files.metadata.is_some() || files.is_treelite(directory)) => {
                Backend::Treelite
            }
            () => return None,
        };
        let mut neo = Self {
            path: directory.to_owned(),
            backend,
            target_device: None,
            device_type: None,
            machine: None,
            created: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            files: Vec::new(),
            problem: None,
            unfit_beside: None,
            hands_metadata: false,
            last_function: None,
        };
        if let Some(metadata) = &files.metadata {
            metadata::describe(metadata, &mut neo);
        }
        if let (Backend::Tvm, Some(graph)) = (backend, &files.graph) {
            let weights = files.with("weights").next().map(|file| directory.join(&file.name));
            graph::describe(graph, weights.as_deref(), &mut neo);
        }
        if backend == Backend::Treelite {
            neo.describe_trees();
        }
        for (index, output) in neo.outputs.iter_mut().enumerate() {
            if output.name.is_empty() {
                output.name = format!("output_{index}");
            }
        }
        let library = files.with("library").next().map(|file| directory.join(&file.name));
        let library = library.as_deref().and_then(Library::read);
        neo.machine = library.and_then(|library| library.machine).map(str::to_owned);
        neo.judge(&files, library);
        neo.files = files.all;
        Some(neo)
    }

    /// Rows of numbers in, rows of numbers out: what trees take and give when no metadata says more.
    fn describe_trees(&mut self) {
        let open = |name: &str| {
            vec![NeoTensor { name: name.into(), dtype: "float32".into(), shape: vec![-1, -1] }]
        };
        // The runtime knows its one input by this name, whatever metadata calls it.
        match self.inputs.first_mut() {
            Some(input) => input.name = "data".into(),
            None => self.inputs = open("data"),
        }
        if self.outputs.is_empty() {
            self.outputs = open("output");
        }
    }

    /// Finds out why the package cannot be run, and what of it the runtime is better not shown.
    fn judge(&mut self, files: &Files, library: Option<Library>) {
        let unsound = files.metadata.as_ref().and_then(metadata::problem);
        self.hands_metadata = unsound.is_none()
            && files.metadata.as_ref().is_some_and(|metadata| {
                self.backend == Backend::RelayVm || metadata::has_sparse_input(metadata)
            });
        self.problem = self.lack(files, library).or_else(|| match self.backend {
            Backend::RelayVm => unsound.clone(),
            _ => None,
        });
        let rival = |file: &&NeoFile| {
            let end = Path::new(&file.name).extension().unwrap_or_default().to_string_lossy();
            file.role == "other" && ["so", "json", "params", "ro", "meta"].contains(&end.as_ref())
                // The only JSON that the runtime never takes for its graph.
                && !["model-shapes.json", "hyperparams.json"].contains(&file.name.as_str())
                && (self.backend == Backend::Tvm || end != "json")
        };
        let rival = files.all.iter().find(rival);
        self.unfit_beside = unsound
            .or_else(|| rival.map(|file| format!("it may take {} for a part of it", file.name)));
    }

    /// What is missing, doubled or of a kind that cannot be run.
    fn lack(&self, files: &Files, library: Option<Library>) -> Option<String> {
        let parts: &[&str] = match self.backend {
            Backend::Tvm => &["library", "graph", "weights"],
            Backend::RelayVm => &["library", "executable", "metadata"],
            Backend::Treelite => &["library"],
            Backend::Hexagon => return Some("it needs a Hexagon processor".into()),
        };
        for part in parts {
            let names: Vec<&str> = files.with(part).map(|file| file.name.as_str()).collect();
            match names.as_slice() {
                [_] => {}
                [] => return Some(format!("it has no {part}")),
                names => return Some(format!("it has more than one {part}: {}", names.join(", "))),
            }
        }
        let file = files.with("library").next()?;
        match library {
            None => return Some(format!("{} is no library", file.name)),
            Some(library) if library.mapped_bytes > file.bytes => {
                let (wanted, there) = (library.mapped_bytes, file.bytes);
                return Some(format!("{} is cut off: {there} of {wanted} bytes", file.name));
            }
            Some(_) => {}
        }
        if let Some(device) = self.device_type.as_deref().filter(|&device| device != "cpu") {
            return Some(format!("it was compiled for a {device}, and only processors are served"));
        }
        if files.metadata.as_ref().is_some_and(metadata::has_transform) {
            return Some("it transforms columns of text, which is not supported".into());
        }
        self.unclear()
    }

    /// What is not known of inputs and outputs that has to be.
    fn unclear(&self) -> Option<String> {
        if self.inputs.is_empty() || self.outputs.is_empty() {
            return Some("nothing tells its inputs and outputs".into());
        }
        let mut names = HashSet::new();
        if let Some(twice) = self.inputs.iter().find(|input| !names.insert(&input.name)) {
            return Some(format!("two of its inputs are named '{}'", twice.name));
        }
        let unknown = |tensor: &&NeoTensor| DType::of_numpy(&tensor.dtype).is_none();
        let unknown = self.inputs.iter().chain(&self.outputs).find(unknown)?;
        Some(format!("'{}' is of type '{}', which is not known", unknown.name, unknown.dtype))
    }

    /// The files to be handed to the runtime, by name.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let wanted = |file: &&NeoFile| match file.role {
            "library" | "graph" | "weights" | "executable" => true,
            "metadata" => self.hands_metadata,
            _ => false,
        };
        self.files.iter().filter(wanted).map(|file| file.name.as_str())
    }

    /// The runtime that the package brings along.
    pub fn runtime(&self) -> Option<PathBuf> {
        let own = self.files.iter().find(|file| file.role == "runtime")?;
        Some(self.path.join(&own.name))
    }

    /// Why a runtime that takes whole directories must not be given this one.
    pub fn unfit_as_directory(&self) -> Option<&str> {
        self.unfit_beside.as_deref()
    }

    /// The file that stands for the package: its library, where it has one.
    pub(crate) fn main_file(&self) -> PathBuf {
        let of = |role: &str| self.files.iter().find(|file| file.role == role);
        let main = of("library").or_else(|| of("weights")).or_else(|| of("executable"));
        main.or_else(|| of("graph")).map_or_else(|| self.path.clone(), |f| self.path.join(&f.name))
    }

    /// The package that a file is a part of, judged by its first bytes, before anything else may
    /// take it for its own.
    pub(crate) fn around(file: &Path, head: &[u8]) -> Option<Self> {
        let is = |magic: u64| head.starts_with(&magic.to_le_bytes());
        let name = file.file_name()?.to_string_lossy();
        let may_be = is(PARAMS_MAGIC)
            || is(EXECUTABLE_MAGIC)
            || (head.starts_with(b"\x7fELF") && name != RUNTIME)
            || (role(file, &name) != "other" && head.first() == Some(&b'{'));
        if !may_be {
            return None;
        }
        let neo = Self::in_directory(file.parent().unwrap_or(Path::new("")))?;
        neo.files.iter().any(|file| file.name == name && file.role != "other").then_some(neo)
    }
}
