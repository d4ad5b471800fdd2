//! Mistakes that people made with the program, each of which once went wrong.
#![allow(clippy::unwrap_used)]

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use program::{command, copy_of, edit, root, says, sedge, text};

const MODEL: &str = "testdata/models/vww96";
const CAT: &str = "testdata/images/cat_720p.jpg";

#[test]
fn drawings_never_overwrite_pictures() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("face.png");
    fs::copy(root().join("testdata/images/coffee.png"), &picture).unwrap();
    let before = fs::read(&picture).unwrap();
    let (here, picture) = (directory.path().to_str().unwrap(), picture.to_str().unwrap());
    for arguments in [
        [here, here],
        [
            picture,
            &format!("{here}/../{}", directory.path().file_name().unwrap().to_str().unwrap()),
        ],
    ] {
        says(
            &["infer", MODEL, arguments[0], "--draw", arguments[1]],
            1,
            &["overwrite", "face.png", "Hint"],
        );
    }
    // Under another name it is the same file.
    fs::create_dir(directory.path().join("out")).unwrap();
    fs::hard_link(picture, directory.path().join("out/face.png")).unwrap();
    says(&["infer", MODEL, picture, "--draw", &format!("{here}/out")], 1, &["overwrite"]);
    assert_eq!(fs::read(picture).unwrap(), before);
    says(&["infer", MODEL, picture, "--draw", &format!("{here}/new")], 0, &[]);
}

#[test]
fn a_full_disk_is_not_the_pictures_fault() {
    for arguments in [&["infer", MODEL, CAT][..], &["model", "inspect", MODEL]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(arguments).stdout(full).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: cannot write to standard output: No space"), "{said}");
    }
}

/// Packs a directory's files with Python's zipfile or tar, as `name in the archive: file`.
fn zip(to: &Path, entries: &[(&str, &Path)]) {
    let mut code = String::from("import sys, zipfile\na = zipfile.ZipFile(sys.argv[1], 'w')\n");
    for (name, file) in entries {
        code.push_str(&format!("a.write({:?}, {name:?})\n", file.display().to_string()));
    }
    let status = Command::new("python3").arg("-c").arg(code + "a.close()").arg(to).status();
    assert!(status.unwrap().success());
}

#[test]
fn archives_hold_their_package_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let vww = root().join(MODEL);
    let files = ["model.toml", "labels.txt", "vww_96_float.tflite"].map(|name| vww.join(name));
    let model = &model_of(&sedge(&["infer", MODEL, CAT]));
    let deep: Vec<_> = ["a/b/c/model.toml", "a/b/c/labels.txt", "a/b/c/vww_96_float.tflite"]
        .into_iter()
        .zip(files.iter().map(PathBuf::as_path))
        .collect();
    for (name, extra) in [("deep.zip", None), ("mac.zip", Some("__MACOSX/a/b/c/._model.toml"))] {
        let archive = directory.path().join(name);
        let mut entries = deep.clone();
        entries.extend(extra.map(|name| (name, files[1].as_path())));
        zip(&archive, &entries);
        let found = model_of(&sedge(&["infer", archive.to_str().unwrap(), CAT]));
        assert_eq!(&found, model, "{name}");
    }
    // The same below a directory; beside another model it is unclear.
    let outer = directory.path().join("outer");
    fs::create_dir(&outer).unwrap();
    copy_of("vww96", &outer);
    let outer = outer.to_str().unwrap();
    assert_eq!(&model_of(&sedge(&["infer", outer, CAT])), model);
    fs::copy(&files[2], Path::new(outer).join("other.tflite")).unwrap();
    says(&["infer", outer, CAT], 1, &["several", "other.tflite", "vww96/model.toml", "Hint"]);
}

fn model_of(output: &Output) -> String {
    let line: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    line["model"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_no_model_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (path, words) in [
        (file("m.tar.bz2", b"BZh91AY&SY"), ["bzip2", ".tar.gz or .zip"]),
        (file("m.tar.xz", b"\xfd7zXZ\0\0\x04"), ["xz", "Hint"]),
        (file("m.7z", b"7z\xbc\xaf\x27\x1c\0\x04"), ["7-Zip", "Hint"]),
        (file("m.tflite", b""), ["m.tflite", "is empty"]),
    ] {
        says(&["model", "inspect", &path], 1, &words);
    }
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let words = ["no file of a format that is imported", "Hint: name a model file"];
    says(&["model", "inspect", empty.to_str().unwrap()], 1, &words);
}

#[test]
fn links_do_not_lead_out_of_a_package() {
    let directory = tempfile::tempdir().unwrap();
    let package = copy_of("vww96", directory.path());
    let labels = package.join("labels.txt");
    fs::rename(&labels, package.join("names.txt")).unwrap();
    std::os::unix::fs::symlink("names.txt", &labels).unwrap();
    let path = package.to_str().unwrap();
    says(&["infer", path, CAT], 0, &["non-person"]);
    fs::remove_file(&labels).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &labels).unwrap();
    says(&["infer", path, CAT], 1, &["'labels.txt'", "inside the package", "Hint"]);
}

