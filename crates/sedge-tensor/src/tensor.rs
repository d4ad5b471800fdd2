use std::borrow::Cow;

use bytes::Bytes;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::{DType, Element};

/// Why bytes and a shape do not make a tensor, or a tensor is not what was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TensorError {
    /// The shape's element count does not fit the data.
    #[error("a {dtype} tensor of shape {shape:?} needs {expected} bytes, {actual} were given")]
    Length {
        /// Element type.
        dtype: DType,
        /// Requested shape.
        shape: Vec<usize>,
        /// Bytes the shape needs.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// The product of the dimensions does not fit the address space.
    #[error("shape {shape:?} has more elements than can be addressed")]
    TooLarge {
        /// Requested shape.
        shape: Vec<usize>,
    },
    /// A tensor was read as another element type than it has.
    #[error("the tensor holds {actual}, not {expected}")]
    DType {
        /// Element type asked for.
        expected: DType,
        /// Element type of the tensor.
        actual: DType,
    },
}

/// The affine meaning of a quantised tensor's integers: `real = (q - zero_point) * scale`.
///
/// One entry each for per-tensor quantisation; per-channel, as many as `axis` has elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// Real value of one step.
    pub scale: Vec<f32>,
    /// The integer that stands for zero.
    pub zero_point: Vec<i64>,
    /// Axis the entries run along when there is more than one.
    pub axis: usize,
}

/// A dense, row-major tensor with little-endian elements.
///
/// Cloning is cheap: the bytes are reference counted. They may be a vector that was handed in, a
/// slice of something larger, or a memory-mapped file; [`Tensor::view`] reads them without a copy
/// whenever their address is aligned for the element type.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Plain(Bytes),
    Strings(Vec<Bytes>),
}

/// Number of elements of a shape, or `None` when it overflows. A scalar (`[]`) has one.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// Keeps a typed vector alive behind `Bytes`, so that its bytes stay aligned for the type.
struct Owner<T>(Vec<T>);

impl<T: Element> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl Tensor {
    /// Takes over a vector of elements without copying it.
    pub fn new<T: Element>(
        shape: impl Into<Vec<usize>>,
        elements: Vec<T>,
    ) -> Result<Self, TensorError> {
        Self::from_bytes(T::DTYPE, shape, Bytes::from_owner(Owner(elements)))
    }

    /// A tensor over little-endian bytes, shared, not copied. Strings are refused: they have no
    /// fixed size.
    pub fn from_bytes(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        bytes: Bytes,
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        let expected = element_count(&shape)
            .and_then(|n| n.checked_mul(dtype.size().unwrap_or(usize::MAX)))
            .ok_or_else(|| TensorError::TooLarge { shape: shape.clone() })?;
        if expected != bytes.len() {
            return Err(TensorError::Length { dtype, shape, expected, actual: bytes.len() });
        }
        Ok(Self { dtype, shape, data: Data::Plain(bytes) })
    }

    /// A tensor of byte strings.
    pub fn from_strings(
        shape: impl Into<Vec<usize>>,
        strings: Vec<Bytes>,
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        let expected =
            element_count(&shape).ok_or_else(|| TensorError::TooLarge { shape: shape.clone() })?;
        if expected != strings.len() {
            let actual = strings.len();
            return Err(TensorError::Length { dtype: DType::String, shape, expected, actual });
        }
        Ok(Self { dtype: DType::String, shape, data: Data::Strings(strings) })
    }

    /// A one-dimensional tensor.
    pub fn vector<T: Element>(elements: Vec<T>) -> Self {
        Self {
            dtype: T::DTYPE,
            shape: vec![elements.len()],
            data: Data::Plain(Bytes::from_owner(Owner(elements))),
        }
    }

    /// A tensor without dimensions.
    pub fn scalar<T: Element>(element: T) -> Self {
        Self {
            dtype: T::DTYPE,
            shape: Vec::new(),
            data: Data::Plain(Bytes::from_owner(Owner(vec![element]))),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when a dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The raw little-endian bytes; empty for strings.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Plain(bytes) => bytes,
            Data::Strings(_) => &[],
        }
    }

    /// The raw bytes as a shared handle, without a copy; empty for strings.
    pub fn shared_bytes(&self) -> Bytes {
        match &self.data {
            Data::Plain(bytes) => bytes.clone(),
            Data::Strings(_) => Bytes::new(),
        }
    }

    /// The byte strings of a string tensor; empty for the other types.
    pub fn strings(&self) -> &[Bytes] {
        match &self.data {
            Data::Plain(_) => &[],
            Data::Strings(strings) => strings,
        }
    }

    /// The same elements under another shape.
    pub fn reshaped(self, shape: impl Into<Vec<usize>>) -> Result<Self, TensorError> {
        match self.data {
            Data::Plain(bytes) => Self::from_bytes(self.dtype, shape, bytes),
            Data::Strings(strings) => Self::from_strings(shape, strings),
        }
    }

