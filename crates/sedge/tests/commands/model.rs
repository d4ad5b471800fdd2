use std::fs;
use std::path::Path;

use super::{command, program, seen};

const PERSON: &str = "testdata/models/vww96";
const FACE: &str = "testdata/images/face.jpg";

/// Runs a line in which DIR stands for a directory of the test, also in what is seen.
fn seen_in(directory: &Path, line: &str) -> String {
    let place = directory.to_str().unwrap();
    let words: Vec<String> = line.split(' ').map(|word| word.replace("DIR", place)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    seen(&words).replace(place, "DIR")
}

/// A snapshot without what the length of a temporary directory's name or a processor's last digits
/// change.
fn snapshot(name: &str, seen: &str) {
    insta::with_settings!({filters => vec![
        (r"\d+\.\de-\d+ %", "[tiny] %"),
        (r"\d\.\de-(\d|\d\d)\b", "[tiny]"),
        (r"(\S) {2,}", "$1  "),
        (r"@[0-9a-f]{12}", "@[identity]"),
        (r"\(\d+\.\d [KM]iB\)", "([size])"),
    ]}, {
        insta::assert_snapshot!(name, seen);
    });
}

#[test]
fn a_model_is_converted_into_a_file_or_a_package() {
    let directory = tempfile::tempdir().unwrap();
    let lines = [
        format!("model convert {PERSON} DIR/person.onnx"),
        format!("model convert {PERSON} DIR/person.onnx"),
        format!("model convert {PERSON} DIR/person.onnx --force"),
        format!("model convert {PERSON} DIR/person.tflite"),
        "model convert testdata/models/fastestdet DIR/detector".to_owned(),
        "model validate DIR/detector".to_owned(),
        "model convert testdata/models/mnist DIR/detector --force".to_owned(),
        "model convert DIR/no-model.onnx DIR/out.onnx".to_owned(),
        "model convert testdata/models/mnist DIR --force".to_owned(),
    ];
    let all: Vec<String> = lines.iter().map(|line| seen_in(directory.path(), line)).collect();
    snapshot("model_convert", &all.join("\n"));
    // Nothing of the attempts stays.
    let mut names: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["detector", "person.onnx"]);
    assert!(!directory.path().join("detector/golden").exists(), "the old package was replaced");
}

#[test]
fn a_converted_file_knows_its_use_and_its_origin() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("person.onnx");
    seen_in(directory.path(), &format!("model convert {PERSON} DIR/person.onnx --external-data"));
    let answer = |model: &str| {
        let seen = seen_in(directory.path(), &format!("infer {model} {FACE} --format table"));
        seen.split_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(answer("DIR/person.onnx"), answer(PERSON));
    let bytes = fs::read(&file).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for word in ["sedge.source.format", "tflite", "vww_96_float.tflite", "sedge.source.sha256"] {
        assert!(text.contains(word), "{word}");
    }
    fs::remove_file(directory.path().join("person.onnx.data")).unwrap();
    let error = seen_in(directory.path(), &format!("infer DIR/person.onnx {FACE}"));
    insta::assert_snapshot!("model_without_its_data", error);
}

#[test]
fn a_converted_quantised_model_scores_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let source = "testdata/models/resnet8-cifar10-quant";
    for (line, model) in [
        (format!("model convert {source} DIR/exact.onnx"), "DIR/exact.onnx"),
        (format!("model convert {source} DIR/qdq.onnx --quantised qdq"), "DIR/qdq.onnx"),
        ("model convert DIR/exact.onnx DIR/package".to_owned(), "DIR/package"),
    ] {
        assert!(seen_in(directory.path(), &line).contains("wrote"), "{line}");
        let answer = |model: &str| {
            let line = format!("infer {model} testdata/images/cat_720p.jpg --format table -k 3");
            seen_in(directory.path(), &line)
        };
        let (want, got) = (answer(source), answer(model));
        assert!(want.contains("0.867"), "{want}");
        // All but the command itself.
        let shown = |seen: &str| seen.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(shown(&got), shown(&want));
    }
}

#[test]
fn models_of_several_files_are_found_by_their_bare_names() {
    let directory = tempfile::tempdir().unwrap();
    for file in ["resnet8-symbol.json", "resnet8-0000.params"] {
        let stored = program::root().join("testdata/models/mxnet-resnet8").join(file);
        fs::copy(stored, directory.path().join(file)).unwrap();
    }
    for line in [
        "model inspect resnet8-symbol.json",
        "model convert resnet8-symbol.json out.onnx --external-data",
        "model convert out.onnx package",
        "model inspect package",
        "model inspect .",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let output = command(&words).current_dir(&directory).output().unwrap();
        let several = line.ends_with(" .");
        let told = program::text(&output.stderr);
        assert_eq!(output.status.success(), !several, "{line}: {told}");
        assert!(!several || told.contains("out.onnx"), "{told}");
    }
}

#[test]
fn a_package_is_its_manifest_too() {
    let face = fs::canonicalize(program::root().join(FACE)).unwrap();
    for (model, there) in
        [("model.toml", PERSON.to_owned()), ("vww96/model.toml", format!("{PERSON}/.."))]
    {
        let line = ["infer", model, face.to_str().unwrap()];
        let output = command(&line).current_dir(program::root().join(there)).output().unwrap();
        assert!(program::text(&output.stdout).contains("person"), "{output:?}");
    }
    let bare = program::sedge(&["infer", &format!("{PERSON}/vww_96_float.tflite"), FACE]);
    let told = program::text(&bare.stderr);
    assert!(told.contains("Hint: the model.toml beside it was not asked"), "{told}");
    assert!(told.contains(PERSON), "{told}");
}

#[test]
fn golden_cases_are_recorded_and_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = r#"{"image": "face.jpg", "service": "", "model": "", "task": "",
        "classes": [{"index": 0, "score": 0.9}, {"index": 1, "score": 0.1}],
        "timings_us": {"queue": 0, "decode": 0, "preprocess": 0, "inference": 0,
                       "postprocess": 0, "total": 0}}"#;
    fs::write(directory.path().join("wrong.json"), wrong).unwrap();
    let lines = [
        "model validate testdata/models/fastestdet".to_owned(),
        format!("model validate {PERSON} --record DIR/person --input {FACE} {FACE}"),
        "model validate DIR/person".to_owned(),
        format!("model validate {PERSON} --against DIR/person/golden/face.json"),
        format!("model validate {PERSON} --against DIR/wrong.json --input {FACE} --absolute 0.01"),
        format!("model validate {PERSON} --against DIR/wrong.json"),
        format!("model validate {PERSON} --input {FACE}"),
        format!("model validate {PERSON} --record DIR/person --input {FACE}"),
        format!("model validate {PERSON} --record DIR/other --input DIR/wrong.json"),
        "model validate DIR/person --format json".to_owned(),
    ];
    let all: Vec<String> = lines.iter().map(|line| seen_in(directory.path(), line)).collect();
    snapshot("model_validate", &all.join("\n"));
    assert!(!directory.path().join("other").exists());
}

#[test]
fn a_compiled_package_is_described_and_not_converted() {
    let lines = [
        "model inspect testdata/neo/three_inputs",
        "model inspect testdata/neo/dynamic_batch --format jsonl",
        "model convert testdata/neo/ssd/compiled.params no/such/out.onnx",
    ];
    let all: Vec<String> = lines.iter().map(|line| seen_in(Path::new("/no"), line)).collect();
    insta::assert_snapshot!("model_neo", all.join("\n"));
}