#[test]
fn nothing_from_outside_steers_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let package = copy_of("vww96", directory.path());
    let package = package.to_str().unwrap();
    fs::write(Path::new(package).join("labels.txt"), "a\x1b[31mb\nc\x1b]0;x\x07\u{202e}\n")
        .unwrap();
    let picture = directory.path().join("p\x1b[2J.jpg");
    fs::copy(root().join(CAT), &picture).unwrap();
    let missing = directory.path().join("q\x1b[2J.jpg");
    let pictures = [picture.to_str().unwrap(), missing.to_str().unwrap()];
    let output = sedge(&["infer", package, pictures[0], pictures[1], "--format", "table"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    for word in ["a\\u{1b}[31mb", "c\\u{1b}]0;x\\u{7}\\u{202e}", "p\\u{1b}[2J", "q\\u{1b}[2J"] {
        assert!(said.contains(word), "{said}");
    }
    let json = sedge(&["infer", package, pictures[0]]);
    assert!(text(&json.stdout).contains(r"a\u001b[31mb"), "{}", text(&json.stdout));
}

#[test]
fn one_value_stands_for_all_channels() {
    for value in ["0", "0.0", "[0]"] {
        let mean = format!("input.mean={value}");
        says(&["infer", MODEL, CAT, "--set", &mean, "--set", "input.pad=0"], 0, &["non-person"]);
    }
    let directory = tempfile::tempdir().unwrap();
    let package = copy_of("vww96", directory.path());
    edit(&package, "mean = [0.0]\nstd = [255.0]", "mean = 0\nstd = 255\npad = 114");
    says(&["infer", package.to_str().unwrap(), CAT], 0, &["non-person"]);
}

#[test]
fn settings_that_cannot_work_are_refused_before_pictures() {
    let mobilenet = "testdata/models/mobilenet-v2";
    for (set, words) in [
        (&["--std", "0"][..], ["input.std", "no zero"]),
        (&["--std", "-1,0,1"], ["input.std", "no zero"]),
        (&["--scale", "0"], ["input.scale", "not 0"]),
        (&["--scale", "nan"], ["input.scale", "finite"]),
        (&["--mean", "1,2"], ["input.mean", "2 values for 3 channels"]),
        (&["--crop-fraction", "3"], ["input.crop_fraction", "0.01 to 1"]),
        (&["--set", "decoder.output=nope"], ["`nope`", "it has"]),
        (&["--decoder", "detection-rows"], ["decoder", "[1, N, 6]"]),
        (&["--task", "object-detection"], ["model.task", "decoder.kind"]),
        (&["--label-offset", "-1"], ["model.label_offset", "-1"]),
        (&["--set", "schema=2"], ["schema", "manifest's own"]),
        (&["--set", "model.files=['x']"], ["model.files", "as MODEL"]),
        (&["--set", "input.name=x"], ["input.0.name", "'input'"]),
    ] {
        let serve = [&["serve", mobilenet, "--listen", "127.0.0.1:0"], set].concat();
        says(&serve, 1, &words);
        says(&[&["infer", mobilenet, CAT], set].concat(), 1, &words);
    }
    // Tables and negative numbers are values like others.
    let table = "decoder={kind='classes', activation='none'}";
    says(&["infer", MODEL, CAT, "--set", table, "--threshold", "-1"], 0, &["non-person"]);
    says(&["infer", MODEL, CAT, "--std", "-255"], 0, &["person"]);
}

#[test]
fn labels_that_do_not_fit_the_classes_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let package = copy_of("vww96", directory.path());
    let path = package.to_str().unwrap();
    // Marks and line ends of other editors are no difference.
    fs::write(package.join("labels.txt"), "\u{feff}non-person\r\nperson\r\n\r\n").unwrap();
    let output = sedge(&["infer", path, CAT]);
    assert!(text(&output.stderr).is_empty(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\"label\":\"non-person\""));
    fs::write(package.join("labels.txt"), "non-person\n").unwrap();
    let words = ["outputs 0 to 0", "2 classes", "model.label_offset"];
    says(&["infer", path, CAT], 0, &words);
    says(&["model", "inspect", path], 0, &words);
}

#[test]
fn no_package_of_the_test_data_is_odd() {
    for entry in fs::read_dir(root().join("testdata/models")).unwrap() {
        let path = entry.unwrap().path();
        if !path.join("model.toml").is_file() {
            // Several networks of one cascade, each named by its own file.
            continue;
        }
        let output = sedge(&["model", "inspect", path.to_str().unwrap(), "--format", "json"]);
        assert!(output.status.success(), "{}: {}", path.display(), text(&output.stderr));
        let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(facts["notes"], serde_json::json!([]), "{}", path.display());
    }
}

