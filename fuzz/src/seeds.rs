//! Where fuzzing starts: real files of `testdata/`, and inputs written by hand.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use sedge_graph::{onnx, passes};
use sedge_package::Package;
use sedge_tensor::Tensor;
use serde_json::{Value, json};

use crate::Target;

/// Requests and manifests of this size or less are all worth having; so are most tiny models.
const MAX_SEED_BYTES: u64 = 8 << 10;

/// The inputs a target starts from, named.
pub fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    match target.name {
        "image" => files("images", &["jpg", "png", "gif"]),
        "tflite" => {
            [files("tflite_ops", &["tflite"]), packed("tflite_cases.zip", ".tflite")].concat()
        }
        "onnx" => written_as_onnx(),
        "tensorflow" => packed("tensorflow_ops.zip", ".pb"),
        "variables" => saved_models(),
        "npz" => weights(),
        "mxnet" => mxnet_operators(),
        "manifest" => manifests(),
        "archive" => archives(),
        "signature" => crate::signature::seeds(),
        "sagemaker" => invocations(),
        "oip" => inferences(),
        "group" => definitions(),
        "mqtt" => crate::mqtt::seeds(),
        "spool" => crate::spool::seeds(),
        _ => Vec::new(),
    }
}

/// Groups of Greengrass V1, and each of their definitions alone.
fn definitions() -> Vec<(String, Vec<u8>)> {
    let mut found = files("greengrass", &["json"]);
    for (name, bytes) in found.clone() {
        let Ok(Value::Object(whole)) = serde_json::from_slice(&bytes) else { continue };
        for (key, part) in &whole {
            found.push(named(&format!("{name}-{key}"), json!({ key: part }).to_string()));
            // Of a template, each resource.
            for (inner, resource) in part.as_object().into_iter().flatten() {
                let alone = json!({ key: { inner: resource } });
                found.push(named(&format!("{name}-{key}-{inner}"), alone.to_string()));
            }
        }
    }
    found
}

/// `testdata/` of the source tree this crate was built from.
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

fn named(name: &str, bytes: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (name.to_owned(), bytes.into())
}

/// Small files below a directory, by the ends of their names.
fn files(below: &str, extensions: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![testdata().join(below)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if extensions.contains(&&*extension)
                && entry.metadata().is_ok_and(|metadata| metadata.len() <= MAX_SEED_BYTES)
            {
                let name = path.strip_prefix(testdata()).unwrap_or(&path).to_string_lossy();
                let bytes = fs::read(&path).unwrap_or_default();
                found.push((name.replace('/', "_"), bytes));
            }
        }
    }
    found.sort();
    found
}

/// Files of an archive below `testdata/`, by the ends of their names.
fn packed(archive: &str, end: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(file) = fs::File::open(testdata().join(archive)) else { return Vec::new() };
    let Ok(mut archive) = zip::ZipArchive::new(file) else { return Vec::new() };
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let Ok(mut entry) = archive.by_index(index) else { continue };
        let Ok(name) = entry.name().map(std::borrow::Cow::into_owned) else { continue };
        let mut bytes = Vec::new();
        if name.ends_with(end) && entry.read_to_end(&mut bytes).is_ok() {
            found.push((name, bytes));
        }
    }
    found
}

/// The saved models that are small, whole and in parts.
fn saved_models() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for name in ["module", "session", "session_resources"] {
        let read = |file: &str| fs::read(testdata().join("saved_models").join(name).join(file));
        let (Ok(graph), Ok(index), Ok(data)) = (
            read("saved_model.pb"),
            read("variables/variables.index"),
            read("variables/variables.data-00000-of-00001"),
        ) else {
            continue;
        };
        found.push((name.to_owned(), crate::variables::joined(&graph, &index, &data)));
        for cut in 1..8 {
            let part = |whole: &[u8]| whole[..whole.len() * cut / 8].to_vec();
            let joined = crate::variables::joined;
            found.push((format!("{name}-graph-{cut}"), joined(&part(&graph), &index, &data)));
            found.push((format!("{name}-index-{cut}"), joined(&graph, &part(&index), &data)));
            found.push((format!("{name}-data-{cut}"), joined(&graph, &index, &part(&data))));
        }
    }
    found
}

