use std::collections::BTreeMap;

use crate::Graph;

/// What a graph is made of and costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Operator names with how often each occurs; foreign domains as `domain.Operator`.
    pub operators: BTreeMap<String, usize>,
    /// Elements of all weights.
    pub parameters: u64,
    /// Bytes of all weights.
    pub parameter_bytes: u64,
    /// Multiply-accumulates of convolutions and matrix products for one run; `None` when a shape
    /// they need is unknown.
    pub multiply_accumulates: Option<u64>,
}

/// Counts operators, parameters and multiply-accumulates.
///
/// Unknown batch dimensions count as one. Source of the counts: output elements times kernel
/// elements per output, bias and activations left out, as the papers' tables do.
pub fn statistics(graph: &Graph) -> Statistics {
    let mut counted = Statistics { multiply_accumulates: Some(0), ..Statistics::default() };
    let mut weights = std::collections::BTreeSet::new();
    for node in &graph.nodes {
        let domain = if node.domain.is_empty() { "" } else { "." };
        *counted.operators.entry(format!("{}{domain}{}", node.domain, node.op)).or_default() += 1;
        weights
            .extend(node.inputs.iter().flatten().filter(|id| graph.value(**id).constant.is_some()));
        counted.multiply_accumulates = counted
            .multiply_accumulates
            .and_then(|sum| sum.checked_add(multiply_accumulates(graph, node)?));
    }
    for tensor in weights.into_iter().filter_map(|id| graph.value(id).constant.as_ref()) {
        // Scales, axes and shapes are bookkeeping, not weights.
        if tensor.len() > 1 && !matches!(tensor.dtype(), sedge_tensor::DType::I64) {
            counted.parameters += tensor.len() as u64;
            counted.parameter_bytes += tensor.bytes().len() as u64;
        }
    }
    counted
}

fn multiply_accumulates(graph: &Graph, node: &crate::Node) -> Option<u64> {
    let dims = |id: Option<crate::ValueId>| -> Option<Vec<u64>> {
        let shape = graph.value(id?).shape.as_ref()?;
        let size = |(i, dim): (usize, &crate::Dim)| match dim.fixed() {
            Some(n) => Some(n as u64),
            None if i == 0 => Some(1),
            None => None,
        };
        shape.iter().enumerate().map(size).collect()
    };
    let product = |dims: &[u64]| dims.iter().try_fold(1u64, |n, &m| n.checked_mul(m));
    match node.op.as_str() {
        "Conv" | "ConvInteger" => {
            let (output, weight) = (dims(node.output(0))?, dims(node.input(1))?);
            product(&output)?.checked_mul(product(weight.get(1..)?)?)
        }
        "QLinearConv" => {
            let (output, weight) = (dims(node.output(0))?, dims(node.input(3))?);
            product(&output)?.checked_mul(product(weight.get(1..)?)?)
        }
        "ConvTranspose" => {
            let (input, weight) = (dims(node.input(0))?, dims(node.input(1))?);
            product(&input)?.checked_mul(product(weight.get(1..)?)?)
        }
        "Gemm" | "MatMul" | "MatMulInteger" => {
            let (output, a) = (dims(node.output(0))?, dims(node.input(0))?);
            let inner = if node.int("transA") == Some(1) { a.first() } else { a.last() };
            product(&output)?.checked_mul(*inner?)
        }
        _ => Some(0),
    }
}
