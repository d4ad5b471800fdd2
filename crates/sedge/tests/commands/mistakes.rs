use std::fs;

use super::seen;

const CLASSIFIER: &str = "testdata/models/mobilenet-v2";
const CAT: &str = "testdata/images/cat_720p.jpg";

#[test]
fn every_command_says_what_was_wrong_with_it() {
    for (name, arguments) in [
        ("nothing", vec![]),
        ("unknown_command", vec!["infre"]),
        ("infer_nothing", vec!["infer"]),
        ("infer_flag", vec!["infer", CLASSIFIER, CAT, "--treshold", "0.5"]),
        ("infer_number", vec!["infer", CLASSIFIER, CAT, "--threshold", "high"]),
        ("infer_model", vec!["infer", "no/such/model", CAT]),
        ("infer_picture", vec!["infer", CLASSIFIER, "no/such.jpg"]),
        ("serve_nothing", vec!["serve"]),
        ("serve_address", vec!["serve", CLASSIFIER, "--listen", "nowhere"]),
        ("serve_config", vec!["serve", "--config", "no/such.toml"]),
        ("serve_both", vec!["serve", CLASSIFIER, "--config", "no/such.toml"]),
        ("model_nothing", vec!["model"]),
        ("inspect_picture", vec!["model", "inspect", CAT]),
        ("validate_none", vec!["model", "validate", "testdata/models/mnist"]),
        ("init_there", vec!["model", "init", "testdata/models/mnist"]),
        ("bench_nothing", vec!["bench"]),
        ("bench_model", vec!["bench", "no/such/model"]),
        ("doctor_format", vec!["doctor", "--format", "xml"]),
        ("doctor_log_alone", vec!["doctor", "--log", "sedge.log"]),
        ("sample_there", vec!["sample", "testdata"]),
        ("completions_shell", vec!["completions", "tcsh"]),
        ("man_file", vec!["man", "README.md"]),
    ] {
        insta::assert_snapshot!(format!("mistake_{name}"), seen(&arguments));
    }
}

#[test]
fn a_configuration_with_a_mistake_is_told_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sedge.toml");
    fs::write(&path, "listen = \"127.0.0.1:0\"\n[[service]]\nmodle = \"m\"\n").unwrap();
    let text = seen(&["serve", "--config", path.to_str().unwrap()]);
    let text = text.replace(directory.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!("mistake_serve_key", text);
}
