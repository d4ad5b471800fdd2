//! What GluonCV's detectors have in common, whatever became of their graph.

use sedge_graph::{Dim, Graph};

use crate::Fact;

/// True for names below the prefixes that GluonCV gives its SSD and YOLO: `ssd0_`, `yolov30_`.
pub(crate) fn is_detector(name: &str) -> bool {
    ["ssd", "yolov3"].iter().any(|prefix| {
        let digits = name.strip_prefix(prefix).and_then(|rest| rest.split('_').next());
        digits.is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

/// How pictures are prepared for them: `gluoncv.data.transforms.presets.ssd` and `.yolo`. Exported
/// with `preprocess=True`, which also puts the channels last, the graph does it itself.
pub(crate) fn presets(graph: &Graph) -> Vec<Fact> {
    let inputs = graph.inputs.iter().filter_map(|&id| graph.value(id).shape.as_deref());
    let last = |shape: &[Dim]| shape.len() == 4 && shape[3].fixed() == Some(3);
    let (origin, scale, mean, std) = match inputs.into_iter().any(last) {
        true => ("GluonCV's export with preprocessing, channels last", 1.0, vec![0.0], vec![1.0]),
        false => (
            "the presets of GluonCV's detectors",
            1.0 / 255.0,
            vec![0.485, 0.456, 0.406],
            vec![0.229, 0.224, 0.225],
        ),
    };
    vec![
        Fact::new("input.0.color", "rgb", origin),
        Fact::new("input.0.scale", scale, origin),
        Fact::new("input.0.mean", mean, origin),
        Fact::new("input.0.std", std, origin),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detectors_are_told_by_their_prefix() {
        for (name, is) in [
            ("ssd0_slice_axis9_output", true),
            ("yolov30_box_nms", true),
            ("ssd_slice", false),
            ("ssdx_slice", false),
            ("resnetv10_conv", false),
        ] {
            assert_eq!(is_detector(name), is, "{name}");
        }
    }
}
