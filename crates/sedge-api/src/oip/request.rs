use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Error;

/// Most inputs, outputs or dimensions a request may list.
const MAX_ITEMS: usize = 1024;

/// The JSON part of an inference request. Tensor data stays text until its type is known: as
/// generic JSON values it would take many times the memory of the body.
#[derive(Debug, Deserialize)]
pub(super) struct InferRequest<'a> {
    pub(super) id: Option<String>,
    pub(super) parameters: Option<RequestParameters>,
    #[serde(borrow)]
    pub(super) inputs: Bounded<Input<'a>>,
    pub(super) outputs: Option<Bounded<RequestedOutput>>,
}

/// Parameters of the request that mean something here; all others are accepted and ignored.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RequestParameters {
    pub(super) binary_data_output: Option<bool>,
    /// Microseconds.
    pub(super) timeout: Option<u64>,
}

/// One input tensor.
#[derive(Debug, Deserialize)]
pub(super) struct Input<'a> {
    pub(super) name: String,
    pub(super) shape: Bounded<i64>,
    pub(super) datatype: String,
    pub(super) parameters: Option<InputParameters>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct InputParameters {
    pub(super) binary_data_size: Option<i64>,
    pub(super) shared_memory_region: Option<String>,
}

/// One output the client wants.
#[derive(Debug, Deserialize)]
pub(super) struct RequestedOutput {
    pub(super) name: String,
    pub(super) parameters: Option<OutputParameters>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct OutputParameters {
    pub(super) binary_data: Option<bool>,
    pub(super) classification: Option<i64>,
    pub(super) shared_memory_region: Option<String>,
}

/// Where the JSON ends and the binary tensors begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// All of the body is JSON.
    Json,
    /// So many bytes are.
    At(usize),
    /// Nothing is: the body is the one input's tensor.
    Raw,
}

impl Split {
    /// What `Inference-Header-Content-Length` says about a body of `length` bytes.
    pub(super) fn of(header: Option<&[u8]>, length: usize) -> Result<Self, Error> {
        let Some(header) = header else { return Ok(Self::Json) };
        let text = std::str::from_utf8(header).unwrap_or_default().trim();
        match text.parse::<u64>().ok().and_then(|size| usize::try_from(size).ok()) {
            Some(0) => Ok(Self::Raw),
            Some(size) if size <= length => Ok(Self::At(size)),
            _ => Err(Error::invalid(format!(
                "Inference-Header-Content-Length is '{text}', which is no length within the body's {length} bytes"
            ))),
        }
    }
}

/// A list of at most [`MAX_ITEMS`].
#[derive(Debug)]
pub(super) struct Bounded<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData)).map(Self)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a list of at most {MAX_ITEMS} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == MAX_ITEMS {
                return Err(A::Error::custom(format!("more than {MAX_ITEMS} items in a list")));
            }
            items.push(item);
        }
        Ok(items)
    }
}
