//! Words that flags take: the shell completes them, and others are refused before anything starts.

use clap::builder::PossibleValuesParser;
use sedge_engine::Registry;

/// Names of engines, `auto` among them.
pub(crate) fn engines() -> PossibleValuesParser {
    PossibleValuesParser::new(Registry::new(None).names())
}

pub(crate) const TASKS: [&str; 4] =
    ["image-classification", "object-detection", "anomaly-detection", "tensor"];
pub(crate) const LAYOUTS: [&str; 2] = ["nhwc", "nchw"];
pub(crate) const COLORS: [&str; 3] = ["rgb", "bgr", "gray"];
pub(crate) const ORIENTATIONS: [&str; 2] = ["exif", "ignore"];
pub(crate) const ALPHAS: [&str; 3] = ["drop", "black", "white"];
pub(crate) const RESIZES: [&str; 3] = ["stretch", "letterbox", "crop"];
pub(crate) const FILTERS: [&str; 8] = [
    "pillow-nearest",
    "pillow-bilinear",
    "pillow-bicubic",
    "pillow-lanczos",
    "opencv-nearest",
    "opencv-linear",
    "opencv-cubic",
    "opencv-area",
];
pub(crate) const DECODERS: [&str; 7] = [
    "classes",
    "tflite-detection",
    "ids-scores-boxes",
    "detection-rows",
    "ssd-anchors",
    "grid",
    "tensor",
];
pub(crate) const ACTIVATIONS: [&str; 3] = ["none", "softmax", "sigmoid"];

#[cfg(test)]
mod tests {
    use sedge_package::Task;
    use sedge_vision::decoders::Activation;
    use sedge_vision::{Alpha, Color, Decoder, Filter, Layout, Orientation, Resize};
    use serde::de::DeserializeOwned;
    use toml::Value;

    use super::*;

    /// Says which words a type does not take; its own error lists what it takes.
    fn refused<T: DeserializeOwned>(words: &[&str]) -> Vec<String> {
        let errors = words.iter().filter_map(|&word| Value::from(word).try_into::<T>().err());
        let mut refused: Vec<String> = errors.map(|error| error.to_string()).collect();
        let all = Value::from("no such word").try_into::<T>().err().unwrap().to_string();
        let listed = all.split('`').skip(3).step_by(2).filter(|word| !words.contains(word));
        refused.extend(listed.map(|word| format!("{word} is missing")));
        refused
    }

    #[test]
    fn they_are_the_words_of_the_manifest() {
        assert_eq!(refused::<Task>(&TASKS), [""; 0]);
        assert_eq!(refused::<Layout>(&LAYOUTS), [""; 0]);
        assert_eq!(refused::<Color>(&COLORS), [""; 0]);
        assert_eq!(refused::<Orientation>(&ORIENTATIONS), [""; 0]);
        assert_eq!(refused::<Alpha>(&ALPHAS), [""; 0]);
        assert_eq!(refused::<Resize>(&RESIZES), [""; 0]);
        assert_eq!(refused::<Filter>(&FILTERS), [""; 0]);
        assert_eq!(refused::<Activation>(&ACTIVATIONS), [""; 0]);
        let kinds = DECODERS.map(|kind| toml::Table::from_iter([("kind".into(), kind.into())]));
        for kind in kinds {
            let error = Value::Table(kind.clone()).try_into::<Decoder>().err();
            assert!(!error.is_some_and(|e| e.to_string().contains("unknown variant")), "{kind:?}");
        }
    }
}
