//! Directories, archives and files in which a model comes, and those in which none is.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sedge_package::{Backend, Neo, Package, PackageError};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

fn model() -> Vec<u8> {
    std::fs::read(testdata("tflite_ops/abs.tflite")).unwrap()
}

/// A tar archive without entries for directories.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn open(name: &str, bytes: &[u8]) -> Result<Package, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let place = format!("{}/", directory.path().display());
    Package::open(&path, &[]).map_err(|error| error.to_string().replace(&place, ""))
}

#[test]
fn archives_may_be_flat_or_have_a_directory_of_their_own() {
    let model = model();
    for prefix in ["", "my-model/", "a/b/"] {
        let file = format!("{prefix}abs.tflite");
        let files = [(file.as_str(), model.as_slice())];
        for (name, bytes) in [
            ("model.tar", tar(&files)),
            ("model.tar.gz", gzip(&tar(&files))),
            ("model.tgz", gzip(&tar(&files))),
            ("model.zip", zip(&files)),
        ] {
            let package = open(name, &bytes).unwrap();
            assert_eq!(package.graph.nodes.len(), 1, "{prefix}{name}");
        }
    }
}

#[test]
fn archives_that_unpack_to_far_more_than_their_size_are_refused() {
    let zeros = vec![0; 100 << 20];
    let error = open("zeros.tar.gz", &gzip(&tar(&[("zeros.tflite", &zeros)]))).unwrap_err();
    assert!(error.starts_with("cannot unpack zeros.tar.gz: it unpacks to more than "), "{error}");
}

#[test]
fn two_models_are_refused_by_their_names() {
    let model = model();
    let files = [("resnet8.tflite", &*model), ("resnet8_quant.tflite", &*model)];
    let error = open("both.zip", &zip(&files)).unwrap_err();
    assert_eq!(
        error,
        "both.zip holds no model.toml and several model files: resnet8.tflite, \
         resnet8_quant.tflite. Hint: name the one that is meant"
    );
}

#[test]
fn models_of_other_frameworks_are_named_with_the_way_on() {
    let cases: [(&str, Vec<u8>, &str, &str); 6] = [
        (
            "net.pt",
            zip(&[("net/data.pkl", b"\x80\x02."), ("net/data/0", b"0000")]),
            "net.pt is a PyTorch model, which only Python can load. Hint: ",
            "torch.onnx.export(model, torch.zeros(1, 3, 224, 224), \"model.onnx\")",
        ),
        (
            "old.pth",
            b"\x80\x02\x8a\x0al\xfc\x9c".to_vec(),
            "old.pth: it is a PyTorch model",
            "export",
        ),
        ("net.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0".to_vec(), "a Keras model", "tf.lite"),
        (
            "net.keras",
            zip(&[
                ("metadata.json", b"{}"),
                ("config.json", b"{}"),
                ("model.weights.h5", b"\x89HDF"),
            ]),
            "net.keras is a Keras model",
            "TFLiteConverter",
        ),
        ("net.mlmodel", b"\x08\x04\x12\x02\x0a\0".to_vec(), "a Core ML model", "ONNX"),
        (
            "models.zip",
            zip(&[("README", b"hello"), ("net/model.pth", b"\x80\x02.")]),
            "models.zip holds no model.toml and no file of a format that is imported: \
             net/model.pth is a PyTorch model",
            "torch.onnx.export",
        ),
    ];
    for (name, bytes, what, hint) in cases {
        let error = open(name, &bytes).unwrap_err();
        assert!(error.contains(what) && error.contains(hint), "{name}: {error}");
    }
}

fn neo(path: &Path) -> Neo {
    let package = Package::open(path, &[]).unwrap();
    package.compiled.unwrap_or_else(|| panic!("{} is not compiled", path.display()))
}

#[test]
fn compiled_packages_are_described() {
    let texts = |tensors: &[sedge_package::NeoTensor]| -> Vec<String> {
        let text = |t: &sedge_package::NeoTensor| format!("{} {} {:?}", t.name, t.dtype, t.shape);
        tensors.iter().map(text).collect()
    };
    let three = neo(&testdata("neo/three_inputs"));
    assert_eq!((three.backend, three.target_device.as_deref()), (Backend::Tvm, Some("ML_M4")));
    // The weights p0 and p1 are no inputs.
    assert_eq!(
        texts(&three.inputs),
        ["zeta float32 [2, 3]", "alpha int32 [3]", "mask uint8 [2, 3]"]
    );
    assert_eq!(texts(&three.outputs)[1..3], ["count int64 [2]", "argmax int32 [2]"]);
    let dynamic = neo(&testdata("neo/dynamic_batch"));
    assert_eq!(dynamic.backend, Backend::RelayVm);
    assert_eq!(texts(&dynamic.inputs), ["data float32 [-1, 8]"]);
    let trees = neo(&testdata("neo/xgboost_binary"));
    assert_eq!(
        (trees.backend, texts(&trees.outputs)),
        (Backend::Treelite, vec!["output float32 [-1, 1]".into()])
    );
    let detector = neo(&testdata("neo/ssd"));
    assert_eq!(texts(&detector.outputs)[2], "ssd0_slice_axis11_output float32 [1, 100, 4]");
    for file in ["ssd/compiled.params", "ssd/compiled_model.json", "dynamic_batch/code.ro"] {
        neo(&testdata("neo").join(file));
    }
}

