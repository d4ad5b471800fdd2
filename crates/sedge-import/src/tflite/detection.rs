//! The detection head of TensorFlow's object detection exports.

use sedge_graph::{Attribute, Dim, SEDGE_DOMAIN, Value};
use sedge_tensor::DType;

use super::builder::Op;
use super::{Refusal, flexbuffer};

/// Name of the custom operator.
pub(super) const NAME: &str = "TFLite_Detection_PostProcess";

/// `TFLite_Detection_PostProcess`: operands are box encodings, class predictions and anchors;
/// results are boxes, classes, scores and their count.
///
/// Options and their defaults: `tensorflow/lite/kernels/detection_postprocess.cc` of
/// tensorflow/tensorflow, function `Init`.
pub(super) fn post_process(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = flexbuffer::numbers(op.operator.custom_options);
    let options = options.ok_or_else(|| Refusal::new("its options are not readable"))?;
    let get = |key: &str| options.get(key).copied();
    let need = |key: &str| get(key).ok_or_else(|| Refusal(format!("its option {key} is missing")));
    let max_detections = need("max_detections")? as i64;
    let max_classes = need("max_classes_per_detection")? as i64;
    let regular = get("use_regular_nms").unwrap_or(0.0) != 0.0;
    let per_class = get("detections_per_class").unwrap_or(100.0) as i64;
    let ints = [
        ("max_detections", max_detections),
        ("max_classes_per_detection", max_classes),
        ("detections_per_class", per_class),
        ("use_regular_nms", i64::from(regular)),
        ("num_classes", need("num_classes")? as i64),
    ];
    let mut attributes: Vec<(&str, Attribute)> =
        ints.into_iter().map(|(key, value)| (key, Attribute::Int(value))).collect();
    let floats =
        ["nms_score_threshold", "nms_iou_threshold", "y_scale", "x_scale", "h_scale", "w_scale"];
    for key in floats {
        attributes.push((key, Attribute::Float(need(key)? as f32)));
    }
    let operands = [op.real(0)?, op.real(1)?, op.real(2)?];
    let rows = if regular { max_detections } else { max_detections.saturating_mul(max_classes) };
    let rows = usize::try_from(rows).map_or(Dim::Unknown, Dim::Fixed);
    let one = Dim::Fixed(1);
    let shapes = [
        vec![one.clone(), rows.clone(), Dim::Fixed(4)],
        vec![one.clone(), rows.clone()],
        vec![one.clone(), rows],
        vec![one],
    ];
    let mut results = Vec::new();
    for index in 0..op.operator.outputs.len().min(shapes.len()) {
        let name = op.name(&format!("result{index}"));
        results.push(op.context.graph.add_value(Value { name, ..Value::default() }));
    }
    let mut node = op.node("DetectionPostProcess").domain(SEDGE_DOMAIN);
    for operand in operands {
        node = node.input(operand);
    }
    for (key, value) in attributes {
        node = node.attribute(key, value);
    }
    node.outputs_to(results.iter().copied().map(Some).collect());
    for (index, (result, shape)) in results.into_iter().zip(shapes).enumerate() {
        if op.operator.outputs[index].is_some() {
            op.finish_real(index, result)?;
            let value = op.context.graph.value_mut(result);
            // The file leaves these shapes open; the options fix them.
            value.shape = Some(shape);
            value.dtype = Some(DType::F32);
        }
    }
    Ok(())
}
