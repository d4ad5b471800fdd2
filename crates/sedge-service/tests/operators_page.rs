//! The tables of operators in `docs/formats` say what the code says. `SEDGE_UPDATE_DOCS=1` writes
//! them, between the marks of each page.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use sedge_engine::How;
use sedge_import::tflite::{Reason, Support};

/// Compares a page's table with what it should be, or writes it.
fn page_has(page: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- operators -->\n").unwrap();
    let (written, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var_os("SEDGE_UPDATE_DOCS").is_some() {
        let text = format!("{before}<!-- operators -->\n\n{table}\n<!-- end -->{after}");
        std::fs::write(path, text).unwrap();
    } else {
        assert!(
            written.trim() == table.trim(),
            "{page} is out of date: SEDGE_UPDATE_DOCS=1 writes it"
        );
    }
}

fn code(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn by_letter(names: impl Iterator<Item = &'static str>) -> String {
    let mut by_letter: BTreeMap<char, Vec<&str>> = BTreeMap::new();
    for name in names {
        by_letter.entry(name.chars().next().unwrap()).or_default().push(name);
    }
    let mut list = String::new();
    for names in by_letter.values_mut() {
        names.sort_unstable();
        writeln!(list, "- {}", code(names)).unwrap();
    }
    list
}

#[test]
fn the_page_of_tensorflow_lite_has_every_operator_of_the_schema() {
    let mut operators: Vec<(&str, Support)> = sedge_import::tflite::operators().collect();
    operators.sort_unstable_by_key(|(name, _)| name.to_lowercase());
    let mut table =
        String::from("| operator | in its own types | quantised to 8 bits |\n|---|---|---|\n");
    for (name, support) in &operators {
        let marks = match support {
            Support::Plain => "yes |",
            Support::Quantized => "yes | yes",
            Support::Refused(_) => continue,
        };
        writeln!(table, "| `{name}` | {marks} |").unwrap();
    }
    table +=
        "\nRefused by name, with what to do:\n\n| why | operators | the way on |\n|---|---|---|\n";
    for reason in Reason::ALL {
        let refused = |(name, support): &(&'static str, Support)| {
            (*support == Support::Refused(reason)).then_some(*name)
        };
        let names: Vec<&str> = operators.iter().filter_map(refused).collect();
        writeln!(table, "| {} | {} | {} |", reason.what(), code(&names), reason.hint()).unwrap();
    }
    page_has("tflite.md", &table);
}

#[test]
fn the_page_of_tensorflow_lists_the_operators_that_the_code_has() {
    page_has("tensorflow.md", &by_letter(sedge_import::tensorflow::supported_operators()));
}

#[test]
fn the_page_of_onnx_says_what_the_embedded_engine_computes() {
    let mut table = String::from("| operator | computed in | refused |\n|---|---|---|\n");
    for operator in sedge_engine::operators() {
        let how = match operator.how {
            How::Rten => "rten",
            How::Rewritten => "rten, from other operators",
            How::Own => "Sedge",
            How::Integers => "integers",
        };
        let refused = operator.refused.join("; ");
        writeln!(table, "| `{}` | {how} | {refused} |", operator.name).unwrap();
    }
    page_has("onnx.md", &table);
}

#[test]
fn the_page_of_mxnet_lists_the_operators_that_the_code_has() {
    let mut rows: Vec<Vec<&str>> =
        sedge_import::mxnet::operator_names().map(<[_]>::to_vec).collect();
    rows.sort_unstable_by_key(|names| names[0].trim_start_matches('_').to_lowercase());
    // A row for all names of one operator.
    let mut table = String::from("| operator | other names |\n|---|---|\n");
    for names in rows {
        writeln!(table, "| `{}` | {} |", names[0], code(&names[1..])).unwrap();
    }
    page_has("mxnet.md", &table);
}

#[test]
fn every_operator_of_the_table_has_a_case() {
    let file =
        std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx_ops.zip"));
    let mut archive = zip::ZipArchive::new(file.unwrap()).unwrap();
    let index: serde_json::Value =
        serde_json::from_reader(archive.by_name("index.json").unwrap()).unwrap();
    let tested: Vec<&str> =
        index.as_array().unwrap().iter().filter_map(|case| case["operator"].as_str()).collect();
    let without = sedge_engine::operators().into_iter().map(|operator| operator.name);
    // Sequences are no tensors, which is all that single cases can bring and compare.
    let without: Vec<&str> =
        without.filter(|name| !tested.contains(name) && !name.contains("Sequence")).collect();
    assert!(without.is_empty(), "without a case: {without:?}");
}

#[test]
fn every_operator_of_tensorflow_has_a_case() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tensorflow_ops.zip");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    let index: serde_json::Value =
        serde_json::from_reader(archive.by_name("index.json").unwrap()).unwrap();
    let cases = index.as_array().unwrap().iter();
    let tested: Vec<&str> = cases
        .flat_map(|case| case["operators"].as_array().unwrap().iter().filter_map(|op| op.as_str()))
        .collect();
    // Variables are in the saved models; the rest is from versions that no TensorFlow writes.
    let elsewhere = [
        "BatchNormWithGlobalNormalization",
        "ReadVariableOp",
        "RefEnter",
        "RefExit",
        "RefNextIteration",
        "RefSwitch",
        "ResourceGather",
        "VarHandleOp",
        "Variable",
        "VariableV2",
    ];
    let without = sedge_import::tensorflow::supported_operators();
    let without: Vec<&str> =
        without.filter(|name| !tested.contains(name) && !elsewhere.contains(name)).collect();
    assert!(without.is_empty(), "without a case: {without:?}");
}
