//! Quantised tensors as QuantizeLinear / DequantizeLinear pairs, and the operators that convert.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Quantization, Tensor};

use super::Refusal;
use super::builder::{Context, Domain, Layout, Op};
use super::schema::Activation;

/// The integers a quantised type holds.
pub(super) fn range(dtype: DType) -> Option<(i64, i64)> {
    match dtype {
        DType::U8 => Some((0, 255)),
        DType::I8 => Some((-128, 127)),
        DType::I16 => Some((-32768, 32767)),
        _ => None,
    }
}

/// A zero point, or several, as a tensor of the quantised type.
pub(super) fn zero_points(dtype: DType, values: &[i64]) -> Result<Tensor, Refusal> {
    fn convert<T: TryFrom<i64>>(values: &[i64]) -> Result<Vec<T>, Refusal> {
        let convert = |&value| T::try_from(value).ok();
        values
            .iter()
            .map(convert)
            .collect::<Option<_>>()
            .ok_or_else(|| Refusal::new("a zero point lies outside its type"))
    }
    Ok(match dtype {
        DType::U8 => Tensor::vector::<u8>(convert(values)?),
        DType::I8 => Tensor::vector::<i8>(convert(values)?),
        DType::I16 => Tensor::vector::<i16>(convert(values)?),
        DType::I32 => Tensor::vector::<i32>(convert(values)?),
        other => return Err(Refusal(format!("{other} cannot be quantised"))),
    })
}

/// One value as a scalar, more as a vector.
pub(super) fn per_tensor_or_axis(tensor: Tensor) -> Tensor {
    match tensor.len() {
        1 => tensor.clone().reshaped([]).unwrap_or(tensor),
        _ => tensor,
    }
}

impl Context<'_> {
    /// Scale and zero point of a tensor as constants; no zero point for `i32`, which ONNX wants
    /// left out.
    fn parameters(&mut self, tensor: usize) -> Result<(ValueId, Option<ValueId>), Refusal> {
        if let Some(&known) = self.parameters.get(&tensor) {
            return Ok(known);
        }
        let info = &self.model.tensors[tensor];
        let (Some(quantization), Some(dtype)) = (info.quantized(), info.dtype) else {
            return Err(Refusal(format!("'{}' is not quantised", info.name)));
        };
        let scale = per_tensor_or_axis(Tensor::vector(quantization.scale.clone()));
        let scale = self.graph.add_constant(format!("{}/scale", info.name), scale);
        let zero = per_tensor_or_axis(zero_points(dtype, &quantization.zero_point)?);
        let zero = (dtype != DType::I32)
            .then(|| self.graph.add_constant(format!("{}/zero_point", info.name), zero));
        self.parameters.insert(tensor, (scale, zero));
        Ok((scale, zero))
    }

    /// Real numbers of a tensor's integers.
    pub(super) fn dequantize(
        &mut self,
        tensor: usize,
        integers: ValueId,
    ) -> Result<ValueId, Refusal> {
        let (scale, zero) = self.parameters(tensor)?;
        let info = &self.model.tensors[tensor];
        let name = format!("{}/real", info.name);
        let mut node = self.graph.node("DequantizeLinear").input(integers).input(scale);
        if let Some(zero) = zero {
            node = node.input(zero);
        }
        if let Some(quantization) = info.quantized().filter(|q| q.scale.len() > 1) {
            node = node.attribute("axis", quantization.axis as i64);
        }
        Ok(node.output(&name))
    }

    /// Integers of a tensor's real numbers.
    pub(super) fn quantize(&mut self, tensor: usize, real: ValueId) -> Result<ValueId, Refusal> {
        let (scale, zero) = self.parameters(tensor)?;
        let info = &self.model.tensors[tensor];
        let axis = info.quantized().filter(|q| q.scale.len() > 1).map(|q| q.axis as i64);
        let name = format!("{}/quantized", info.name);
        let mut node = self.graph.node("QuantizeLinear").input(real).input(scale);
        if let Some(zero) = zero {
            node = node.input(zero);
        }
        if let Some(axis) = axis {
            node = node.attribute("axis", axis);
        }
        Ok(node.output(&name))
    }

    /// A tensor's integers as floats of the same value.
    pub(super) fn raw(&mut self, tensor: usize, integers: ValueId) -> Result<ValueId, Refusal> {
        let info = &self.model.tensors[tensor];
        let zero = per_tensor_or_axis(zero_points(info.dtype.unwrap_or(DType::U8), &[0])?);
        let name = format!("{}/raw", info.name);
        let node = self.graph.node("DequantizeLinear").input(integers);
        Ok(node.scalar(1.0).constant(zero).output(&name))
    }

    /// Floats that stand for integers, rounded to them; ties go away from zero.
    ///
    /// QuantizeLinear rounds ties to even. Where TensorFlow Lite averages integers ties are
    /// common and go away from zero; a scale this little below one pushes them over and is too
    /// near one to move anything else: averages of `n` integers lie `1 / 2n` from a tie or more.
    pub(super) fn round(&mut self, tensor: usize, raw: ValueId) -> Result<ValueId, Refusal> {
        const JUST_BELOW_ONE: f32 = 1.0 - 1.0 / (1 << 20) as f32;
        let info = &self.model.tensors[tensor];
        let zero = per_tensor_or_axis(zero_points(info.dtype.unwrap_or(DType::U8), &[0])?);
        let name = format!("{}/rounded", info.name);
        let node = self.graph.node("QuantizeLinear").input(raw);
        Ok(node.scalar(JUST_BELOW_ONE).constant(zero).output(&name))
    }
}

