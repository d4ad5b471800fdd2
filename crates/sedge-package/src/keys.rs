//! Every key of `model.toml` in one table: what validation, `--help`, `--explain` and the template
//! of `sedge model init` are made from.

/// One key of `model.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Dotted path; entries of a list without their index.
    pub path: &'static str,
    /// Flag that overrides it, when there is one of its own.
    pub flag: Option<&'static str>,
    /// What it means, with unit and choices.
    pub help: &'static str,
    /// A value to start from, as TOML.
    pub example: &'static str,
}

const fn key(
    path: &'static str,
    flag: &'static str,
    help: &'static str,
    example: &'static str,
) -> Key {
    Key { path, flag: if flag.is_empty() { None } else { Some(flag) }, help, example }
}

/// The keys in the order in which a manifest has them. Parameters of decoders other than these are
/// documented with each decoder.
pub const KEYS: [Key; 31] = [
    key("schema", "", "version of this format", "1"),
    key("model.name", "", "name of the package", "\"my-model\""),
    key("model.version", "", "version for people", "\"1.0\""),
    key(
        "model.task",
        "task",
        "image-classification | object-detection | anomaly-detection | tensor",
        "\"image-classification\"",
    ),
    key(
        "model.files",
        "",
        "the model's own files; the format is recognised from content",
        "[\"model.onnx\"]",
    ),
    key(
        "model.architecture",
        "",
        "the network of a file of weights: chainer:NAME or an ONNX file",
        "\"chainer:ResNet50Layers\"",
    ),
    key(
        "model.labels",
        "labels",
        "a file with one label per line, or an inline list",
        "\"labels.txt\"",
    ),
    key("model.label_offset", "label-offset", "output index of the first label", "0"),
    key("model.license", "", "licence of the weights", "\"Apache-2.0\""),
    key("model.source", "", "where the model came from", "\"\""),
    key("model.description", "", "what the model is for", "\"\""),
    key("input.name", "", "name of the input in the model", "\"input\""),
    key("input.kind", "", "image | tensor", "\"image\""),
    key("input.width", "width", "width of the input in pixels", "224"),
    key("input.height", "height", "height of the input in pixels", "224"),
    key("input.layout", "layout", "order of dimensions: nhwc | nchw", "\"nhwc\""),
    key("input.dtype", "dtype", "element type of the input", "\"f32\""),
    key("input.color", "color", "channels the model was trained on: rgb | bgr | gray", "\"rgb\""),
    key("input.orientation", "orientation", "exif (turn upright) | ignore", "\"exif\""),
    key("input.alpha", "alpha", "transparency: drop | black | white", "\"drop\""),
    key("input.resize", "resize", "stretch | letterbox | crop", "\"stretch\""),
    key(
        "input.filter",
        "filter",
        "pillow-{nearest,bilinear,bicubic,lanczos} | opencv-{nearest,linear,cubic,area}",
        "\"pillow-bilinear\"",
    ),
    key("input.crop_fraction", "crop-fraction", "crop: part of the short side that is kept", "1.0"),
    key("input.pad", "pad", "letterbox: colour of the bars, red, green, blue", "[114, 114, 114]"),
    key("input.scale", "scale", "value = (pixel * scale - mean) / std, pixels being 0..255", "1.0"),
    key("input.mean", "mean", "subtracted after scaling; one value or one per channel", "[0.0]"),
    key(
        "input.std",
        "std",
        "divisor; one value or one per channel (255 maps pixels to 0..1)",
        "[255.0]",
    ),
    key(
        "decoder.kind",
        "decoder",
        "classes | tflite-detection | ids-scores-boxes | detection-rows | ssd-anchors | grid | tensor",
        "\"classes\"",
    ),
    key(
        "decoder.activation",
        "activation",
        "what makes scores of the outputs: none | softmax | sigmoid",
        "\"softmax\"",
    ),
    key("golden.image", "", "picture of a golden case", "\"golden/cat.jpg\""),
    key("golden.expected", "", "prediction it must give", "\"golden/cat.json\""),
];

/// Looks a key up by its dotted path, with or without list indices.
pub fn known_key(path: &str) -> Option<&'static Key> {
    let bare: Vec<&str> = path.split('.').filter(|part| part.parse::<usize>().is_err()).collect();
    let bare = bare.join(".");
    KEYS.iter().find(|key| key.path == bare)
}

/// The candidate most like a word that was not understood, when one is close.
pub fn nearest_key<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented() {
        let page = include_str!("../../../docs/model-package.md");
        for key in KEYS {
            let name = key.path.rsplit('.').next().unwrap_or_default();
            assert!(page.contains(&format!("`{name}`")), "{} is missing", key.path);
            if let Some(flag) = key.flag.filter(|flag| *flag != "decoder" && *flag != "activation")
            {
                assert!(page.contains(&format!("`--{flag}`")), "--{flag} is missing");
            }
        }
    }
}
