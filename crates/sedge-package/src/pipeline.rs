//! How pictures are prepared for a model and its outputs decoded: from settings to what runs.

use std::path::PathBuf;

use sedge_vision::decoders::parse_anchors;
use sedge_vision::{Decoder, ImageInput};
use toml::{Table, Value};

use crate::files::{self, MAX_LIST_BYTES};
use crate::locate::MANIFEST;
use crate::manifest::section;
use crate::{Incomplete, KEYS, Missing, Origin, Package, PackageError, Settings, Task, known_key};

/// What one input of the model takes.
#[derive(Clone, Debug, PartialEq)]
pub enum InputSpec {
    /// A picture, prepared so.
    Image(ImageInput),
    /// A tensor as it is.
    Tensor,
}

impl Package {
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
        // What nobody may write is kept by somebody, as by a store: its path is no place to work at.
        if std::fs::metadata(&self.file).is_ok_and(|file| file.permissions().readonly()) {
            return "Hint: give the flags, or [service.input] and [service.decoder]; or copy the model \
                    elsewhere, let `sedge model init` write a model.toml beside the copy, and use that"
                .to_owned();
        }
        if self.is_archive() {
            return format!(
                "Hint: give the flags, or unpack {named} and let `sedge model init DIRECTORY` write \
                 a model.toml to fill in"
            );
        }
        if self.has_manifest {
            return format!("Hint: give the flags, or fill in the model.toml of {named}");
        }
        let directory = files::here(&self.root);
        if directory.join(MANIFEST).is_file() {
            let directory = directory.display();
            return format!(
                "Hint: the model.toml beside it was not asked; name the directory for that, \
                 {directory}, or give the flags"
            );
        }
        format!(
            "Hint: give the flags, or let `sedge model init {named}` write a model.toml to fill in"
        )
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
        file.map(|(file, origin)| files::resolve(&self.root, file, Some(origin))).transpose()
    }

    pub(crate) fn typed_decoder(&self) -> Result<Decoder, PackageError> {
        let table = self.settings.table("decoder");
        let mut decoder: Decoder = section("decoder", Value::Table(table))?;
        if let Decoder::SsdAnchors(ssd) = &mut decoder
            && let Some(file) = ssd.anchor_file.take()
        {
            let origin = self.settings.get("decoder.anchor_file").map(|setting| &setting.origin);
            let text =
                files::read_text(&files::resolve(&self.root, &file, origin)?, MAX_LIST_BYTES)?;
            ssd.anchor_list = parse_anchors(&text).map_err(|error| PackageError::Value {
                key: "decoder.anchor_file".into(),
                problem: error.to_string(),
            })?;
        }
        Ok(decoder)
    }
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
pub(crate) fn qualified(key: &str) -> String {
    match key.strip_prefix("input.") {
        Some(rest) if !rest.starts_with(|c: char| c.is_ascii_digit()) => format!("input.0.{rest}"),
        _ => key.to_owned(),
    }
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
