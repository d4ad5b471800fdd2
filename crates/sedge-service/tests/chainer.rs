//! The networks of `chainer.links` with weights made of a formula, against Chainer's answers
//! (`tools/chainer-references/make.py`), and the words for weights that do not fit.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sedge_engine::{LoadOptions, Model, Registry};
use sedge_import::{Alone, Siblings, Source, import};
use sedge_package::{parse_npy, write_npz};
use sedge_tensor::Tensor;
use serde::Deserialize;

#[derive(Deserialize)]
struct Network {
    shapes: BTreeMap<String, Vec<usize>>,
    prob: String,
    /// The last layer, whose parameters are scaled.
    last: String,
    scale: f32,
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/chainer"))
}

fn network(name: &str) -> Network {
    let index = std::fs::read(folder().join("index.json")).unwrap();
    let mut networks: BTreeMap<String, Network> = serde_json::from_slice(&index).unwrap();
    networks.remove(name).unwrap()
}

/// Numbers from -0.5 to 0.5.
fn noise(name: &str, count: usize) -> Vec<f32> {
    let start = crc32(name.as_bytes());
    let one = |index: usize| {
        let mut x = (index as u32).wrapping_mul(0x9E37_79B1).wrapping_add(start);
        x = (x ^ x >> 15).wrapping_mul(0x85EB_CA77);
        x = (x ^ x >> 13).wrapping_mul(0xC2B2_AE3D);
        x ^= x >> 16;
        (x >> 8) as f32 * 2f32.powi(-24) - 0.5
    };
    (0..count).map(one).collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, step)
}

fn array(network: &Network, name: &str, shape: &[usize]) -> Tensor {
    let mut values = noise(name, shape.iter().product());
    let ends = |end: &str| name.ends_with(end);
    let fan_in: usize = shape.iter().skip(1).product();
    let (factor, offset) = match () {
        () if ends("/W") => ((24.0 / fan_in as f64).sqrt() as f32, 0.0),
        () if ends("/gamma") || ends("/avg_var") => (0.4, 0.7),
        () => (0.2, 0.0),
    };
    let scale = if name.starts_with(&format!("{}/", network.last)) { network.scale } else { 1.0 };
    values.iter_mut().for_each(|value| *value = (*value * factor + offset) * scale);
    Tensor::new(shape, values).unwrap()
}

/// The weights as Chainer saves them, below `prefix`.
fn weights(network: &Network, prefix: &str) -> Vec<(String, Tensor)> {
    let one = |(name, shape): (&String, &Vec<usize>)| {
        (format!("{prefix}{name}"), array(network, name, shape))
    };
    network.shapes.iter().map(one).collect()
}

fn imported(npz: Vec<u8>, architecture: &str) -> Result<sedge_import::Imported, String> {
    let mut source = Source::new("weights.npz", npz.into(), &Alone);
    source.architecture = Some(architecture);
    import(&source).map_err(|error| error.to_string())
}

fn answers_as_chainer(name: &str) {
    let network = network(name);
    let npz = write_npz(&weights(&network, "predictor/")).unwrap();
    let imported = imported(npz, &format!("chainer:{name}")).unwrap();
    let engine = Registry::new(None).engine("native").unwrap();
    let session = engine.load(Model::Graph(imported.graph), &LoadOptions { threads: 2 }).unwrap();
    let pixels = noise("x", 3 * 224 * 224).iter().map(|x| x * 40.0).collect();
    let x = Tensor::new([1, 3, 224, 224], pixels).unwrap();
    let got = session.run(&[x]).unwrap().remove(0);
    let want = parse_npy(&std::fs::read(folder().join(&network.prob)).unwrap().into()).unwrap();
    assert_eq!(got.shape(), want.shape());
    let (got, want) = (got.to_f32().unwrap(), want.to_f32().unwrap());
    for (got, want) in got.iter().zip(want.iter()) {
        assert!((got - want).abs() <= 1e-5 + 1e-4 * want, "{name}: {got} instead of {want}");
    }
}

#[test]
fn googlenet_answers_as_chainer() {
    answers_as_chainer("GoogLeNet");
}

#[test]
fn resnet_50_answers_as_chainer_wherever_it_steps() {
    answers_as_chainer("ResNet50Layers");
    answers_as_chainer("ResNet50Layers(downsample_fb=True)");
}

