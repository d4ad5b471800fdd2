use bytes::Bytes;
use sedge_graph::Dim;
use sedge_service::{ModelInfo, Payload};
use sedge_tensor::{DType, Tensor, element_count};

use super::request::Input;
use super::{Error, IMAGE, datatype};
use crate::body::Budget;

mod json;

/// What the inputs of a request are: a picture, or tensors by name.
pub(super) fn payload(
    info: &ModelInfo,
    inputs: Vec<Input<'_>>,
    binary: &Bytes,
    budget: &Budget,
) -> Result<Payload, Error> {
    let picture = inputs.iter().position(|input| is_picture(info, input));
    if picture.is_some() && inputs.len() > 1 {
        return Err(Error::invalid("a picture must be the only input of a request"));
    }
    let mut rest = binary.clone();
    let mut tensors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let tensor = tensor(info, &input, picture.is_some(), &mut rest, budget)?;
        tensors.push((input.name, tensor));
    }
    if !rest.is_empty() {
        let message = format!("{} binary bytes belong to no input", rest.len());
        return Err(Error::invalid(message));
    }
    if picture.is_none() {
        return Ok(Payload::Tensors(tensors));
    }
    match tensors.first().map(|(_, tensor)| tensor.strings()) {
        Some([picture]) => Ok(Payload::Picture(picture.clone())),
        _ => {
            Err(Error::invalid("a picture is a BYTES tensor of one element, of shape [1] or [1,1]"))
        }
    }
}

/// A request without JSON: the body is the one input, its shape follows from its size.
pub(super) fn raw(info: &ModelInfo, body: Bytes) -> Result<Payload, Error> {
    let [input] = info.inputs.as_slice() else {
        let count = info.inputs.len();
        let message = format!("a raw request needs a model with one input; this one has {count}");
        return Err(Error::invalid(message));
    };
    let name = input.name.clone();
    let fail =
        |message: String| Error::invalid(format!("raw request for input '{name}': {message}"));
    let tensor = match input.dtype.size() {
        None => Tensor::from_strings([1], vec![body]),
        Some(size) => {
            let dims: Vec<_> = input.shape.iter().map(Dim::fixed).collect();
            let fixed: Vec<_> = dims.iter().flatten().copied().collect();
            let elements = body.len() / size;
            let known = element_count(&fixed).filter(|&known| known > 0).unwrap_or(1);
            if !input.ranked || dims.len() - fixed.len() > 1 {
                return Err(fail("its shape does not follow from its size".into()));
            }
            let shape: Vec<_> = dims.iter().map(|dim| dim.unwrap_or(elements / known)).collect();
            Tensor::from_bytes(input.dtype, shape, body)
        }
    };
    let tensor = tensor.map_err(|error| fail(error.to_string()))?;
    Ok(Payload::Tensors(vec![(input.name.clone(), tensor)]))
}

fn is_picture(info: &ModelInfo, input: &Input<'_>) -> bool {
    let Some(own) = info.picture_input.and_then(|index| info.inputs.get(index)) else {
        return false;
    };
    let named = input.name == own.name || input.name == IMAGE;
    named && input.datatype == datatype::name(DType::String) && own.dtype != DType::String
}

fn tensor(
    info: &ModelInfo,
    input: &Input<'_>,
    picture: bool,
    rest: &mut Bytes,
    budget: &Budget,
) -> Result<Tensor, Error> {
    let fail = |message: String| Error::invalid(format!("input '{}': {message}", input.name));
    let dtype = datatype::parse(&input.datatype)
        .ok_or_else(|| fail(format!("unknown datatype '{}'", input.datatype)))?;
    let known = info.inputs.iter().find(|known| known.name == input.name);
    match known {
        Some(known) if known.dtype != dtype && !picture => {
            let expected = datatype::name(known.dtype);
            return Err(fail(format!(
                "the model takes {expected}, the request has {}",
                input.datatype
            )));
        }
        None if !picture => {
            let names: Vec<_> = info.inputs.iter().map(|info| info.name.as_str()).collect();
            return Err(fail(format!("the model has no such input; it has {}", names.join(", "))));
        }
        _ => {}
    }
    let shape = shape(&input.shape.0).map_err(fail)?;
    let parameters = input.parameters.as_ref();
    if parameters.is_some_and(|parameters| parameters.shared_memory_region.is_some()) {
        return Err(Error::new(
            axum::http::StatusCode::NOT_IMPLEMENTED,
            format!("input '{}': shared memory is not implemented", input.name),
        ));
    }
    match (parameters.and_then(|parameters| parameters.binary_data_size), input.data) {
        (Some(_), Some(_)) => Err(fail("it has both data and binary_data_size".into())),
        (None, None) => Err(fail("it has neither data nor binary_data_size".into())),
        (None, Some(_)) if picture => {
            Err(fail("a picture is no text. Hint: send it with the binary tensor extension".into()))
        }
        (None, Some(data)) => {
            json::tensor(dtype, shape, data, budget).map_err(|error| match error {
                json::DataError::Wrong(message) => fail(message),
                json::DataError::Body(error) => error.into(),
            })
        }
        (Some(size), None) => {
            let size = usize::try_from(size).ok().filter(|&size| size <= rest.len());
            let size = size.ok_or_else(|| {
                fail(format!("binary_data_size does not fit the {} bytes left", rest.len()))
            })?;
            // Short strings take more memory as elements than in the body.
            let mut held = budget.reserve();
            if dtype == DType::String {
                let elements = element_count(&shape).unwrap_or(usize::MAX).min(size / 4);
                held.grow((elements * size_of::<Bytes>()) as u64)?;
            }
            binary(dtype, shape, rest.split_to(size)).map_err(fail)
        }
    }
}

fn shape(dims: &[i64]) -> Result<Vec<usize>, String> {
    let dim = |&dim: &i64| usize::try_from(dim).map_err(|_| format!("dimension {dim} is no size"));
    dims.iter().map(dim).collect()
}

fn binary(dtype: DType, shape: Vec<usize>, bytes: Bytes) -> Result<Tensor, String> {
    match dtype {
        DType::String => {
            let count = element_count(&shape).unwrap_or(usize::MAX);
            Tensor::from_strings(shape, strings(bytes, count)?)
        }
        DType::Bool if bytes.iter().any(|&byte| byte > 1) => {
            return Err("a BOOL is one byte, 0 or 1".into());
        }
        _ => Tensor::from_bytes(dtype, shape, bytes),
    }
    .map_err(|error| error.to_string())
}

/// Splits `BYTES` elements: each is its length in four bytes, little endian, and itself.
fn strings(mut bytes: Bytes, count: usize) -> Result<Vec<Bytes>, String> {
    let mut strings = Vec::new();
    while !bytes.is_empty() {
        if strings.len() == count {
            return Err(format!("it has more BYTES elements than the {count} of its shape"));
        }
        let short = || "its BYTES elements are cut short".to_owned();
        if bytes.len() < 4 {
            return Err(short());
        }
        let length = bytes.split_to(4);
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length > bytes.len() {
            return Err(short());
        }
        strings.push(bytes.split_to(length));
    }
    Ok(strings)
}
