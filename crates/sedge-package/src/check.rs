use sedge_graph::{Dim, Graph, Value as GraphValue};
use sedge_tensor::{DType, Tensor};
use sedge_vision::decoders::{DecoderError, Output};
use sedge_vision::{Decoder, ImageInput, Layout, PreprocessError};
use toml::Value;

use crate::manifest::section;
use crate::{Origin, Package, PackageError, Settings, Task};

/// Outputs of more bytes than this, taken together, are not rehearsed.
const MAX_REHEARSED_BYTES: usize = 64 << 20;

impl Package {
    /// Finds wrong values now, settings that contradict the model or each other, and decoders that
    /// cannot work with the model's outputs; takes a note of what is only odd.
    pub(crate) fn check(&mut self) -> Result<(), PackageError> {
        let stated = self.settings.count("input");
        if stated > self.graph.inputs.len() {
            let problem = format!("the model has only {} inputs", self.graph.inputs.len());
            return Err(wrong(format!("input.{}", stated - 1), problem));
        }
        for (key, setting) in self.settings.iter() {
            if let Some(number) = not_finite(&setting.value) {
                let problem = format!("is {number}. Hint: give a finite number");
                return Err(wrong(key.replace(".0.", "."), problem));
            }
        }
        for (index, &id) in self.graph.inputs.iter().enumerate() {
            let spec = self.image_input(index)?;
            let kind = self.settings.get(&format!("input.{index}.kind"));
            if kind.and_then(|kind| kind.value.as_str()) == Some("image") {
                check_input(index, self.graph.value(id), &spec, &self.settings)?;
                self.check_values(index, &spec)?;
            }
        }
        self.check_task()?;
        self.check_decoder()
    }

    fn check_values(&self, index: usize, spec: &ImageInput) -> Result<(), PackageError> {
        let known = |key: &str| self.stated(&format!("input.{index}.{key}"));
        if !["width", "height", "color"].into_iter().all(known) {
            return Ok(());
        }
        spec.check().map_err(|error| match error {
            PreprocessError::Setting { key, problem, hint } => {
                wrong(format!("input.{key}"), format!("{problem}. Hint: {hint}"))
            }
            other => wrong(format!("input.{index}"), other.to_string()),
        })
    }

    fn check_task(&self) -> Result<(), PackageError> {
        let Some(setting) = self.settings.get("model.task") else { return Ok(()) };
        let task: Task = section("model.task", setting.value.clone())?;
        let decoder = self.settings.get("decoder.kind");
        let Some(kind) = decoder.filter(|_| !self.decoder_overrides_task()) else { return Ok(()) };
        let answers = self.decoder_task();
        let guessed = matches!(setting.origin, Origin::File(_));
        let fits = answers == task || (task == Task::AnomalyDetection && answers == Task::Tensor);
        if fits || guessed {
            return Ok(());
        }
        let problem = format!(
            "is {task} ({}), but decoder.kind is {} ({}), whose answers are {answers}. \
             Hint: change one of them",
            setting.origin, kind.value, kind.origin
        );
        Err(wrong("model.task", problem))
    }

    fn check_decoder(&mut self) -> Result<(), PackageError> {
        let Some(kind) = self.settings.get("decoder.kind") else { return Ok(()) };
        let guessed = matches!(kind.origin, Origin::File(_));
        let decoder = match self.typed_decoder() {
            // A missing parameter is found by `pipeline`.
            Err(PackageError::Value { problem, .. }) if problem.starts_with("missing field") => {
                return Ok(());
            }
            other => other?,
        };
        match self.rehearse(&decoder) {
            Ok(classes) => {
                self.notes.extend(classes.and_then(|classes| self.note_on_labels(classes)));
                Ok(())
            }
            // What the file itself implies is left for people to mend, in `pipeline`.
            Err(_) if guessed => Ok(()),
            Err(error) => Err(wrong("decoder", error.to_string())),
        }
    }

