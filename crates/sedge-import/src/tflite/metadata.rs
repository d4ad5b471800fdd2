//! What the file's metadata says about its use, as facts.
//!
//! Source of the field numbers: `tensorflow_lite_support/metadata/metadata_schema.fbs` of
//! tensorflow/tflite-support, schema version 1.1.0.

use bytes::Bytes;
use sedge_graph::Graph;
use sedge_tensor::{DType, Quantization};

use super::model::{Model, TensorInfo};
use super::{archive, scores};
use crate::Fact;
use crate::flatbuffer::{Malformed, Table};
use crate::yolo::{self, Yolo};

const IDENTIFIER: &[u8] = b"M001";

/// Fields of `ModelMetadata`.
mod model {
    pub(super) const NAME: usize = 0;
    pub(super) const VERSION: usize = 2;
    pub(super) const SUBGRAPHS: usize = 3;
    pub(super) const LICENSE: usize = 5;
}

/// Fields of `SubGraphMetadata`.
mod subgraph {
    pub(super) const INPUTS: usize = 2;
    pub(super) const OUTPUTS: usize = 3;
}

/// Fields of `TensorMetadata`.
pub(super) mod tensor {
    pub(crate) const NAME: usize = 0;
    pub(super) const CONTENT: usize = 3;
    pub(crate) const PROCESS_UNITS: usize = 4;
    pub(crate) const ASSOCIATED_FILES: usize = 6;
}

/// Fields of `Content` and of `ProcessUnit`, which are one union each, and their members.
pub(super) mod union {
    pub(crate) const TYPE: usize = 0;
    pub(crate) const VALUE: usize = 1;
    pub(super) const IMAGE_PROPERTIES: u8 = 2;
    pub(super) const NORMALIZATION_OPTIONS: u8 = 1;
    pub(crate) const SCORE_CALIBRATION: u8 = 2;
    pub(crate) const SCORE_THRESHOLDING: u8 = 3;
}

/// Fields and values of `ImageProperties` and `ImageSize`.
mod image {
    pub(super) const COLOR_SPACE: usize = 0;
    pub(super) const RGB: i8 = 1;
    pub(super) const GRAYSCALE: i8 = 2;
    pub(super) const DEFAULT_SIZE: usize = 1;
    pub(super) const WIDTH: usize = 0;
    pub(super) const HEIGHT: usize = 1;
}

/// Fields of `NormalizationOptions`.
mod normalization {
    pub(super) const MEAN: usize = 0;
    pub(super) const STD: usize = 1;
}

/// Fields and values of `AssociatedFile`.
pub(super) mod file {
    pub(crate) const NAME: usize = 0;
    pub(crate) const TYPE: usize = 2;
    pub(super) const LOCALE: usize = 3;
    pub(super) const TENSOR_AXIS_LABELS: i8 = 2;
    pub(super) const TENSOR_VALUE_LABELS: i8 = 3;
    pub(crate) const TENSOR_AXIS_SCORE_CALIBRATION: i8 = 4;
}

/// Facts of the metadata; none where the file has none or it is damaged, for the model itself is
/// sound without.
pub(super) fn facts(bytes: &Bytes, model: &Model<'_>, graph: &Graph) -> Vec<Fact> {
    let Some(metadata) = model.metadata.as_ref().filter(|b| b.get(4..8) == Some(IDENTIFIER)) else {
        return Vec::new();
    };
    let mut facts = Vec::new();
    let names = graph.outputs.iter().map(|&id| graph.value(id).name.as_str());
    match read(bytes, model, &names.collect::<Vec<_>>(), metadata, &mut facts) {
        Ok(()) => facts,
        Err(Malformed { .. }) => Vec::new(),
    }
}

/// Files in which exporters of the YOLO family leave what they know, packed behind the model.
const YOLO: [&str; 3] = ["metadata.json", "temp_meta.txt", "meta.txt"];

