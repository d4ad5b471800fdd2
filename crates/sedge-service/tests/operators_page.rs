//! `docs/operators.md` says what the code says. `SEDGE_UPDATE_DOCS=1` writes it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use sedge_engine::How;

const HEAD: &str = "\
# Operators

Written from the code by `SEDGE_UPDATE_DOCS=1 cargo test -p sedge-service --test operators_page`.

What a model needs and Sedge lacks is said when the model is loaded, by the operator's name and
place; nothing is left out or approximated in silence. Every operator below is compared with the
original framework in `crates/sedge-service/tests/conformance`.

";

const TFLITE: &str = "\
## TensorFlow Lite

Built-in operators that are imported, in floats, with 8-bit weights alone, and quantised to 8 bits
where TensorFlow Lite has that. Of custom operators there is `TFLite_Detection_PostProcess`.

";

const TENSORFLOW: &str = "
## TensorFlow

Operators of frozen graphs and saved models that are imported ([tensorflow.md](formats/tensorflow.md)).
Variables are constants; functions are put in place of `PartitionedCall`, `StatefulPartitionedCall`
and of `If` and `StatelessIf` whose condition the file fixes.

";

const ONNX: &str = "
## ONNX in the embedded engine

Models of operator set 7 and newer. `Constant`, `Dropout`, `Scatter` and `Upsample` become others
while a model is read; so do the operators of older sets where their meaning changed. Weights of 4
bits are read into 8. Computation is in 32-bit floats (also for models in 16 and 64 bits), 32-bit
integers (also for 64 bits) and 8-bit integers. `NaN` is not carried through `Relu`.

| operator | computed in | refused |
|---|---|---|
";

const TAIL: &str = "
Operators that are not in the table are refused; `--engine onnxruntime` has them all. Forms that
need a picture of known size run where the request brings it too, at the price of a preparation
for each new size.
";

fn by_letter(names: impl Iterator<Item = &'static str>) -> String {
    let mut by_letter: BTreeMap<char, Vec<&str>> = BTreeMap::new();
    for name in names {
        by_letter.entry(name.chars().next().unwrap()).or_default().push(name);
    }
    let mut list = String::new();
    for names in by_letter.values_mut() {
        names.sort_unstable();
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(list, "- {}", names.join(", ")).unwrap();
    }
    list
}

fn page() -> String {
    let mut page = HEAD.to_owned() + TFLITE;
    page += &by_letter(sedge_import::tflite::supported_operators());
    page += TENSORFLOW;
    page += &by_letter(sedge_import::tensorflow::supported_operators());
    page += ONNX;
    for operator in sedge_engine::operators() {
        let how = match operator.how {
            How::Rten => "rten",
            How::Rewritten => "rten, from other operators",
            How::Own => "Sedge",
            How::Integers => "integers",
        };
        let refused = operator.refused.join("; ");
        writeln!(page, "| `{}` | {how} | {refused} |", operator.name).unwrap();
    }
    page + TAIL
}

#[test]
fn the_page_of_operators_is_what_the_code_has() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operators.md"));
    let page = page();
    if std::env::var_os("SEDGE_UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/operators.md is out of date: SEDGE_UPDATE_DOCS=1 writes it");
}

/// The operators of MXNet, a row for all names of one.
fn mxnet_table() -> String {
    let mut rows: Vec<Vec<&str>> =
        sedge_import::mxnet::operator_names().map(<[_]>::to_vec).collect();
    rows.sort_unstable_by_key(|names| names[0].trim_start_matches('_').to_lowercase());
    let mut table = String::from("\n| operator | other names |\n|---|---|\n");
    for names in rows {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(table, "| {} | {} |", names[0], names[1..].join(", ")).unwrap();
    }
    table + "\n"
}

#[test]
fn the_page_of_mxnet_lists_the_operators_that_the_code_has() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats/mxnet.md"));
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- operators -->\n").unwrap();
    let (written, after) = rest.split_once("<!-- end -->").unwrap();
    let table = mxnet_table();
    if std::env::var_os("SEDGE_UPDATE_DOCS").is_some() {
        let page = format!("{before}<!-- operators -->\n{table}<!-- end -->{after}");
        std::fs::write(path, page).unwrap();
    } else {
        assert!(
            written == table,
            "docs/formats/mxnet.md is out of date: SEDGE_UPDATE_DOCS=1 writes it"
        );
    }
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