/// Weights for the network of [`crate::npz`], right and wrong, and cut off.
fn weights() -> Vec<(String, Vec<u8>)> {
    let matrix = |rows: usize| Tensor::new([rows, 4], vec![0.5f32; 4 * rows]).ok();
    let vector = Some(Tensor::vector(vec![1f32; 3]));
    let mut found = Vec::new();
    for (name, prefix, rows) in [("plain", "", 3), ("below", "predictor/", 3), ("wrong", "", 2)] {
        let named =
            |part: &str, tensor: Option<Tensor>| Some((format!("{prefix}fc/{part}"), tensor?));
        let arrays = [named("W", matrix(rows)), named("b", vector.clone())];
        let arrays: Vec<_> = arrays.into_iter().flatten().collect();
        let Ok(whole) = sedge_package::write_npz(&arrays) else { continue };
        for cut in 1..=8 {
            found.push((format!("{name}-{cut}.npz"), whole[..whole.len() * cut / 8].to_vec()));
        }
    }
    found
}

/// The TensorFlow Lite operators as the importer writes them, with and without Sedge's own.
fn written_as_onnx() -> Vec<(String, Vec<u8>)> {
    let mut written = Vec::new();
    let mut open = vec![testdata().join("tflite_ops")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(package) = Package::open(&entry.path(), &[]) else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut graph = package.graph;
            written.push((format!("{name}.onnx"), onnx::write(&graph)));
            if passes::expand(&mut graph).is_ok() {
                written.push((format!("{name}.plain.onnx"), onnx::write(&graph)));
            }
        }
    }
    written.retain(|(_, bytes)| bytes.len() as u64 <= MAX_SEED_BYTES);
    written.sort();
    written
}

/// MXNet's operators, each a symbol with its parameters behind it.
fn mxnet_operators() -> Vec<(String, Vec<u8>)> {
    let params = packed("mxnet_ops.zip", "-0000.params");
    let mut symbols = packed("mxnet_ops.zip", "-symbol.json");
    for (name, bytes) in &mut symbols {
        let weights = name.replace("-symbol.json", "-0000.params");
        let weights = params.iter().filter(|(name, _)| *name == weights);
        weights.for_each(|(_, weights)| bytes.extend(weights));
    }
    symbols.retain(|(_, bytes)| bytes.len() as u64 <= MAX_SEED_BYTES);
    symbols
}

/// One manifest per form of decoder, for the models that [`crate::manifest`] lays beside it.
fn manifests() -> Vec<(String, Vec<u8>)> {
    let input = "[[input]]\nkind = \"image\"\nwidth = 16\nheight = 16\nlayout = \"nchw\"\n\
                 dtype = \"f32\"\ncolor = \"rgb\"\nresize = \"letterbox\"\nfilter = \
                 \"opencv-linear\"\nmean = [0.0, 0.5, 1.0]\nstd = [255.0]\n";
    let anchors = "maps = [[2, 2]]\nsizes = [[0.2, 0.4]]\naspect_ratios = [[1.0]]\n";
    let cases = [
        ("classes", "classes", "kind = \"classes\"\nactivation = \"softmax\"\n".to_owned()),
        ("rows", "rows", "kind = \"detection-rows\"\ncolumns = \"corners-score-class\"\n".into()),
        ("gluon", "gluon", "kind = \"ids-scores-boxes\"\nscore_threshold = 0.1\n".into()),
        ("tflite", "tflite", "kind = \"tflite-detection\"\n".into()),
        ("tensor", "classes", "kind = \"tensor\"\n".into()),
        (
            "ssd",
            "ssd",
            format!(
                "kind = \"ssd-anchors\"\nbox_form = \"center-variance\"\nbackground = 0\n\
                 nms = {{ scope = \"class-agnostic\", iou_threshold = 0.4 }}\n\
                 [decoder.anchors]\n{anchors}"
            ),
        ),
        (
            "grid",
            "grid",
            "kind = \"grid\"\nlayout = \"maps-nchw\"\nbox_form = \"tanh-sigmoid\"\n\
             fields = \"objectness-box-classes\"\nscore_form = \"weighted\"\n\
             nms = { iou_threshold = 0.45, add_pixel = \"picture\" }\n"
                .into(),
        ),
    ];
    let mut manifests: Vec<_> = cases
        .into_iter()
        .map(|(name, file, decoder)| {
            let model = format!(
                "schema = 1\n[model]\nname = \"{name}\"\nfiles = [\"{file}.onnx\"]\n\
                 labels = \"labels.txt\"\nlabel_offset = 1\n{input}[decoder]\n{decoder}"
            );
            (format!("{name}.toml"), model.into_bytes())
        })
        .collect();
    manifests.extend(files("models", &["toml"]));
    for (name, decoder) in files("decoders", &["toml"]) {
        let text = String::from_utf8_lossy(&decoder);
        let model = format!(
            "schema = 1\nmodel = {{ files = [\"ssd.onnx\"], labels = [\"a\", \"b\"] }}\n{input}\
             [decoder]\n{text}"
        );
        manifests.push((name, model.into_bytes()));
    }
    manifests
}

