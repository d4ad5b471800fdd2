use bytes::Bytes;
use sedge_tensor::Tensor;

/// A tensor with its dimensions in another order; without a copy when the order is the same.
///
/// # Errors
/// An order that is none of the tensor's dimensions.
pub(crate) fn permuted(tensor: &Tensor, order: &[usize]) -> Result<Tensor, String> {
    let shape = tensor.shape();
    let fits = order.len() == shape.len() && order.iter().all(|&axis| axis < shape.len());
    let size = tensor.dtype().size().filter(|_| fits);
    let size = size.ok_or_else(|| "its weights cannot be rearranged".to_owned())?;
    if order.iter().enumerate().all(|(new, &old)| new == old) {
        return Ok(tensor.clone());
    }
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let new_shape: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let steps: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
    let bytes = tensor.bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    let mut from = 0;
    for _ in 0..tensor.len() {
        result.extend_from_slice(&bytes[from * size..(from + 1) * size]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            from += steps[axis];
            if index[axis] < new_shape[axis] {
                break;
            }
            from -= steps[axis] * new_shape[axis];
            index[axis] = 0;
        }
    }
    Tensor::from_bytes(tensor.dtype(), new_shape, Bytes::from(result))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_follow_their_dimensions() {
        let tensor = Tensor::new([1, 2, 3], (0..6i16).collect::<Vec<_>>()).unwrap();
        let turned = permuted(&tensor, &[2, 0, 1]).unwrap();
        assert_eq!(turned.shape(), [3, 1, 2]);
        assert_eq!(turned.view::<i16>().unwrap().as_ref(), [0, 3, 1, 4, 2, 5]);
        assert!(permuted(&tensor, &[0, 1]).is_err());
    }
}