/// The integers a fused activation of a quantised result leaves, as TensorFlow Lite computes
/// them; `None` for those that leave all.
pub(super) fn activation_range(
    activation: Activation,
    dtype: DType,
    quantization: &Quantization,
) -> Option<(i64, i64)> {
    let (lowest, highest) = range(dtype)?;
    let (scale, zero) = (*quantization.scale.first()?, *quantization.zero_point.first()?);
    let quantized = |real: f32| zero.saturating_add((real / scale).round() as i64);
    let (low, high) = match activation {
        Activation::Relu => (quantized(0.0), highest),
        Activation::Relu6 => (quantized(0.0), quantized(6.0)),
        Activation::ReluN1To1 => (quantized(-1.0), quantized(1.0)),
        _ => return None,
    };
    let clamped = (low.max(lowest), high.min(highest));
    (clamped != (lowest, highest)).then_some(clamped)
}

impl Op<'_, '_> {
    /// The fused activation of this operator, applied to `value` in the given meaning.
    pub(super) fn activate(
        &mut self,
        value: ValueId,
        number: i8,
        domain: Domain,
    ) -> Result<ValueId, Refusal> {
        let activation = Activation::new(number)
            .ok_or_else(|| Refusal(format!("its fused activation {number} is unknown")))?;
        let result = self.result(0)?;
        if let (Some(quantization), Some(dtype)) = (result.quantized(), result.dtype)
            && matches!(activation, Activation::Relu | Activation::Relu6 | Activation::ReluN1To1)
        {
            // The quantised range cuts off by itself what lies outside of it.
            let Some((low, high)) = activation_range(activation, dtype, quantization) else {
                return Ok(value);
            };
            if domain == Domain::Raw {
                return Ok(self.clip(value, low as f32, high as f32));
            }
        }
        Ok(match activation {
            Activation::None => value,
            Activation::Relu => self.apply("Relu", &[value]),
            Activation::Relu6 => self.clip(value, 0.0, 6.0),
            Activation::ReluN1To1 => self.clip(value, -1.0, 1.0),
            Activation::Tanh => self.apply("Tanh", &[value]),
            Activation::SignBit => {
                let zero = self.scalar(0.0);
                let negative = self.apply("Less", &[value, zero]);
                self.cast(negative, DType::F32)
            }
        })
    }

    /// `value` limited to a range.
    pub(super) fn clip(&mut self, value: ValueId, low: f32, high: f32) -> ValueId {
        let name = self.name("clip");
        self.node("Clip").input(value).scalar(low).scalar(high).output(&name)
    }
}

/// QUANTIZE: from floats, or from one quantisation to another.
pub(super) fn quantize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    if op.same_quantization(0)? {
        let value = op.stored(0)?;
        let same = op.apply("Identity", &[value]);
        return op.finish_stored(0, same);
    }
    let real = op.real(0)?;
    op.finish_real(0, real)
}

/// DEQUANTIZE: to floats, of integers or of half-precision weights.
pub(super) fn dequantize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let info = op.info(0)?;
    match (info.quantized(), op.constant(0)) {
        // Folded, so that the operators that rearrange their weights find a constant.
        (None, Some(constant)) => {
            let shape = constant.shape().to_vec();
            let real = constant.to_f32().map(std::borrow::Cow::into_owned);
            let real = real.ok_or_else(|| Refusal::new("its operand is not numeric"))?;
            op.context.charge(real.len() * 4)?;
            let folded = Tensor::new(shape, real).map_err(|error| Refusal(error.to_string()))?;
            op.finish_constant(0, folded)
        }
        (Some(_), Some(_)) => op.finish_dequantized(0),
        (Some(_), None) => {
            // A node of its own: the shared view must keep its name.
            let tensor = op.tensor(0)?;
            let integers = op.stored(0)?;
            let real = op.context.dequantize(tensor, integers)?;
            op.finish(0, real, Layout::AsStored, Domain::Real)
        }
        (None, None) => {
            let value = op.stored(0)?;
            let real = op.cast(value, DType::F32);
            op.finish_real(0, real)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_that_the_quantised_range_implies_are_dropped() {
        let range = |activation, scale: f32, zero: i64| {
            let q = Quantization { scale: vec![scale], zero_point: vec![zero], axis: 0 };
            activation_range(activation, DType::U8, &q)
        };
        assert_eq!(range(Activation::Relu6, 6.0 / 255.0, 0), None);
        assert_eq!(range(Activation::Relu, 0.1, 0), None);
        assert_eq!(range(Activation::Relu, 0.1, 10), Some((10, 255)));
        assert_eq!(range(Activation::Relu6, 0.1, 0), Some((0, 60)));
        assert_eq!(range(Activation::None, 0.1, 10), None);
    }
}
