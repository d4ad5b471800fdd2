use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use sedge_graph::{Graph, onnx, passes};
use sedge_tensor::DType;
use toml::{Table, Value};

use crate::draft::checksum;
use crate::{Draft, Package, Packing, Settings, WriteError};

/// Name of the model in a package that was converted.
const MODEL: &str = "model.onnx";

/// Bytes of weights that fit into the model file: protobuf ends at 2 GiB, and the rest of the model
/// needs some room.
const MAX_INSIDE_BYTES: usize = (2 << 30) - (64 << 20);

/// How a model is converted.
#[derive(Clone, Debug, Default)]
pub struct ConvertOptions {
    /// Replace what is there.
    pub force: bool,
    /// Store large weights in a file of their own, which an engine can map into memory, also where
    /// they would fit into the model file.
    pub external_data: bool,
    /// What is done to the graph that becomes one file, before it is written. A package's graph,
    /// which Sedge itself runs, stays as it was imported.
    pub rewrite: Option<fn(&mut Graph)>,
}

/// What a conversion wrote.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The model file or package, then the side file of weights when there is one.
    pub paths: Vec<PathBuf>,
    /// Operators outside ONNX's own that were in the file and are in the new one, each with its
    /// domain.
    pub foreign: Vec<String>,
}

impl Package {
    /// Writes the model as one ONNX file of plain operators. Inputs and outputs keep their names;
    /// where the model came from, and what is known about its use, goes into the file's metadata,
    /// from where Sedge reads it again.
    ///
    /// # Errors
    /// A target that is there already, operators without a form in ONNX, and what the system
    /// refuses.
    pub fn convert_to_file(
        &self,
        target: &Path,
        options: &ConvertOptions,
    ) -> Result<Converted, WriteError> {
        self.has_graph()?;
        let draft = Draft::new(target, options.force)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut graph = self.plain(options.rewrite)?;
        let foreign = foreign(&graph);
        if let Some(text) = self.embedded_settings() {
            graph.metadata.insert(sedge_import::SETTINGS.to_owned(), text);
        }
        write(&graph, &draft.path(), &name, options)?;
        Ok(Converted { paths: draft.publish_files(&name)?, foreign })
    }

    /// Writes a package directory with the model as ONNX and everything else that is known: manifest,
    /// labels, golden cases, licences.
    ///
    /// # Errors
    /// As [`Package::convert_to_file`].
    pub fn convert_to_package(
        &self,
        target: &Path,
        options: &ConvertOptions,
    ) -> Result<Converted, WriteError> {
        self.has_graph()?;
        let draft = Draft::new(target, options.force)?;
        let graph = self.plain(None)?;
        let foreign = foreign(&graph);
        write(&graph, &draft.path(), MODEL, options)?;
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        let head = format!(
            "# Converted from {file} ({}) by Sedge {}.\n",
            self.format.name(),
            env!("CARGO_PKG_VERSION")
        );
        draft.complete(self, &head, &[MODEL], &self.golden)?;
        let path = draft.publish(Packing::Directory)?;
        Ok(Converted { paths: vec![path], foreign })
    }

    /// Asked before anything is made at the target.
    fn has_graph(&self) -> Result<(), WriteError> {
        match self.compiled {
            Some(_) => Err(WriteError::Compiled(self.file.clone())),
            None => Ok(()),
        }
    }

    /// The graph in plain ONNX operators, with its origin in the metadata.
    fn plain(&self, rewrite: Option<fn(&mut Graph)>) -> Result<Graph, WriteError> {
        let mut graph = self.graph.clone();
        if let Some(rewrite) = rewrite {
            rewrite(&mut graph);
        }
        passes::expand(&mut graph)?;
        passes::clean(&mut graph);
        let own: Vec<String> = foreign(&graph)
            .into_iter()
            .filter(|name| name.starts_with(sedge_graph::SEDGE_DOMAIN))
            .collect();
        if !own.is_empty() {
            return Err(WriteError::Operators(own.join(", ")));
        }
        let file = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let origin = [
            ("sedge.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("sedge.source.format", self.format.name().to_owned()),
            ("sedge.source.file", file),
            ("sedge.source.sha256", checksum(&self.file)?),
        ];
        graph.metadata.extend(origin.map(|(key, value)| (key.to_owned(), value)));
        // Where integers are spelled out no node says what they mean.
        for &id in self.graph.inputs.iter().chain(&self.graph.outputs) {
            let value = self.graph.value(id);
            let text = value.quantization.as_ref().and_then(sedge_import::quantization_text);
            if let Some(text) = text.filter(|_| value.dtype.is_some_and(DType::is_integer)) {
                let key = format!("{}{}", sedge_import::QUANTIZATION, value.name);
                graph.metadata.insert(key, text);
            }
        }
        Ok(graph)
    }

    /// The settings as text for the metadata of one file. Lists that lie in files of the package
    /// are written out; anchors, which may be many thousands, are left to the package.
    fn embedded_settings(&self) -> Option<String> {
        let text = |settings: &Settings| {
            let mut all = Table::new();
            for section in ["model", "decoder"] {
                let mut table = settings.table(section);
                table.remove("files");
                table.remove("anchor_file");
                if !table.is_empty() {
                    all.insert(section.to_owned(), Value::Table(table));
                }
            }
            all.extend(settings.list("input").map(|list| ("input".to_owned(), list.into())));
            toml::to_string(&all).ok()
        };
        let mut settings = self.settings.clone();
        if let Some(setting) = self.settings.get("model.labels").filter(|s| s.value.is_str()) {
            let labels: Vec<Value> = self.label_names().map(Value::from).collect();
            settings.set("model.labels", labels.into(), setting.origin.clone());
        }
        text(&settings).filter(|text| text.len() <= sedge_import::MAX_SETTINGS_BYTES)
    }
}

fn foreign(graph: &Graph) -> Vec<String> {
    passes::remaining_custom_operators(graph).into_keys().collect()
}

/// Writes a graph and, where its weights are many or that is asked for, a side file of weights.
fn write(
    graph: &Graph,
    directory: &Path,
    name: &str,
    options: &ConvertOptions,
) -> Result<(), WriteError> {
    let weights = graph.values().filter_map(|(_, value)| value.constant.as_ref());
    let bytes: usize = weights.map(|tensor| tensor.bytes().len()).sum();
    let apart = options.external_data || bytes > MAX_INSIDE_BYTES;
    let side = format!("{name}.data");
    let options = onnx::WriteOptions { external: apart.then(|| side.clone()) };
    let path = directory.join(name);
    let written = File::create(&path).and_then(|file| {
        let mut out = BufWriter::new(file);
        let weights = onnx::write_to(graph, &options, &mut out)?;
        out.flush()?;
        Ok(weights)
    });
    let wrong = |path: PathBuf| |error| WriteError::Write { path, error };
    let weights = written.map_err(wrong(path))?;
    if weights.is_empty() {
        return Ok(());
    }
    let path = directory.join(side);
    let written = File::create(&path).and_then(|file| {
        let mut out = BufWriter::new(file);
        weights.write_to(&mut out)?;
        out.flush()
    });
    written.map_err(wrong(path))
}
