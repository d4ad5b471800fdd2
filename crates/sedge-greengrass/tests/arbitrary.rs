//! Definitions that are nonsense: whatever they are, they are read to the end.

use proptest::prelude::*;
use sedge_greengrass::group::{Options, read_texts};
use serde_json::{Map, Value};

const SAMPLES: [&str; 4] = [
    include_str!("../../../testdata/greengrass/classification.json"),
    include_str!("../../../testdata/greengrass/template.json"),
    include_str!("../../../testdata/greengrass/deployed.json"),
    include_str!("../../../testdata/greengrass/neo/function-definition-version.json"),
];

const YAML: &str = include_str!("../../../testdata/greengrass/template.yaml");

/// Words that mean something somewhere.
const WORDS: [&str; 14] = [
    "",
    "cloud",
    "Ref",
    "Fn::Sub",
    "${A",
    "${AWS::Region}",
    "arn:aws:lambda:::function:GGRouter",
    "arn:aws:lambda:eu-west-1:1:function:a:$LATEST",
    "arn:aws:greengrass:eu-west-1::/connectors/MLFeedback/versions/1",
    "s3://a.b/c",
    "/../\0",
    "99999999999999999999",
    "{\"a\": {\"a\": 1}, \"a\": []}",
    "#/+/\u{1f34e}",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        let key =
            prop_oneof![prop::sample::select(&WORDS[..]).prop_map(String::from), "[A-Z][a-z]+"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Puts a value in the place of the part of a document that comes after so many others.
fn replace(document: &mut Value, left: &mut usize, value: &Value) {
    if *left == 0 {
        *document = value.clone();
    }
    *left = left.wrapping_sub(1);
    match document {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, left, value)),
        Value::Object(map) => map.values_mut().for_each(|item| replace(item, left, value)),
        _ => {}
    }
}

fn read(text: String) {
    let reading = read_texts(&[("a.json".into(), text)], &Options::default());
    for problem in &reading.report.problems {
        assert!(!problem.rule.is_empty() && !problem.hint.is_empty(), "{problem}");
        assert!(problem.value.len() < 400, "{problem}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn samples_with_something_else_in_them(
        sample in prop::sample::select(&SAMPLES[..]),
        places in prop::collection::vec((0_usize..220, value()), 1..4),
    ) {
        let mut document: Value = serde_json::from_str(sample).map_err(|error| {
            TestCaseError::fail(error.to_string())
        })?;
        for (mut place, value) in places {
            replace(&mut document, &mut place, &value);
        }
        read(document.to_string());
    }

    #[test]
    fn values_of_all_kinds(value in value()) {
        read(value.to_string());
    }

    #[test]
    fn texts(text in "[{}\\[\\]\":,0-9a-zA-Z ]{0,200}") {
        read(text);
    }

    #[test]
    fn texts_of_yaml(text in "a: [\\[\\]{}\"'&*!|>%@#:,?0-9a-zA-Z \n\t-]{0,200}") {
        read(text);
    }

    #[test]
    fn yaml_with_something_else_in_it(place in 0_usize..5000, text in "[ \n:'\"&*!{}\\[\\]|>-]{1,4}") {
        let mut sample = YAML.to_owned();
        if let Some((place, _)) = sample.char_indices().nth(place) {
            sample.insert_str(place, &text);
        }
        read(sample);
    }
}
