//! Packages of SageMaker Neo: models compiled for the runtime DLR, recognised and described.
//!
//! They are machine code for one target and run only in their own runtime. What they take and give
//! is said by their metadata and, where TVM's graph is there, by that. Layout: the published
//! runtime `neo-ai/neo-ai-dlr` 1.6 (`dlr.cc`, `dlr_common.h`).

mod graph;
mod metadata;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Largest JSON file that is read; graphs of large networks have a few hundred KiB.
const MAX_JSON_BYTES: u64 = 16 << 20;
/// How far into a library the names of its functions are looked for.
const MAX_LIBRARY_BYTES: u64 = 64 << 20;

/// First bytes of TVM's weights (`kTVMNDArrayListMagic`) and of a Relay VM executable
/// (`kTVMVMBytecodeMagic`), little endian.
const PARAMS_MAGIC: u64 = 0xf7e5_8d4f_0504_9cb7;
const EXECUTABLE_MAGIC: u64 = 0xd225_de2f_4214_151d;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeoTensor {
    /// Its name; empty where nothing says one.
    pub name: String,
    /// Element type as NumPy writes it, such as `float32`.
    pub dtype: String,
    /// Dimensions, -1 for an open one.
    pub shape: Vec<i64>,
}

/// A file with its part in the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeoFile {
    /// `library`, `graph`, `weights`, `executable`, `metadata` or `other`.
    pub role: &'static str,
    /// Its name in the package.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A Neo package, described.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neo {
    /// Always `neo`.
    pub format: &'static str,
    /// The directory it lies in.
    pub path: PathBuf,
    /// What runs it.
    pub backend: Backend,
    /// What it was compiled for, such as `ML_M4`.
    pub target_device: Option<String>,
    /// `cpu`, `gpu` or `opencl`.
    pub device_type: Option<String>,
    /// When it was compiled, in seconds since 1970.
    pub created: Option<f64>,
    /// What it takes, in the model's order.
    pub inputs: Vec<NeoTensor>,
    /// What it gives, in the model's order.
    pub outputs: Vec<NeoTensor>,
    /// Its files.
    pub files: Vec<NeoFile>,
}

impl fmt::Display for Neo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = match (&self.target_device, &self.device_type) {
            (Some(target), Some(device)) => format!(", compiled for {target} {device}"),
            (Some(one), None) | (None, Some(one)) => format!(", compiled for {one}"),
            (None, None) => String::new(),
        };
        let (path, backend) = (self.path.display(), self.backend);
        write!(
            f,
            "{path} is a SageMaker Neo package (backend {backend}{target}): machine code that only \
             its own runtime runs. Hint: bring the model that was compiled; what this one takes and \
             gives is shown by `sedge model inspect {path}`"
        )
    }
}

impl Neo {
    /// The package whose files lie in `directory`, not below it; `None` when there is none.
    pub fn in_directory(directory: &Path) -> Option<Self> {
        let files = Files::list(directory);
        let has = |role: &str| files.all.iter().any(|file| file.role == role);
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
            format: "neo",
            path: directory.to_owned(),
            backend,
            target_device: None,
            device_type: None,
            created: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            files: files.all,
        };
        if let Some(metadata) = &files.metadata {
            metadata::describe(metadata, &mut neo);
        }
        if let (Backend::Tvm, Some(graph)) = (backend, &files.graph) {
            let weights = neo.files.iter().find(|file| file.role == "weights");
            let weights = weights.map(|file| directory.join(&file.name));
            graph::describe(graph, weights.as_deref(), &mut neo);
        }
        Some(neo)
    }

    /// The package that a file is a part of, judged by its first bytes, before anything else may
    /// take it for its own.
    pub(crate) fn around(file: &Path, head: &[u8]) -> Option<Self> {
        let is = |magic: u64| head.starts_with(&magic.to_le_bytes());
        let name = file.file_name()?.to_string_lossy();
        let may_be = is(PARAMS_MAGIC)
            || is(EXECUTABLE_MAGIC)
            || head.starts_with(b"\x7fELF")
            || (role(file, &name) != "other" && head.first() == Some(&b'{'));
        if !may_be {
            return None;
        }
        let neo = Self::in_directory(file.parent().unwrap_or(Path::new("")))?;
        neo.files.iter().any(|file| file.name == name && file.role != "other").then_some(neo)
    }
}

/// The files of a directory, with the JSON that was read to tell them apart.
struct Files {
    all: Vec<NeoFile>,
    metadata: Option<serde_json::Value>,
    graph: Option<serde_json::Value>,
}

impl Files {
    fn list(directory: &Path) -> Self {
        let here = if directory == Path::new("") { Path::new(".") } else { directory };
        let mut files = Self { all: Vec::new(), metadata: None, graph: None };
        let mut entries: Vec<_> = std::fs::read_dir(here).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(metadata) = entry.path().metadata() else { continue };
            if !metadata.is_file() {
                continue;
            }
            let role = role(&entry.path(), &name);
            let role = match role {
                "graph" => files.take_graph(&entry.path()),
                "metadata" => files.take_metadata(&entry.path()),
                role => role,
            };
            files.all.push(NeoFile { role, name, bytes: metadata.len() });
        }
        // What belongs to something else is no part of a package.
        files
    }

    fn take_graph(&mut self, path: &Path) -> &'static str {
        let graph = json(path).filter(graph::is_graph);
        match (&self.graph, graph) {
            (None, Some(graph)) => {
                self.graph = Some(graph);
                "graph"
            }
            _ => "other",
        }
    }

    fn take_metadata(&mut self, path: &Path) -> &'static str {
        match (&self.metadata, json(path).filter(metadata::is_metadata)) {
            (None, Some(metadata)) => {
                self.metadata = Some(metadata);
                "metadata"
            }
            _ => "other",
        }
    }

    /// True when the library has the functions of compiled decision trees.
    fn is_treelite(&self, directory: &Path) -> bool {
        let library = self.all.iter().find(|file| file.role == "library");
        let Some(library) = library else { return false };
        let mut bytes = Vec::new();
        let read = File::open(directory.join(&library.name))
            .and_then(|file| file.take(MAX_LIBRARY_BYTES).read_to_end(&mut bytes));
        let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
        // The name of the second changed in treelite 1.0.
        read.is_ok()
            && has(b"\0get_num_feature\0")
            && (has(b"\0get_num_output_group\0") || has(b"\0get_num_class\0"))
    }
}

/// What a file may be, by its name and first bytes; JSON has to be read to be sure.
fn role(path: &Path, name: &str) -> &'static str {
    let mut head = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let magic = read.ok().map(|()| u64::from_le_bytes(head));
    let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy();
    match extension.as_ref() {
        "so" if head.starts_with(b"\x7fELF") && name != "libdlr.so" => "library",
        "params" if magic == Some(PARAMS_MAGIC) => "weights",
        "ro" if magic == Some(EXECUTABLE_MAGIC) => "executable",
        "meta" => "metadata",
        "json" => "graph",
        _ => "other",
    }
}

fn json(path: &Path) -> Option<serde_json::Value> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_JSON_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
