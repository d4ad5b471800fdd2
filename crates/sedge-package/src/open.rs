use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sedge_graph::Graph;
use sedge_import::{Format, Source};
use sedge_vision::decoders::parse_anchors;
use sedge_vision::{Decoder, ImageInput, Labels};
use toml::{Table, Value};

use crate::archive::Unpacked;
use crate::directory::{Directory, map};
use crate::locate::{Located, MANIFEST, locate, only_model};
use crate::manifest::{is_inside, section};
use crate::specialise::specialise;
use crate::{
    Golden, Incomplete, KEYS, Manifest, Missing, Neo, Origin, PackageError, Settings, Task,
    archive, identity, known_key, names,
};

/// Largest manifest, which takes some ten times its size to parse.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Largest list of labels or anchors.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// A model with everything that is known about its use.
#[derive(Debug)]
pub struct Package {
    /// Name from the manifest, else from the file.
    pub name: String,
    /// sha256 over the package's file list, 64 hex digits.
    pub identity: String,
    /// What kind of file the model is.
    pub format: Format,
    /// The imported graph; its weights share the mapped file.
    pub graph: Graph,
    /// Every known setting with its origin.
    pub settings: Settings,
    /// Names of the classes.
    pub labels: Labels,
    /// Cases with known answers.
    pub golden: Vec<Golden>,
    /// The directory of the package (for a bare file, the one it lies in).
    pub root: PathBuf,
    /// The model's own file.
    pub file: PathBuf,
    /// Bytes of the package's files.
    pub bytes: u64,
    /// The model's own file and those it reads beside it.
    sources: Vec<PathBuf>,
    /// What is odd about the package, but no error.
    pub notes: Vec<String>,
    /// What the user named, for hints.
    named: PathBuf,
    has_manifest: bool,
    /// Keeps an unpacked archive until the package goes.
    _unpacked: Option<Unpacked>,
}

/// What one input of the model takes.
#[derive(Clone, Debug, PartialEq)]
pub enum InputSpec {
    /// A picture, prepared so.
    Image(ImageInput),
    /// A tensor as it is.
    Tensor,
}

impl Package {
    /// Opens a package directory, an archive of one, or a bare model file, and lays `overrides`
    /// (dotted keys of `model.toml`) over what manifest and file say.
    ///
    /// # Errors
    /// Unreadable files, manifests with mistakes, models that cannot be imported. What is merely
    /// unknown is no error here but in [`Package::pipeline`].
    pub fn open(path: &Path, overrides: &[(String, Value, Origin)]) -> Result<Self, PackageError> {
        let metadata = std::fs::metadata(path)
            .map_err(|error| PackageError::Read { path: path.to_owned(), error })?;
        // An archive of weights is a model and no package.
        let weights = path.extension().is_some_and(|extension| extension == "npz");
        let kind = if metadata.is_file() && !weights { archive::sniff(path) } else { None };
        if let Some(kind) = kind {
            let unpacked = archive::unpack(path, kind)?;
            let root = unpacked.path().to_owned();
            return Self::open_directory(&root, path, overrides, Some(unpacked)).map_err(|error| {
                // Where it was unpacked means nothing to anybody.
                match error {
                    PackageError::NoModel { found, hint, .. } => {
                        PackageError::NoModel { path: path.to_owned(), found, hint }
                    }
                    PackageError::Neo(neo) => {
                        PackageError::Neo(Box::new(Neo { path: path.to_owned(), ..*neo }))
                    }
                    other => other,
                }
            });
        }
        if metadata.is_dir() {
            return Self::open_directory(path, path, overrides, None);
        }
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::build(Parts {
            root,
            file: path.to_owned(),
            named: path,
            manifest: None,
            overrides,
            unpacked: None,
        })
    }

