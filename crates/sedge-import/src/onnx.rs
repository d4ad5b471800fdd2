//! ONNX: the graph is read by `sedge-graph`; here is what the file says about its own use.

mod quantization;

use std::collections::BTreeMap;

use sedge_graph::{Graph, onnx};
use toml::{Table, Value};

use crate::{Fact, Source, heads};

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
    match Yolo::recognise(&graph) {
        Some(yolo) => facts.extend(yolo.facts()),
        None => facts.extend(label_facts(&graph.metadata)),
    }
    if let Some(text) = graph.metadata.remove(SETTINGS) {
        facts.extend(embedded_facts(&text));
    }
    Ok((graph, facts))
}

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

/// Class names as exporters write them: JSON, a Python list, a Python dictionary by index, or one
/// per line.
fn parse_labels(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .or_else(|| text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')));
    let Some(inner) = inner else {
        let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        return (lines.len() > 1).then_some(lines);
    };
    let labels = quoted(inner);
    // In a dictionary with quoted keys every other string is a key.
    let keyed = text.starts_with('{') && labels.len().is_multiple_of(2) && {
        let keys = labels.iter().step_by(2).enumerate();
        keys.into_iter().all(|(i, key)| *key == i.to_string())
    };
    let labels: Vec<String> =
        if keyed { labels.into_iter().skip(1).step_by(2).collect() } else { labels };
    (!labels.is_empty()).then_some(labels)
}

/// The string literals of a Python or JSON text, in order.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = text.chars();
    while let Some(quote) = chars.by_ref().find(|c| matches!(c, '\'' | '"')) {
        let mut literal = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\\' => literal.extend(chars.next()),
                c if c == quote => break,
                c => literal.push(c),
            }
        }
        found.push(literal);
    }
    found
}

/// What the YOLO exporters (`ultralytics`, `yolov5`) embed: `stride`, `names`, `task`, `imgsz`.
struct Yolo {
    task: String,
    labels: Vec<String>,
    output: Option<(String, Vec<usize>)>,
    pixels: Option<usize>,
}

const YOLO: &str = "ONNX metadata of the YOLO exporter";

impl Yolo {
    fn recognise(graph: &Graph) -> Option<Self> {
        let metadata = &graph.metadata;
        metadata.get("stride")?;
        let labels = parse_labels(metadata.get("names")?)?;
        let output = graph.outputs.first().map(|&id| graph.value(id));
        let output = output.and_then(|value| {
            let dims = value.shape.as_ref()?.iter().map(|dim| dim.fixed().unwrap_or(0)).collect();
            Some((value.name.clone(), dims))
        });
        let pixels = metadata.get("imgsz").and_then(|size| {
            size.trim_matches(['[', ']', '(', ')']).split(',').next()?.trim().parse().ok()
        });
        let task = metadata.get("task").cloned().unwrap_or_else(|| "detect".into());
        Some(Self { task, labels, output, pixels })
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = vec![
            Fact::new("model.labels", self.labels.clone(), YOLO),
            Fact::new("input.0.color", "rgb", YOLO),
        ];
        facts.extend(normalisation(0.0, 255.0, YOLO));
        let mut say = |key: &str, value: Value| facts.push(Fact::new(key, value, YOLO));
        if let Some(pixels) = self.pixels {
            // Stated by the input's own shape unless that is dynamic.
            say("input.0.width", (pixels as i64).into());
            say("input.0.height", (pixels as i64).into());
        }
        match self.task.as_str() {
            "classify" => {
                say("model.task", "image-classification".into());
                say("input.0.resize", "crop".into());
                say("input.0.filter", "pillow-bilinear".into());
                say("decoder.kind", "classes".into());
                say("decoder.activation", "none".into());
            }
            "detect" | "segment" | "pose" => {
                say("model.task", "object-detection".into());
                say("input.0.resize", "letterbox".into());
                say("input.0.filter", "opencv-linear".into());
                say("input.0.pad", vec![114i64; 3].into());
                for (key, value) in self.decoder() {
                    say(&format!("decoder.{key}"), value);
                }
            }
            _ => {}
        }
        facts
    }

    /// The decoder that the first output's shape tells apart.
    fn decoder(&self) -> Table {
        let classes = self.labels.len();
        let Some((name, shape)) = &self.output else { return Table::new() };
        let [_, rows, columns] = shape.as_slice() else { return Table::new() };
        let mut keys = Table::new();
        let mut set = |key: &str, value: Value| drop(keys.insert(key.into(), value));
        let form = |layout: &str, fields: &str| {
            [("kind", "grid"), ("layout", layout), ("box_form", "center-size"), ("fields", fields)]
                .map(|(key, value)| (key.to_owned(), Value::from(value)))
        };
        // Masks and key points follow the classes.
        let counted = self.task != "detect";
        if *rows >= 4 + classes && (*columns > *rows || *columns == 0) && *columns != 5 + classes {
            form("columns", "box-classes").into_iter().for_each(|(key, value)| set(&key, value));
            set("nms", Table::from_iter([("iou_threshold".to_owned(), Value::from(0.7))]).into());
            if counted {
                set("class_count", (classes as i64).into());
            }
        } else if *columns == 5 + classes {
            form("rows", "box-objectness-classes")
                .into_iter()
                .for_each(|(key, value)| set(&key, value));
        } else if *columns == 6 {
            set("kind", "detection-rows".into());
            set("coordinates", "pixels".into());
            set("columns", "corners-score-class".into());
            set("score_threshold", 0.25.into());
            return keys;
        } else {
            return Table::new();
        }
        set("outputs", vec![name.clone()].into());
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_are_read_in_every_spelling() {
        for text in [
            "{0: 'person', 1: 'bi\\'cycle'}",
            "{\"0\": \"person\", \"1\": \"bi'cycle\"}",
            "['person', \"bi'cycle\"]",
            "person\nbi'cycle",
        ] {
            assert_eq!(parse_labels(text).unwrap(), ["person", "bi'cycle"], "{text}");
        }
        assert_eq!(parse_labels("person"), None);
    }

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

    fn yolo(shape: [usize; 3], task: &str) -> Table {
        let labels = (0..80).map(|i| i.to_string()).collect();
        let output = Some(("output0".to_owned(), shape.to_vec()));
        Yolo { task: task.into(), labels, output, pixels: None }.decoder()
    }

    #[test]
    fn the_head_shape_tells_the_yolo_generation() {
        for (shape, task, key, value) in [
            ([1, 84, 8400], "detect", "layout", "columns"),
            ([1, 116, 8400], "segment", "layout", "columns"),
            ([1, 25200, 85], "detect", "fields", "box-objectness-classes"),
            ([1, 300, 6], "detect", "kind", "detection-rows"),
        ] {
            assert_eq!(yolo(shape, task)[key].as_str(), Some(value), "{shape:?}");
        }
        assert_eq!(yolo([1, 116, 8400], "segment")["class_count"].as_integer(), Some(80));
    }
}
