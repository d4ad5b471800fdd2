//! MXNet's networks whole, as its model zoo, GluonCV and SageMaker have them, against MXNet 1.9.1.
//!
//! Weights follow from their names by a formula (`tools/mxnet-references/make_networks.py`), so that the
//! archive holds graphs and a few numbers of each answer. A few networks run always, all of them with
//! `cargo test --release -p sedge-service --test networks -- --ignored --nocapture`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use sedge_engine::{LoadOptions, Model, Registry};
use sedge_graph::Dim;
use sedge_import::{Siblings, Source};
use sedge_tensor::Tensor;
use serde::Deserialize;

/// Part of an answer's mean size by which a number may differ: additions of f32 in another order.
const TOLERANCE: f32 = 1e-4;

/// Networks that take a moment each, one of every kind.
const SMALL: [&str; 8] = [
    "mobilenet0.25",
    "mobilenetv2_0.25",
    "resnet18_v1",
    "resnet18_v2",
    "squeezenet1.1",
    "sagemaker_imgclass_resnet18_4cls",
    "sagemaker_imgclass_resnet18_4cls_oldkeys",
    "yolo3_mobilenet1.0_coco",
];

#[derive(Deserialize)]
struct Network {
    name: String,
    input: Vec<usize>,
    weights: Vec<(String, Vec<usize>)>,
    outputs: Vec<Answer>,
    /// Of detectors: rows of class, score and corners, no two of which score alike.
    detections: Option<Vec<[f32; 6]>>,
}

#[derive(Deserialize)]
struct Answer {
    name: String,
    shape: Option<Vec<usize>>,
    /// Of detections: the column of scores, which are compared in order.
    column: Option<usize>,
    /// Mean of the numbers without their signs.
    size: f32,
    /// Numbers at even distances.
    samples: Vec<f32>,
}

/// A directory in memory.
struct Folder(BTreeMap<String, Bytes>);

impl Siblings for Folder {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn read(&self, name: &str) -> std::io::Result<Bytes> {
        Ok(self.0[name].clone())
    }
}

