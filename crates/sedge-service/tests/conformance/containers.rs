//! The same network in its several containers: the same pictures give the same numbers.

use std::path::Path;

use sedge_engine::{LoadOptions, Model, Registry};
use sedge_package::{InputSpec, Package};
use sedge_tensor::Tensor;
use sedge_vision::{DecodeLimits, decode, preprocess};

use crate::{testdata, version};

/// Largest difference between two containers, of any number of any output.
const TOLERANCE: f32 = 1e-4;

struct Network {
    name: &'static str,
    /// Packages below `testdata/models`, the one all others are compared with first.
    packages: &'static [&'static str],
    pictures: &'static [&'static str],
}

const NETWORKS: &[Network] = &[
    Network {
        name: "ResNet-8",
        packages: &[
            "resnet8-cifar10",
            "resnet8-onnx",
            "resnet8-tensorflow",
            "resnet8-saved-model",
            "mxnet-resnet8",
            "resnet8-chainer",
        ],
        pictures: &["bird.png", "cat_720p.jpg", "rocket.jpg"],
    },
    Network {
        name: "MobileNet v1 0.25",
        packages: &[
            "mobilenet-v1-0-25-224",
            "mobilenet-v1-onnx",
            "mobilenet-v1-tensorflow",
            "mxnet-mobilenet-v1",
        ],
        pictures: &["grace_hopper_q90.jpg", "parrot.jpg", "chelsea_exif6.jpg"],
    },
    Network {
        name: "MobileNet of visual wake words",
        packages: &["vww96", "vww96-onnx", "vww96-tensorflow", "mxnet-vww96"],
        pictures: &["astronaut.png", "face.jpg", "coffee.png"],
    },
    Network {
        name: "face mask SSD",
        packages: &["face-mask", "face-mask-tensorflow", "mxnet-face-mask"],
        pictures: &["face.jpg", "astronaut.png", "cat_720p.jpg"],
    },
];

/// The outputs of a package for some pictures, each prepared as the package says. Containers name
/// and order outputs differently: what is compared is put in the order of their sizes.
fn answers(engine: &str, package: &str, pictures: &[&str]) -> Result<Vec<Vec<Tensor>>, String> {
    let directory = testdata().join("models").join(package);
    let package = Package::open(&directory, &[]).map_err(|error| error.to_string())?;
    let (inputs, _) = package.pipeline().map_err(|error| error.to_string())?;
    let [InputSpec::Image(spec)] = inputs.as_slice() else {
        return Err("it does not take one picture".into());
    };
    let registry = Registry::new(None);
    let engine = registry.engine(engine).map_err(|error| error.to_string())?;
    let session = engine.load(Model::Graph(package.graph), &LoadOptions::default());
    let session = session.map_err(|error| error.to_string())?;
    let answer = |picture: &&str| {
        let bytes = std::fs::read(testdata().join("images").join(picture)).unwrap();
        let picture = decode(&bytes, &DecodeLimits::default()).map_err(|e| e.to_string())?;
        let input = preprocess(&picture, spec).map_err(|e| e.to_string())?.tensor;
        let mut outputs = session.run(&[input]).map_err(|e| e.to_string())?;
        outputs.sort_by_key(Tensor::len);
        Ok(outputs)
    };
    pictures.iter().map(answer).collect()
}

/// The largest difference between outputs that have to have the same numbers in the same order.
fn difference(first: &[Tensor], other: &[Tensor]) -> Result<f32, String> {
    let shapes = |outputs: &[Tensor]| -> Vec<Vec<usize>> {
        outputs.iter().map(|output| output.shape().to_vec()).collect()
    };
    let lengths = |outputs: &[Tensor]| -> Vec<usize> { outputs.iter().map(Tensor::len).collect() };
    if lengths(first) != lengths(other) {
        return Err(format!("outputs {:?} and {:?}", shapes(first), shapes(other)));
    }
    let mut largest = 0.0f32;
    for (first, other) in first.iter().zip(other) {
        let (first, other) = (first.to_f32().unwrap(), other.to_f32().unwrap());
        for (a, b) in first.iter().zip(other.iter()) {
            let apart = (a - b).abs();
            // NaN is the largest of all, which `max` would pass over.
            largest = if largest.is_nan() || apart <= largest { largest } else { apart };
        }
    }
    Ok(largest)
}

fn agree(engine: &str) {
    let Some(version) = version(&Registry::new(None), engine) else { return };
    let mut faults = Vec::new();
    println!("engine {engine} {version}, largest difference to the first container:");
    for network in NETWORKS {
        let [first, others @ ..] = network.packages else { continue };
        let first = answers(engine, first, network.pictures).unwrap();
        for other in others {
            let apart = answers(engine, other, network.pictures).and_then(|answers| {
                let pairs = first.iter().zip(&answers).map(|(a, b)| difference(a, b));
                pairs.collect::<Result<Vec<f32>, _>>()
            });
            match apart {
                Ok(apart) => {
                    let shown: Vec<_> = apart.iter().map(|apart| format!("{apart:.1e}")).collect();
                    println!("  {:32} {other:24} {}", network.name, shown.join("  "));
                    if !apart.iter().all(|apart| *apart <= TOLERANCE) {
                        faults.push(format!("{other} is {} from the first", shown.join(", ")));
                    }
                }
                Err(why) => faults.push(format!("{other}: {why}")),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_network_answers_the_same_from_every_container() {
    agree("auto");
}

#[test]
#[cfg(feature = "onnxruntime")]
fn a_network_answers_the_same_from_every_container_in_onnxruntime() {
    agree("onnxruntime");
}

#[test]
fn every_container_is_another_file() {
    for network in NETWORKS {
        let file = |package: &&str| {
            let directory: &Path = &testdata().join("models").join(package);
            Package::open(directory, &[]).unwrap().format.name().to_owned()
        };
        let mut formats: Vec<String> = network.packages.iter().map(file).collect();
        formats.sort();
        formats.dedup();
        assert_eq!(formats.len(), network.packages.len(), "{}: {formats:?}", network.name);
    }
}