#[test]
fn manifests_begin_with_values_that_suit_the_input() {
    let model = |name: &str| format!("testdata/models/{name}");
    let int8 = model("resnet8-cifar10-quant/pretrainedResnet_quant.tflite");
    says(&["model", "init", &int8, "--output", "-"], 0, &["# mean = [128.0]", "# std = [1.0]"]);
    let float = model("resnet8-onnx/model.onnx");
    says(&["model", "init", &float, "--output", "-"], 0, &["# std = [255.0]"]);
}

#[test]
fn hints_fit_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let package = copy_of("vww96", directory.path());
    edit(&package, "color = \"rgb\"\n", "");
    let path = package.to_str().unwrap();
    says(&["infer", path, CAT], 1, &["input.color", "fill in the model.toml of"]);
    edit(&package, "resize = ", "color = \"rgb\"\nresize = ");
    let golden = "\n[[golden]]\nimage = 'cat.jpg'\nexpected = 'cat.json'\n";
    let manifest = fs::read_to_string(package.join("model.toml")).unwrap();
    fs::write(package.join("model.toml"), manifest + golden).unwrap();
    says(&["model", "validate", path], 1, &["`tolerance`", "Hint: add tolerance = {"]);
}

#[test]
fn examples_have_golden_cases() {
    for package in ["mobilenet-v2", "ssd-mobilenet-v1-coco", "face-mask"] {
        says(&["model", "validate", &format!("testdata/models/{package}")], 0, &["1 of 1 golden"]);
    }
}

#[test]
fn models_with_two_inputs_are_not_asked_about_pictures() {
    let model = "testdata/tflite_ops/add.tflite";
    let output = sedge(&["infer", model, CAT]);
    let said = text(&output.stderr);
    assert!(said.contains("it has 2 inputs") && !said.contains("--color"), "{said}");
}

#[test]
fn a_manifest_is_not_written_into_a_directory_that_goes() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("model.zip");
    zip(&archive, &[("m.tflite", &root().join(MODEL).join("vww_96_float.tflite"))]);
    let archive = archive.to_str().unwrap();
    says(&["model", "init", archive], 1, &["is an archive", "Hint: unpack it", "--output"]);
    says(&["infer", archive, CAT], 1, &["unpack", "model init DIRECTORY"]);
    let other = directory.path().join("model.toml");
    says(&["model", "init", archive, "--output", other.to_str().unwrap()], 0, &["wrote"]);
    assert!(other.is_file());
}

#[test]
fn a_group_in_the_configuration_is_checked_and_planned() {
    let directory = tempfile::tempdir().unwrap();
    let data = root().join("testdata/greengrass");
    let config = directory.path().join("sedge.toml");
    let write = |group: &str, parameters: &str| {
        let group = data.join(group);
        let text = format!(
            "[s3]\nendpoint = \"http://127.0.0.1:9\"\ncredentials = \"anonymous\"\n\
             [greengrass]\ngroup = [{group:?}]\nparameters = {parameters}\n"
        );
        fs::write(&config, text).unwrap();
    };
    let file = config.to_str().unwrap();
    let place = directory.path().join("root");
    let place = place.to_str().unwrap();
    write("detection.json", "[]");
    says(&["config", "check", file], 0, &["gates", "right: 1 service"]);
    says(&["plan", "--config", file, "--root", place], 1, &["gates", "not to be had"]);
    write("template.json", "[\"AWS::Region=eu-west-1\"]");
    says(&["config", "check", file], 1, &["error", "AWS::AccountId has no value"]);
    let given = "[\"AWS::Region=eu-west-1\", \"AWS::AccountId=123456789012\", \"Bucket=samples\", \
                 \"TrainingJob.SageMakerJobArn=arn:aws:sagemaker:eu-west-1:123456789012:training-job/a1\"]";
    write("template.json", given);
    says(&["config", "check", file], 0, &["right: 1 service"]);
    write("template.json", "[\"AWS::Region\"]");
    says(&["config", "check", file], 1, &["greengrass.parameters", "NAME=VALUE"]);
}

/// A store's files are nobody's to write, and its directories no place for a manifest.
#[test]
fn hints_name_no_place_that_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("m.tflite");
    fs::copy(root().join(MODEL).join("vww_96_float.tflite"), &model).unwrap();
    let model = model.to_str().unwrap();
    says(&["infer", model, CAT], 1, &[&format!("`sedge model init {model}`")]);
    fs::set_permissions(model, fs::Permissions::from_mode(0o444)).unwrap();
    let output = sedge(&["infer", model, CAT]);
    let (said, hint) = (text(&output.stderr), "[service.input] and [service.decoder]; or copy");
    assert!(said.contains(hint) && !said.contains(&format!("init {model}")), "{said}");
}
