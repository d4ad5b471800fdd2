//! What the metadata says of outputs: which is which, and how scores are calibrated and cut off.

use bytes::Bytes;

use super::archive;
use super::metadata::{file, shortest, tensor, union};
use crate::Fact;
use crate::flatbuffer::{Malformed, Table, Tables};

/// Fields of `ScoreCalibrationOptions`.
mod calibration {
    pub(super) const TRANSFORMATION: usize = 0;
    pub(super) const DEFAULT_SCORE: usize = 1;
}

/// Fields of `ScoreThresholdingOptions`.
mod thresholding {
    pub(super) const GLOBAL: usize = 0;
}

/// `ScoreTransformationType`, as the decoder's settings call them.
const TRANSFORMATIONS: [&str; 3] = ["identity", "log", "inverse-logistic"];

/// Names that TensorFlow Lite's task library knows a detector's outputs by, and the decoder's.
const DETECTIONS: [(&str, &str); 4] = [
    ("location", "boxes"),
    ("category", "classes"),
    ("score", "scores"),
    ("number of detections", "count"),
];

/// Facts of the outputs' metadata; `names` are the outputs' own, in the model's order.
pub(super) fn facts(
    bytes: &Bytes,
    outputs: Tables<'_>,
    names: &[&str],
) -> Result<Vec<Fact>, Malformed> {
    let mut facts = Vec::new();
    let mut roles = Vec::new();
    // There is one decoder, which has one list of sigmoids.
    let mut calibrated = false;
    for (table, name) in outputs.iter().zip(names).take(archive::MAX_FILES) {
        let table = table?;
        roles.push((table.blob(tensor::NAME)?.unwrap_or_default(), *name));
        for unit in table.tables(tensor::PROCESS_UNITS)?.iter().take(archive::MAX_FILES) {
            let unit = unit?;
            let Some(options) = unit.table(union::VALUE)? else { continue };
            match unit.u8(union::TYPE, 0)? {
                union::SCORE_CALIBRATION if !calibrated => {
                    calibrated = true;
                    facts.extend(calibration_facts(bytes, &table, &options)?);
                }
                union::SCORE_THRESHOLDING => {
                    let least = shortest(options.f32(thresholding::GLOBAL, 0.0)?);
                    let origin = "TensorFlow Lite metadata, ScoreThresholdingOptions";
                    facts.push(Fact::new("decoder.score_threshold", least, origin));
                }
                _ => {}
            }
        }
    }
    facts.extend(roles_of_detections(&roles));
    Ok(facts)
}

/// The outputs of a detector, when the metadata names all four.
fn roles_of_detections(outputs: &[(&[u8], &str)]) -> Vec<Fact> {
    let origin = "TensorFlow Lite metadata, names of the outputs";
    let find =
        |name: &str| outputs.iter().find(|(said, _)| *said == name.as_bytes()).map(|(_, own)| *own);
    let named: Option<Vec<Fact>> = DETECTIONS
        .iter()
        .map(|(name, key)| Some(Fact::new(format!("decoder.{key}"), find(name)?, origin)))
        .collect();
    let Some(named) = named else { return Vec::new() };
    let kind = [
        Fact::new("model.task", "object-detection", origin),
        Fact::new("decoder.kind", "tflite-detection", origin),
    ];
    kind.into_iter().chain(named).collect()
}

/// The sigmoids of an output's classes: a line for each of them, in the order of the labels.
fn calibration_facts(
    bytes: &Bytes,
    output: &Table<'_>,
    options: &Table<'_>,
) -> Result<Vec<Fact>, Malformed> {
    let mut name = None;
    for entry in output.tables(tensor::ASSOCIATED_FILES)?.iter().take(archive::MAX_FILES) {
        let entry = entry?;
        if entry.i8(file::TYPE, 0)? == file::TENSOR_AXIS_SCORE_CALIBRATION {
            name = entry.string(file::NAME)?;
        }
    }
    let Some(name) = name else { return Ok(Vec::new()) };
    let Some(lines) = archive::lines(bytes, &name) else { return Ok(Vec::new()) };
    let transformation = options.i8(calibration::TRANSFORMATION, 0)?;
    let transformation = usize::try_from(transformation).ok();
    let Some(transformation) = transformation.and_then(|at| TRANSFORMATIONS.get(at)) else {
        return Ok(Vec::new());
    };
    let rows: Vec<toml::Value> = lines.iter().map(|line| sigmoid(line).into()).collect();
    let origin = "TensorFlow Lite metadata, ScoreCalibrationOptions";
    let default_score = shortest(options.f32(calibration::DEFAULT_SCORE, 0.0)?);
    let key = |name: &str| format!("decoder.calibration.{name}");
    let said = format!("TensorFlow Lite metadata, associated file '{name}'");
    Ok(vec![
        Fact::new(key("transformation"), *transformation, origin),
        Fact::new(key("default_score"), default_score, origin),
        Fact::new(key("sigmoids"), rows, &said),
    ])
}

/// Scale, slope, offset and perhaps the least score; nothing for an empty line. One number alone,
/// which no decoder takes, for a line that is no list of numbers: it must not pass for another.
fn sigmoid(line: &str) -> Vec<f64> {
    if line.is_empty() {
        return Vec::new();
    }
    let number = |text: &str| text.trim().parse::<f32>().ok().filter(|number| number.is_finite());
    let numbers: Option<Vec<f64>> = line.split(',').map(|n| number(n).map(shortest)).collect();
    numbers.unwrap_or_else(|| vec![0.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_numbers_are_sigmoids() {
        assert_eq!(sigmoid("0.9, 2,-1.5"), [0.9, 2.0, -1.5]);
        assert_eq!(sigmoid("1,2,3,0.1"), [1.0, 2.0, 3.0, 0.1]);
        assert_eq!(sigmoid(""), Vec::<f64>::new());
        for broken in ["1,2,x,4", "1,nan,2", "scale"] {
            assert_eq!(sigmoid(broken), [0.0]);
        }
    }

    #[test]
    fn a_detector_is_told_by_all_four_names() {
        let outputs = ["score", "location", "number of detections", "category"];
        let own = ["a", "b", "c", "d"];
        let mut outputs: Vec<(&[u8], &str)> =
            outputs.into_iter().map(str::as_bytes).zip(own).collect();
        let facts = roles_of_detections(&outputs);
        let get = |key: &str| facts.iter().find(|fact| fact.key == key).unwrap().value.as_str();
        assert_eq!(get("decoder.boxes"), Some("b"));
        assert_eq!(get("decoder.classes"), Some("d"));
        assert_eq!(get("decoder.scores"), Some("a"));
        assert_eq!(get("decoder.count"), Some("c"));
        outputs.truncate(3);
        assert!(roles_of_detections(&outputs).is_empty());
    }
}