    fn open_directory(
        directory: &Path,
        named: &Path,
        overrides: &[(String, Value, Origin)],
        unpacked: Option<Unpacked>,
    ) -> Result<Self, PackageError> {
        let (root, file, manifest) = match locate(directory)? {
            Located::Package(root) => {
                contained(&root, MANIFEST)?;
                let manifest =
                    Manifest::parse(&read_text(&root.join(MANIFEST), MAX_MANIFEST_BYTES)?)?;
                manifest.paths().try_for_each(|path| contained(&root, path))?;
                let file = match manifest.model.files.as_slice() {
                    [one] => root.join(one),
                    [] => only_model(&root)?,
                    many => return Err(PackageError::FileCount(many.len())),
                };
                (root, file, Some(manifest))
            }
            Located::Model(file) => (file.parent().unwrap_or(directory).to_owned(), file, None),
            Located::Neo(neo) => {
                // As it was named, not where its files were found.
                return Err(PackageError::Neo(Box::new(Neo { path: named.to_owned(), ..neo })));
            }
        };
        Self::build(Parts { root, file, named, manifest, overrides, unpacked })
    }

    fn build(parts: Parts<'_>) -> Result<Self, PackageError> {
        let Parts { root, file, named, manifest, overrides, unpacked } = parts;
        let bytes = map(&file)?;
        if bytes.is_empty() {
            return Err(PackageError::Empty(file));
        }
        // Before any importer: weights and graph of a compiled model look like others'.
        if let Some(neo) = Neo::around(&file, &bytes[..bytes.len().min(16)]) {
            return Err(PackageError::Neo(Box::new(neo)));
        }
        let directory = Directory::around(&file);
        let mut source = Source::new(&directory.main, bytes, &directory);
        let overridden = overrides.iter().rev().find(|(key, ..)| key == "model.architecture");
        let stated = manifest.as_ref().and_then(|manifest| manifest.model.architecture.as_deref());
        source.architecture = overridden.and_then(|(_, value, _)| value.as_str()).or(stated);
        let imported = sedge_import::import(&source)
            .map_err(|error| PackageError::Import { path: file.clone(), error })?;
        let mut settings = Settings::default();
        for fact in imported.facts {
            settings.set(&fact.key, fact.value, Origin::File(fact.origin));
        }
        let has_manifest = manifest.is_some();
        let beside = imported.beside.iter().map(|name| directory.path(name));
        let sources: Vec<PathBuf> = std::iter::once(file.clone()).chain(beside).collect();
        let files = match &manifest {
            Some(manifest) => {
                settings.set_table(&manifest.table, &Origin::Manifest);
                identity::files_below(&root)?
            }
            None => sources.clone(),
        };
        for (key, value, origin) in overrides {
            // The kind first: it clears the parameters of another decoder.
            if key == "decoder.kind" {
                settings.set(key, value.clone(), origin.clone());
            }
        }
        for (key, value, origin) in overrides {
            settings.set(&qualified(key), value.clone(), origin.clone());
        }
        let mut graph = imported.graph;
        specialise(&mut graph, &settings)
            .map_err(|error| PackageError::Import { path: file.clone(), error: error.into() })?;
        let named_by_manifest = settings.get("model.name").and_then(|name| name.value.as_str());
        let name = match named_by_manifest {
            Some(name) => name.to_owned(),
            None => names::service_name(named)?,
        };
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut package = Self {
            name,
            identity: identity::of_files(&root, &files)?,
            format: imported.format,
            graph,
            labels: labels(&settings, &root)?,
            golden: manifest.map(|manifest| manifest.golden).unwrap_or_default(),
            settings,
            bytes: files.iter().map(size).sum(),
            root,
            file,
            sources,
            notes: Vec::new(),
            named: named.to_owned(),
            has_manifest,
            _unpacked: unpacked,
        };
        package.check()?;
        Ok(package)
    }

    /// The files that are the model, the main one first, with their names in the package.
    pub fn model_files(&self) -> impl Iterator<Item = (PathBuf, String)> {
        self.sources.iter().map(|path| (path.clone(), identity::relative(&self.root, path)))
    }

    /// The name of the main file in the package.
    pub fn main_file(&self) -> String {
        identity::relative(&self.root, &self.file)
    }

