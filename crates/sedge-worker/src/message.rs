//! What core and worker tell each other, as MessagePack with named fields; the bytes of pictures
//! and tensors lie beside it.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use sedge_package::Origin;
use sedge_service::{
    Answer, Guard, ModelInfo, Payload, Prediction, Request, Response, RunnerError, Timings,
};
use sedge_tensor::{DType, Tensor};
use sedge_vision::{Class, Selection};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::arena::Arena;
use crate::channel::{self, ALIGN, Message, Parcel, invalid};

/// What a worker is to load, and what it may see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSpec {
    /// Name of the service, for messages.
    pub service: String,
    /// The model: a file, package directory or archive.
    pub model: PathBuf,
    /// Settings of the model that are overridden, and by whom.
    pub overrides: Vec<(String, toml::Value, Origin)>,
    /// Name of the engine, or `auto`.
    pub engine: String,
    /// Threads of one inference.
    pub threads: usize,
    /// Requests that run side by side.
    pub lanes: usize,
    /// Largest picture that is decoded.
    pub max_pixels: u64,
    /// Rows that requests may fill in one run together.
    pub max_batch: usize,
    /// Files and directories that may be read besides the model and the system's libraries.
    pub readable: Vec<PathBuf>,
}

/// The worker's word that it is ready, or why not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) info: Result<ModelInfo, String>,
    /// What holds it back, and what does not.
    pub(crate) sandbox: Vec<Guard>,
}

/// A piece of a message's data.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Span {
    at: u64,
    length: u64,
}

#[derive(Serialize, Deserialize)]
struct WireTensor {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    /// Elements; of texts, one piece each.
    data: Vec<Span>,
}

#[derive(Serialize, Deserialize)]
enum WirePayload {
    Picture(Span),
    Tensors(Vec<WireTensor>),
}

#[derive(Serialize, Deserialize)]
struct WireRequest {
    service: String,
    image: Option<String>,
    payload: WirePayload,
    selection: Selection,
    explain: bool,
}

/// A classifier's classes, of which there may be thousands in every answer: in columns, they need no
/// names of fields.
#[derive(Serialize, Deserialize)]
struct WireClasses {
    index: Vec<usize>,
    label: Vec<Option<String>>,
    score: Vec<f32>,
}

impl WireClasses {
    fn of(classes: Vec<Class>) -> Self {
        let count = classes.len();
        let (index, label, score) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        let mut columns = Self { index, label, score };
        for class in classes {
            columns.index.push(class.index);
            columns.label.push(class.label);
            columns.score.push(class.score);
        }
        columns
    }

    fn rows(self) -> io::Result<Vec<Class>> {
        let count = self.index.len();
        if self.label.len() != count || self.score.len() != count {
            return Err(invalid("columns of classes differ in length"));
        }
        let rows = self.index.into_iter().zip(self.label).zip(self.score);
        Ok(rows.map(|((index, label), score)| Class { index, label, score }).collect())
    }
}

#[derive(Serialize, Deserialize)]
struct WireResponse {
    /// Without its classes.
    prediction: Option<Prediction>,
    classes: Option<WireClasses>,
    probabilities: Option<Span>,
    outputs: Vec<WireTensor>,
    timings_us: Timings,
}

/// Collects data and remembers where it lies.
#[derive(Default)]
struct Pile<'a> {
    parts: Vec<&'a [u8]>,
    length: usize,
}

const GAP: [u8; ALIGN] = [0; ALIGN];

impl<'a> Pile<'a> {
    fn add(&mut self, bytes: &'a [u8]) -> Span {
        let gap = self.length.next_multiple_of(ALIGN) - self.length;
        self.parts.push(&GAP[..gap]);
        let at = self.length + gap;
        self.parts.push(bytes);
        self.length = at + bytes.len();
        Span { at: at as u64, length: bytes.len() as u64 }
    }

    fn add_tensor(&mut self, name: &str, tensor: &'a Tensor) -> WireTensor {
        let data = match tensor.dtype() {
            DType::String => tensor.strings().iter().map(|text| self.add(text)).collect(),
            _ => vec![self.add(tensor.bytes())],
        };
        let shape = tensor.shape().to_vec();
        WireTensor { name: name.to_owned(), dtype: tensor.dtype(), shape, data }
    }
}

