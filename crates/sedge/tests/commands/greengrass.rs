//! Where the sample's connector was made for this processor; elsewhere that is told, too.
#![cfg(target_arch = "x86_64")]

use std::fs;

use super::{program, seen};

const GIVEN: [&str; 8] = [
    "--parameter",
    "AWS::Region=eu-west-1",
    "--parameter",
    "AWS::AccountId=123456789012",
    "--parameter",
    "Bucket=orchard-samples",
    "--parameter",
    "TrainingJob.SageMakerJobArn=arn:aws:sagemaker:eu-west-1:123456789012:training-job/fruit",
];

/// What differs from machine to machine: its processor, its devices.
const FILTERS: [(&str, &str); 2] = [
    (r"(?m)^warning: this device: .*\n  .*\n  Hint: .*\n", ""),
    (r"\d+ warnings\n", "N warnings\n"),
];

#[test]
fn groups_are_checked() {
    let wrong = tempfile::tempdir().unwrap();
    let path = wrong.path().join("group.json");
    let text = fs::read_to_string(program::root().join("testdata/greengrass/classification.json"));
    let text =
        text.unwrap().replace("\"512000\"", "\"much\"").replace(":sorter:3", ":sorter:$LATEST");
    fs::write(&path, text.replace("\"Pinned\"", "\"Pined\"")).unwrap();
    let path = path.to_str().unwrap();
    let code = wrong.path().join("lambda");
    fs::create_dir_all(code.join("sorter:3")).unwrap();
    fs::write(code.join("sorter:3/sorter.py"), "def handle(event, context): pass\n").unwrap();
    let code = code.to_str().unwrap();
    let bundle = "testdata/greengrass/classification.json";
    let template = [&["greengrass", "check", "testdata/greengrass/template.json"], &GIVEN[..]];
    let all = [
        seen(&["greengrass", "check", bundle]),
        seen(&["greengrass", "check", bundle, "--lambda-dir", code]),
        seen(&["greengrass", "check", path]),
        seen(&["greengrass", "check", path, "--format", "json"]),
        seen(&template.concat()),
        seen(&["greengrass", "check", "no/such.json", "--parameter", "a"]),
    ];
    let all = all.join("\n").replace(wrong.path().to_str().unwrap(), "DIR");
    insta::with_settings!({filters => FILTERS}, {
        insta::assert_snapshot!("greengrass_check", all);
    });
}

#[test]
fn groups_are_migrated() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("sedge.toml");
    let file = file.to_str().unwrap();
    let bundle = "testdata/greengrass/classification.json";
    let written = ["greengrass", "migrate", bundle, "-o", file];
    let all = [
        seen(&["greengrass", "migrate", bundle]),
        seen(&["greengrass", "migrate", "testdata/greengrass/neo"]),
        seen(&["greengrass", "migrate", "testdata/greengrass/template.json"]),
        seen(&written),
        seen(&written),
        seen(&["config", "check", file]),
    ];
    let all = all.join("\n").replace(place.path().to_str().unwrap(), "DIR");
    insta::with_settings!({filters => FILTERS}, {
        insta::assert_snapshot!("greengrass_migrate", all);
    });
}
