use bytes::Bytes;
use sedge_tensor::{DType, Element, Tensor, TensorError, element_count};
use serde::Deserializer;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::body::{BodyError, Budget, Reservation, hold};

/// Why JSON is no tensor.
#[derive(Debug)]
pub(super) enum DataError {
    Wrong(String),
    Body(BodyError),
}

impl From<String> for DataError {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

impl From<TensorError> for DataError {
    fn from(error: TensorError) -> Self {
        Self::Wrong(error.to_string())
    }
}

/// Reads nested or flat JSON lists, row-major, into a tensor.
pub(super) fn tensor(
    dtype: DType,
    shape: Vec<usize>,
    data: &RawValue,
    budget: &Budget,
) -> Result<Tensor, DataError> {
    let numbers = Numbers { dtype, shape, data, held: budget.reserve() };
    match dtype {
        DType::Bool => {
            numbers.read::<Bool>(|bools| bools.into_iter().map(|b| b.0).collect::<Vec<u8>>().into())
        }
        DType::U8 => numbers.read(plain::<u8>),
        DType::I8 => numbers.read(plain::<i8>),
        DType::U16 => numbers.read(plain::<u16>),
        DType::I16 => numbers.read(plain::<i16>),
        DType::U32 => numbers.read(plain::<u32>),
        DType::I32 => numbers.read(plain::<i32>),
        DType::U64 => numbers.read(plain::<u64>),
        DType::I64 => numbers.read(plain::<i64>),
        DType::F32 => numbers.read(plain::<f32>),
        DType::F64 => numbers.read(plain::<f64>),
        DType::F16 | DType::Bf16 => Err(DataError::Wrong(
            "16-bit floats cannot be sent as JSON. Hint: use the binary tensor extension".into(),
        )),
        DType::String => {
            let shape = numbers.shape.clone();
            let (strings, _held) = numbers.list::<Bytes>()?;
            Ok(Tensor::from_strings(shape, strings)?)
        }
    }
}

fn plain<T: Element>(elements: Vec<T>) -> Bytes {
    Tensor::vector(elements).shared_bytes()
}

struct Numbers<'a> {
    dtype: DType,
    shape: Vec<usize>,
    data: &'a RawValue,
    held: Reservation,
}

impl Numbers<'_> {
    fn read<T: FromJson>(self, bytes: impl FnOnce(Vec<T>) -> Bytes) -> Result<Tensor, DataError> {
        let (dtype, shape) = (self.dtype, self.shape.clone());
        let (elements, held) = self.list::<T>()?;
        Ok(Tensor::from_bytes(dtype, shape, hold(bytes(elements), held))?)
    }

    fn list<T: FromJson>(mut self) -> Result<(Vec<T>, Reservation), DataError> {
        let text = self.data.get();
        let shape = &self.shape;
        let wrong = |actual: &str| {
            format!("shape {shape:?} does not fit its data, which has {actual} elements")
        };
        // An element takes at least a character, so what is allocated is in proportion to the body.
        let count = element_count(shape).filter(|&count| count <= text.len());
        let count = count.ok_or_else(|| wrong("fewer"))?;
        let bytes = count.saturating_mul(size_of::<T>());
        self.held.grow(bytes as u64).map_err(DataError::Body)?;
        let mut elements = Vec::with_capacity(count);
        let mut json = serde_json::Deserializer::from_str(text);
        let list = Flat { elements: &mut elements, count };
        list.deserialize(&mut json).map_err(|error| error.to_string())?;
        if elements.len() != count {
            return Err(wrong(&elements.len().to_string()).into());
        }
        Ok((elements, self.held))
    }
}

/// A value in a JSON list.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(&'a str),
}

trait FromJson: Sized {
    const EXPECTED: &'static str;

