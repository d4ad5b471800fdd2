//! Operators on doubles, which rten has only as floats: those that quantised models are spelled out
//! in ([`crate::spell_out`]), where a float would be another number, and their relatives.

use std::sync::Arc;

use sedge_graph::{Graph, Node, ValueId, onnx};
use sedge_tensor::{DType, Element, Tensor, TensorError, element_count};

use super::Host;

/// Elements of a result: operands that stretch along each other may make many of few.
const MOST_ELEMENTS: usize = 1 << 28;

#[derive(Debug)]
enum Doubles {
    Cast(DType),
    Unary(fn(f64) -> f64),
    Binary(fn(f64, f64) -> f64),
    /// Which of the ends are there.
    Clip([bool; 2]),
    BatchNormalization {
        epsilon: f64,
    },
}

/// True when doubles occur, and all their operators are known here. Else rten has them all, in
/// floats: a model is in one precision.
pub(in crate::native) fn known(graph: &Graph) -> bool {
    let mut nodes = graph.nodes.iter().filter(|node| touches(graph, node)).peekable();
    nodes.peek().is_some() && nodes.all(|node| operator(graph, node).is_some())
}

/// The operator of a node that reads or makes doubles, when it is known.
pub(in crate::native) fn read(graph: &Graph, node: &Node) -> Option<Arc<dyn Host>> {
    touches(graph, node).then(|| operator(graph, node)).flatten().map(|of| Arc::new(of) as _)
}

fn touches(graph: &Graph, node: &Node) -> bool {
    let is_double = |id: &ValueId| graph.value(*id).dtype == Some(DType::F64);
    node.inputs.iter().chain(&node.outputs).flatten().any(is_double)
}

fn operator(graph: &Graph, node: &Node) -> Option<Doubles> {
    if !node.domain.is_empty() || node.outputs.len() != 1 {
        return None;
    }
    let dtype = |id: Option<ValueId>| graph.value(id?).dtype;
    if node.op == "Cast" {
        let to = node.int("to").and_then(onnx::dtype_of)?;
        let known = |dtype| {
            use DType::{F32, F64, I8, I32, I64, U8};
            matches!(dtype, F32 | F64 | I8 | I32 | I64 | U8)
        };
        return (known(dtype(node.input(0))?) && known(to)).then_some(Doubles::Cast(to));
    }
    let all = node.inputs.iter().flatten().all(|&id| dtype(Some(id)) == Some(DType::F64));
    all.then_some(())?;
    Some(match (node.op.as_str(), node.inputs.len()) {
        ("Abs", 1) => Doubles::Unary(f64::abs),
        ("Ceil", 1) => Doubles::Unary(f64::ceil),
        ("Exp", 1) => Doubles::Unary(f64::exp),
        ("Floor", 1) => Doubles::Unary(f64::floor),
        ("Neg", 1) => Doubles::Unary(|x| -x),
        ("Round", 1) => Doubles::Unary(f64::round_ties_even),
        ("Sign", 1) => Doubles::Unary(|x| if x == 0.0 { 0.0 } else { x.signum() }),
        ("Sqrt", 1) => Doubles::Unary(f64::sqrt),
        ("Add", 2) => Doubles::Binary(|a, b| a + b),
        ("Div", 2) => Doubles::Binary(|a, b| a / b),
        ("Mul", 2) => Doubles::Binary(|a, b| a * b),
        ("Sub", 2) => Doubles::Binary(|a, b| a - b),
        ("Clip", _) => Doubles::Clip([node.input(1).is_some(), node.input(2).is_some()]),
        ("BatchNormalization", 5) if node.int("training_mode").unwrap_or(0) == 0 => {
            let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
            Doubles::BatchNormalization { epsilon }
        }
        _ => return None,
    })
}

impl Host for Doubles {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String> {
        let first = operands.first().ok_or("operands lack")?;
        let text = |error: TensorError| error.to_string();
        if let Self::Cast(to) = self {
            return cast(first, *to).map_err(text);
        }
        let x = first.view::<f64>().map_err(text)?;
        let with = |y: Vec<f64>| Tensor::new(first.shape(), y).map_err(text);
        match self {
            Self::Cast(_) => Err("casts are done".into()),
            Self::Unary(function) => with(x.iter().map(|&x| function(x)).collect()),
            Self::Binary(function) => binary(*function, operands),
            Self::Clip(given) => {
                let mut ends = operands[1..].iter();
                let mut end = |given: bool, none: f64| match given {
                    true => scalar(ends.next().copied()),
                    false => Ok(none),
                };
                let low = end(given[0], f64::NEG_INFINITY)?;
                let high = end(given[1], f64::INFINITY)?;
                with(x.iter().map(|x| x.max(low).min(high)).collect())
            }
            Self::BatchNormalization { epsilon } => {
                let channels = first.shape().get(1).copied().unwrap_or(1);
                let of = |index: usize| {
                    let list = operands.get(index).and_then(|list| list.view::<f64>().ok());
                    list.filter(|list| list.len() == channels).ok_or("one is for each channel")
                };
                let [scale, bias, mean, variance] = [of(1)?, of(2)?, of(3)?, of(4)?];
                let pixels: usize = first.shape().iter().skip(2).product();
                let mut y = x.into_owned();
                for (i, plane) in y.chunks_exact_mut(pixels.max(1)).enumerate() {
                    let c = i % channels.max(1);
                    let factor = scale[c] / (variance[c] + epsilon).sqrt();
                    let offset = bias[c] - mean[c] * factor;
                    plane.iter_mut().for_each(|x| *x = *x * factor + offset);
                }
                with(y)
            }
        }
    }
}

