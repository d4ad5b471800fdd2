use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::{graph, library, metadata};

/// Largest JSON file that is read; graphs of large networks have a few hundred KiB.
const MAX_JSON_BYTES: u64 = 16 << 20;

/// First bytes of TVM's weights (`kTVMNDArrayListMagic`) and of a Relay VM executable
/// (`kTVMVMBytecodeMagic`), little endian.
pub(super) const PARAMS_MAGIC: u64 = 0xf7e5_8d4f_0504_9cb7;
pub(super) const EXECUTABLE_MAGIC: u64 = 0xd225_de2f_4214_151d;

/// The runtime itself, which some packages bring along.
pub(super) const RUNTIME: &str = "libdlr.so";

/// A file with its part in the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeoFile {
    /// `library`, `graph`, `weights`, `executable`, `metadata`, `runtime` or `other`.
    pub role: &'static str,
    /// Its name in the package.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// The files of a directory, with the JSON that was read to tell them apart.
pub(super) struct Files {
    pub(super) all: Vec<NeoFile>,
    pub(super) metadata: Option<Value>,
    pub(super) graph: Option<Value>,
}

impl Files {
    /// Those that lie in a directory, not below it: the runtime looks no further either.
    pub(super) fn list(directory: &Path) -> Self {
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
            let role = match role(&entry.path(), &name) {
                "graph" => files.take_graph(&entry.path()),
                "metadata" => files.take_metadata(&entry.path()),
                role => role,
            };
            files.all.push(NeoFile { role, name, bytes: metadata.len() });
        }
        files
    }

    pub(super) fn with<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a NeoFile> {
        self.all.iter().filter(move |file| file.role == role)
    }

    fn take_graph(&mut self, path: &Path) -> &'static str {
        match (&self.graph, json(path).filter(graph::is_graph)) {
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
    pub(super) fn is_treelite(&self, directory: &Path) -> bool {
        let library = self.with("library").next();
        library.is_some_and(|library| library::has_trees(&directory.join(&library.name)))
    }
}

/// What a file may be, by its name and first bytes; JSON has to be read to be sure.
pub(super) fn role(path: &Path, name: &str) -> &'static str {
    let mut head = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let magic = read.ok().map(|()| u64::from_le_bytes(head));
    let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy();
    let is_elf = head.starts_with(b"\x7fELF");
    match extension.as_ref() {
        "so" if is_elf && name == RUNTIME => "runtime",
        "so" if is_elf => "library",
        "params" if magic == Some(PARAMS_MAGIC) => "weights",
        "ro" if magic == Some(EXECUTABLE_MAGIC) => "executable",
        "meta" => "metadata",
        "json" => "graph",
        _ => "other",
    }
}

fn json(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_JSON_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
