//! Definitions in every shape that they come in, and what each means.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sedge_greengrass::group::{
    Algorithm, Endpoint, Group, ModelSource, Options, Parameters, Permission, Reading,
    ResourceData, read_files, read_texts,
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/greengrass").join(name)
}

/// On a device with this processor, whatever runs the tests.
fn options(parameters: &[(&str, &str)]) -> Options {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let parameters: BTreeMap<String, String> = parameters.iter().map(text).collect();
    Options { parameters, architecture: "x86_64" }
}

const GIVEN: [(&str, &str); 5] = [
    ("AWS::Region", "eu-west-1"),
    ("AWS::AccountId", "123456789012"),
    ("Bucket", "orchard-samples"),
    (
        "TrainingJob.SageMakerJobArn",
        "arn:aws:sagemaker:eu-west-1:123456789012:training-job/fruit-2020-05-04",
    ),
    ("Unused", "x"),
];

fn read(name: &str, parameters: &[(&str, &str)]) -> Reading {
    read_files(&[data(name)], &options(parameters))
}

/// The report as people see it, without where the files lie.
fn told(reading: &Reading) -> String {
    let directory = data("").display().to_string();
    let line = |problem: &sedge_greengrass::group::Problem| {
        format!("{:?}: {problem}\n", problem.severity).replace(&directory, "")
    };
    reading.report.problems.iter().map(line).collect()
}

#[test]
fn a_bundle_is_a_group() {
    let reading = read("classification.json", &[]);
    assert_eq!(told(&reading), "");
    let Group { id, name, core_thing, connectors, functions, .. } = &reading.group;
    assert_eq!(id.as_deref(), Some("5f1c1e0a-9c52-4c5e-8f0b-2d1a7f3e6b11"));
    assert_eq!((name.as_deref(), core_thing.as_deref()), (Some("orchard"), Some("orchard_Core")));
    let Parameters::Inference(inference) = &connectors[0].parameters else { panic!() };
    assert_eq!(inference.algorithm, Algorithm::ImageClassification);
    assert_eq!(inference.timeout.as_secs(), 15);
    assert_eq!(inference.memory_bytes, 512_000 * 1024);
    assert_eq!(inference.feedback.as_deref(), Some("unsure"));
    let [sorter] = functions.as_slice() else { panic!() };
    assert_eq!(sorter.handler.as_deref(), Some("sorter.handler"));
    assert_eq!(sorter.memory_bytes, Some(120_000 * 1024));
    assert!(sorter.pinned && sorter.container && sorter.access_sysfs && !sorter.binary);
    assert_eq!(sorter.resources[0].permission, Some(Permission::ReadOnly));
    assert_eq!(reading.group.subscriptions[0].target, Endpoint::Cloud);
    assert_eq!(reading.group.loggers[1].space_bytes, 1024 * 1024);
}

#[test]
fn files_of_a_directory_are_one_group() {
    let reading = read("neo", &[]);
    assert!(!reading.report.has_errors(), "{}", told(&reading));
    let [function] = reading.group.functions.as_slice() else { panic!() };
    assert_eq!(function.handler.as_deref(), Some("inference.function_handler"));
    assert_eq!((function.container, function.run_as), (false, Some((0, 0))));
    assert_eq!(function.memory_bytes, None);
    let ResourceData::Model { source, destination, owner } = &reading.group.resources[0].data
    else {
        panic!()
    };
    let uri = "s3://sagemaker-models/ssd/model-LINUX_X86_64.tar.gz".to_owned();
    assert_eq!(*source, ModelSource::S3(uri));
    assert_eq!(destination, Path::new("/dlr_model"));
    assert_eq!(*owner, Some((998, Permission::ReadOnly)));
}

#[test]
fn a_template_is_resolved() {
    let reading = read("template.json", &GIVEN);
    assert!(!reading.report.has_errors(), "{}", told(&reading));
    let group = &reading.group;
    assert_eq!(group.name.as_deref(), Some("orchard"));
    assert_eq!(group.core_thing.as_deref(), Some("orchard_Core"));
    let [sorter] = group.functions.as_slice() else { panic!() };
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:sorter-orchard:live";
    assert_eq!(sorter.arn.to_string(), arn);
    assert_eq!(sorter.handler.as_deref(), Some("sorter.handler"));
    assert_eq!(sorter.variables["THINGNAME"], "orchard");
    assert_eq!(group.subscriptions[0].subject, "mli/predictions/orchard");
    let Parameters::Inference(inference) = &group.connectors[0].parameters else { panic!() };
    assert_eq!(inference.job.as_deref(), Some(GIVEN[3].1));
}

