//! What becomes of a group's models: services of its connectors, directories for its functions.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sedge_deploy::{Hooks, InstallRequest, Store};
use sedge_greengrass::group::{Group, Options, read_texts};
use sedge_greengrass::models::{Resources, is_used, services};
use serde_json::{Value, json};

const CLASSIFICATION: &str = include_str!("../../../testdata/greengrass/classification.json");
const DETECTION: &str = include_str!("../../../testdata/greengrass/detection.json");

fn group(document: &Value) -> Group {
    let reading = read_texts(&[("a.json".into(), document.to_string())], &Options::default());
    assert!(!reading.report.has_errors(), "{:#?}", reading.report);
    reading.group
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn connectors_are_services() {
    let all = services(&group(&parsed(CLASSIFICATION))).services;
    let [service] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(service.name, "image-classification");
    let arn = "arn:aws:lambda:eu-west-1:aws:function:GG-ML-INF-image-classification-\
               image-classification";
    assert_eq!(service.address.to_string(), arn);
    let job = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/fruit-2020-05-04";
    assert_eq!(service.source.to_string(), job);
    assert_eq!((service.timeout.as_secs(), service.memory_bytes), (15, 512_000 << 10));
    let says =
        |key: &str| service.settings.iter().find(|(name, ..)| name == key).unwrap().1.clone();
    assert_eq!(says("input.0.orientation").as_str(), Some("ignore"));
    assert_eq!(says("input.0.mean"), vec![0.0].into());

    let all = services(&group(&parsed(DETECTION))).services;
    assert_eq!(all[0].source.to_string(), "s3://gates-greengrass/ssd/model.tar.gz");
    let width = all[0].settings.iter().find(|(name, ..)| name == "input.0.width");
    assert_eq!(width.unwrap().1.as_integer(), Some(512));
}

#[test]
fn a_gpu_is_asked_for_in_vain() {
    let mut document = parsed(DETECTION);
    document["Connectors"][0]["Parameters"]["GPUAcceleration"] = "GPU".into();
    let served = services(&group(&document));
    assert!(served.services.is_empty());
    let [unserved] = served.unserved.as_slice() else { panic!("{served:?}") };
    assert!(unserved.address.name.starts_with("GG-ML-INF-object-detection-"), "{unserved:?}");
    let error = unserved.error.to_string();
    assert!(error.contains("'detection' asks for a GPU"), "{error}");
    assert!(error.contains("Hint: write \"GPUAcceleration\": \"CPU\""), "{error}");
}

/// A group whose function uses a model, with this permission.
fn with_model(permission: &str) -> Group {
    group(&json!({
        "Functions": [{
            "Id": "f",
            "FunctionArn": "arn:aws:lambda:eu-west-1:1:function:f:1",
            "FunctionConfiguration": {
                "MemorySize": 20000,
                "Environment": {"ResourceAccessPolicies": [
                    {"ResourceId": "net:1", "Permission": permission},
                ]},
            },
        }],
        "Resources": [
            {"Id": "net:1", "Name": "net", "ResourceDataContainer": {
                "S3MachineLearningModelResourceData":
                    {"DestinationPath": "/net", "S3Uri": "s3://models/net.tar.gz"},
            }},
            {"Id": "other", "Name": "other", "ResourceDataContainer": {
                "S3MachineLearningModelResourceData":
                    {"DestinationPath": "/other", "S3Uri": "s3://models/other.tar.gz"},
            }},
        ],
    }))
}

/// Packs a file, so that the archive is another one each time.
fn pack(archive: &Path, text: &str) {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("net.txt"), text).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(archive).arg("-C").arg(place.path()).arg("net.txt");
    assert!(tar.status().unwrap().success());
}

#[test]
fn functions_find_models_at_one_place_through_updates() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("net.tar.gz");
    let store = Store::open(&place.path().join("root")).unwrap();
    let resources = Resources::new(&store);
    let at = resources.directory("net:1");
    assert_eq!(at, store.root().join("greengrass/models/net:1"));
    for (permission, mode) in [("ro", 0o444), ("rw", 0o664)] {
        let group = with_model(permission);
        let [net, other] = group.resources.as_slice() else { panic!() };
        assert!(is_used(net, &group) && !is_used(other, &group));
        let bring = || {
            let request = |source: &str| {
                assert_eq!(source, "s3://models/net.tar.gz");
                let source = archive.to_str().unwrap().parse()?;
                Ok(InstallRequest::new(source))
            };
            resources.bring(net, &group, request, &Hooks::default())
        };
        for text in ["one", "two"] {
            pack(&archive, text);
            assert_eq!(bring().unwrap(), None);
            let file = at.join("net.txt");
            assert_eq!(fs::read_to_string(&file).unwrap(), text, "{permission}");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, mode);
        }
        let target = fs::read_link(&at).unwrap();
        assert_eq!(bring().unwrap(), None);
        assert_eq!(fs::read_link(&at).unwrap(), target);
        if permission == "rw" {
            fs::write(at.join("net.txt"), "a function's own").unwrap();
        }
        assert_eq!(store.verify().unwrap(), []);
        // Whose source cannot be asked is there all the same.
        fs::remove_file(&archive).unwrap();
        let note = bring().unwrap().unwrap();
        assert!(note.contains("net.tar.gz"), "{note}");
        assert!(at.join("net.txt").is_file());
    }
    let group = with_model("ro");
    let request = |_: &str| Ok(InstallRequest::new("/no/such.tar.gz".parse()?));
    let error = resources.bring(&group.resources[1], &group, request, &Hooks::default());
    assert!(error.unwrap_err().to_string().contains("'other' cannot be brought"));
    // No copies of earlier versions stay.
    let names = fs::read_dir(at.parent().unwrap()).unwrap();
    assert!(names.count() <= 2);
}