/// SplitMix64 from the FNV-1a hash of the name on, the upper 24 bits as numbers in [-1, 1).
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (1..=count as u64).map(move |step| {
        let z = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// A weight, or the input.
fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let numbers = uniform(name, shape.iter().product());
    if ends(&["_gamma", "_var"]) {
        numbers.map(|u| 1.0 + u * 0.125).collect()
    } else if ends(&["_beta", "_mean", "_bias"]) {
        numbers.map(|u| u * 0.125).collect()
    } else if ends(&["_weight"]) {
        let fan_in: usize = shape[1..].iter().product();
        let scale = (3.0 / fan_in as f32).sqrt();
        numbers.map(|u| u * scale).collect()
    } else {
        numbers.collect()
    }
}

/// A parameter file of these weights, as MXNet 1.x writes it.
fn params(weights: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let word = |file: &mut Vec<u8>, n: u64| file.extend(n.to_le_bytes());
    for n in [0x112, 0, weights.len() as u64] {
        word(&mut file, n);
    }
    for (name, shape) in weights {
        file.extend(0xF993_FAC9u32.to_le_bytes());
        file.extend([0u32, shape.len() as u32].map(u32::to_le_bytes).concat());
        shape.iter().for_each(|&n| word(&mut file, n as u64));
        file.extend([1u32, 0, 0].map(u32::to_le_bytes).concat());
        let (_, bare) = name.split_once(':').unwrap();
        file.extend(values(bare, shape).into_iter().flat_map(f32::to_le_bytes));
    }
    word(&mut file, weights.len() as u64);
    for (name, _) in weights {
        word(&mut file, name.len() as u64);
        file.extend(name.as_bytes());
    }
    file
}

fn check(network: &Network, symbol: Vec<u8>) -> Result<f32, String> {
    let weights = format!("{}-0000.params", network.name);
    let folder = Folder(BTreeMap::from([(weights, params(&network.weights).into())]));
    let main = format!("{}-symbol.json", network.name);
    let imported = sedge_import::import(&Source::new(&main, symbol.into(), &folder));
    let mut graph = imported.map_err(|error| error.to_string())?.graph;
    // Most files leave the size open; it is settled as a package does.
    let input = graph.inputs[0];
    graph.value_mut(input).shape = Some(network.input.iter().map(|&n| Dim::Fixed(n)).collect());
    sedge_graph::passes::simplify(&mut graph).map_err(|error| error.to_string())?;
    let engine = Registry::new(None).engine("auto").unwrap();
    let session = engine.load(Model::Graph(graph), &LoadOptions { threads: 2 });
    let session = session.map_err(|error| error.to_string())?;
    let picture = Tensor::new(network.input.clone(), values("data", &network.input)).unwrap();
    let outputs = session.run(&[picture]).map_err(|error| error.to_string())?;
    let mut worst = 0f32;
    for answer in &network.outputs {
        let at = session.outputs().iter().position(|info| info.name == answer.name);
        let output = &outputs[at.ok_or_else(|| format!("there is no output '{}'", answer.name))?];
        if answer.shape.as_ref().is_some_and(|shape| shape != output.shape()) {
            return Err(format!("'{}' is of shape {:?}", answer.name, output.shape()));
        }
        let mut numbers = output.to_f32().unwrap().into_owned();
        if let Some(column) = answer.column {
            let width = *output.shape().last().unwrap();
            numbers = numbers.chunks(width).map(|row| row[column]).collect();
            numbers.sort_by(|a, b| b.total_cmp(a));
        }
        let count = answer.samples.len();
        for (index, want) in answer.samples.iter().enumerate() {
            let got = numbers[index * (numbers.len() - 1) / (count - 1)];
            let off = (got - want).abs() / answer.size.max(want.abs());
            worst = if off > worst || off.is_nan() { off } else { worst };
        }
    }
    if let Some(wanted) = &network.detections {
        let found = detections(&outputs)?;
        for row in wanted {
            let off = row_off(row, &found)?;
            worst = if off > worst || off.is_nan() { off } else { worst };
        }
    }
    if worst <= TOLERANCE { Ok(worst) } else { Err(format!("off by {worst} of the mean size")) }
}

/// Rows of class, score and corners, which are one output or three.
fn detections(outputs: &[Tensor]) -> Result<Vec<[f32; 6]>, String> {
    let numbers = |output: &Tensor| output.to_f32().unwrap().into_owned();
    if let Some(rows) = outputs.iter().find(|output| output.shape().last() == Some(&6)) {
        return Ok(numbers(rows).as_chunks::<6>().0.to_vec());
    }
    let [classes, scores, corners] = outputs else { return Err("no detections".into()) };
    let corners = numbers(corners);
    let rows = numbers(classes).into_iter().zip(numbers(scores)).zip(corners.as_chunks::<4>().0);
    Ok(rows.map(|((class, score), &[a, b, c, d])| [class, score, a, b, c, d]).collect())
}

/// How far the row of the nearest score is from the one that is wanted, as a part of its size.
fn row_off(want: &[f32; 6], found: &[[f32; 6]]) -> Result<f32, String> {
    let apart = |row: &[f32; 6]| (row[1] - want[1]).abs();
    let real = found.iter().filter(|row| row[0] >= 0.0);
    let nearest = real.min_by(|a, b| apart(a).total_cmp(&apart(b)));
    let nearest = nearest.ok_or("nothing is detected")?;
    if nearest[0] != want[0] {
        return Err(format!("{want:?} is detected as {nearest:?}"));
    }
    let size = want[2..].iter().fold(1f32, |size, corner| size.max(corner.abs()));
    let corners = nearest[2..].iter().zip(&want[2..]).map(|(a, b)| (a - b).abs() / size);
    Ok(corners.fold(apart(nearest) / want[1].abs(), |off, part| {
        if part > off || part.is_nan() { part } else { off }
    }))
}

fn run(wanted: impl Fn(&str) -> bool) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/mxnet_networks.zip");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    let networks: Vec<Network> =
        serde_json::from_reader(archive.by_name("index.json").unwrap()).unwrap();
    assert!(networks.len() > 40, "only {} networks were found", networks.len());
    let mut faults = Vec::new();
    for network in networks.iter().filter(|network| wanted(&network.name)) {
        let mut symbol = Vec::new();
        let name = format!("{}-symbol.json", network.name);
        archive.by_name(&name).unwrap().read_to_end(&mut symbol).unwrap();
        match check(network, symbol) {
            Ok(worst) => println!("  {:45} off by {worst:.1e}", network.name),
            Err(why) => faults.push(format!("{}: {why}", network.name)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_network_of_every_kind_answers_as_in_mxnet() {
    run(|name| SMALL.contains(&name));
}

#[test]
#[ignore = "minutes, and gigabytes of weights"]
fn every_network_answers_as_in_mxnet() {
    run(|_| true);
}