#[test]
fn compiled_weights_are_nobody_elses_under_any_name() {
    let directory = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        std::fs::copy(testdata("neo/ssd").join(from), directory.path().join(to)).unwrap();
    };
    copy("compiled.params", "image-classification-0000.params");
    copy("compiled_model.json", "image-classification-symbol.json");
    let found = neo(directory.path());
    let roles: Vec<&str> = found.files.iter().map(|file| file.role).collect();
    assert_eq!(roles, ["weights", "graph"]);
    assert_eq!(found.problem.as_deref(), Some("it has no library"));
    assert_eq!(found.inputs.len(), 1);
    neo(&directory.path().join("image-classification-symbol.json"));
}

#[test]
fn what_inputs_and_outputs_of_compiled_packages_mean_is_concluded() {
    let said = |name: &str, key: &str| {
        let package = Package::open(&testdata("neo").join(name), &[]).unwrap();
        let setting = package.settings.get(key);
        setting.map(|setting| (setting.value.to_string(), setting.origin.to_string()))
    };
    for (name, key, value, origin) in [
        ("ssd", "decoder.kind", "\"ids-scores-boxes\"", "three outputs shaped"),
        ("ssd", "input.0.mean", "[0.485, 0.456, 0.406]", "presets of GluonCV"),
        ("ssd", "input.0.layout", "\"nchw\"", "shape"),
        ("mobilenet", "decoder.kind", "\"classes\"", "one output"),
        ("mobilenet", "decoder.activation", "\"none\"", "graph ends in fused_nn_softmax"),
        ("resnet8", "input.0.layout", "\"nhwc\"", "shape"),
        ("mobilenet_quant", "input.0.dtype", "\"u8\"", "element type"),
    ] {
        let (found, by) = said(name, key).unwrap_or_else(|| panic!("{name}: no {key}"));
        assert!(found == value && by.contains(origin), "{name} {key}: {found} by {by}");
    }
    // Nobody says how pixels are normalised, or that numbers without a scale are probabilities.
    assert_eq!(said("mobilenet", "input.0.mean"), None);
    assert_eq!(said("mobilenet_quant", "decoder.kind"), None);
    assert_eq!(said("resnet8_dynamic", "decoder.activation"), None);
    assert_eq!(said("xgboost_binary", "decoder.kind"), None);
}

#[test]
fn a_manifest_lies_beside_a_compiled_package() {
    let directory = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(testdata("neo/three_inputs")).unwrap() {
        let from = file.unwrap().path();
        std::fs::copy(&from, directory.path().join(from.file_name().unwrap())).unwrap();
    }
    std::fs::write(directory.path().join("labels.json"), "{}").unwrap();
    for files in ["", "files = ['compiled.so']"] {
        let text = format!("schema = 1\n[model]\nname = 'sums'\n{files}");
        std::fs::write(directory.path().join("model.toml"), text).unwrap();
        let package = Package::open(directory.path(), &[]).unwrap();
        assert_eq!((package.name.as_str(), package.compiled.is_some()), ("sums", true));
        let compiled = package.compiled.unwrap();
        let parts: Vec<&str> = compiled.parts().collect();
        assert_eq!(parts, ["compiled.params", "compiled.so", "compiled_model.json"]);
        // Runtimes that read whole directories take any JSON for a graph.
        assert!(compiled.unfit_as_directory().unwrap().contains("labels.json"));
    }
}

#[test]
fn damaged_metadata_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
    std::fs::copy(testdata("neo/ssd/compiled.params"), path.join("compiled.params")).unwrap();
    write(
        "compiled.meta",
        r#"{"Requirements": {"TargetDeviceType": null}, "Model": {"Inputs": 7}}"#,
    );
    write(
        "model.json",
        r#"{"nodes": 1, "heads": [[9]], "node_row_ptr": [], "attrs": {"storage_id": 0}}"#,
    );
    let found = neo(path);
    assert_eq!((found.device_type, found.inputs.len(), found.outputs.len()), (None, 0, 0));
    // A library without anything of the compiler's is no package.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("libother.so"), b"\x7fELF\x02\x01\x01\0").unwrap();
    assert!(matches!(Package::open(other.path(), &[]), Err(PackageError::NoModel { .. })));
}

#[test]
fn a_compressed_file_that_is_no_archive_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx.gz");
    let file = std::fs::File::create(&path).unwrap();
    let mut encoder = GzEncoder::new(file, Compression::default());
    encoder.write_all(&[0x1b; 2048]).unwrap();
    encoder.finish().unwrap();
    let error = Package::open(&path, &[]).unwrap_err().to_string();
    assert!(error.contains("it holds no tar archive. Hint: a single compressed file"), "{error}");
    assert!(!error.contains("\\u{1b}") && !error.contains('\u{1b}'), "{error:?}");
}
