//! ONNX: the graph is read by `sedge-graph`; here is what the file says about its own use.

mod quantization;

use std::collections::BTreeMap;

use sedge_graph::{Graph, onnx};
use toml::{Table, Value};

use crate::yolo::{Yolo, parse_labels};
use crate::{Fact, Source, heads};

pub use quantization::{QUANTIZATION, quantization_text};

/// Metadata key under which a model that Sedge converted says everything that was known about its
/// use: the text of a `model.toml`.
pub const SETTINGS: &str = "sedge.settings";

/// Largest text that is read from [`SETTINGS`]; it takes some ten times its size to parse.
pub const MAX_SETTINGS_BYTES: usize = 1 << 20;

/// Reads an ONNX file, with the weights it keeps in files beside it, and what its metadata states.
pub(crate) fn import(source: &Source<'_>) -> Result<(Graph, Vec<Fact>), onnx::ReadError> {
    let mut graph = onnx::read_with(&source.bytes, &|name| source.read(name))?;
    sedge_graph::shapes::fold(&mut graph);
    quantization::state(&mut graph);
    let mut facts = heads::input_facts(&graph);
    facts.extend(heads::head_facts(&graph));
    facts.extend(standard_image_facts(&graph.metadata));
    match Yolo::recognise(&graph.metadata, &graph, YOLO) {
        Some(yolo) => {
            facts.extend(yolo.facts("pixels"));
            facts.extend(normalisation(0.0, 255.0, YOLO));
        }
        None => facts.extend(label_facts(&graph.metadata)),
    }
    if let Some(text) = graph.metadata.remove(SETTINGS) {
        facts.extend(embedded_facts(&text));
    }
    Ok((graph, facts))
}

const YOLO: &str = "ONNX metadata of the YOLO exporter";

/// What a conversion wrote down: the sections that say how a model is used, without the keys that
/// name files. Text that is no TOML says nothing; wrong values are found with all others.
fn embedded_facts(text: &str) -> Vec<Fact> {
    let parsed = (text.len() <= MAX_SETTINGS_BYTES).then(|| text.parse::<Table>().ok());
    let Some(mut table) = parsed.flatten() else { return Vec::new() };
    let mut facts = Vec::new();
    if let Some(kind) = table.get("decoder").and_then(|decoder| decoder.get("kind")) {
        // First: it takes the place of what another decoder would say.
        facts.push(Fact::new("decoder.kind", kind.clone(), EMBEDDED));
    }
    for section in ["model", "decoder", "input"] {
        if let Some(value) = table.remove(section) {
            leaves(section, value, &mut facts);
        }
    }
    let names_files = |fact: &Fact| match fact.key.as_str() {
        "model.files" | "decoder.anchor_file" => true,
        "model.labels" => !fact.value.is_array(),
        _ => false,
    };
    facts.retain(|fact| !names_files(fact));
    facts
}

const EMBEDDED: &str = "ONNX metadata 'sedge.settings'";

/// Every value below a dotted key; entries of a list of tables go by their index.
fn leaves(key: &str, value: Value, facts: &mut Vec<Fact>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                leaves(&format!("{key}.{name}"), value, facts);
            }
        }
        Value::Array(entries) if key == "input" => {
            for (index, entry) in entries.into_iter().enumerate() {
                leaves(&format!("{key}.{index}"), entry, facts);
            }
        }
        leaf => facts.push(Fact::new(key, leaf, EMBEDDED)),
    }
}

/// The image keys of the ONNX specification ("MetadataProps.md").
fn standard_image_facts(metadata: &BTreeMap<String, String>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let color = match metadata.get("Image.BitmapPixelFormat").map(String::as_str) {
        Some("Rgb8") => Some("rgb"),
        Some("Bgr8") => Some("bgr"),
        Some("Gray8") => Some("gray"),
        _ => None,
    };
    if let Some(color) = color {
        facts.push(Fact::new("input.0.color", color, "ONNX metadata Image.BitmapPixelFormat"));
    }
    let range = match metadata.get("Image.NominalPixelRange").map(String::as_str) {
        Some("NominalRange_0_255") => Some((0.0, 1.0)),
        Some("Normalized_0_1") => Some((0.0, 255.0)),
        Some("Normalized_1_1") => Some((127.5, 127.5)),
        _ => None,
    };
    if let Some((mean, std)) = range {
        facts.extend(normalisation(mean, std, "ONNX metadata Image.NominalPixelRange"));
    }
    facts
}

fn normalisation(mean: f64, std: f64, origin: &str) -> [Fact; 3] {
    [
        Fact::new("input.0.scale", 1.0, origin),
        Fact::new("input.0.mean", vec![mean], origin),
        Fact::new("input.0.std", vec![std], origin),
    ]
}

fn label_facts(metadata: &BTreeMap<String, String>) -> Option<Fact> {
    ["labels", "class_names", "classes", "names"].iter().find_map(|key| {
        let labels = parse_labels(metadata.get(*key)?)?;
        Some(Fact::new("model.labels", labels, &format!("ONNX metadata '{key}'")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_settings_are_facts_but_name_no_files() {
        let text = "[model]\nlabels = '/etc/passwd'\nfiles = ['x']\nlabel_offset = 1\n\
            [[input]]\nmean = [1.0]\n[decoder]\nactivation = 'none'\nkind = 'classes'\n\
            [golden]\nx = 1\n";
        let facts = embedded_facts(text);
        let keys: Vec<_> = facts.iter().map(|fact| fact.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "decoder.kind",
                "model.label_offset",
                "decoder.activation",
                "decoder.kind",
                "input.0.mean"
            ]
        );
        assert!(embedded_facts("no toml").is_empty());
    }
}
