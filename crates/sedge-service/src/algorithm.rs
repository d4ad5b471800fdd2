//! The answers of SageMaker's built-in algorithms, which Greengrass' connectors give as well.

use bytes::Bytes;
use sedge_vision::Object;

use crate::{Request, Response, RunnerError, Service};

/// Classes that listeners are told of, when the caller wants scores.
const MOST_TOLD: usize = 20;

/// A request for an answer in this form.
pub fn algorithm_request(service: &Service, picture: Bytes) -> Request {
    let mut request = Request::picture(service.name(), picture);
    let classifies = |info: &crate::ModelInfo| info.task == "image-classification";
    // The list of scores comes apart from the classes, of which events want the best.
    if service.serving().is_some_and(|version| classifies(version.info())) {
        request.selection.top_k = Some(MOST_TOLD);
    }
    request
}

/// The body of an answer: `[0.3,0.1]` with every class in training order, or
/// `{"prediction":[[class,score,xmin,ymin,xmax,ymax]]}` with coordinates as ratios. A model without
/// a decoder answers `{"outputs":[...]}`.
///
/// Clients take it apart by hand (strip the brackets, split at commas), so there is no space and
/// no newline anywhere.
///
/// # Errors
/// When the model said nothing of this form, or something that is not finite.
pub fn algorithm_body(response: &Response) -> Result<Vec<u8>, RunnerError> {
    if let Some(probabilities) = &response.probabilities {
        return classes(probabilities);
    }
    let Some(prediction) = &response.prediction else { return Err(unfit()) };
    match (&prediction.objects, &prediction.outputs) {
        (Some(objects), _) => rows(objects),
        (None, Some(outputs)) => {
            serde_json::to_vec(&serde_json::json!({ "outputs": outputs })).map_err(|_| unfit())
        }
        (None, None) => Err(unfit()),
    }
}

fn unfit() -> RunnerError {
    RunnerError::Failed("the model gave no answer that has this form".into())
}

fn classes(probabilities: &[f32]) -> Result<Vec<u8>, RunnerError> {
    let mut body = Vec::with_capacity(probabilities.len() * 12 + 2);
    body.push(b'[');
    for (index, &probability) in probabilities.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        number(&mut body, probability)?;
    }
    body.push(b']');
    Ok(body)
}

fn rows(objects: &[Object]) -> Result<Vec<u8>, RunnerError> {
    let mut body = Vec::with_capacity(objects.len() * 72 + 20);
    body.extend_from_slice(br#"{"prediction":["#);
    for (index, object) in objects.iter().enumerate() {
        body.extend_from_slice(if index > 0 { b",[" } else { b"[" });
        body.extend_from_slice(object.index.to_string().as_bytes());
        body.push(b',');
        number(&mut body, object.score)?;
        let edges = object.box_normalized;
        for edge in [edges.xmin, edges.ymin, edges.xmax, edges.ymax] {
            body.push(b',');
            coordinate(&mut body, edge)?;
        }
        body.push(b']');
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// A ratio; the picture's own edges are the integers `0` and `1`, as the algorithm writes them.
fn coordinate(body: &mut Vec<u8>, edge: f32) -> Result<(), RunnerError> {
    match edge.clamp(0.0, 1.0) {
        0.0 => body.push(b'0'),
        1.0 => body.push(b'1'),
        edge => number(body, edge)?,
    }
    Ok(())
}

/// The shortest digits that read back to the same `f32`.
fn number(body: &mut Vec<u8>, value: f32) -> Result<(), RunnerError> {
    if !value.is_finite() {
        return Err(RunnerError::Failed(
            "the model's answer holds numbers that are not finite".into(),
        ));
    }
    serde_json::to_writer(body, &value).map_err(|_| unfit())
}

#[cfg(test)]
mod tests {
    use sedge_vision::Box2d;

    use super::*;

    fn text(body: Result<Vec<u8>, RunnerError>) -> String {
        String::from_utf8(body.ok().unwrap()).unwrap()
    }

    #[test]
    fn classes_are_a_bare_list() {
        assert_eq!(text(classes(&[0.3, 0.1, 1e-7, 0.0])), "[0.3,0.1,1e-7,0.0]");
        assert_eq!(text(classes(&[])), "[]");
        assert!(classes(&[f32::NAN]).is_err());
    }

    #[test]
    fn objects_are_rows_with_clamped_ratios() {
        let boxed = |xmin, ymin, xmax, ymax| Object {
            index: 14,
            label: Some("never shown".into()),
            score: 0.93849,
            bounds: Box2d { xmin: 0.0, ymin: 0.0, xmax: 0.0, ymax: 0.0 },
            box_normalized: Box2d { xmin, ymin, xmax, ymax },
        };
        let objects = [boxed(-0.1, 0.51102, 0.66974, 1.5), boxed(0.25, 0.5, 0.75, 1.0)];
        assert_eq!(
            text(rows(&objects)),
            r#"{"prediction":[[14,0.93849,0,0.51102,0.66974,1],[14,0.93849,0.25,0.5,0.75,1]]}"#
        );
        assert_eq!(text(rows(&[])), r#"{"prediction":[]}"#);
        assert!(rows(&[boxed(f32::NAN, 0.0, 0.0, 0.0)]).is_err());
    }
}
