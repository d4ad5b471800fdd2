//! Operators that move bytes and change none.

/// Reorders dimensions: dimension `i` of the result is dimension `order[i]` of the input.
///
/// # Panics
/// When `order` is no permutation of the shape, or the lengths do not fit.
pub fn transpose(input: &[u8], shape: &[usize], order: &[usize], output: &mut [u8]) {
    assert_eq!(input.len(), shape.iter().product::<usize>());
    assert_eq!((input.len(), shape.len()), (output.len(), order.len()));
    let (shape, order) = merged(shape, order);
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    let sizes: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let steps: Vec<usize> = order.iter().map(|&axis| steps[axis]).collect();
    place(input, &sizes, &steps, output);
}

fn place(input: &[u8], sizes: &[usize], steps: &[usize], output: &mut [u8]) {
    match (sizes, steps) {
        ([], _) => output.copy_from_slice(&input[..output.len()]),
        ([_], [1]) => output.copy_from_slice(&input[..output.len()]),
        ([_], [step, ..]) => {
            output.iter_mut().zip(input.iter().step_by(*step)).for_each(|(to, from)| *to = *from);
        }
        ([size, sizes @ ..], [step, steps @ ..]) => {
            let each = output.len() / (*size).max(1);
            if each > 0 {
                for (i, output) in output.chunks_exact_mut(each).enumerate() {
                    place(&input[i * step..], sizes, steps, output);
                }
            }
        }
        _ => {}
    }
}

/// Shape and order with dimensions that stay side by side taken as one.
fn merged(shape: &[usize], order: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for &axis in order {
        match groups.last_mut() {
            Some((_, end)) if *end == axis => *end += 1,
            _ => groups.push((axis, axis + 1)),
        }
    }
    let mut sorted = groups.clone();
    sorted.sort_unstable();
    let sizes = sorted.iter().map(|&(from, to)| shape[from..to].iter().product()).collect();
    let place = |group: &(usize, usize)| sorted.iter().position(|other| other == group);
    (sizes, groups.iter().filter_map(place).collect())
}

/// Joins operands along a dimension; each comes with the bytes it has per step of the dimensions
/// before it.
///
/// # Panics
/// When the operands do not fill the output.
pub fn concatenate(operands: &[(&[u8], usize)], output: &mut [u8]) {
    let each: usize = operands.iter().map(|(_, bytes)| bytes).sum();
    for (outer, output) in output.chunks_exact_mut(each.max(1)).enumerate() {
        let mut rest = output;
        for (from, bytes) in operands {
            let (to, later) = rest.split_at_mut(*bytes);
            to.copy_from_slice(&from[outer * bytes..][..*bytes]);
            rest = later;
        }
    }
}

/// Puts `before` and `after` bytes of value `fill` around every dimension.
///
/// # Panics
/// When the lists have different lengths or the output another size.
pub fn pad(
    input: &[u8],
    shape: &[usize],
    (before, after): (&[usize], &[usize]),
    fill: u8,
    output: &mut [u8],
) {
    assert_eq!(input.len(), shape.iter().product::<usize>());
    output.fill(fill);
    inner(input, shape, (before, after), output);
}

fn inner(input: &[u8], shape: &[usize], (before, after): (&[usize], &[usize]), output: &mut [u8]) {
    let Some((&size, rest)) = shape.split_first() else { return };
    let each_out = output.len() / (before[0] + size + after[0]).max(1);
    let each_in = input.len() / size.max(1);
    if rest.is_empty() {
        output[before[0]..][..size].copy_from_slice(input);
        return;
    }
    for i in 0..size {
        let to = &mut output[(before[0] + i) * each_out..][..each_out];
        inner(&input[i * each_in..][..each_in], rest, (&before[1..], &after[1..]), to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_any_order() {
        let input: Vec<u8> = (0..24).collect();
        for (order, second, sum) in [([2, 0, 1], 4, 8), ([0, 2, 1], 4, 8), ([0, 1, 2], 1, 2)] {
            let mut output = vec![0; 24];
            transpose(&input, &[2, 3, 4], &order, &mut output);
            assert_eq!((output[1], output[2]), (second, sum), "{order:?}");
        }
    }

    #[test]
    fn pads_and_joins() {
        let mut output = [9; 12];
        pad(&[1, 2, 3, 4], &[2, 2], (&[1, 0], &[0, 2]), 7, &mut output);
        assert_eq!(output, [7, 7, 7, 7, 1, 2, 7, 7, 3, 4, 7, 7]);
        let mut joined = [0; 6];
        concatenate(&[(&[1, 2], 1), (&[3, 4, 5, 6], 2)], &mut joined);
        assert_eq!(joined, [1, 3, 4, 2, 5, 6]);
    }
}