    fn from_json(scalar: Scalar<'_>) -> Option<Self>;
}

macro_rules! integers {
    ($($ty:ty),*) => {
        $(impl FromJson for $ty {
            const EXPECTED: &'static str = concat!("integers that fit ", stringify!($ty));

            fn from_json(scalar: Scalar<'_>) -> Option<Self> {
                match scalar {
                    Scalar::Unsigned(value) => value.try_into().ok(),
                    Scalar::Signed(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        })*
    };
}

integers!(u8, i8, u16, i16, u32, i32, u64, i64);

impl FromJson for f64 {
    const EXPECTED: &'static str = "numbers";

    fn from_json(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Unsigned(value) => Some(value as f64),
            Scalar::Signed(value) => Some(value as f64),
            Scalar::Float(value) => Some(value),
            _ => None,
        }
    }
}

impl FromJson for f32 {
    const EXPECTED: &'static str = "numbers within the range of f32";

    fn from_json(scalar: Scalar<'_>) -> Option<Self> {
        f64::from_json(scalar).map(|value| value as f32).filter(|value| value.is_finite())
    }
}

struct Bool(u8);

impl FromJson for Bool {
    const EXPECTED: &'static str = "true, false, 0 or 1";

    fn from_json(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Bool(value) => Some(Self(value.into())),
            Scalar::Unsigned(value @ 0..=1) => Some(Self(value as u8)),
            _ => None,
        }
    }
}

impl FromJson for Bytes {
    const EXPECTED: &'static str = "strings";

    fn from_json(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            _ => None,
        }
    }
}

/// Collects scalars however deep they lie in lists.
struct Flat<'a, T> {
    elements: &'a mut Vec<T>,
    count: usize,
}

impl<T: FromJson> Flat<'_, T> {
    fn push<E: serde::de::Error>(self, scalar: Scalar<'_>) -> Result<(), E> {
        if self.elements.len() == self.count {
            return Err(E::custom(format!("more than the {} elements of its shape", self.count)));
        }
        let element = T::from_json(scalar);
        let element = element.ok_or_else(|| E::custom(format!("expected {}", T::EXPECTED)))?;
        self.elements.push(element);
        Ok(())
    }
}

impl<'de, T: FromJson> DeserializeSeed<'de> for Flat<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FromJson> Visitor<'de> for Flat<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lists of {}", T::EXPECTED)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.push(Scalar::Unsigned(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.push(Scalar::Signed(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.push(Scalar::Float(value))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.push(Scalar::Bool(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.push(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Flat { elements, count } = self;
        while list.next_element_seed(Flat { elements: &mut *elements, count })?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dtype: DType, shape: &[usize], text: &str) -> Result<Tensor, String> {
        let data = RawValue::from_string(text.into()).unwrap();
        tensor(dtype, shape.to_vec(), &data, &Budget::new(1000)).map_err(|error| match error {
            DataError::Wrong(message) => message,
            DataError::Body(error) => error.to_string(),
        })
    }

    #[test]
    fn nested_and_flat_lists_are_the_same() {
        let expected = Tensor::new([2, 2], vec![1.0f32, 2.5, -3.0, 4e-3]).unwrap();
        assert_eq!(read(DType::F32, &[2, 2], "[1, 2.5, -3, 4e-3]").unwrap(), expected);
        assert_eq!(read(DType::F32, &[2, 2], "[[1, 2.5], [-3, 4e-3]]").unwrap(), expected);
        assert_eq!(read(DType::I64, &[], "7").unwrap(), Tensor::scalar(7i64));
        assert_eq!(read(DType::Bool, &[3], "[true, 0, 1]").unwrap().bytes(), [1, 0, 1]);
        assert_eq!(read(DType::String, &[1], r#"["a\u00e9"]"#).unwrap().strings(), ["aé"]);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (dtype, shape, text, message) in [
            (DType::U8, &[1][..], "[256]", "integers that fit u8"),
            (DType::U8, &[1], "[1.0]", "integers that fit u8"),
            (DType::U8, &[1], "[null]", "lists of"),
            (DType::F32, &[1], "[1e39]", "range of f32"),
            (DType::F32, &[1], "[\"1\"]", "numbers"),
            (DType::F32, &[2], "[1]", "has 1 elements"),
            (DType::F32, &[1], "[1, 2]", "more than the 1"),
            (DType::F32, &[1 << 40], "[1]", "fewer"),
            (DType::F32, &[1 << 40, 1 << 40], "[1]", "fewer"),
            (DType::F16, &[1], "[1]", "binary"),
            (DType::I64, &[1], "[18446744073709551615]", "fit i64"),
        ] {
            let error = read(dtype, shape, text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(read(DType::F32, &[1], &deep).unwrap_err().contains("recursion"));
    }

    #[test]
    fn memory_is_taken_from_the_budget() {
        let many = format!("[{}1]", "1,".repeat(999));
        assert!(read(DType::U8, &[1000], &many).is_ok());
        assert!(read(DType::F64, &[1000], &many).unwrap_err().contains("retry"));
    }
}