/// A package in every kind of archive.
fn archives() -> Vec<(String, Vec<u8>)> {
    let model = fs::read(testdata().join("tflite_ops/average_pool_u8_2_0.tflite"));
    let manifest = "schema = 1\n[model]\nfiles = [\"m.tflite\"]\nlabels = \"labels.txt\"\n\
                    [[input]]\nkind = \"tensor\"\n[decoder]\nkind = \"tensor\"\n";
    let files = [
        ("model.toml", manifest.as_bytes().to_vec()),
        ("m.tflite", model.unwrap_or_default()),
        ("labels.txt", b"cat\ndog\n".to_vec()),
    ];
    let mut archives = Vec::new();
    for prefix in ["", "package/"] {
        let kind = if prefix.is_empty() { "flat" } else { "nested" };
        let tar = tar(prefix, &files);
        archives.push((format!("{kind}.tar.gz"), gzip(&tar)));
        archives.push((format!("{kind}.tar"), tar));
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            archives.push((format!("{kind}-{method}.zip"), zip(prefix, &files, method)));
        }
    }
    archives.push(("neo.tar".into(), neo_tar()));
    archives.push(("climbing.tar".into(), climbing_tar()));
    archives.push(("link.tar".into(), link_tar()));
    archives
}

fn tar(prefix: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let _ = archive.append_data(&mut header, format!("{prefix}{name}"), &bytes[..]);
    }
    archive.into_inner().unwrap_or_default()
}

/// A package of the Neo compiler without its library.
fn neo_tar() -> Vec<u8> {
    let names = ["compiled.meta", "compiled.params", "compiled_model.json"];
    let read = |name| fs::read(testdata().join("neo/three_inputs").join(name)).unwrap_or_default();
    tar("neo/", &names.map(|name| (name, read(name))))
}

fn climbing_tar() -> Vec<u8> {
    let mut archive = tar(&"a".repeat(9), &[("/model.toml", b"schema = 1".to_vec())]);
    archive[..12].copy_from_slice(b"../../../mo\0");
    let sum: u32 = archive[..512].iter().enumerate().map(checksum_byte).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive
}

/// The checksum's own field counts as spaces (POSIX.1-1988, ustar).
fn checksum_byte((at, byte): (usize, &u8)) -> u32 {
    if (148..156).contains(&at) { 32 } else { u32::from(*byte) }
}

fn link_tar() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    let _ = archive.append_link(&mut header, "model.toml", "/etc/hostname");
    archive.into_inner().unwrap_or_default()
}

