//! `sedge serve --group`: a connector's model from a bucket, the model that a function sees, and
//! both exchanged.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;
#[path = "../../sedge-deploy/tests/common/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use program::{Server, says, text};
use serde_json::{Value, json};
use server::Answer;

/// Packs files of the test data as a training job would.
fn pack(archive: &Path, directory: &Path) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(archive).arg("-C").arg(directory).arg(".");
    assert!(tar.status().unwrap().success());
    fs::read(archive).unwrap()
}

fn group() -> Value {
    json!({
        "Connectors": [{
            "Id": "classification",
            "ConnectorArn":
                "arn:aws:greengrass:eu-west-1::/connectors/ImageClassificationx86-64/versions/2",
            "Parameters": {
                "MLModelDestinationPath": "/model",
                "MLModelResourceId": "model",
                "MLModelSageMakerJobArn":
                    "arn:aws:sagemaker:eu-west-1:123456789012:training-job/things",
                "LocalInferenceServiceName": "things",
                "LocalInferenceServiceTimeoutSeconds": "30",
                "LocalInferenceServiceMemoryLimitKB": "512000",
            },
        }],
        "Resources": [{"Id": "model", "Name": "model", "ResourceDataContainer": {
            "S3MachineLearningModelResourceData":
                {"DestinationPath": "/model", "S3Uri": "s3://things-models/model.tar.gz"},
        }}],
        "Functions": [{
            "Id": "sorter",
            "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:sorter:1",
            "FunctionConfiguration": {"MemorySize": 60000, "Environment": {
                "ResourceAccessPolicies": [{"ResourceId": "model", "Permission": "ro"}],
            }},
        }],
    })
}

/// Asks again until it is so.
fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let late = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < late, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_connector_answers_and_its_model_is_where_functions_look() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::create_dir(at("files")).unwrap();
    let model = program::root().join("testdata/models/mxnet-sagemaker-classifier");
    for file in fs::read_dir(model).unwrap().flatten() {
        fs::copy(file.path(), at("files").join(file.file_name())).unwrap();
    }
    fs::write(at("files/hyperparams.json"), "{\"num_classes\": 10}").unwrap();
    let served = Arc::new(Mutex::new(("one", pack(&at("model.tar.gz"), &at("files")))));
    let given = served.clone();
    let bucket = server::Server::new(move |asked| {
        let given = given.lock().unwrap();
        match asked.path.starts_with("/things-models/model.tar.gz") {
            true => Answer::file(asked, &given.1, given.0),
            false => Answer::new("404 Not Found", ""),
        }
    });
    let config = format!(
        "[greengrass]\ngroup = ['group.json']\nport = 0\n[s3]\nendpoint = \"{}\"\npath_style = true\ncredentials = \"anonymous\"\nregion = \"eu-west-1\"\n",
        bucket.base
    );
    fs::write(at("sedge.toml"), config).unwrap();
    fs::write(at("group.json"), group().to_string()).unwrap();
    fs::create_dir_all(at("root/lambda/sorter")).unwrap();
    let code = "def lambda_handler(event, context):\n    return event\n";
    fs::write(at("root/lambda/sorter/lambda_function.py"), code).unwrap();
    let (root, config, group) = (at("root"), at("sedge.toml"), at("group.json"));
    let names = [&config, &group, &root].map(|path| path.to_str().unwrap());
    let server = Server::start(&["--config", names[0], "--root", names[2], "--no-page"]);

    let picture = fs::read(program::root().join("testdata/images/chelsea_exif6.jpg")).unwrap();
    let call = "POST /endpoints/things/invocations";
    let answer = until("it answers", || {
        let answer = server.ask(call, &picture);
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    });
    let body: Vec<f64> = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert!(body.len() == 4 && (body.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{body:?}");
    let status = program::sedge(&["service", "status", "things", "--root", names[2]]);
    let status = text(&status.stdout);
    assert!(status.contains("s3://things-models/model.tar.gz"), "{status}");
    assert!(status.contains("30000 ms each") && status.contains("500.0 MiB"), "{status}");

    // Everything in the archive, and the new one after a reload.
    let files = root.join("greengrass/models/model");
    until("the model is there", || fs::read(files.join("hyperparams.json")).ok());
    fs::write(at("files/hyperparams.json"), "{\"num_classes\": 11}").unwrap();
    *served.lock().unwrap() = ("two", pack(&at("model.tar.gz"), &at("files")));
    says(&["service", "reload", "--root", names[2]], 0, &["things"]);
    until("the model is exchanged", || {
        let text = fs::read_to_string(files.join("hyperparams.json")).unwrap_or_default();
        text.contains("11").then_some(())
    });

    // A group that is wrong changes nothing.
    fs::write(&group, "{\"Connectors\": [{}]}").unwrap();
    says(&["service", "reload", "--root", names[2]], 1, &["Connectors[0].", "it is missing"]);
    assert!(server.ask(call, &picture).starts_with("HTTP/1.1 200"));
}

#[test]
fn what_cannot_be_served_is_told_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("group.json");
    let mut wrong = group();
    let parameters = &mut wrong["Connectors"][0]["Parameters"];
    parameters["LocalInferenceServiceName"] = "?".into();
    parameters["LocalInferenceServiceMemoryLimitKB"] = "0".into();
    fs::write(&path, wrong.to_string()).unwrap();
    let shown = path.to_str().unwrap();
    let root = place.path().join("root");
    let root = root.to_str().unwrap();
    let words = ["the group has 2 errors", "sedge greengrass check", shown];
    says(&["serve", "--group", shown, "--root", root], 1, &words);
    let mut gpu = group();
    let arn = "arn:aws:greengrass:eu-west-1::/connectors/ImageClassificationAarch64JTX2/versions/2";
    gpu["Connectors"][0]["ConnectorArn"] = arn.into();
    gpu["Connectors"][0]["Parameters"]["GPUAcceleration"] = "GPU".into();
    fs::write(&path, gpu.to_string()).unwrap();
    says(&["serve", "--group", shown, "--root", root], 1, &["asks for a GPU", "\"CPU\""]);
    says(&["serve", "a.tflite", "--group", shown], 2, &["cannot be used with"]);
}