#[test]
#[ignore = "takes 3 GB and a minute: cargo test -p sedge-service --test chainer -- --ignored"]
fn the_large_networks_answer_as_chainer() {
    for name in ["ResNet101Layers", "ResNet152Layers", "VGG16Layers", "VGG19Layers"] {
        answers_as_chainer(name);
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let vector = |name: &str, length: usize| (name.to_owned(), Tensor::vector(vec![0f32; length]));
    let some = |arrays: &[(String, Tensor)]| write_npz(arrays).unwrap();
    let refused = |npz: Vec<u8>, architecture: &str| imported(npz, architecture).unwrap_err();
    let start = "cannot import the Chainer model: ";
    assert_eq!(
        refused(some(&[vector("conv1/W", 3)]), "chainer:ResNet50Layers"),
        format!("{start}'conv1/W' has the shape [3], the architecture needs [64, 3, 7, 7]")
    );
    assert_eq!(
        refused(some(&[vector("fc/W", 3)]), "chainer:ResNet50Layers"),
        format!("{start}the weights have no 'conv1/W', which the architecture needs")
    );
    assert_eq!(
        refused(some(&[vector("fc/W", 3)]), "chainer:AlexNet"),
        format!(
            "{start}the architecture 'AlexNet' is not known. Hint: use one of GoogLeNet, \
             ResNet50Layers, ResNet101Layers, ResNet152Layers, VGG16Layers, VGG19Layers, or an \
             ONNX file"
        )
    );
    let mut cut = some(&[vector("fc/W", 3)]);
    cut.truncate(cut.len() - 10);
    assert!(
        refused(cut, "chainer:VGG16Layers")
            .starts_with(&format!("{start}the archive of weights cannot be read: "))
    );
    let without = import(&Source::new("weights.npz", some(&[vector("fc/W", 3)]).into(), &Alone));
    let message = without.unwrap_err().to_string();
    assert!(message.starts_with(&format!("{start}weights alone are no network. Hint: say which")));
}

/// An ONNX file beside the weights.
struct Beside(Vec<u8>);

impl Siblings for Beside {
    fn names(&self) -> Vec<String> {
        vec!["net.onnx".to_owned()]
    }

    fn read(&self, name: &str) -> std::io::Result<Bytes> {
        match name {
            "net.onnx" => Ok(self.0.clone().into()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

#[test]
fn an_onnx_file_is_filled_by_name() {
    let models = folder().join("../models/resnet8-chainer");
    let onnx = std::fs::read(models.join("resnet8.onnx")).unwrap();
    let npz = Bytes::from(std::fs::read(models.join("resnet8.npz")).unwrap());
    let read = |npz: Bytes, architecture: &str, onnx: &[u8]| {
        let beside = Beside(onnx.to_vec());
        let mut source = Source::new("resnet8.npz", npz, &beside);
        source.architecture = Some(architecture);
        import(&source).map_err(|error| error.to_string())
    };
    let imported = read(npz.clone(), "net.onnx", &onnx).unwrap();
    let inputs: Vec<&str> =
        imported.graph.inputs.iter().map(|&id| imported.graph.value(id).name.as_str()).collect();
    assert_eq!((inputs, imported.beside), (vec!["x"], vec!["net.onnx".to_owned()]));

    let start = "cannot import the Chainer model: ";
    let mut arrays = sedge_import::npz::read(&npz).unwrap();
    arrays.push(("conv9/W".to_owned(), Tensor::scalar(1f32)));
    assert_eq!(
        read(write_npz(&arrays).unwrap().into(), "net.onnx", &onnx).unwrap_err(),
        format!(
            "{start}the architecture has no place for 1 of the arrays, such as 'conv9/W'. \
             Hint: its parameters must have the names of the arrays"
        )
    );
    assert_eq!(
        read(npz.clone(), "other.onnx", &onnx).unwrap_err(),
        format!("{start}the architecture 'other.onnx' cannot be read: entity not found")
    );
    let damaged = read(npz, "net.onnx", &onnx[..100]).unwrap_err();
    let about = format!("{start}the architecture 'net.onnx' cannot be read: not an ONNX file: ");
    assert!(damaged.starts_with(&about), "{damaged}");
}