fn piece(data: &Bytes, span: Span) -> io::Result<Bytes> {
    let range = usize::try_from(span.at).ok().zip(usize::try_from(span.length).ok());
    let end = range.and_then(|(at, length)| at.checked_add(length));
    match (range, end.filter(|&end| end <= data.len())) {
        (Some((at, _)), Some(end)) => Ok(data.slice(at..end)),
        _ => Err(invalid("a message refers to data it does not have")),
    }
}

fn tensor(data: &Bytes, wire: WireTensor) -> io::Result<(String, Tensor)> {
    let pieces: Vec<Bytes> =
        wire.data.iter().map(|&span| piece(data, span)).collect::<io::Result<_>>()?;
    let tensor = match wire.dtype {
        DType::String => Tensor::from_strings(wire.shape, pieces),
        dtype => match <[Bytes; 1]>::try_from(pieces) {
            Ok([bytes]) => Tensor::from_bytes(dtype, wire.shape, bytes),
            Err(_) => return Err(invalid("a tensor has several pieces")),
        },
    };
    Ok((wire.name, tensor.map_err(|error| invalid(&error.to_string()))?))
}

/// Packs something without data.
pub(crate) fn pack_plain(value: &impl Serialize) -> io::Result<Parcel> {
    channel::pack(&head(value)?, &[])
}

/// Reads something without data.
pub(crate) fn unpack_plain<T: DeserializeOwned>(message: &Message) -> io::Result<T> {
    rmp_serde::from_slice(&message.head).map_err(|error| invalid(&error.to_string()))
}

fn head(value: &impl Serialize) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|error| invalid(&error.to_string()))
}

/// Packs requests that are to be answered in one run, into memory that is kept where they fit.
pub(crate) fn pack_requests<'a>(
    requests: impl Iterator<Item = &'a Request>,
    kept: Option<&mut Option<Arena>>,
) -> io::Result<Parcel> {
    let mut pile = Pile::default();
    let mut wire = |request: &'a Request| WireRequest {
        service: request.service.clone(),
        image: request.image.clone(),
        payload: match &request.payload {
            Payload::Picture(bytes) => WirePayload::Picture(pile.add(bytes)),
            Payload::Tensors(tensors) => WirePayload::Tensors(
                tensors.iter().map(|(name, tensor)| pile.add_tensor(name, tensor)).collect(),
            ),
        },
        selection: request.selection,
        explain: request.explain,
    };
    let all: Vec<WireRequest> = requests.map(&mut wire).collect();
    channel::pack_with(&head(&all)?, &pile.parts, kept)
}

/// Requests as they were packed; their bytes stay where they are.
pub(crate) fn unpack_requests(message: &Message) -> io::Result<Vec<Request>> {
    let all: Vec<WireRequest> = unpack_plain(message)?;
    let request = |wire: WireRequest| {
        let payload = match wire.payload {
            WirePayload::Picture(span) => Payload::Picture(piece(&message.data, span)?),
            WirePayload::Tensors(tensors) => Payload::Tensors(
                tensors
                    .into_iter()
                    .map(|wire| tensor(&message.data, wire))
                    .collect::<io::Result<_>>()?,
            ),
        };
        let mut request = Request::tensors(wire.service, Vec::new());
        request.image = wire.image;
        request.payload = payload;
        request.selection = wire.selection;
        request.explain = wire.explain;
        Ok(request)
    };
    all.into_iter().map(request).collect()
}

/// Packs the answers to requests, into memory that is kept where they fit; predictions are taken out
/// of them.
pub(crate) fn pack_answers(
    answers: &mut [Answer],
    kept: Option<&mut Option<Arena>>,
) -> io::Result<Parcel> {
    let predictions: Vec<(Option<Prediction>, Option<WireClasses>)> = answers
        .iter_mut()
        .map(|answer| {
            let mut prediction = answer.as_mut().ok().and_then(|it| it.prediction.take());
            let classes = prediction.as_mut().and_then(|it| it.classes.take());
            (prediction, classes.map(WireClasses::of))
        })
        .collect();
    let scores: Vec<Option<Tensor>> = answers
        .iter()
        .map(|answer| answer.as_ref().ok()?.probabilities.clone().map(Tensor::vector))
        .collect();
    let mut pile = Pile::default();
    let mut wire = Vec::with_capacity(answers.len());
    for ((answer, scores), (prediction, classes)) in answers.iter().zip(&scores).zip(predictions) {
        wire.push(match answer {
            Err(error) => Err(error.clone()),
            Ok(response) => Ok(WireResponse {
                prediction,
                classes,
                probabilities: scores.as_ref().map(|scores| pile.add(scores.bytes())),
                outputs: response
                    .outputs
                    .iter()
                    .map(|(name, tensor)| pile.add_tensor(name, tensor))
                    .collect(),
                timings_us: response.timings_us,
            }),
        });
    }
    channel::pack_with(&head(&wire)?, &pile.parts, kept)
}