    /// The elements, borrowed where their address is aligned for `T`, else copied.
    pub fn view<T: Element>(&self) -> Result<Cow<'_, [T]>, TensorError> {
        if self.dtype != T::DTYPE {
            return Err(TensorError::DType { expected: T::DTYPE, actual: self.dtype });
        }
        let bytes = self.bytes();
        Ok(match bytemuck::try_cast_slice(bytes) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
        })
    }

    /// The elements converted to `f32`, whatever the numeric type; `None` for strings.
    ///
    /// Integers are converted by value; no quantisation is undone.
    pub fn to_f32(&self) -> Option<Cow<'_, [f32]>> {
        fn each<T: Element>(tensor: &Tensor, convert: impl Fn(T) -> f32) -> Option<Cow<'_, [f32]>> {
            let view = tensor.view::<T>().ok()?;
            Some(Cow::Owned(view.iter().map(|&x| convert(x)).collect()))
        }
        match self.dtype {
            DType::F32 => self.view::<f32>().ok(),
            DType::F64 => each(self, |x: f64| x as f32),
            DType::F16 => each(self, f16::to_f32),
            DType::Bf16 => each(self, bf16::to_f32),
            DType::U8 => each(self, |x: u8| f32::from(x)),
            DType::I8 => each(self, |x: i8| f32::from(x)),
            DType::U16 => each(self, |x: u16| f32::from(x)),
            DType::I16 => each(self, |x: i16| f32::from(x)),
            DType::U32 => each(self, |x: u32| x as f32),
            DType::I32 => each(self, |x: i32| x as f32),
            DType::U64 => each(self, |x: u64| x as f32),
            DType::I64 => each(self, |x: i64| x as f32),
            DType::Bool => {
                Some(Cow::Owned(self.bytes().iter().map(|&b| f32::from(b != 0)).collect()))
            }
            DType::String => None,
        }
    }

    /// The elements of an integer tensor as `i64`; `None` for floats and strings.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        fn each<T: Element + Into<i64>>(tensor: &Tensor) -> Option<Vec<i64>> {
            Some(tensor.view::<T>().ok()?.iter().map(|&x| x.into()).collect())
        }
        match self.dtype {
            DType::U8 => each::<u8>(self),
            DType::I8 => each::<i8>(self),
            DType::U16 => each::<u16>(self),
            DType::I16 => each::<i16>(self),
            DType::U32 => each::<u32>(self),
            DType::I32 => each::<i32>(self),
            DType::I64 => each::<i64>(self),
            DType::U64 => {
                let view = self.view::<u64>().ok()?;
                view.iter().map(|&x| i64::try_from(x).ok()).collect()
            }
            DType::Bool => Some(self.bytes().iter().map(|&b| i64::from(b != 0)).collect()),
            _ => None,
        }
    }

    /// Real values of a quantised tensor: `(q - zero_point) * scale`, per tensor or per channel.
    pub fn dequantized(&self, quantization: &Quantization) -> Option<Vec<f32>> {
        let values = self.to_i64()?;
        let channels = quantization.scale.len().max(1);
        // Dimensions beside one of none may be of any size.
        let after = self.shape.iter().skip(quantization.axis.saturating_add(1));
        let inner = after.fold(1, |n: usize, &dim| n.saturating_mul(dim));
        let real = |(i, q): (usize, i64)| {
            let channel = if channels == 1 { 0 } else { (i / inner.max(1)) % channels };
            let scale = quantization.scale.get(channel).copied().unwrap_or(1.0);
            let zero = quantization.zero_point.get(channel).copied().unwrap_or(0);
            q.wrapping_sub(zero) as f32 * scale
        };
        Some(values.into_iter().enumerate().map(real).collect())
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && self.bytes() == other.bytes()
            && self.strings() == other.strings()
    }
}

/// The serialised form: whatever is read back is checked again.
#[derive(Serialize, Deserialize)]
struct Wire {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Bytes,
    strings: Vec<Bytes>,
}

impl From<Tensor> for Wire {
    fn from(tensor: Tensor) -> Self {
        let (bytes, strings) = (tensor.shared_bytes(), tensor.strings().to_vec());
        Self { dtype: tensor.dtype, shape: tensor.shape, bytes, strings }
    }
}

impl TryFrom<Wire> for Tensor {
    type Error = TensorError;

    fn try_from(wire: Wire) -> Result<Self, TensorError> {
        match wire.dtype {
            DType::String => Self::from_strings(wire.shape, wire.strings),
            dtype => Self::from_bytes(dtype, wire.shape, wire.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_taken_over_and_read_back() {
        let tensor = Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
        assert!(matches!(tensor.view::<f32>().unwrap(), Cow::Borrowed([1.0, 2.0, 3.0, 4.0])));
        assert_eq!(tensor.bytes().len(), 16);
    }

    #[test]
    fn a_wrong_length_or_type_is_refused() {
        assert!(matches!(
            Tensor::new([3], vec![1u8, 2]),
            Err(TensorError::Length { expected: 3, actual: 2, .. })
        ));
        assert!(matches!(
            Tensor::from_bytes(DType::F32, [usize::MAX, 2], Bytes::new()),
            Err(TensorError::TooLarge { .. })
        ));
        assert!(Tensor::vector(vec![1u8]).view::<i8>().is_err());
    }

    #[test]
    fn unaligned_bytes_are_read_by_copy() {
        let bytes = Bytes::from(vec![9, 1, 0, 0, 0, 2, 0, 0, 0]).slice(1..);
        let tensor = Tensor::from_bytes(DType::I32, [2], bytes).unwrap();
        assert_eq!(tensor.view::<i32>().unwrap().as_ref(), [1, 2]);
    }

    #[test]
    fn dequantises_per_channel_along_the_axis() {
        let tensor = Tensor::new([2, 2], vec![1i8, 2, 3, 4]).unwrap();
        let along = |axis| {
            let q = Quantization { scale: vec![1.0, 10.0], zero_point: vec![0, 1], axis };
            tensor.dequantized(&q).unwrap()
        };
        assert_eq!(along(0), [1.0, 2.0, 20.0, 30.0]);
        assert_eq!(along(1), [1.0, 10.0, 3.0, 30.0]);
    }
}
