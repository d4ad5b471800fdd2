//! The text of a `model.toml`, beside models with the outputs that detectors have: parsed, laid over
//! what the model says, and the decoder it describes set to work.

use std::path::Path;

use sedge_graph::{Dim, Graph, Value, onnx};
use sedge_package::{InputSpec, Manifest, Package, manifest_template};
use sedge_tensor::{DType, Tensor};
use sedge_vision::{Output, Picture, PictureFormat, Selection, preprocess};

use crate::Target;

/// See the module.
pub const TARGET: Target = Target { name: "manifest", max_peak_bytes: 96 << 20, body };

/// Pixels of an input up to which a picture is prepared for it.
const MAX_INPUT_PIXELS: u64 = 1 << 12;

/// Models by file name, with the shapes of their outputs: a classifier, rows, a grid, an SSD's two
/// heads, GluonCV's three outputs, TensorFlow Lite's four.
pub(crate) const MODELS: [(&str, &[&[usize]]); 6] = [
    ("classes.onnx", &[&[1, 3]]),
    ("rows.onnx", &[&[1, 4, 6]]),
    ("grid.onnx", &[&[1, 8, 2, 2]]),
    ("ssd.onnx", &[&[1, 8, 4], &[1, 8, 3]]),
    ("gluon.onnx", &[&[1, 4, 1], &[1, 4, 1], &[1, 4, 4]]),
    ("tflite.onnx", &[&[1, 4, 4], &[1, 4], &[1, 4], &[1]]),
];

fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Manifest::parse(text) {
        return drop(error.to_string());
    }
    let Ok(directory) = tempfile::tempdir() else { return };
    if write_package(directory.path(), text).is_err() {
        return;
    }
    let package = match Package::open(directory.path(), &[]) {
        Ok(package) => package,
        Err(error) => return drop(error.to_string()),
    };
    drop(manifest_template(&package, None));
    drop(package.effective_settings().map_err(|incomplete| incomplete.to_string()));
    decode(&package);
}

pub(crate) fn write_package(directory: &Path, manifest: &str) -> std::io::Result<()> {
    std::fs::write(directory.join("model.toml"), manifest)?;
    std::fs::write(directory.join("labels.txt"), "background\ncat\ndog\n")?;
    for (name, outputs) in MODELS.iter().filter(|(name, _)| manifest.contains(name)) {
        std::fs::write(directory.join(name), detector(outputs))?;
    }
    Ok(())
}

/// A model whose outputs are constants, moved a little by the mean of its picture.
pub(crate) fn detector(outputs: &[&[usize]]) -> Vec<u8> {
    let mut graph = Graph::new("detector");
    let image = graph.add_value(Value {
        name: "image".into(),
        dtype: Some(DType::F32),
        shape: Some([1, 3, 16, 16].map(Dim::Fixed).to_vec()),
        ..Value::default()
    });
    graph.inputs.push(image);
    let mean = graph.node("ReduceMean").input(image).attribute("keepdims", 0).output("mean");
    for (index, shape) in outputs.iter().enumerate() {
        let Some(constant) = ramp(shape) else { continue };
        let constant = graph.add_constant(format!("constant{index}"), constant);
        let sum = graph.node("Add").input(constant).input(mean).output(&format!("output{index}"));
        let value = graph.value_mut(sum);
        value.dtype = Some(DType::F32);
        value.shape = Some(shape.iter().map(|&n| Dim::Fixed(n)).collect());
        graph.outputs.push(sum);
    }
    onnx::write(&graph)
}

/// Values from 0 to 1, so that they can be scores, coordinates and classes.
fn ramp(shape: &[usize]) -> Option<Tensor> {
    let count = sedge_tensor::element_count(shape).filter(|&count| count <= 1 << 16)?;
    Tensor::new(shape, (0..count).map(|i| (i % 8) as f32 / 7.0).collect()).ok()
}

fn decode(package: &Package) {
    let Ok((inputs, decoder)) = package.pipeline() else { return };
    let picture = Picture {
        width: 5,
        height: 3,
        channels: 3,
        pixels: (0..45).collect(),
        format: PictureFormat::Png,
        orientation: 1,
    };
    for input in inputs {
        let InputSpec::Image(input) = input else { continue };
        if u64::from(input.width) * u64::from(input.height) > MAX_INPUT_PIXELS {
            continue;
        }
        let Ok(prepared) = preprocess(&picture, &input) else { continue };
        let answers: Option<Vec<_>> = package
            .graph
            .outputs
            .iter()
            .map(|&id| package.graph.value(id))
            .map(|value| Some((value.name.as_str(), ramp(&value.fixed_shape()?)?)))
            .collect();
        let Some(answers) = answers else { return };
        let outputs: Vec<_> = answers
            .iter()
            .map(|(name, tensor)| Output { name, tensor, quantization: None })
            .collect();
        let answer =
            decoder.decode(&outputs, &prepared.placement, &package.labels, Selection::default());
        drop(answer.map_err(|error| error.to_string()));
    }
}