    /// Names of the classes in the order in which their file or list has them.
    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        let (first, end) = self.labels.range();
        (first..end).filter_map(|index| self.labels.get(index))
    }

    /// The labels as a file has them, one per line; `None` when there are none, or when they would
    /// not be the same when they are read again.
    pub(crate) fn labels_text(&self) -> Option<String> {
        let text: String = self.label_names().map(|name| format!("{name}\n")).collect();
        (!text.is_empty() && lines(&text).iter().map(String::as_str).eq(self.label_names()))
            .then_some(text)
    }

    /// The first 12 hex digits of the identity, as people see it.
    pub fn short_identity(&self) -> &str {
        &self.identity[..12]
    }

    /// What the model is for, stated or following from the decoder.
    pub fn task(&self) -> Task {
        self.stated_task().filter(|_| !self.decoder_overrides_task()).unwrap_or(self.decoder_task())
    }

    pub(crate) fn stated_task(&self) -> Option<Task> {
        let stated = self.settings.get("model.task")?;
        section("model.task", stated.value.clone()).ok()
    }

    /// What the decoder answers.
    pub(crate) fn decoder_task(&self) -> Task {
        match self.settings.get("decoder.kind").and_then(|kind| kind.value.as_str()) {
            Some("classes") => Task::ImageClassification,
            None | Some("tensor") => Task::Tensor,
            Some(_) => Task::ObjectDetection,
        }
    }

    /// Whoever changes the decoder later changes what the model is for.
    pub(crate) fn decoder_overrides_task(&self) -> bool {
        let layer = |key: &str| self.settings.get(key).map(|setting| setting.origin.layer());
        layer("decoder.kind") > layer("model.task")
    }

    /// How pictures are prepared and outputs decoded: one spec per input of the model, in its
    /// order, and the decoder.
    ///
    /// # Errors
    /// A list of everything that nobody has said, each with the flag that gives it.
    pub fn pipeline(&self) -> Result<(Vec<InputSpec>, Decoder), Incomplete> {
        let incomplete = |missing, hint| Incomplete { model: self.name.clone(), missing, hint };
        if self.graph.inputs.len() != 1 {
            let count = self.graph.inputs.len();
            let hint = format!(
                "  it has {count} inputs, and only models with one do\nHint: send tensors to `sedge serve`"
            );
            return Err(incomplete(Vec::new(), hint));
        }
        let mut missing = Vec::new();
        let mut specs = Vec::new();
        for index in 0..self.graph.inputs.len() {
            specs.push(self.input_spec(index, &mut missing));
        }
        if !specs.iter().any(|spec| matches!(spec, Some(InputSpec::Image(_)))) && missing.is_empty()
        {
            missing.push(self.missing("input.0.kind"));
        }
        let decoder = self.decoder(&mut missing);
        match (specs.into_iter().collect::<Option<Vec<_>>>(), decoder) {
            (Some(specs), Some(decoder)) if missing.is_empty() => Ok((specs, decoder)),
            _ => Err(incomplete(missing, self.where_to_say())),
        }
    }

    fn where_to_say(&self) -> String {
        let named = self.named.display();
        match self.has_manifest {
            true => format!("Hint: give the flags, or fill in the model.toml of {named}"),
            false => format!(
                "Hint: give the flags, or let `sedge model init {named}` write a model.toml to fill in"
            ),
        }
    }

    /// Every setting that takes part in a prediction: the stated ones and, with the origin
    /// `default`, those that nobody stated.
    pub fn effective_settings(&self) -> Result<Settings, Incomplete> {
        let (specs, decoder) = self.pipeline()?;
        let mut stated = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            if let InputSpec::Image(image) = spec {
                stated.push((format!("input.{index}"), Value::try_from(image)));
            }
        }
        stated.push(("decoder".to_owned(), Value::try_from(&decoder)));
        let mut defaults = Settings::default();
        for (prefix, value) in stated {
            if let Ok(value) = value {
                defaults.set_tree(&prefix, &value, &Origin::Default);
            }
        }
        let mut all = self.settings.clone();
        for (key, setting) in defaults.iter().filter(|(key, _)| self.settings.get(key).is_none()) {
            all.set(key, shortest(&setting.value), Origin::Default);
        }
        Ok(all)
    }

    fn missing(&self, key: &str) -> Missing {
        let known = known_key(key);
        let help = match known {
            Some(known) => self.stored_element(known.path).map_or(known.help, |(_, help)| help),
            None => "see the decoder's parameters",
        };
        Missing {
            key: key.replace(".0.", "."),
            flag: known.and_then(|key| key.flag),
            help: help.into(),
        }
    }

    /// Where the first input takes bytes: the usual value of `mean` or `std`, and why. The formula
    /// gives the stored element, whose quantisation is the model's own affair.
    pub(crate) fn stored_element(&self, key: &str) -> Option<(&'static str, &'static str)> {
        let dtype = self.settings.get("input.0.dtype").and_then(|dtype| dtype.value.as_str());
        match (key, dtype) {
            ("input.mean", Some("i8")) => {
                Some(("[128.0]", "subtracted from the pixel; 128 where an i8 input takes pixels"))
            }
            ("input.mean", Some("u8")) => {
                Some(("[0.0]", "subtracted from the pixel; 0 where a u8 input takes pixels"))
            }
            ("input.std", Some("i8" | "u8")) => {
                Some(("[1.0]", "divisor of the stored element; 1 where the input takes pixels"))
            }
            _ => None,
        }
    }

    pub(crate) fn stated(&self, key: &str) -> bool {
        self.settings.get(key).is_some()
    }

    fn input_spec(&self, index: usize, missing: &mut Vec<Missing>) -> Option<InputSpec> {
        let prefix = format!("input.{index}");
        let kind = self.settings.get(&format!("{prefix}.kind"));
        if kind.and_then(|kind| kind.value.as_str()) != Some("image") {
            return Some(InputSpec::Tensor);
        }
        let before = missing.len();
        for name in ["width", "height", "layout", "dtype", "color"] {
            if !self.stated(&format!("{prefix}.{name}")) {
                missing.push(self.missing(&format!("{prefix}.{name}")));
            }
        }
        if !["scale", "mean", "std"].iter().any(|name| self.stated(&format!("{prefix}.{name}"))) {
            missing.push(self.missing(&format!("{prefix}.mean")));
            missing.push(self.missing(&format!("{prefix}.std")));
        }
        let spec = self.image_input(index).ok()?;
        (missing.len() == before).then_some(InputSpec::Image(spec))
    }

    pub(crate) fn image_input(&self, index: usize) -> Result<ImageInput, PackageError> {
        let prefix = format!("input.{index}");
        let mut table = self.settings.table(&prefix);
        table.remove("name");
        table.remove("kind");
        spread(&mut table);
        section(&prefix, Value::Table(table))
    }

    fn decoder(&self, missing: &mut Vec<Missing>) -> Option<Decoder> {
        if !self.stated("decoder.kind") {
            missing.push(self.missing("decoder.kind"));
            return None;
        }
        let kind = self.settings.get("decoder.kind").and_then(|kind| kind.value.as_str());
        if kind == Some("classes") && !self.stated("decoder.activation") {
            missing.push(self.missing("decoder.activation"));
            return None;
        }
        let refused = match self.typed_decoder() {
            Ok(decoder) => match self.rehearse(&decoder) {
                Ok(_) => return Some(decoder),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let help = refused.split(" Hint: ").next().unwrap_or_default().to_owned();
        missing.push(Missing { key: "decoder".into(), flag: None, help });
        None
    }

    /// Where the file of anchors lies that the decoder names.
    pub(crate) fn anchor_file(&self) -> Result<Option<PathBuf>, PackageError> {
        let named = self.settings.get("decoder.anchor_file");
        let file = named.and_then(|setting| Some((setting.value.as_str()?, &setting.origin)));
        file.map(|(file, origin)| resolve(&self.root, file, Some(origin))).transpose()
    }

    pub(crate) fn typed_decoder(&self) -> Result<Decoder, PackageError> {
        let table = self.settings.table("decoder");
        let mut decoder: Decoder = section("decoder", Value::Table(table))?;
        if let Decoder::SsdAnchors(ssd) = &mut decoder
            && let Some(file) = ssd.anchor_file.take()
        {
            let origin = self.settings.get("decoder.anchor_file").map(|setting| &setting.origin);
            let text = read_text(&resolve(&self.root, &file, origin)?, MAX_LIST_BYTES)?;
            ssd.anchor_list = parse_anchors(&text).map_err(|error| PackageError::Value {
                key: "decoder.anchor_file".into(),
                problem: error.to_string(),
            })?;
        }
        Ok(decoder)
    }
}

struct Parts<'a> {
    root: PathBuf,
    file: PathBuf,
    named: &'a Path,
    manifest: Option<Manifest>,
    overrides: &'a [(String, Value, Origin)],
    unpacked: Option<Unpacked>,
}