fn scalar(tensor: Option<&Tensor>) -> Result<f64, String> {
    let view = tensor.and_then(|tensor| tensor.view::<f64>().ok());
    view.and_then(|view| view.first().copied()).ok_or_else(|| "an end is no number".into())
}

/// What lies outside an integer type is its nearest end, and no number is zero.
fn cast(from: &Tensor, to: DType) -> Result<Tensor, TensorError> {
    fn each<T: Element>(from: &Tensor, of: impl Fn(T) -> f64) -> Result<Vec<f64>, TensorError> {
        Ok(from.view::<T>()?.iter().map(|&x| of(x)).collect())
    }
    let x = match from.dtype() {
        DType::F32 => each(from, |x: f32| f64::from(x)),
        DType::U8 => each(from, |x: u8| f64::from(x)),
        DType::I8 => each(from, |x: i8| f64::from(x)),
        DType::I32 => each(from, |x: i32| f64::from(x)),
        DType::I64 => each(from, |x: i64| x as f64),
        _ => each(from, |x: f64| x),
    }?;
    let shape = from.shape();
    match to {
        DType::F32 => Tensor::new(shape, x.iter().map(|&x| x as f32).collect()),
        DType::U8 => Tensor::new(shape, x.iter().map(|&x| x as u8).collect()),
        DType::I8 => Tensor::new(shape, x.iter().map(|&x| x as i8).collect()),
        DType::I32 => Tensor::new(shape, x.iter().map(|&x| x as i32).collect()),
        DType::I64 => Tensor::new(shape, x.iter().map(|&x| x as i64).collect()),
        _ => Tensor::new(shape, x),
    }
}

/// A function of two operands that stretch along each other.
fn binary(function: fn(f64, f64) -> f64, operands: &[&Tensor]) -> Result<Tensor, String> {
    let &[a, b] = operands else { return Err("operands lack".into()) };
    let text = |error: TensorError| error.to_string();
    let rank = a.shape().len().max(b.shape().len());
    let size = |of: &Tensor, axis: usize| {
        axis.checked_sub(rank - of.shape().len()).map_or(1, |axis| of.shape()[axis])
    };
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        shape.push(match (size(a, axis), size(b, axis)) {
            (left, right) if left == right || right == 1 => left,
            (1, right) => right,
            _ => return Err("operands do not fit each other".into()),
        });
    }
    let count = element_count(&shape).filter(|&count| count <= MOST_ELEMENTS);
    let count = count.ok_or("the result has too many elements")?;
    let (left, right) = (a.view::<f64>().map_err(text)?, b.view::<f64>().map_err(text)?);
    // Elements to the next along each dimension; none along those that are stretched.
    let strides = |of: &Tensor| {
        let mut strides = vec![0; rank];
        let mut step = 1;
        for axis in (0..rank).rev() {
            let size = size(of, axis);
            strides[axis] = if size == 1 { 0 } else { step };
            step *= size;
        }
        strides
    };
    let strides = [strides(a), strides(b)];
    let (mut at, mut index) = ([0, 0], vec![0; rank]);
    let mut y = Vec::with_capacity(count);
    for _ in 0..count {
        y.push(function(left[at[0]], right[at[1]]));
        for axis in (0..rank).rev() {
            index[axis] += 1;
            at.iter_mut().zip(&strides).for_each(|(at, strides)| *at += strides[axis]);
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
            at.iter_mut()
                .zip(&strides)
                .for_each(|(at, strides)| *at -= strides[axis] * shape[axis]);
        }
    }
    Tensor::new(shape, y).map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_stretch_along_each_other() {
        let tensor = |shape: &[usize]| {
            let count = shape.iter().product();
            Tensor::new(shape, (0..count).map(|n: usize| n as f64).collect()).unwrap()
        };
        let sum = |a: &[usize], b: &[usize]| {
            binary(|a, b| a + 10.0 * b, &[&tensor(a), &tensor(b)])
                .map(|tensor| (tensor.shape().to_vec(), tensor.view::<f64>().unwrap().into_owned()))
        };
        assert_eq!(sum(&[2, 1], &[3]).unwrap(), (vec![2, 3], vec![0., 10., 20., 1., 11., 21.]));
        assert_eq!(sum(&[], &[2]).unwrap(), (vec![2], vec![0., 10.]));
        assert_eq!(sum(&[1, 2], &[2, 2]).unwrap().1, [0., 11., 20., 31.]);
        assert!(sum(&[2], &[3]).is_err());
        assert!(sum(&[0, 2], &[2]).unwrap().1.is_empty());
    }

    #[test]
    fn casts_round_towards_zero_and_end_at_the_ends() {
        let x = Tensor::vector(vec![-1.5, 2.9, 300.0, f64::NAN]);
        assert_eq!(cast(&x, DType::U8).unwrap().bytes(), [0, 2, 255, 0]);
        let back = cast(&cast(&x, DType::I8).unwrap(), DType::F64).unwrap();
        assert_eq!(back.view::<f64>().unwrap()[..], [-1.0, 2.0, 127.0, 0.0]);
    }
}
