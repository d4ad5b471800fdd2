//! What the exporters of the YOLO family embed in a model, in whatever format: class names, the size
//! of the input, and so how pictures are prepared and outputs decoded.

use std::collections::BTreeMap;

use sedge_graph::Graph;
use toml::{Table, Value};

use crate::Fact;

/// Class names as exporters write them: JSON, a Python list, a Python dictionary by index, or one
/// per line.
pub(crate) fn parse_labels(text: &str) -> Option<Vec<String>> {
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

/// The entries of a JSON object or a Python dictionary: keys that are strings, with the text of
/// their values, strings without quotes.
pub(crate) fn entries(text: &str) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let (mut depth, mut start) = (0usize, 0);
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{' | '[' | '(') => {
                depth += 1;
                start = if depth == 1 { at + 1 } else { start };
            }
            (None, ',') if depth == 1 => {
                entries.extend(entry(&text[start..at]));
                start = at + 1;
            }
            (None, '}' | ']' | ')') => {
                if depth == 1 {
                    entries.extend(entry(&text[start..at]));
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    entries
}

fn entry(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once(':')?;
    let bare = |text: &str| text.trim().trim_matches(['\'', '"']).to_owned();
    Some((bare(key), bare(value)))
}

/// What the YOLO exporters (`ultralytics`, `yolov5`) embed: `stride`, `names`, `task`, `imgsz`.
pub(crate) struct Yolo {
    origin: String,
    task: String,
    labels: Vec<String>,
    output: Option<(String, Vec<usize>)>,
    /// Height and width of the input.
    size: Option<[i64; 2]>,
}

impl Yolo {
    /// The export that wrote this metadata, when it is one; `origin` says where it was found.
    pub(crate) fn recognise(
        metadata: &BTreeMap<String, String>,
        graph: &Graph,
        origin: &str,
    ) -> Option<Self> {
        metadata.get("stride")?;
        let labels = parse_labels(metadata.get("names")?)?;
        let output = graph.outputs.first().map(|&id| graph.value(id));
        let output = output.and_then(|value| {
            let dims = value.shape.as_ref()?.iter().map(|dim| dim.fixed().unwrap_or(0)).collect();
            Some((value.name.clone(), dims))
        });
        let size = metadata.get("imgsz").and_then(|size| {
            let mut sides = size.trim_matches(['[', ']', '(', ')']).split(',');
            let height: i64 = sides.next()?.trim().parse().ok()?;
            let width = sides.next().map_or(Ok(height), |side| side.trim().parse());
            Some([height, width.ok()?])
        });
        let task = metadata.get("task").cloned().unwrap_or_else(|| "detect".into());
        Some(Self { origin: origin.to_owned(), task, labels, output, size })
    }

    /// What follows, but for the normalisation: pixels become 0..1. `coordinates` is the unit in
    /// which exports to the model's format have their boxes.
    pub(crate) fn facts(&self, coordinates: &str) -> Vec<Fact> {
        let mut facts = vec![
            Fact::new("model.labels", self.labels.clone(), &self.origin),
            Fact::new("input.0.color", "rgb", &self.origin),
        ];
        let mut say = |key: &str, value: Value| facts.push(Fact::new(key, value, &self.origin));
        if let Some([height, width]) = self.size {
            // Stated by the input's own shape unless that is dynamic.
            say("input.0.width", width.into());
            say("input.0.height", height.into());
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
                for (key, value) in self.decoder(coordinates) {
                    say(&format!("decoder.{key}"), value);
                }
            }
            _ => {}
        }
        facts
    }

    /// The decoder that the first output's shape tells apart.
    fn decoder(&self, coordinates: &str) -> Table {
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
            set("coordinates", coordinates.into());
            set("columns", "corners-score-class".into());
            set("score_threshold", 0.25.into());
            return keys;
        } else {
            return Table::new();
        }
        set("outputs", vec![name.clone()].into());
        if coordinates != "pixels" {
            set("coordinates", coordinates.into());
        }
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
    fn dictionaries_of_both_languages_are_read() {
        for text in [
            "{'stride': 32, 'imgsz': [640, 640], 'names': {0: 'a, b', 1: 'c'}, 'task': 'detect'}",
            "{\n\"stride\": 32,\n\"imgsz\": [640, 640],\n\"names\": {\"0\": \"a, b\", \"1\": \"c\"},\n\
             \"task\": \"detect\"\n}",
        ] {
            let entries = entries(text);
            assert_eq!(entries["task"], "detect");
            assert_eq!(entries["imgsz"], "[640, 640]");
            assert_eq!(parse_labels(&entries["names"]).unwrap(), ["a, b", "c"]);
        }
        assert!(entries("person").is_empty());
    }

    #[test]
    fn sides_of_the_input_are_height_and_width() {
        let size = |imgsz: &str| {
            let metadata = [("stride", "32"), ("names", "{0: 'a'}"), ("imgsz", imgsz)];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
            Yolo::recognise(&metadata.into(), &Graph::new("g"), "here").unwrap().size
        };
        assert_eq!(size("[384, 640]"), Some([384, 640]));
        assert_eq!(size("640"), Some([640, 640]));
        assert_eq!(size("[]"), None);
    }

    fn yolo(shape: [usize; 3], task: &str) -> Table {
        let labels = (0..80).map(|i| i.to_string()).collect();
        let output = Some(("output0".to_owned(), shape.to_vec()));
        let origin = String::new();
        Yolo { origin, task: task.into(), labels, output, size: None }.decoder("pixels")
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