/// Facts of an exporter of the YOLO family, whose labels and preprocessing are its own: exports to
/// TensorFlow Lite have boxes in parts of the input.
pub(super) fn yolo_facts(bytes: &Bytes, model: &Model<'_>, graph: &Graph) -> Vec<Fact> {
    let found = YOLO.iter().find_map(|name| Some((name, archive::lines(bytes, name)?)));
    let Some((name, lines)) = found else { return Vec::new() };
    let origin = format!("metadata of the YOLO exporter, '{name}'");
    let entries = yolo::entries(&lines.join("\n"));
    let Some(yolo) = Yolo::recognise(&entries, graph, &origin) else { return Vec::new() };
    let mut facts = yolo.facts("relative");
    let input = model.inputs.first().map(|&input| &model.tensors[input]);
    if let Some((mean, std, how)) = input.and_then(|input| normalisation(&[0.0], &[255.0], input)) {
        let origin = format!("{origin}{how}");
        facts.push(Fact::new("input.0.scale", 1.0, &origin));
        facts.push(Fact::new("input.0.mean", mean, &origin));
        facts.push(Fact::new("input.0.std", std, &origin));
    }
    facts
}

fn read(
    bytes: &Bytes,
    model: &Model<'_>,
    names: &[&str],
    metadata: &[u8],
    facts: &mut Vec<Fact>,
) -> Result<(), Malformed> {
    let root = Table::root(metadata)?;
    let texts = [("name", model::NAME), ("version", model::VERSION), ("license", model::LICENSE)];
    for (key, field) in texts {
        if let Some(text) = root.string(field)?.filter(|text| !text.trim().is_empty()) {
            facts.push(Fact::new(format!("model.{key}"), text, "TensorFlow Lite metadata"));
        }
    }
    let main = root.tables(model::SUBGRAPHS)?.get(model.index).transpose()?;
    let Some(main) = main else { return Ok(()) };
    let inputs = main.tables(subgraph::INPUTS)?;
    for (index, &input) in model.inputs.iter().enumerate() {
        if let Some(table) = inputs.get(index).transpose()? {
            facts.extend(input_facts(index, &table, &model.tensors[input])?);
        }
    }
    let outputs = main.tables(subgraph::OUTPUTS)?;
    facts.extend(scores::facts(bytes, outputs, names)?);
    let mut lists = Vec::new();
    for output in outputs.iter().take(model.outputs.len().min(archive::MAX_FILES)) {
        for entry in output?.tables(tensor::ASSOCIATED_FILES)?.iter().take(archive::MAX_FILES) {
            lists.extend(label_list(&entry?)?);
        }
        lists.truncate(archive::MAX_FILES);
    }
    // Several files are translations of each other.
    lists.sort_by_key(|(_, locale)| match locale.as_str() {
        "" => 0,
        "en" => 1,
        locale if locale.starts_with("en") => 2,
        _ => 3,
    });
    if let Some((name, _)) = lists.first()
        && let Some(labels) = archive::lines(bytes, name)
    {
        let origin = format!("TensorFlow Lite metadata, associated file '{name}'");
        facts.push(Fact::new("model.labels", labels, &origin));
    }
    Ok(())
}

/// Name and locale of an associated file that lists labels.
fn label_list(table: &Table<'_>) -> Result<Option<(String, String)>, Malformed> {
    let labels = [file::TENSOR_AXIS_LABELS, file::TENSOR_VALUE_LABELS];
    if !labels.contains(&table.i8(file::TYPE, 0)?) {
        return Ok(None);
    }
    let locale = table.string(file::LOCALE)?.unwrap_or_default();
    Ok(table.string(file::NAME)?.map(|name| (name, locale)))
}

fn input_facts(
    index: usize,
    table: &Table<'_>,
    input: &TensorInfo,
) -> Result<Vec<Fact>, Malformed> {
    let mut facts = Vec::new();
    let mut say = |key: &str, value: toml::Value, origin: &str| {
        facts.push(Fact::new(format!("input.{index}.{key}"), value, origin));
    };
    if let Some(content) = table.table(tensor::CONTENT)?
        && content.u8(union::TYPE, 0)? == union::IMAGE_PROPERTIES
        && let Some(properties) = content.table(union::VALUE)?
    {
        let origin = "TensorFlow Lite metadata, ImageProperties";
        say("kind", "image".into(), origin);
        match properties.i8(image::COLOR_SPACE, 0)? {
            image::RGB => say("color", "rgb".into(), origin),
            image::GRAYSCALE => say("color", "gray".into(), origin),
            _ => {}
        }
        if let Some(size) = properties.table(image::DEFAULT_SIZE)?
            && input.dim(1).or(input.dim(2)).is_none()
        {
            say("width", i64::from(size.u32(image::WIDTH, 0)?).into(), origin);
            say("height", i64::from(size.u32(image::HEIGHT, 0)?).into(), origin);
        }
    }
    for unit in table.tables(tensor::PROCESS_UNITS)?.iter().take(archive::MAX_FILES) {
        let unit = unit?;
        if unit.u8(union::TYPE, 0)? != union::NORMALIZATION_OPTIONS {
            continue;
        }
        let Some(options) = unit.table(union::VALUE)? else { continue };
        let real = (options.f32s(normalization::MEAN)?, options.f32s(normalization::STD)?);
        let Some((mean, std, how)) = normalisation(&real.0, &real.1, input) else { continue };
        let origin = format!("TensorFlow Lite metadata, NormalizationOptions{how}");
        let list = |values: Vec<f64>| toml::Value::from(values);
        say("scale", 1.0.into(), &origin);
        say("mean", list(mean), &origin);
        say("std", list(std), &origin);
    }
    Ok(facts)
}

