//! Matrix products.

use super::Refusal;
use super::builder::{Domain, Op};

/// FULLY_CONNECTED: weights are output by input.
pub(super) fn fully_connected(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let activation = options.i8(0, 0)?;
    if options.i8(1, 0)? != 0 {
        return Err(Refusal::new("its weights are shuffled, an order made for one kind of CPU"));
    }
    let keep_dims = options.bool(2)?;
    let rank = op.info(0)?.rank();
    let features = op.info(1)?.dim(1);
    let value = if keep_dims && rank != Some(2) {
        let data = op.real(0)?;
        let weights = op.weights(1, &[1, 0])?;
        let product = op.apply("MatMul", &[data, weights]);
        match op.bias(2, 0, 1)? {
            Some(bias) => op.apply("Add", &[product, bias]),
            None => product,
        }
    } else {
        let data = if rank == Some(2) && op.info(0)?.dim(1) == features {
            op.real(0)?
        } else {
            flattened(op, features)?
        };
        let weights = op.weights(1, &[0, 1])?;
        let bias = op.bias(2, 0, 1)?;
        let name = op.name("gemm");
        let mut node = op.node("Gemm").input(data).input(weights).attribute("transB", 1i64);
        if let Some(bias) = bias {
            node = node.input(bias);
        }
        node.output(&name)
    };
    let value = op.activate(value, activation, Domain::Real)?;
    op.finish_real(0, value)
}

/// Operand 0 as a matrix with this many columns, reshaped before it is dequantised.
fn flattened(op: &mut Op<'_, '_>, columns: Option<usize>) -> Result<sedge_graph::ValueId, Refusal> {
    let columns = columns.ok_or_else(|| Refusal::new("the size of its weights is unknown"))?;
    let value = op.stored(0)?;
    let name = op.name("flat");
    let flat = op.node("Reshape").input(value).ints(&[-1, columns as i64]).output(&name);
    match op.info(0)?.quantized() {
        Some(_) => {
            let tensor = op.tensor(0)?;
            op.context.dequantize(tensor, flat)
        }
        None => Ok(flat),
    }
}

/// BATCH_MATMUL: options adj_x, adj_y transpose the two last dimensions.
pub(super) fn batch_matmul(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let mut operands = Vec::new();
    for (index, turned) in [(0, options.bool(0)?), (1, options.bool(1)?)] {
        let mut value = op.real(index)?;
        if turned {
            let rank = op.rank(index)? as i64;
            let mut order: Vec<i64> = (0..rank).collect();
            if let [.., rows, columns] = &mut order[..] {
                std::mem::swap(rows, columns);
            }
            value = op.transpose(value, &order);
        }
        operands.push(value);
    }
    let value = op.apply("MatMul", &operands);
    op.finish_real(0, value)
}