/// A value whose floats came from `f32`, as a person would write them: 0.1, not 0.10000000149.
fn shortest(value: &Value) -> Value {
    match value {
        Value::Float(x) => {
            (*x as f32).to_string().parse().map_or_else(|_| value.clone(), Value::Float)
        }
        Value::Array(items) => Value::Array(items.iter().map(shortest).collect()),
        other => other.clone(),
    }
}

/// One value stands for all channels: `mean = 128`, `pad = 0`.
fn spread(input: &mut Table) {
    for (key, count) in [("mean", 1), ("std", 1), ("pad", 3)] {
        let value = match input.get(key) {
            Some(Value::Array(items)) if items.len() == 1 => items.first().cloned(),
            Some(value @ (Value::Integer(_) | Value::Float(_))) => Some(value.clone()),
            _ => None,
        };
        if let Some(value) = value {
            input.insert(key.to_owned(), Value::Array(vec![value; count]));
        }
    }
}

/// `input.mean` means the first input's.
fn qualified(key: &str) -> String {
    match key.strip_prefix("input.") {
        Some(rest) if !rest.starts_with(|c: char| c.is_ascii_digit()) => format!("input.0.{rest}"),
        _ => key.to_owned(),
    }
}

fn labels(settings: &Settings, root: &Path) -> Result<Labels, PackageError> {
    let offset = match settings.get("model.label_offset").map(|setting| &setting.value) {
        Some(Value::Integer(negative)) if *negative < 0 => {
            let problem = format!("is {negative}, which is no output index. Hint: give 0 or more");
            return Err(PackageError::Value { key: "model.label_offset".into(), problem });
        }
        Some(value) => section("model.label_offset", value.clone())?,
        None => 0,
    };
    let names = match settings.get("model.labels").map(|setting| (&setting.value, &setting.origin))
    {
        None => Vec::new(),
        Some((Value::String(file), origin)) => {
            let path = resolve(root, file, Some(origin))?;
            lines(&read_text(&path, MAX_LIST_BYTES)?)
        }
        Some((value, _)) => section("model.labels", value.clone())?,
    };
    Ok(Labels::new(names, offset))
}

