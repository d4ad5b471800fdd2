//! `sedge bench` from outside: what it reports fits together. Never how long anything took.
#![allow(clippy::unwrap_used)]

mod program;

use std::io::Write;
use std::process::{Output, Stdio};

use program::text;
use serde_json::Value;

const MODEL: &str = "testdata/models/vww96-int8";
const QUICK: [&str; 4] = ["--rounds", "2", "--seconds", "0.02"];

fn command(arguments: &[&str]) -> std::process::Command {
    program::command(&[&["bench"][..], arguments].concat())
}

fn bench(arguments: &[&str]) -> Output {
    command(&[arguments, &QUICK[..]].concat()).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)))
}

#[test]
fn every_variant_and_concurrency_is_reported_once() {
    let pictures = ["testdata/images/cat_720p.jpg", "testdata/images/face.jpg"];
    let flags = ["--threads", "1,2", "--concurrency", "1,3", "--format", "json"];
    let report = json(&bench(&[&[MODEL][..], &pictures, &flags].concat()));
    assert_eq!(report["schema"], 1);
    assert_eq!((&report["images"], &report["rounds"]), (&2.into(), &2.into()));
    assert!(report["machine"]["cores"].as_u64() > Some(0));
    let variants = report["variants"].as_array().unwrap();
    let threads: Vec<_> = variants.iter().map(|v| v["threads"].as_u64().unwrap()).collect();
    assert_eq!(threads, [1, 2]);
    for variant in variants {
        assert_eq!(variant["engine"], "native", "it is told what auto stands for");
        let memory = &variant["memory_kib"];
        assert!(memory["most"].as_u64() >= memory["loaded"].as_u64());
        let runs = variant["runs"].as_array().unwrap();
        let concurrency: Vec<_> = runs.iter().map(|r| r["concurrency"].as_u64().unwrap()).collect();
        assert_eq!(concurrency, [1, 3]);
        for run in runs {
            let at = |name: &str| run["latency_us"][name].as_f64().unwrap();
            assert!(at("min") <= at("p50") && at("p50") <= at("p90") && at("p90") <= at("p99"));
            assert!(at("min") > 0.0 && at("mean") >= at("min"), "{run}");
            assert_eq!(run["rounds"].as_array().unwrap().len(), 2);
            // Each thread of each round answers at least once.
            assert!(run["count"].as_u64() >= run["concurrency"].as_u64().map(|c| 2 * c));
            assert!(run["throughput_per_s"].as_f64() > Some(0.0));
            assert!(run["stages_us"]["decode"].as_u64() > Some(0), "{run}");
        }
    }
}

#[test]
fn without_pictures_inference_alone_is_measured() {
    let report = json(&bench(&[MODEL, "--format", "json"]));
    assert_eq!(report["images"], 0);
    assert_eq!(report["variants"][0]["runs"][0]["stages_us"], Value::Null);
}

#[test]
fn tables_and_plots_show_the_variants() {
    let directory = tempfile::tempdir().unwrap();
    let plot = directory.path().join("plot.png");
    let output = bench(&[MODEL, "--threads", "1,2", "--plot", plot.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert_eq!(table.lines().filter(|line| line.starts_with("native")).count(), 4, "{table}");
    assert!(std::fs::read(plot).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn mistakes_are_told_before_anything_is_measured() {
    for (arguments, code, word) in [
        (vec![MODEL, "--threads", "0"], 2, "threads"),
        (vec![MODEL, "--concurrency", "1,x"], 2, "--concurrency"),
        (vec![MODEL, "--seconds", "nan"], 2, "--seconds"),
        (vec![MODEL, "--engine", "warp"], 2, "warp"),
        (vec![MODEL, "--plot", "plot.svg"], 1, "ends in .png"),
        (vec![MODEL, "--plot", "no/plot.png"], 1, "no directory no"),
        (vec!["no/model"], 1, "no/model"),
        (vec![MODEL, "-"], 1, "Hint: name a file"),
        (vec![MODEL, "no/picture.jpg"], 1, "no/picture.jpg"),
        (vec![MODEL, "testdata/images/malformed/bad_crc_idat.png"], 1, "bad_crc_idat.png"),
        (
            vec!["testdata/models/mobilenet-v1-onnx/model.onnx", "testdata/images/face.jpg"],
            1,
            "--mean",
        ),
    ] {
        let output = command(&arguments).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(word), "{arguments:?}: {error}");
        assert_eq!(error.matches("error:").count(), 1, "{error}");
    }
}

/// The protocol that `bench/` speaks with it.
#[test]
fn a_worker_answers_what_it_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut worker = command(&[MODEL, "--worker", "native:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asks = format!(
        "{{\"run\":{{\"seconds\":0.01,\"concurrency\":1}}}}\n{{\"outputs\":{:?}}}\n",
        directory.path()
    );
    worker.stdin.take().unwrap().write_all(asks.as_bytes()).unwrap();
    let output = worker.wait_with_output().unwrap();
    let says: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(says[0]["ready"]["load_ms"].is_number(), "{says:?}");
    assert!(!says[1]["ran"]["nanos"].as_array().unwrap().is_empty());
    assert_eq!(says[2]["written"], 1);
    assert_eq!(std::fs::read(directory.path().join("output-0.f32")).unwrap().len(), 2 * 4);
}
