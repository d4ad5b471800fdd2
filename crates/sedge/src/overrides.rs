//! Flags that override what manifest and model file say, one for each key of `model.toml` and
//! `--set` for all others.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use sedge_package::{Origin, known_key, nearest_key};
use toml::Value;

use crate::choices;

/// One override: dotted key, value, and the flag it came from.
pub(crate) type Override = (String, Value, Origin);

/// Overrides of the model's settings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Overrides of the model's settings")]
pub(crate) struct OverrideFlags {
    /// What the model is for: image-classification, object-detection, anomaly-detection or tensor
    #[arg(long, value_name = "TASK", value_parser = choices::TASKS, hide_possible_values = true)]
    task: Option<String>,
    /// Labels: a file with one per line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    labels: Option<String>,
    /// Output index of the first label (1 when output 0 is a background class without a label)
    #[arg(long, allow_hyphen_values = true, value_name = "N")]
    label_offset: Option<i64>,
    /// Width of the input in pixels, for models that leave it open
    #[arg(long, value_name = "PIXELS")]
    width: Option<i64>,
    /// Height of the input in pixels, for models that leave it open
    #[arg(long, value_name = "PIXELS")]
    height: Option<i64>,
    /// Order of the input's dimensions: nhwc or nchw
    #[arg(long, value_parser = choices::LAYOUTS, hide_possible_values = true)]
    layout: Option<String>,
    /// Element type of the input: f32, u8, i8, ...
    #[arg(long)]
    dtype: Option<String>,
    /// Channels the model was trained on: rgb, bgr or gray
    #[arg(long, value_parser = choices::COLORS, hide_possible_values = true)]
    color: Option<String>,
    /// exif (turn the picture upright) or ignore
    #[arg(long, value_parser = choices::ORIENTATIONS, hide_possible_values = true)]
    orientation: Option<String>,
    /// What becomes of transparency: drop, black or white
    #[arg(long, value_parser = choices::ALPHAS, hide_possible_values = true)]
    alpha: Option<String>,
    /// How the picture is fitted: stretch, letterbox or crop
    #[arg(long, value_parser = choices::RESIZES, hide_possible_values = true)]
    resize: Option<String>,
    /// Resampling: pillow-{nearest,bilinear,bicubic,lanczos} or opencv-{nearest,linear,cubic,area}
    #[arg(long, value_parser = choices::FILTERS, hide_possible_values = true)]
    filter: Option<String>,
    /// With crop: the part of the short side that is kept, 0.875 for 224 of 256
    #[arg(long, allow_hyphen_values = true, value_name = "FRACTION")]
    crop_fraction: Option<f64>,
    /// With letterbox: colour of the bars, as R,G,B
    #[arg(long, allow_hyphen_values = true, value_name = "R,G,B", value_delimiter = ',')]
    pad: Option<Vec<i64>>,
    /// Factor on the pixel (0..255) before mean and std: value = (pixel * scale - mean) / std
    #[arg(long, allow_hyphen_values = true)]
    scale: Option<f64>,
    /// Subtracted after scaling: one value, or one per channel with commas between
    #[arg(long, value_name = "M[,M,M]", value_delimiter = ',', allow_hyphen_values = true)]
    mean: Option<Vec<f64>>,
    /// Divisor: one value, or one per channel; 255 maps pixels to 0..1
    #[arg(long, allow_hyphen_values = true, value_name = "S[,S,S]", value_delimiter = ',')]
    std: Option<Vec<f64>>,
    /// How outputs are decoded: classes, tflite-detection, ids-scores-boxes, detection-rows,
    /// ssd-anchors, grid or tensor
    #[arg(long, value_name = "KIND", value_parser = choices::DECODERS, hide_possible_values = true)]
    decoder: Option<String>,
    /// What makes scores of the outputs: none (the graph ends in it), softmax or sigmoid
    #[arg(long, value_parser = choices::ACTIVATIONS, hide_possible_values = true)]
    activation: Option<String>,
    /// Any key of model.toml with a TOML value, such as decoder.nms.iou_threshold=0.5
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl OverrideFlags {
    /// The overrides in the form the package takes them.
    pub(crate) fn overrides(&self) -> Result<Vec<Override>> {
        let mut all = Vec::new();
        let mut say = |key: &str, flag: &str, value: Option<Value>| {
            if let Some(value) = value {
                all.push((key.to_owned(), value, Origin::Flag(format!("--{flag}"))));
            }
        };
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let floats = |list: &Option<Vec<f64>>| list.clone().map(Value::from);
        say("model.task", "task", text(&self.task));
        say("model.labels", "labels", text(&self.labels));
        say("model.label_offset", "label-offset", self.label_offset.map(Value::from));
        say("input.width", "width", self.width.map(Value::from));
        say("input.height", "height", self.height.map(Value::from));
        say("input.layout", "layout", text(&self.layout));
        say("input.dtype", "dtype", text(&self.dtype));
        say("input.color", "color", text(&self.color));
        say("input.orientation", "orientation", text(&self.orientation));
        say("input.alpha", "alpha", text(&self.alpha));
        say("input.resize", "resize", text(&self.resize));
        say("input.filter", "filter", text(&self.filter));
        say("input.crop_fraction", "crop-fraction", self.crop_fraction.map(Value::from));
        say("input.pad", "pad", self.pad.clone().map(Value::from));
        say("input.scale", "scale", self.scale.map(Value::from));
        say("input.mean", "mean", floats(&self.mean));
        say("input.std", "std", floats(&self.std));
        say("decoder.kind", "decoder", text(&self.decoder));
        say("decoder.activation", "activation", text(&self.activation));
        for assignment in &self.set {
            all.extend(parse_assignment(assignment)?);
        }
        Ok(all)
    }
}

/// True for what was meant as a string without quotes, not for a list or number with a mistake:
/// names of files, `chainer:ResNet50Layers(downsample_fb=True)`.
fn is_word(value: &str) -> bool {
    let named = value.starts_with(char::is_alphabetic);
    let marks = if named { "-_./ :()=," } else { "-_./ " };
    value.chars().all(|c| c.is_alphanumeric() || marks.contains(c))
}

fn parse_assignment(text: &str) -> Result<Vec<Override>> {
    let Some((key, value)) = text.split_once('=') else {
        bail!(
            "--set {text}: there is no '='. Hint: write --set KEY=VALUE, such as --set input.color=\"bgr\""
        );
    };
    let (key, value) = (key.trim(), value.trim());
    // Words need no quotes: what is not TOML is a string.
    let parsed = format!("value = {value}").parse::<toml::Table>().ok();
    let value = match parsed.and_then(|mut table| table.remove("value")) {
        Some(value) => value,
        None if is_word(value) => value.into(),
        None => {
            return Err(anyhow::anyhow!("'{value}' is no TOML value"))
                .context(format!("--set {text}"));
        }
    };
    let mut all = Vec::new();
    leaves(key, value, &mut |key, value| {
        let origin = Origin::Flag(format!("--set {key}"));
        all.push((key, value, origin));
    });
    for (key, ..) in &all {
        settable(key).with_context(|| format!("--set {text}"))?;
    }
    Ok(all)
}

/// Every value in a table with its dotted key.
pub(crate) fn leaves(key: &str, value: Value, say: &mut impl FnMut(String, Value)) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                leaves(&format!("{key}.{name}"), value, say);
            }
        }
        leaf => say(key.to_owned(), leaf),
    }
}