/// Mean and deviation that take a pixel to the *stored* element, and how they came about.
///
/// The options are about real numbers, also for quantised inputs: a pixel `p` becomes
/// `r = (p - mean) / std`, which is stored as `r / scale + zero_point`. That is again a mean,
/// `mean - zero_point * scale * std`, and a deviation, `scale * std`.
fn normalisation(
    mean: &[f32],
    std: &[f32],
    input: &TensorInfo,
) -> Option<(Vec<f64>, Vec<f64>, &'static str)> {
    let sound = |list: &[f32]| matches!(list.len(), 1..=4) && list.iter().all(|n| n.is_finite());
    if !sound(mean) || !sound(std) || std.contains(&0.0) {
        return None;
    }
    let channels = mean.len().max(std.len());
    let get = |list: &[f32], channel: usize| shortest(list[channel.min(list.len() - 1)]);
    let pairs = (0..channels).map(|channel| (get(mean, channel), get(std, channel)));
    let Some(quantization) = input.quantized() else {
        let (mean, std) = pairs.unzip();
        return Some((mean, std, ""));
    };
    let Quantization { scale, zero_point, .. } = quantization;
    let (scale, zero) = (f64::from(*scale.first()?), *zero_point.first()? as f64);
    let stored: Vec<(f64, f64)> =
        pairs.map(|(mean, std)| (mean - zero * scale * std, scale * std)).collect();
    // A range chosen to be that of the pixels misses it by a rounding of its scale. What is meant
    // is the pixel itself, and that is what TensorFlow's own task library feeds.
    let zero = if input.dtype == Some(DType::I8) { 128.0 } else { 0.0 };
    let is_pixel = |&(mean, std): &(f64, f64)| {
        [0.0, 255.0].iter().all(|pixel| ((pixel - mean) / std - (pixel - zero)).abs() <= 1.5)
    };
    if stored.iter().all(is_pixel) {
        return Some((vec![zero], vec![1.0], " and quantisation: pixels as they are"));
    }
    let (mean, std) = stored.into_iter().unzip();
    Some((mean, std, " through the input's quantisation"))
}

/// An `f32` as the `f64` of the same shortest decimal, so that it reads well in a manifest.
pub(super) fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(dtype: DType, quantization: Option<(f32, i64)>) -> TensorInfo {
        let quantization = quantization.map(|(scale, zero)| Quantization {
            scale: vec![scale],
            zero_point: vec![zero],
            axis: 0,
        });
        TensorInfo { dtype: Some(dtype), quantization, ..TensorInfo::default() }
    }

    #[test]
    fn normalisation_is_stated_for_the_stored_element() {
        let float = normalisation(&[127.5], &[127.5], &input(DType::F32, None)).unwrap();
        assert_eq!((float.0, float.1), (vec![127.5], vec![127.5]));

        // MobileNet: -1..1 in steps of 1/128 around 128 is the pixel, but for rounding.
        let u8 = input(DType::U8, Some((1.0 / 128.0, 128)));
        let pixels = normalisation(&[127.5], &[127.5], &u8).unwrap();
        assert_eq!((pixels.0, pixels.1), (vec![0.0], vec![1.0]));
        let i8 = input(DType::I8, Some((1.0 / 255.0, -128)));
        let shifted = normalisation(&[0.0], &[255.0], &i8).unwrap();
        assert_eq!((shifted.0, shifted.1), (vec![128.0], vec![1.0]));

        // Steps of two pixels.
        let coarse = input(DType::U8, Some((2.0, 10)));
        let (mean, std, _) = normalisation(&[100.0], &[1.0], &coarse).unwrap();
        assert_eq!((mean, std), (vec![80.0], vec![2.0]));
        assert!(normalisation(&[0.0], &[0.0], &coarse).is_none());
    }
}
