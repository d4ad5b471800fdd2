//! Requests that are computed together have the answers that they have alone.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use sedge_engine::Registry;
use sedge_graph::{Dim, Graph, Value, onnx};
use sedge_service::{LoadOptions, Pipeline, Request, Response, Runner, RunnerError};
use sedge_tensor::{DType, Tensor};

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

fn open(path: &Path, max_batch: usize) -> Pipeline {
    let options = LoadOptions { max_batch, threads: 1, ..LoadOptions::default() };
    Pipeline::open(path, &[], &Registry::new(None), &options).unwrap()
}

fn picture(name: &str) -> Request {
    Request::picture("test", std::fs::read(testdata(name)).unwrap().into())
}

fn near(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    for (a, b) in left.iter().zip(right) {
        assert!((a - b).abs() <= 1e-5 + 1e-4 * b.abs(), "{a} {b}");
    }
}

fn same(together: &Response, alone: &Response) {
    for ((name, left), (other, right)) in together.outputs.iter().zip(&alone.outputs) {
        assert_eq!((name, left.shape()), (other, right.shape()));
        near(&left.to_f32().unwrap(), &right.to_f32().unwrap());
    }
    assert_eq!(together.prediction.is_some(), alone.prediction.is_some());
    if let (Some(left), Some(right)) = (&together.prediction, &alone.prediction) {
        let classes = |prediction: &sedge_service::Prediction| {
            let classes = prediction.classes.iter().flatten();
            classes.map(|class| (class.index, class.score)).collect::<Vec<_>>()
        };
        let (left, right) = (classes(left), classes(right));
        let split = |all: &[(usize, f32)]| all.iter().copied().unzip::<_, _, Vec<_>, Vec<_>>();
        assert_eq!(split(&left).0, split(&right).0);
        near(&split(&left).1, &split(&right).1);
    }
    near(
        together.probabilities.as_deref().unwrap_or_default(),
        alone.probabilities.as_deref().unwrap_or_default(),
    );
}

/// A graph `x[rows, 3] -> y[rows, 3]`, written and opened.
fn made(build: impl FnOnce(&mut Graph, sedge_graph::ValueId) -> sedge_graph::ValueId) -> Graph {
    let mut graph = Graph::default();
    let shape = Some(vec![Dim::Symbol("rows".into()), Dim::Fixed(3)]);
    let x = graph.add_value(Value {
        name: "x".into(),
        dtype: Some(DType::F32),
        shape: shape.clone(),
        ..Value::default()
    });
    graph.inputs.push(x);
    let y = build(&mut graph, x);
    let value = graph.value_mut(y);
    value.dtype = Some(DType::F32);
    value.shape = shape;
    graph.outputs.push(y);
    graph
}

fn file(graph: &Graph) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    std::fs::write(&path, onnx::write(graph)).unwrap();
    (directory, path)
}

fn rows(rows: usize, first: f32) -> Request {
    let values = (0..rows * 3).map(|i| first + i as f32).collect::<Vec<f32>>();
    Request::tensors("test", vec![("x".into(), Tensor::new([rows, 3], values).unwrap())])
}

/// Both times: the trial that answers one by one, and together.
fn twice(pipeline: &Pipeline, requests: &[&Request]) {
    let alone: Vec<_> = requests.iter().map(|request| pipeline.run(request)).collect();
    for round in 0..2 {
        let together = pipeline.run_batch(requests);
        assert_eq!(together.len(), alone.len());
        for (together, alone) in together.iter().zip(&alone) {
            match (together, alone) {
                (Ok(together), Ok(alone)) => same(together, alone),
                (together, alone) => {
                    let (Err(left), Err(right)) = (together, alone) else { panic!("{round}") };
                    assert_eq!(left, right);
                }
            }
        }
    }
}

#[test]
fn pictures_have_the_answers_that_they_have_alone() {
    let pipeline = open(&testdata("models/resnet8-cifar10"), 8);
    let mut requests: Vec<Request> = ["bird.png", "chelsea.png", "rocket.jpg", "parrot.jpg"]
        .iter()
        .map(|name| picture(&format!("images/{name}")))
        .collect();
    requests[1].selection.top_k = Some(2);
    requests[2].explain = true;
    requests.insert(2, Request::picture("test", b"no picture".as_slice().into()));
    requests.push(rows(1, 0.0));
    let all: Vec<_> = requests.iter().collect();
    twice(&pipeline, &all);
    let answers = pipeline.run_batch(&all);
    assert!(matches!(answers[2], Err(RunnerError::Picture(_))));
    assert!(matches!(answers[5], Err(RunnerError::Tensors(_))));
    let inference: Vec<_> =
        answers.iter().flatten().map(|response| response.timings_us.inference).collect();
    assert!(inference.windows(2).all(|pair| pair[0] == pair[1]), "one run: {inference:?}");
}

#[test]
fn a_run_has_no_more_rows_than_allowed() {
    let (_directory, path) = file(&made(|graph, x| graph.node("Abs").input(x).output("y")));
    let pipeline = open(&path, 4);
    let requests = [rows(2, 1.0), rows(3, 2.0), rows(9, 3.0), rows(1, 4.0), rows(2, -1.0)];
    twice(&pipeline, &requests.iter().collect::<Vec<_>>());
    let answers = pipeline.run_batch(&requests.iter().collect::<Vec<_>>());
    let rows: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().unwrap().outputs[0].1.shape()[0]).collect();
    assert_eq!(rows, [2, 3, 9, 1, 2]);
}

/// Files leave the first dimension open and mix the rows all the same.
#[test]
fn models_that_mix_rows_are_noticed() {
    let mean = |graph: &mut Graph, x| {
        let axes = Tensor::vector(vec![0i64]);
        let mean = graph.node("ReduceMean").input(x).constant(axes).output("mean");
        graph.node("Sub").input(x).input(mean).output("y")
    };
    let (_directory, path) = file(&made(mean));
    let pipeline = open(&path, 8);
    let requests = [rows(1, 1.0), rows(1, 50.0), rows(2, 0.0)];
    twice(&pipeline, &requests.iter().collect::<Vec<_>>());
    // Equal rows prove nothing.
    let pipeline = open(&path, 8);
    let equal = [rows(1, 1.0), rows(1, 1.0)];
    twice(&pipeline, &equal.iter().collect::<Vec<_>>());
    twice(&pipeline, &requests.iter().collect::<Vec<_>>());
}