/// One label per line. A byte order mark and empty lines at the end are an editor's, not labels.
fn lines(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

/// Where a file lies that a setting names: a flag names it from where the user stands, a manifest
/// in the package, and nowhere else.
fn resolve(root: &Path, file: &str, origin: Option<&Origin>) -> Result<PathBuf, PackageError> {
    match origin {
        Some(Origin::Flag(_) | Origin::Configuration(_)) => Ok(PathBuf::from(file)),
        _ if is_inside(file) => contained(root, file).map(|()| root.join(file)),
        _ => Err(PackageError::OutsidePath(file.to_owned())),
    }
}

/// Refuses a link that leads out of the package. A file that is not there is found when it is read.
fn contained(root: &Path, file: &str) -> Result<(), PackageError> {
    match (root.canonicalize(), root.join(file).canonicalize()) {
        (Ok(root), Ok(file)) if file.starts_with(&root) => Ok(()),
        (_, Err(_)) => Ok(()),
        _ => Err(PackageError::OutsidePath(file.to_owned())),
    }
}

fn read_text(path: &Path, most: u64) -> Result<String, PackageError> {
    let read = || {
        let mut text = String::new();
        // One byte more than allowed tells a file that ends from one that does not.
        File::open(path)?.take(most + 1).read_to_string(&mut text)?;
        if text.len() as u64 > most {
            let problem = format!("it is larger than {} MiB", most >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
        Ok(text)
    };
    read().map_err(|error| PackageError::Read { path: path.to_owned(), error })
}

/// A table of the settings that are known, laid out like `model.toml`, without the list indices'
/// dots: used by the template.
pub(crate) fn known_table(settings: &Settings) -> Vec<(&'static str, Option<(Value, Origin)>)> {
    let look = |path: &str| {
        let dotted = qualified(path);
        settings.get(&dotted).map(|setting| (setting.value.clone(), setting.origin.clone()))
    };
    KEYS.iter().map(|key| (key.path, look(key.path))).collect()
}

/// Parameters of the decoder that are in no table of keys.
pub(crate) fn other_decoder_keys(settings: &Settings) -> Table {
    let mut table = settings.table("decoder");
    table.retain(|key, _| known_key(&format!("decoder.{key}")).is_none());
    table
}