    /// Tries the decoder on outputs of zeros; gives the number of classes where it can be told.
    /// Nothing is tried where shapes are known only when the model runs.
    pub(crate) fn rehearse(&self, decoder: &Decoder) -> Result<Option<usize>, DecoderError> {
        let spec = (0..self.graph.inputs.len()).filter_map(|index| self.image_input(index).ok());
        let size = spec.map(|spec| (spec.width, spec.height)).find(|size| size.0 > 0 && size.1 > 0);
        let (Some(size), Some(zeros)) = (size, zeros(&self.graph)) else { return Ok(None) };
        let output = |(name, tensor)| Output { name, tensor, quantization: None };
        let outputs: Vec<_> = zeros.iter().map(|(name, zeros)| output((*name, zeros))).collect();
        decoder.rehearse(&outputs, size)
    }

    fn note_on_labels(&self, classes: usize) -> Option<String> {
        let (first, end) = self.labels.range();
        (end > first && end != classes).then(|| {
            format!(
                "labels are there for outputs {first} to {}, but the model has {classes} classes. \
                 Hint: check model.labels and model.label_offset",
                end - 1
            )
        })
    }
}

fn wrong(key: impl Into<String>, problem: impl Into<String>) -> PackageError {
    PackageError::Value { key: key.into(), problem: problem.into() }
}

fn not_finite(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => (!number.is_finite()).then_some(*number),
        Value::Array(items) => items.iter().find_map(not_finite),
        Value::Table(table) => table.values().find_map(not_finite),
        _ => None,
    }
}

/// The graph's outputs as zeros, for a batch of one.
fn zeros(graph: &Graph) -> Option<Vec<(&str, Tensor)>> {
    let mut left = MAX_REHEARSED_BYTES;
    let mut zeros = |value: &GraphValue| {
        let dtype = value.dtype?;
        let dims = value.shape.as_ref()?.iter().enumerate();
        let size = |(at, dim): (usize, &Dim)| dim.fixed().or((at == 0).then_some(1));
        let shape: Vec<usize> = dims.map(size).collect::<Option<_>>()?;
        let bytes = shape.iter().try_fold(dtype.size()?, |bytes, &dim| bytes.checked_mul(dim))?;
        left = left.checked_sub(bytes)?;
        Tensor::from_bytes(dtype, shape, vec![0u8; bytes].into()).ok()
    };
    let named = |&id| {
        let value = graph.value(id);
        Some((value.name.as_str(), zeros(value)?))
    };
    graph.outputs.iter().map(named).collect()
}

fn check_input(
    index: usize,
    input: &GraphValue,
    spec: &ImageInput,
    settings: &Settings,
) -> Result<(), PackageError> {
    let contradiction = |key: &str, stated: String, actual: String| PackageError::Contradiction {
        key: format!("input.{index}.{key}"),
        stated,
        input: input.name.clone(),
        actual,
    };
    let name = settings.get(&format!("input.{index}.name"));
    if let Some(name) = name.and_then(|name| name.value.as_str())
        && name != input.name
    {
        return Err(contradiction("name", format!("'{name}'"), "called otherwise".into()));
    }
    let dtype = input.dtype.unwrap_or(DType::F32);
    if settings.get(&format!("input.{index}.dtype")).is_some() && spec.dtype != dtype {
        return Err(contradiction("dtype", spec.dtype.to_string(), dtype.to_string()));
    }
    let dims = input.shape.as_deref().unwrap_or_default();
    let (height, width, channels) = match spec.layout {
        Layout::Nhwc => (1, 2, 3),
        Layout::Nchw => (2, 3, 1),
    };
    let stated = [
        ("height", height, spec.height as usize),
        ("width", width, spec.width as usize),
        ("color", channels, spec.channels()),
    ];
    for (key, dim, value) in stated {
        let known = settings.get(&format!("input.{index}.{key}")).is_some();
        let actual = dims.get(dim).and_then(Dim::fixed);
        if let (true, Some(actual)) = (known && actual != Some(value), actual) {
            let unit = if key == "color" { " channels" } else { " pixels" };
            return Err(contradiction(key, format!("{value}{unit}"), format!("{actual}{unit}")));
        }
    }
    Ok(())
}