/// Refuses keys that do not exist, and those that say what the package is and not how it is used.
fn settable(key: &str) -> Result<()> {
    let section = key.split('.').next().unwrap_or_default();
    match section {
        "schema" | "golden" => {
            bail!("'{key}' is the manifest's own. Hint: write it into the package's model.toml")
        }
        _ if key == "model.files" => {
            bail!("'model.files' is the manifest's own. Hint: name the model file itself as MODEL")
        }
        // A decoder knows its own keys.
        "decoder" if key != section => return Ok(()),
        "model" | "input" if known_key(key).is_some() => return Ok(()),
        _ => {}
    }
    let settable = sedge_package::KEYS.iter().map(|key| key.path);
    let near = nearest_key(key, settable.filter(|key| !["schema", "model.files"].contains(key)));
    match near {
        Some(near) => bail!("unknown key '{key}'. Hint: did you mean {near}?"),
        None => bail!("unknown key '{key}'. Hint: keys begin with model., input. or decoder."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_take_toml_and_bare_words() {
        for (text, key, value) in [
            ("decoder.nms.iou_threshold=0.5", "decoder.nms.iou_threshold", Value::from(0.5)),
            ("input.color=bgr", "input.color", Value::from("bgr")),
            (
                "model.architecture=chainer:ResNet50Layers(downsample_fb=True)",
                "model.architecture",
                Value::from("chainer:ResNet50Layers(downsample_fb=True)"),
            ),
            ("input.mean=[1.0, 2.0]", "input.mean", Value::from(vec![1.0, 2.0])),
        ] {
            let all = parse_assignment(text).unwrap();
            let [(k, v, _)] = all.as_slice() else { panic!("{all:?}") };
            assert_eq!((k.as_str(), v), (key, &value));
        }
        let table = parse_assignment("decoder={kind='grid', nms={iou_threshold=0.5}}").unwrap();
        let keys: Vec<_> = table.iter().map(|(key, ..)| key.as_str()).collect();
        assert_eq!(keys, ["decoder.kind", "decoder.nms.iou_threshold"]);
        for (text, word) in [
            ("input.colour=bgr", "input.color"),
            ("input={colour='bgr'}", "input.color"),
            ("nonsense", "="),
            ("output.x=1", "model."),
            ("schema=2", "manifest's own"),
            ("model.files=['x']", "as MODEL"),
            ("decoder=grid", "decoder.kind"),
            ("input.mean=1,2,3", "no TOML value"),
            ("model.name=\"cut", "no TOML value"),
        ] {
            let message = format!("{:#}", parse_assignment(text).unwrap_err());
            assert!(message.contains(word), "{message}");
        }
    }
}