#[test]
fn a_value_for_no_parameter_is_told_with_the_near_ones() {
    let given = [&GIVEN[..2], &GIVEN[3..4], &[("Buckets", "orchard-samples")]].concat();
    let told = told(&read("template.json", &given));
    let wanted = "parameters, Buckets: no template has a parameter or resource of this name. Hint: \
                  did you mean Bucket?";
    assert!(told.contains(wanted), "{told}");
    let without = self::told(&read("classification.json", &[("Bucket", "x")]));
    assert!(without.contains("none of the files is a template"), "{without}");
    assert_eq!(self::told(&read("classification.json", &GIVEN[..1])), "");
}

#[test]
fn devices_that_are_not_served_need_no_values() {
    for devices in [
        r#"{"Fn::Select": [0, {"Ref": "Things"}]}"#,
        r#"[{"Id": "d", "ThingArn": {"Fn::Select": [0, {"Ref": "Things"}]}}]"#,
    ] {
        let template = format!(
            r#"{{"Resources": {{"D": {{"Type": "AWS::Greengrass::DeviceDefinitionVersion",
                "Properties": {{"Devices": {devices}}}}}}}}}"#
        );
        let reading = read_texts(&[("t.json".into(), template)], &options(&[]));
        assert!(!reading.report.has_errors(), "{}", told(&reading));
        assert!(told(&reading).contains("Sedge serves no client devices"), "{}", told(&reading));
    }
}

#[test]
fn an_id_that_is_there_twice_is_told_with_its_place() {
    let text = |id: &str| {
        format!(r#"{{"Loggers": [{{"Id": "{id}", "Type": "FileSystem", "Component": "Lambda"}}]}}"#)
    };
    let files = [("one.json".to_owned(), text("a")), ("two.json".to_owned(), text("a"))];
    let told = told(&read_texts(&files, &options(&[])));
    assert!(told.contains("another one of its kind has this id: Loggers[0] of one.json"), "{told}");
}

#[test]
fn the_core_is_who_its_definition_says() {
    let group = read("classification.json", &[]).group;
    let arn = group.core_thing_arn.unwrap();
    assert!(arn.starts_with("arn:aws:iot:") && arn.ends_with(":thing/orchard_Core"), "{arn}");
}

#[test]
fn what_a_core_has_is_read() {
    let reading = read("deployed.json", &[]);
    assert!(!reading.report.has_errors(), "{}", told(&reading));
    let group = &reading.group;
    assert_eq!(group.id.as_deref(), Some("5f1c1e0a-9c52-4c5e-8f0b-2d1a7f3e6b11"));
    let [sorter] = group.functions.as_slice() else { panic!("{:?}", group.functions) };
    assert_eq!(sorter.handler.as_deref(), Some("sorter.handler"));
    assert_eq!(group.resources[0].data.type_name(), "ML_Model.S3_Object");
    assert_eq!(group.loggers.len(), 1);
}

#[test]
fn reports_are_told_as_a_whole() {
    let other = read_texts(
        &[
            ("empty.json".into(), String::new()),
            ("template.yaml".into(), "Resources:\n  A: !Ref B".into()),
            ("cut.json".into(), "{\"Connectors\": [".into()),
            ("other.json".into(), "{\"name\": \"left-pad\"}".into()),
            ("list.json".into(), "[1, 2]".into()),
            ("word.json".into(), "true".into()),
        ],
        &options(&[]),
    );
    let missing = read_files(&[data("no/such.json")], &options(&[]));
    let all = [
        ("detection.json", read("detection.json", &[])),
        ("neo/", read("neo", &[])),
        ("template.json without parameters", read("template.json", &[])),
        ("template.json with parameters", read("template.json", &GIVEN)),
        ("deployed.json", read("deployed.json", &[])),
        ("what is none", other),
        ("what is not there", missing),
    ];
    let all: Vec<String> =
        all.iter().map(|(name, reading)| format!("# {name}\n{}", told(reading))).collect();
    insta::assert_snapshot!("reports", all.join("\n"));
}

/// The shapes in which the CLI takes and prints the same connector.
#[test]
fn shapes_of_the_command_line_mean_the_same() {
    let connector = r#"{"Id": "metrics", "Parameters": {"PublishInterval": "600"},
        "ConnectorArn": "arn:aws:greengrass:eu-west-1::/connectors/CloudWatchMetrics/versions/3"}"#;
    let list = format!("[{connector}]");
    let version = format!("{{\"Connectors\": {list}}}");
    let shapes = [
        list.clone(),
        version.clone(),
        format!("\u{feff}{version}"),
        format!("{{\"Name\": \"connectors\", \"InitialVersion\": {version}}}"),
        format!("{{\"Arn\": \"a\", \"Id\": \"b\", \"Version\": \"c\", \"Definition\": {version}}}"),
        format!("{{\"ConnectorDefinition\": {version}}}"),
        format!("{{\"ConnectorDefinition\": {{\"InitialVersion\": {version}}}}}"),
        format!("{{\"GroupDefinitions\": {{\"Connectors\": {{\"Content\": {list}}}}}}}"),
        format!(
            "{{\"Resources\": {{\"C\": {{\"Type\": \"AWS::Greengrass::ConnectorDefinitionVersion\", \
             \"Properties\": {version}}}}}}}"
        ),
    ];
    for shape in shapes {
        let reading = read_texts(&[("a.json".into(), shape.clone())], &options(&[]));
        assert_eq!(told(&reading), "", "{shape}");
        assert_eq!(reading.group.connectors.len(), 1, "{shape}");
    }
}

