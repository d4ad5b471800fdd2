//! `sedge serve --group`: a connector's model from a bucket, the model that a function sees, and
//! both exchanged.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;
#[path = "../../sedge-cloud/tests/common/server.rs"]
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
    // A connector for what this device does not have takes nothing from the others.
    let mut definitions = group();
    let mut gpu = definitions["Connectors"][0].clone();
    gpu["Id"] = "on-a-gpu".into();
    let arn = "arn:aws:greengrass:eu-west-1::/connectors/ImageClassificationAarch64JTX2/versions/2";
    gpu["ConnectorArn"] = arn.into();
    gpu["Parameters"]["LocalInferenceServiceName"] = "fast".into();
    gpu["Parameters"]["GPUAcceleration"] = "GPU".into();
    definitions["Connectors"].as_array_mut().unwrap().push(gpu);
    fs::write(at("group.json"), definitions.to_string()).unwrap();
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

    let logs = root.join("greengrass/ggc/var/log");
    let told = fs::read_to_string(logs.join("user/eu-west-1/aws/fast.log")).unwrap();
    assert!(told.contains("[FATAL]") && told.contains("asks for a GPU"), "{told}");
    let told = fs::read_to_string(logs.join("system/runtime.log")).unwrap();
    let lines = told.lines().filter(|line| line.contains("failed to initialize")).count();
    assert!(lines == 1 && told.contains("GG-ML-INF-image-classification-fast"), "{told}");

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

    // Functions are told, too, and take code that was exchanged under its name.
    let all = ["service", "reload", "--root", names[2]];
    says(&all, 0, &["things         keep", "all functions  keep"]);
    fs::write(at("root/lambda/sorter/lambda_function.py"), format!("# Another.\n{code}")).unwrap();
    says(&all, 0, &["all functions  start"]);

    // What was unknown once stopped the whole server.
    for action in ["status", "logs", "update", "reset", "rollback", "restart"] {
        let arguments = ["service", action, "thingz", "--root", names[2]];
        says(&arguments, 1, &["no service 'thingz'", "Hint: these are: things"]);
    }

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
    says(&["serve", "a.tflite", "--group", shown], 2, &["cannot be used with"]);
}

/// A connector and its resource, whose model is `SERVICE.tar.gz` in the bucket.
fn served(group: &mut Value, arn: &str, service: &str) {
    let path = format!("/{service}");
    group["Connectors"].as_array_mut().unwrap().push(json!({
        "Id": service,
        "ConnectorArn": format!("arn:aws:greengrass:eu-west-1::/connectors/{arn}"),
        "Parameters": {
            "MLModelDestinationPath": path,
            "MLModelResourceId": service,
            "MLModelSageMakerJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/any",
            "LocalInferenceServiceName": service,
            "LocalInferenceServiceTimeoutSeconds": "60",
            "LocalInferenceServiceMemoryLimitKB": "1024000",
        },
    }));
    group["Resources"].as_array_mut().unwrap().push(json!({
        "Id": service, "Name": service, "ResourceDataContainer": {
            "S3MachineLearningModelResourceData":
                {"DestinationPath": path, "S3Uri": format!("s3://things-models/{service}.tar.gz")},
        },
    }));
}

#[test]
fn a_migrated_configuration_answers_as_the_connectors() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let ssd = "mxnet-gluoncv-ssd";
    let models = [
        ("things", "ImageClassificationx86-64/versions/2", "mxnet-sagemaker-classifier", true),
        // It was made for 160 x 160, which only its model.toml says.
        ("shapes", "ObjectDetectionx86-64/versions/1", ssd, true),
        ("plain", "ObjectDetectionx86-64/versions/1", ssd, false),
    ];
    let mut group = json!({"Connectors": [], "Resources": []});
    let mut archives = Vec::new();
    for (service, arn, model, with_manifest) in models {
        let files = program::copy_of(model, place.path());
        if !with_manifest {
            fs::remove_file(files.join("model.toml")).unwrap();
        }
        archives.push((format!("/{service}.tar.gz"), pack(&at("model.tar.gz"), &files)));
        fs::remove_dir_all(files).unwrap();
        served(&mut group, arn, service);
    }
    let bucket = server::Server::new(move |asked| {
        let known = archives.iter().find(|(end, _)| asked.path.ends_with(end.as_str()));
        known.map_or(Answer::new("404 Not Found", ""), |(_, bytes)| Answer::file(asked, bytes, "1"))
    });
    let s3 = format!(
        "[s3]\nendpoint = \"{}\"\npath_style = true\ncredentials = \"anonymous\"\nregion = \"eu-west-1\"\n",
        bucket.base
    );
    fs::write(at("group.json"), group.to_string()).unwrap();
    let group = at("group.json");
    let migrated = program::sedge(&["greengrass", "migrate", group.to_str().unwrap()]);
    let migrated = text(&migrated.stdout);
    let connectors = format!("{s3}[greengrass]\ngroup = [{group:?}]\nport = 0\n");
    let picture = fs::read(program::root().join("testdata/images/coffee.png")).unwrap();
    let answers = [("connectors", connectors), ("migrated", format!("{migrated}\n{s3}"))].map(
        |(name, config)| {
            let file = at(name).with_extension("toml");
            fs::write(&file, config).unwrap();
            let root = at(name);
            let names = [&file, &root].map(|path| path.to_str().unwrap());
            let server = Server::start(&["--config", names[0], "--root", names[1], "--no-page"]);
            models.map(|(service, ..)| {
                until("it answers", || {
                    let call = format!("POST /endpoints/{service}/invocations");
                    let answer = server.ask(&call, &picture);
                    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                    let status = head.split(' ').nth(1).unwrap().to_owned();
                    // A preset stands for the connectors of all platforms.
                    let body = body.replace("Detectionx86-64", "Detection");
                    (status != "503").then_some((status, body))
                })
            })
        },
    );
    assert_eq!(answers[0], answers[1]);
    let [things, shapes, plain] = &answers[1];
    assert_eq!((things.0.as_str(), shapes.0.as_str()), ("200", "200"), "{things:?} {shapes:?}");
    assert_eq!(plain.0, "424", "{plain:?}");
    assert!(plain.1.contains("pictures come to it at 512 x 512"), "{plain:?}");
    assert!(plain.1.contains("width and height below [[input]]"), "{plain:?}");
}