fn zip(prefix: &str, files: &[(&str, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in files {
        let _ = archive.start_file(format!("{prefix}{name}"), options);
        let _ = archive.write_all(bytes);
    }
    archive.finish().map(Cursor::into_inner).unwrap_or_default()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn invocations() -> Vec<(String, Vec<u8>)> {
    let picture = fs::read(testdata().join("images/tiny_1x1.png")).unwrap_or_default();
    let request = |head: &str, body: &[u8]| [head.as_bytes(), b"\n\n", body].concat();
    let predictions = "accept: application/vnd.sedge.prediction+json";
    vec![
        ("plain".into(), request("content-type: image/png", &picture)),
        ("prediction".into(), request(predictions, &picture)),
        ("gzip".into(), request("content-encoding: gzip", &gzip(&picture))),
        ("deflate".into(), request("content-encoding: deflate", &zlib(&picture))),
        (
            "encodings".into(),
            request("content-encoding: br\naccept-encoding: gzip;q=0.5, *;q=0", &picture),
        ),
        (
            "identified".into(),
            request(
                "x-amzn-sagemaker-inference-id: cat-7\ntraceparent: \
                 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nx-request-id: a",
                &picture,
            ),
        ),
        ("not-accepted".into(), request("accept: text/csv;q=0.1, */*;q=0", &picture)),
        ("other".into(), request("POST /endpoints/%65cho/invocations", &picture)),
        ("ping".into(), request("GET /ping", b"")),
        ("not-a-picture".into(), request("content-type: image/jpeg; a=b", b"{\"instances\": []}")),
    ]
}

fn inferences() -> Vec<(String, Vec<u8>)> {
    let json = |text: &str| [b"\n\n", text.as_bytes()].concat();
    let split = |text: &str, binary: &[u8]| {
        let head = format!("inference-header-content-length: {}\n\n", text.len());
        [head.as_bytes(), text.as_bytes(), binary].concat()
    };
    let mut requests = vec![
        named("empty", json("{\"inputs\": []}")),
        named(
            "nested",
            json(
                r#"{"id": "7", "inputs": [{"name": "i32", "shape": [1, 2], "datatype": "INT32", "data": [[1, -2]]}], "outputs": [{"name": "i32", "parameters": {"binary_data": true}}]}"#,
            ),
        ),
        named(
            "classification",
            json(
                r#"{"parameters": {"timeout": 1000000}, "inputs": [{"name": "f32", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 2e-1, 3]}], "outputs": [{"name": "f32", "parameters": {"classification": 2}}]}"#,
            ),
        ),
        named(
            "text",
            json(
                r#"{"inputs": [{"name": "string", "shape": [2], "datatype": "BYTES", "data": ["a\u00e9", "\ud83d\ude00"]}]}"#,
            ),
        ),
        named(
            "binary-text",
            split(
                r#"{"inputs": [{"name": "string", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}], "parameters": {"binary_data_output": true}}"#,
                b"\x01\0\0\0a\0\0\0\0",
            ),
        ),
        named(
            "shared-memory",
            json(
                r#"{"inputs": [{"name": "u8", "shape": [1], "datatype": "UINT8", "parameters": {"shared_memory_region": "r"}}]}"#,
            ),
        ),
        named("raw", "inference-header-content-length: 0\n\n\x01\x02\x03"),
        named(
            "picture",
            split(
                r#"{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 7}}]}"#,
                b"\x03\0\0\0abc",
            ),
        ),
        named("picture-raw", "POST /v2/models/pictures/infer\n\n{\"inputs\": []}"),
        named("deep", json(&("[".repeat(200) + "1"))),
        named(
            "compressed",
            [b"content-encoding: gzip\n\n", &gzip(b"{\"inputs\": []}")[..]].concat(),
        ),
    ];
    for path in ["/v2", "/v2/health/ready", "/v2/models/echo", "/v2/models/pictures/config"] {
        requests.push(named(&path.replace('/', "_"), format!("GET {path}\n\n")));
    }
    for (name, datatype, size) in [
        ("bool", "BOOL", 1),
        ("u8", "UINT8", 1),
        ("i8", "INT8", 1),
        ("i16", "INT16", 2),
        ("u32", "UINT32", 4),
        ("i64", "INT64", 8),
        ("f16", "FP16", 2),
        ("bf16", "BF16", 2),
        ("f64", "FP64", 8),
    ] {
        let head = format!(
            r#"{{"inputs": [{{"name": "{name}", "shape": [2, 1], "datatype": "{datatype}", "parameters": {{"binary_data_size": {}}}}}]}}"#,
            2 * size
        );
        requests.push(named(&format!("binary-{name}"), split(&head, &vec![1; 2 * size])));
        let data = r#""data": [1, 0]"#;
        let text = format!(
            r#"{{"inputs": [{{"name": "{name}", "shape": [2, 1], "datatype": "{datatype}", {data}}}]}}"#
        );
        requests.push(named(&format!("json-{name}"), json(&text)));
    }
    requests
}