/// Answers as they were packed, `count` of them.
pub(crate) fn unpack_answers(message: &Message, count: usize) -> io::Result<Vec<Answer>> {
    let all: Vec<Result<WireResponse, RunnerError>> = unpack_plain(message)?;
    if all.len() != count {
        return Err(invalid("the worker answered another number of requests"));
    }
    let response = |wire: WireResponse| {
        let scores = |span| {
            let bytes = piece(&message.data, span)?;
            let scores = Tensor::from_bytes(DType::F32, [bytes.len() / 4], bytes);
            let scores = scores.map_err(|error| invalid(&error.to_string()))?;
            Ok::<_, io::Error>(scores.to_f32().map(Cow::into_owned))
        };
        let mut prediction = wire.prediction;
        if let (Some(prediction), Some(classes)) = (&mut prediction, wire.classes) {
            prediction.classes = Some(classes.rows()?);
        }
        Ok(Response {
            prediction,
            probabilities: wire.probabilities.map(scores).transpose()?.flatten(),
            outputs: wire
                .outputs
                .into_iter()
                .map(|wire| tensor(&message.data, wire))
                .collect::<io::Result<_>>()?,
            timings_us: wire.timings_us,
        })
    };
    let answer = |wire: Result<_, _>| match wire {
        Ok(wire) => response(wire).map(Ok),
        Err(error) => Ok(Err(error)),
    };
    all.into_iter().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn through(parcel: &Parcel) -> Message {
        let (ours, theirs) = channel::pair().unwrap();
        channel::send(ours.as_fd(), parcel, &[]).unwrap();
        channel::receive(theirs.as_fd()).unwrap()
    }

    #[test]
    fn requests_and_answers_come_through() {
        let texts = Tensor::from_strings([2], vec!["a".into(), "".into()]).unwrap();
        let numbers = Tensor::new([2, 3], vec![1.5f32, -0.0, 0.1, 1e-40, 7.0, 8.0]).unwrap();
        let large = Tensor::new([100_000], vec![3i32; 100_000]).unwrap();
        let tensors = vec![("t".to_owned(), texts), ("n".into(), numbers), ("l".into(), large)];
        let mut picture = Request::picture("cats", Bytes::from_static(b"pixels"));
        picture.image = Some("cat.jpg".into());
        picture.selection.top_k = Some(3);
        let asked = [picture, Request::tensors("cats", tensors.clone())];
        let message = through(&pack_requests(asked.iter(), None).unwrap());
        assert_eq!(unpack_requests(&message).unwrap(), asked);

        let class = |index, label: Option<&str>| Class {
            index,
            label: label.map(str::to_owned),
            score: 0.25,
        };
        let classes = Some(vec![class(7, Some("cat")), class(1000, None)]);
        let prediction = Prediction { service: "cats".into(), classes, ..Prediction::default() };
        let answers = vec![
            Err(RunnerError::Overloaded { waiting: 3, retry_after_s: 1 }),
            Ok(Response {
                prediction: Some(prediction),
                probabilities: Some(vec![0.1, 0.7, f32::MIN_POSITIVE]),
                outputs: tensors,
                timings_us: Timings { decode: 5, total: 9, ..Timings::default() },
            }),
        ];
        let message = through(&pack_answers(&mut answers.clone(), None).unwrap());
        assert_eq!(unpack_answers(&message, 2).unwrap(), answers);
        assert!(unpack_answers(&message, 1).is_err());
        assert!(unpack_requests(&message).is_err());
    }

    #[test]
    fn data_outside_of_a_message_is_not_reached() {
        let data = Bytes::from_static(&[0; 8]);
        for (at, length) in [(0, 9), (9, 0), (u64::MAX, 1), (1, u64::MAX)] {
            assert!(piece(&data, Span { at, length }).is_err(), "{at} {length}");
        }
        assert_eq!(piece(&data, Span { at: 8, length: 0 }).unwrap().len(), 0);
    }
}