#[test]
fn a_group_says_its_name() {
    let versions = r#"{"CoreDefinitionVersionArn": "arn:aws:greengrass:a"}"#;
    for (text, id, name) in [
        (format!(r#"{{"Id": "g", "Version": "v", "Definition": {versions}}}"#), Some("g"), None),
        (format!(r#"{{"Name": "n", "InitialVersion": {versions}}}"#), None, Some("n")),
        (
            r#"{"Name": "n", "Id": "g", "LatestVersionArn": "arn:aws:greengrass:eu-west-1:1:/greengrass/groups/g/versions/v"}"#.into(),
            Some("g"),
            Some("n"),
        ),
    ] {
        let reading = read_texts(&[("g.json".into(), text.clone())], &options(&[]));
        assert_eq!(told(&reading), "", "{text}");
        let found = (reading.group.id.as_deref(), reading.group.name.as_deref());
        assert_eq!(found, (id, name), "{text}");
    }
}

/// References that refer to each other, or to very much, end.
#[test]
fn templates_cannot_ask_for_everything() {
    let mut resources = Vec::new();
    for step in 0..30 {
        let next = format!("{{\"Ref\": \"P{}\"}}", step + 1);
        resources.push(format!(
            "\"P{step}\": {{\"Default\": {{\"Fn::Join\": [\"\", [{}]]}}}}",
            vec![next; 10].join(",")
        ));
    }
    let circle = "\"C\": {\"Default\": {\"Ref\": \"C\"}}";
    let subscription = |name: &str| {
        format!(
            "{{\"Id\": \"{name}\", \"Source\": \"cloud\", \"Subject\": {{\"Ref\": \"{name}\"}}, \"Target\": \"GGShadowService\"}}"
        )
    };
    let text = format!(
        "{{\"Parameters\": {{{}, {circle}}}, \"Resources\": {{\"S\": {{\"Type\": \
         \"AWS::Greengrass::SubscriptionDefinitionVersion\", \"Properties\": \
         {{\"Subscriptions\": [{}, {}]}}}}}}}}",
        resources.join(","),
        subscription("C"),
        subscription("P0"),
    );
    let reading = read_texts(&[("t.json".into(), text)], &options(&[]));
    assert!(reading.report.has_errors());
    assert!(told(&reading).contains("circle"), "{}", told(&reading));
    assert!(reading.report.problems.len() < 10, "{}", told(&reading));
}

/// A template as CloudFormation's authors write most of them, with the same in it as the one in
/// JSON; its line ends and short forms are of the kind that the seed accelerator's has.
#[test]
fn a_template_in_yaml_is_the_same() {
    let json = read("template.json", &GIVEN);
    let yaml = read("template.yaml", &GIVEN);
    assert_eq!(told(&yaml).replace("template.yaml", "template.json"), told(&json));
    // JSON within a text keeps the blanks it was written with.
    let without_blanks = |group: &Group| format!("{group:?}").replace(' ', "");
    assert_eq!(without_blanks(&yaml.group), without_blanks(&json.group));
}
