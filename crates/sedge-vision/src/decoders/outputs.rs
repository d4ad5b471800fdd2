use std::borrow::Cow;

use sedge_tensor::Quantization;

use super::{Coordinates, DecoderError, Output};
use crate::{Box2d, Placement};

impl<'a> Output<'a> {
    /// The elements as real numbers: a quantised output's integers by its quantisation, all others
    /// by value.
    pub fn values(&self) -> Result<Cow<'a, [f32]>, DecoderError> {
        let tensor = self.tensor;
        let values = match self.quantization.filter(|_| tensor.dtype().is_integer()) {
            Some(quantization) => {
                if !fits(quantization, tensor.shape()) {
                    let shape = tensor.shape().to_vec();
                    return Err(DecoderError::Quantization { output: self.name.into(), shape });
                }
                tensor.dequantized(quantization).map(Cow::Owned)
            }
            None => tensor.to_f32(),
        };
        let dtype = tensor.dtype();
        values.ok_or_else(|| DecoderError::DType { output: self.name.into(), dtype })
    }

    /// Like [`Output::values`], and none of them NaN. Infinities are left to the formulas: a
    /// masked class is minus infinity before a softmax.
    pub(super) fn numbers(&self) -> Result<Cow<'a, [f32]>, DecoderError> {
        let values = self.values()?;
        if values.iter().any(|v| v.is_nan()) {
            return Err(self.not_finite());
        }
        Ok(values)
    }

    pub(super) fn not_finite(&self) -> DecoderError {
        DecoderError::NotFinite { output: self.name.into() }
    }

    pub(super) fn wrong_shape(&self, expected: impl Into<String>) -> DecoderError {
        let (output, shape) = (self.name.into(), self.tensor.shape().to_vec());
        DecoderError::Shape { output, shape, expected: expected.into() }
    }

    /// Rows and columns of `[1, rows, columns]` or `[rows, columns]`.
    pub(super) fn matrix(&self) -> Option<[usize; 2]> {
        matrix(self.tensor.shape())
    }

    /// A class index that was emitted as a number; `None` when negative, which is how padding and
    /// suppressed rows are marked.
    pub(super) fn class(&self, value: f32) -> Result<Option<usize>, DecoderError> {
        // Beyond 2^24 an f32 no longer counts in ones.
        if value < 0.0 {
            Ok(None)
        } else if value <= 16_777_216.0 {
            Ok(Some(value.round() as usize))
        } else {
            Err(DecoderError::Class { output: self.name.into(), value })
        }
    }
}

fn fits(quantization: &Quantization, shape: &[usize]) -> bool {
    let channels = quantization.scale.len();
    let along = shape.get(quantization.axis).copied();
    (channels == 1 || (channels > 1 && along == Some(channels)))
        && quantization.axis <= shape.len()
        && quantization.zero_point.iter().all(|&zero| i32::try_from(zero).is_ok())
}

pub(super) fn matrix(shape: &[usize]) -> Option<[usize; 2]> {
    match *shape {
        [1, rows, columns] | [rows, columns] => Some([rows, columns]),
        _ => None,
    }
}

pub(super) fn is_finite(b: Box2d) -> bool {
    [b.xmin, b.ymin, b.xmax, b.ymax].iter().all(|v| v.is_finite())
}

impl Coordinates {
    /// What one unit of the coordinates is over the whole input, per axis.
    pub(super) fn unit(self, placement: &Placement) -> [f32; 2] {
        match self {
            Coordinates::Relative => [1.0, 1.0],
            Coordinates::Pixels => {
                [1.0 / placement.input_width as f32, 1.0 / placement.input_height as f32]
            }
        }
    }

    /// `xmin, ymin, xmax, ymax` as a box relative to the input.
    pub(super) fn corners(self, corners: [f32; 4], placement: &Placement) -> Box2d {
        let [x, y] = self.unit(placement);
        let [xmin, ymin, xmax, ymax] = corners;
        Box2d { xmin: xmin * x, ymin: ymin * y, xmax: xmax * x, ymax: ymax * y }
    }
}

/// The outputs not yet spoken for, while a decoder finds out which is which.
pub(super) struct Pool<'o, 'a> {
    all: &'o [Output<'a>],
    left: Vec<&'o Output<'a>>,
}

impl<'o, 'a> Pool<'o, 'a> {
    pub(super) fn new(outputs: &'o [Output<'a>]) -> Self {
        Self { all: outputs, left: outputs.iter().collect() }
    }

    pub(super) fn left(&self) -> &[&'o Output<'a>] {
        &self.left
    }

    /// The output a key of the decoder names, if it names one.
    pub(super) fn named(
        &mut self,
        key: &'static str,
        name: Option<&str>,
    ) -> Result<Option<&'o Output<'a>>, DecoderError> {
        let Some(name) = name else { return Ok(None) };
        let Some(at) = self.left.iter().position(|o| o.name == name) else {
            return Err(DecoderError::Missing { key, name: name.into(), have: self.have() });
        };
        Ok(Some(self.left.remove(at)))
    }

    /// The one remaining output that passes the test; an error when none or several do.
    pub(super) fn only(
        &mut self,
        key: &'static str,
        test: impl Fn(&Output<'a>) -> bool,
    ) -> Result<&'o Output<'a>, DecoderError> {
        let mut passing = (0..self.left.len()).filter(|&i| test(self.left[i]));
        match (passing.next(), passing.next()) {
            (Some(at), None) => Ok(self.left.remove(at)),
            _ => Err(self.unclear(key)),
        }
    }

    /// The output a key names, else the only one there is, else the only one that passes the test.
    pub(super) fn named_or_only(
        &mut self,
        key: &'static str,
        name: Option<&str>,
        test: impl Fn(&Output<'a>) -> bool,
    ) -> Result<&'o Output<'a>, DecoderError> {
        match self.named(key, name)? {
            Some(output) => Ok(output),
            None if self.left.len() == 1 => Ok(self.left.remove(0)),
            None => self.only(key, test),
        }
    }

    /// The output a key names, else the model's first.
    pub(super) fn named_or_first(
        &mut self,
        key: &'static str,
        name: Option<&str>,
    ) -> Result<&'o Output<'a>, DecoderError> {
        match self.named(key, name)? {
            Some(output) => Ok(output),
            None => self.left.first().copied().ok_or_else(|| self.unclear(key)),
        }
    }

    pub(super) fn unclear(&self, key: &'static str) -> DecoderError {
        DecoderError::Unclear { key, have: self.have() }
    }

    fn have(&self) -> String {
        let one = |o: &Output<'_>| format!("`{}` {:?}", o.name, o.tensor.shape());
        if self.all.is_empty() {
            return "no outputs".into();
        }
        self.all.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
