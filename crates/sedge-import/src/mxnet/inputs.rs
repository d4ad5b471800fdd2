//! The inputs of the graph: variables without weights, and what is known of their shapes.

use sedge_graph::Dim;
use sedge_tensor::DType;
use serde::Deserialize;

use super::builder::Context;
use super::files::Files;
use super::symbol::{Entry, Node, Symbol};
use super::training::{self, Wanted};
use super::weights::Weights;
use super::{Error, Refusal, elementwise};

/// One entry of `model-shapes.json`.
#[derive(Debug, Deserialize)]
struct Shaped {
    name: String,
    shape: Vec<i64>,
}

/// Declares the inputs with the shapes that the variable states, `model-shapes.json` gives, or the
/// first weights imply.
pub(super) fn declare(
    context: &mut Context<'_>,
    wanted: &Wanted,
    files: &Files,
) -> Result<(), Error> {
    let shaped: Vec<Shaped> = match &files.shapes {
        Some(text) => serde_json::from_slice(text)
            .map_err(|error| Error::Symbol(format!("model-shapes.json: {error}")))?,
        None => Vec::new(),
    };
    let (symbol, weights) = (context.symbol, context.weights);
    let is_input = |index: &usize| weights.get(&symbol.nodes[*index].name).is_none();
    let inputs: Vec<usize> = wanted.variables().filter(is_input).collect();
    for &variable in &inputs {
        let node = &symbol.nodes[variable];
        let own = stated(node).map_err(|refusal| Error::Operator {
            operator: "variable".to_owned(),
            node: node.name.clone(),
            reason: refusal.to_string(),
        })?;
        let in_file = || of_file(&shaped, &node.name, inputs.len() == 1);
        let shape = own.or_else(in_file).or_else(|| implied(symbol, weights, wanted, variable));
        context.input(variable, dtype(node, weights), shape);
    }
    Ok(())
}

/// The shape that the variable was declared with; 0 and -1 are open.
fn stated(variable: &Node) -> Result<Option<Vec<Dim>>, Refusal> {
    let shape = variable.attributes.ints("__shape__")?;
    Ok(shape.filter(|shape| !shape.is_empty()).map(|shape| open_dims(&shape)))
}

/// The element type that the variable was declared with, or that MXNet would infer from the weights.
fn dtype(variable: &Node, weights: &Weights) -> DType {
    // Numbers of `mshadow/base.h`.
    match variable.attributes.int("__dtype__") {
        Ok(Some(1)) => DType::F64,
        Ok(Some(2)) => DType::F16,
        Ok(Some(3)) => DType::U8,
        Ok(Some(4)) => DType::I32,
        Ok(Some(5)) => DType::I8,
        Ok(Some(6)) => DType::I64,
        Ok(None) if weights.are_half() => DType::F16,
        _ => DType::F32,
    }
}

fn open_dims(shape: &[i64]) -> Vec<Dim> {
    let dim = |(axis, &size): (usize, &i64)| match usize::try_from(size) {
        Ok(0) | Err(_) => open(axis, shape.len()),
        Ok(size) => Dim::Fixed(size),
    };
    shape.iter().enumerate().map(dim).collect()
}

/// What is open is named, so that equal sizes are known to be equal.
fn open(axis: usize, rank: usize) -> Dim {
    match (axis, rank) {
        (0, _) => Dim::Symbol("batch".to_owned()),
        (2, 4) => Dim::Symbol("height".to_owned()),
        (3, 4) => Dim::Symbol("width".to_owned()),
        _ => Dim::Unknown,
    }
}

/// The entry of this name; for an only input the one of `data`, else the last. The first dimension
/// is the batch of training, of which inference needs one.
fn of_file(shaped: &[Shaped], name: &str, only: bool) -> Option<Vec<Dim>> {
    let named = |name: &str| shaped.iter().find(|entry| entry.name == name);
    let or_only = || named("data").or(shaped.last()).filter(|_| only);
    let entry = named(name).or_else(or_only)?;
    let mut dims = open_dims(&entry.shape);
    if let Some(batch) = dims.first_mut() {
        *batch = Dim::Fixed(1);
    }
    Some(dims)
}

/// What the first layer's weights tell of an input that reaches it unshaped.
fn implied(
    symbol: &Symbol,
    weights: &Weights,
    wanted: &Wanted,
    variable: usize,
) -> Option<Vec<Dim>> {
    // Values that are the input's picture, with where each of their axes stands in the input.
    let mut same = vec![(Entry { node: variable, output: 0 }, Vec::<usize>::new())];
    for index in wanted.nodes() {
        let node = &symbol.nodes[index];
        let first = training::operands(node).first();
        let source = same.iter().find(|(entry, _)| Some(entry) == first);
        let Some((_, order)) = source else { continue };
        let weight =
            node.inputs.get(1).and_then(|entry| weights.get(&symbol.nodes[entry.node].name));
        match (node.op.as_str(), weight) {
            ("Convolution" | "Convolution_v1", Some(weight)) if weight.shape().len() >= 3 => {
                let groups = node.attributes.int("num_group").ok()?.unwrap_or(1);
                let channels = weight.shape()[1].checked_mul(usize::try_from(groups).ok()?)?;
                let rank = weight.shape().len();
                return arranged(order, channels, rank);
            }
            ("FullyConnected", Some(weight)) if order.is_empty() => {
                let &[_, features] = weight.shape() else { return None };
                return Some(vec![open(0, 2), Dim::Fixed(features)]);
            }
            ("transpose", _) => {
                let axes = node.attributes.ints("axes").ok()??;
                let axes = axes.iter().map(|&axis| usize::try_from(axis).ok());
                let axes: Vec<usize> = axes.collect::<Option<_>>()?;
                let before = |&axis: &usize| {
                    if order.is_empty() { Some(axis) } else { order.get(axis).copied() }
                };
                let order = axes.iter().map(before).collect::<Option<_>>()?;
                same.push((Entry { node: index, output: 0 }, order));
            }
            (op, _) if elementwise::keeps_shape(op) => {
                let order = order.clone();
                same.push((Entry { node: index, output: 0 }, order));
            }
            _ => {}
        }
    }
    None
}

/// `[batch, channels, ...]`, put back into the order that the input had before transposes.
fn arranged(order: &[usize], channels: usize, rank: usize) -> Option<Vec<Dim>> {
    let mut dims: Vec<Dim> = (0..rank).map(|axis| open(axis, rank)).collect();
    dims[1] = Dim::Fixed(channels);
    if order.is_empty() {
        return Some(dims);
    }
    let mut input = vec![Dim::Unknown; rank];
    for (dim, &axis) in dims.into_iter().zip(order) {
        *input.get_mut(axis)? = dim;
    }
    Some(input)
}
