use sedge_service::{ModelInfo, Response, Version};
use sedge_tensor::{DType, Element, Tensor};
use serde::Serialize;

use super::{Error, PREDICTION, classification, datatype};

/// An output to answer with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) source: Source,
    pub(super) binary: bool,
    /// First so many classes instead of the tensor.
    pub(super) classification: Option<usize>,
}

/// Where an output's content comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The model's output of this index.
    Output(usize),
    /// The prediction as JSON.
    Prediction,
}

/// A response body, and how much of it is JSON when the rest is binary.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) body: Vec<u8>,
    pub(super) json_bytes: Option<usize>,
}

/// Writes the response.
pub(super) fn encode(
    service: &str,
    version: &Version,
    id: Option<&str>,
    response: &Response,
    wanted: &[Wanted],
) -> Result<Encoded, Error> {
    let mut json = Vec::with_capacity(256);
    json.extend_from_slice(b"{\"model_name\":");
    text(&mut json, service)?;
    json.extend_from_slice(format!(",\"model_version\":\"{}\"", version.number()).as_bytes());
    if let Some(id) = id {
        json.extend_from_slice(b",\"id\":");
        text(&mut json, id)?;
    }
    json.extend_from_slice(b",\"outputs\":[");
    let mut binary = Vec::new();
    for (index, wanted) in wanted.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        let (name, tensor) = content(version.info(), response, wanted)?;
        output(&mut json, &mut binary, name, &tensor, wanted.binary)?;
    }
    json.extend_from_slice(b"]}");
    let json_bytes = wanted.iter().any(|wanted| wanted.binary).then_some(json.len());
    json.append(&mut binary);
    Ok(Encoded { body: json, json_bytes })
}

fn content<'a>(
    info: &ModelInfo,
    response: &'a Response,
    wanted: &Wanted,
) -> Result<(&'a str, Tensor), Error> {
    let index = match wanted.source {
        Source::Output(index) => index,
        Source::Prediction => {
            let prediction = response.prediction.as_ref().ok_or_else(|| {
                Error::invalid(format!("output '{PREDICTION}' exists only for pictures"))
            })?;
            let json = serde_json::to_vec(prediction).map_err(unwritable)?;
            let tensor = Tensor::from_strings([1], vec![json.into()]).map_err(unwritable)?;
            return Ok((PREDICTION, tensor));
        }
    };
    let missing = || Error::internal("the model answered fewer outputs than it has");
    let (name, tensor) = response.outputs.get(index).ok_or_else(missing)?;
    let tensor = match wanted.classification {
        None => tensor.clone(),
        Some(count) => classification::classes(tensor, count, &info.labels).ok_or_else(|| {
            Error::invalid(format!("output '{name}' holds no numbers to classify by"))
        })?,
    };
    Ok((name, tensor))
}

fn output(
    json: &mut Vec<u8>,
    blobs: &mut Vec<u8>,
    name: &str,
    tensor: &Tensor,
    binary: bool,
) -> Result<(), Error> {
    json.extend_from_slice(b"{\"name\":");
    text(json, name)?;
    json.extend_from_slice(b",\"datatype\":");
    text(json, datatype::name(tensor.dtype()))?;
    json.extend_from_slice(b",\"shape\":");
    text(json, tensor.shape())?;
    if binary {
        let before = blobs.len();
        append(blobs, tensor);
        let size = blobs.len() - before;
        json.extend_from_slice(
            format!(",\"parameters\":{{\"binary_data_size\":{size}}}").as_bytes(),
        );
    } else {
        json.extend_from_slice(b",\"data\":[");
        data(json, name, tensor)?;
        json.push(b']');
    }
    json.push(b'}');
    Ok(())
}

fn append(blobs: &mut Vec<u8>, tensor: &Tensor) {
    blobs.extend_from_slice(tensor.bytes());
    for string in tensor.strings() {
        // A string of a model or a prediction is far below 4 GiB.
        blobs.extend_from_slice(&(string.len() as u32).to_le_bytes());
        blobs.extend_from_slice(string);
    }
}

fn data(json: &mut Vec<u8>, name: &str, tensor: &Tensor) -> Result<(), Error> {
    let finite = |fine: bool| {
        let message = format!(
            "output '{name}' holds values that are not finite, which JSON cannot say. Hint: ask for binary_data"
        );
        if fine { Ok(()) } else { Err(Error::internal(message)) }
    };
    match tensor.dtype() {
        DType::Bool => list(json, tensor.bytes().iter().map(|&byte| byte != 0)),
        DType::U8 => numbers::<u8>(json, tensor),
        DType::I8 => numbers::<i8>(json, tensor),
        DType::U16 => numbers::<u16>(json, tensor),
        DType::I16 => numbers::<i16>(json, tensor),
        DType::U32 => numbers::<u32>(json, tensor),
        DType::I32 => numbers::<i32>(json, tensor),
        DType::U64 => numbers::<u64>(json, tensor),
        DType::I64 => numbers::<i64>(json, tensor),
        DType::F32 => {
            finite(tensor.view::<f32>().is_ok_and(|view| view.iter().all(|x| x.is_finite())))?;
            numbers::<f32>(json, tensor)
        }
        DType::F64 => {
            finite(tensor.view::<f64>().is_ok_and(|view| view.iter().all(|x| x.is_finite())))?;
            numbers::<f64>(json, tensor)
        }
        DType::F16 | DType::Bf16 => Err(Error::invalid(format!(
            "output '{name}' holds 16-bit floats, which are not sent as JSON. Hint: ask for binary_data"
        ))),
        DType::String => {
            let strings = tensor.strings().iter().map(|string| std::str::from_utf8(string));
            let strings = strings.collect::<Result<Vec<_>, _>>().map_err(|_| {
                let hint = "Hint: ask for binary_data";
                Error::invalid(format!("output '{name}' holds bytes that are no text. {hint}"))
            })?;
            list(json, strings.into_iter())
        }
    }
}

fn numbers<T: Element + Serialize>(json: &mut Vec<u8>, tensor: &Tensor) -> Result<(), Error> {
    let view = tensor.view::<T>().map_err(unwritable)?;
    list(json, view.iter())
}

fn list<T: Serialize>(json: &mut Vec<u8>, items: impl Iterator<Item = T>) -> Result<(), Error> {
    for (index, item) in items.enumerate() {
        if index > 0 {
            json.push(b',');
        }
        text(json, &item)?;
    }
    Ok(())
}

fn text<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    serde_json::to_writer(json, value).map_err(unwritable)
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("the answer cannot be written: {error}"))
}
