use bytes::Bytes;
use sedge_tensor::{DType, Tensor};

/// The first `count` classes of an output as `value:index[:label]`, highest first.
///
/// An output whose first dimension is more than one is a batch and gives `[batch, count]`; else it
/// is one row and gives `[count]`.
pub(super) fn classes(tensor: &Tensor, count: usize, labels: &[String]) -> Option<Tensor> {
    let values = tensor.to_f32()?;
    let integers = if tensor.dtype().is_float() { None } else { tensor.to_i64() };
    let batch = match tensor.shape() {
        [batch, _, ..] if *batch > 1 => Some(*batch),
        _ => None,
    };
    let width = values.len() / batch.unwrap_or(1);
    let count = count.min(width);
    let mut strings = Vec::new();
    for row in 0..batch.unwrap_or(1) {
        let start = row * width;
        for index in best(&values[start..start + width], count) {
            let at = start + index;
            let value = match (&integers, tensor.dtype()) {
                (Some(integers), _) => integers[at].to_string(),
                (None, DType::F64) => tensor.view::<f64>().ok()?[at].to_string(),
                (None, _) => values[at].to_string(),
            };
            let label = labels.get(index).filter(|label| !label.is_empty());
            strings.push(Bytes::from(match label {
                Some(label) => format!("{value}:{index}:{label}"),
                None => format!("{value}:{index}"),
            }));
        }
    }
    let shape = batch.into_iter().chain([count]).collect::<Vec<_>>();
    Tensor::from_strings(shape, strings).ok()
}

/// Indices of the highest values, equal ones in their order.
fn best(values: &[f32], count: usize) -> Vec<usize> {
    let order = |&a: &usize, &b: &usize| values[b].total_cmp(&values[a]).then(a.cmp(&b));
    let mut indices: Vec<_> = (0..values.len()).collect();
    if count < indices.len() {
        indices.select_nth_unstable_by(count, order);
        indices.truncate(count);
    }
    indices.sort_unstable_by(order);
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ranked_and_labelled() {
        let labels = ["a".into(), String::new(), "c".into()];
        let one = Tensor::new([1, 3], vec![0.25f32, 0.5, 0.25]).unwrap();
        let top = classes(&one, 2, &labels).unwrap();
        assert_eq!(
            (top.shape(), top.strings()),
            (&[2][..], &["0.5:1".into(), "0.25:0:a".into()][..])
        );
        let batch = Tensor::new([2, 3], vec![1u8, 2, 3, 9, 8, 7]).unwrap();
        let top = classes(&batch, 1, &labels).unwrap();
        assert_eq!(
            (top.shape(), top.strings()),
            (&[2, 1][..], &["3:2:c".into(), "9:0:a".into()][..])
        );
        assert_eq!(classes(&one, 10, &labels).unwrap().shape(), [3]);
    }
}
