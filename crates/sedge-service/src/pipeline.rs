use std::path::Path;
use std::time::{Duration, Instant};

use sedge_engine::{LoadError, Registry, RunError, Session, TensorInfo};
use sedge_package::{Incomplete, InputSpec, Origin, Package, PackageError, Settings};
use sedge_tensor::{Quantization, Tensor};
use sedge_vision::{
    Answer, DecodeLimits, Decoder, ImageInput, Labels, Output, Picture, Placement, Prepared,
    decode, explain, preprocess,
};

use crate::batch::Stacking;
use crate::clock::Clock;
use crate::compiled::take_model;
use crate::explanation::decisive;
use crate::{
    ExplainedSetting, Explanation, ModelInfo, OutputTensor, Payload, Prediction, Request, Response,
    Runner, RunnerError, Timings,
};

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Name of the engine, or `auto`.
    pub engine: String,
    /// Threads one run may use.
    pub threads: usize,
    /// Largest picture that is decoded.
    pub limits: DecodeLimits,
    /// Rows that requests may fill in one run together, where the model allows it.
    pub max_batch: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            engine: "auto".into(),
            threads: sedge_engine::available_threads(),
            limits: DecodeLimits::default(),
            max_batch: 1,
        }
    }
}

/// Why a model could not be made ready.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum OpenError {
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A loaded model with the way from picture to prediction, on the calling thread.
#[derive(Debug)]
pub struct Pipeline {
    info: ModelInfo,
    session: Box<dyn Session>,
    /// How pictures are prepared and outputs decoded, or what is not known of it.
    picture: Result<PicturePath, Incomplete>,
    labels: Labels,
    limits: DecodeLimits,
    /// What decides about pictures and outputs, for explanations.
    settings: Vec<ExplainedSetting>,
    /// What may be wrong when the engine fails, where the model's own file does not say its size.
    size_hint: Option<String>,
    /// How requests are computed together, where the model allows it.
    stacking: Option<Stacking>,
}

#[derive(Debug)]
struct PicturePath {
    input: usize,
    spec: ImageInput,
    decoder: Decoder,
}

/// A request before its inference.
pub(crate) struct Ready<'a> {
    request: &'a Request,
    /// A tensor for each of the model's inputs.
    pub(crate) inputs: Vec<Tensor>,
    picture: Option<ReadyPicture<'a>>,
    clock: Clock,
}

struct ReadyPicture<'a> {
    path: &'a PicturePath,
    placement: Placement,
    explanation: Option<Explanation>,
    decode: u64,
    preprocess: u64,
}

impl Pipeline {
    /// Opens and loads a model.
    pub fn open(
        path: &Path,
        overrides: &[(String, toml::Value, Origin)],
        registry: &Registry,
        options: &LoadOptions,
    ) -> Result<Self, OpenError> {
        let package = Package::open(path, overrides)?;
        Ok(Self::load(package, registry, options)?)
    }

    /// Loads an opened package.
    pub fn load(
        mut package: Package,
        registry: &Registry,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let picture = package.pipeline().and_then(|path| picture_path(path, &package));
        let settings = package.effective_settings().unwrap_or_else(|_| package.settings.clone());
        let separable = crate::batch::is_separable(&package.graph);
        let model = take_model(&mut package)?;
        let engine = registry.engine_for(&options.engine, &model)?;
        let load = sedge_engine::LoadOptions { threads: options.threads };
        let session = engine.load(model, &load)?;
        let version = package.settings.get("model.version");
        let info = ModelInfo {
            name: package.name.clone(),
            identity: package.short_identity().to_owned(),
            version: version.and_then(|version| version.value.as_str()).map(str::to_owned),
            task: package.task().to_string(),
            format: package.format.name().to_owned(),
            engine: engine.name().to_owned(),
            inputs: session.inputs().to_vec(),
            outputs: session.outputs().to_vec(),
            picture_input: picture.as_ref().ok().map(|path| path.input),
            missing: picture.as_ref().err().map(ToString::to_string),
            labels: label_list(&package.labels, session.outputs()),
        };
        let size_hint = size_hint(&package.settings);
        let (labels, limits, settings) = (package.labels, options.limits, decisive(&settings));
        let stacking =
            if separable { Stacking::of(session.as_ref(), options.max_batch) } else { None };
        Ok(Self { info, session, picture, labels, limits, settings, size_hint, stacking })
    }

    fn picture_path(&self) -> Result<&PicturePath, RunnerError> {
        self.picture.as_ref().map_err(|error| RunnerError::Unprepared(error.to_string()))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Picture, RunnerError> {
        decode(bytes, &self.limits).map_err(|error| RunnerError::Picture(error.to_string()))
    }

    fn prepare(&self, picture: &Picture, path: &PicturePath) -> Result<Prepared, RunnerError> {
        preprocess(picture, &path.spec).map_err(|error| RunnerError::Picture(error.to_string()))
    }

    pub(crate) fn run_session(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunnerError> {
        self.session.run(inputs).map_err(|error| match error {
            RunError::Engine { .. } => {
                let hint = self.size_hint.as_deref().unwrap_or_default();
                RunnerError::Failed(format!("{error}{hint}"))
            }
            RunError::Output(_) => RunnerError::Failed(error.to_string()),
            _ => RunnerError::Tensors(error.to_string()),
        })
    }

    fn named(&self, tensors: Vec<Tensor>) -> Vec<(String, Tensor)> {
        self.info.outputs.iter().map(|info| info.name.clone()).zip(tensors).collect()
    }

    /// Does what comes before the inference.
    pub(crate) fn ready<'a>(&'a self, request: &'a Request) -> Result<Ready<'a>, RunnerError> {
        match &request.payload {
            Payload::Picture(bytes) => self.ready_picture(request, bytes),
            Payload::Tensors(tensors) => {
                let inputs = self.in_order(tensors)?;
                Ok(Ready { request, inputs, picture: None, clock: Clock::start() })
            }
        }
    }

    fn ready_picture<'a>(
        &'a self,
        request: &'a Request,
        bytes: &[u8],
    ) -> Result<Ready<'a>, RunnerError> {
        let path = self.picture_path()?;
        let mut clock = Clock::start();
        let picture = self.decode(bytes)?;
        let decode = clock.lap();
        let explanation = match request.explain {
            true => Some(self.explain(&picture, path)?),
            false => None,
        };
        clock.skip();
        let Prepared { tensor, placement, .. } = self.prepare(&picture, path)?;
        drop(picture);
        let preprocess = clock.lap();
        let picture = Some(ReadyPicture { path, placement, explanation, decode, preprocess });
        Ok(Ready { request, inputs: vec![tensor], picture, clock })
    }

    /// Runs the model for one request.
    pub(crate) fn complete(&self, ready: Ready<'_>) -> Result<Response, RunnerError> {
        let begun = Instant::now();
        let outputs = self.run_session(&ready.inputs)?;
        self.finish(ready, outputs, begun.elapsed())
    }

    /// Does what comes after the inference, which took so long.
    pub(crate) fn finish(
        &self,
        ready: Ready<'_>,
        outputs: Vec<Tensor>,
        took: Duration,
    ) -> Result<Response, RunnerError> {
        let Ready { request, inputs, picture, mut clock } = ready;
        drop(inputs);
        let inference = clock.count(took);
        let Some(ReadyPicture { path, placement, explanation, decode, preprocess }) = picture
        else {
            let timings_us = Timings { inference, total: clock.total(), ..Timings::default() };
            let outputs = self.named(outputs);
            return Ok(Response { prediction: None, probabilities: None, outputs, timings_us });
        };
        clock.skip();
        let named = self.outputs(&outputs);
        let failed = |error: sedge_vision::DecoderError| RunnerError::Failed(error.to_string());
        let probabilities = match &path.decoder {
            Decoder::Classes(classes) => Some(classes.probabilities(&named).map_err(failed)?),
            _ => None,
        };
        let answer = path.decoder.decode(&named, &placement, &self.labels, request.selection);
        let mut prediction = self.prediction(request, answer.map_err(failed)?)?;
        prediction.explain = explanation;
        let postprocess = clock.lap();
        let timings_us =
            Timings { queue: 0, decode, preprocess, inference, postprocess, total: clock.total() };
        prediction.timings_us = timings_us;
        let outputs = self.named(outputs);
        Ok(Response { prediction: Some(prediction), probabilities, outputs, timings_us })
    }

    fn explain(&self, picture: &Picture, path: &PicturePath) -> Result<Explanation, RunnerError> {
        let steps = explain(picture, &path.spec)
            .map_err(|error| RunnerError::Picture(error.to_string()))?;
        Ok(Explanation { steps, settings: self.settings.clone() })
    }

    fn outputs<'a>(&'a self, tensors: &'a [Tensor]) -> Vec<Output<'a>> {
        let output = |(info, tensor): (&'a TensorInfo, &'a Tensor)| Output {
            name: &info.name,
            tensor,
            quantization: info.quantization.as_ref().filter(|q| meaningful(q)),
        };
        self.info.outputs.iter().zip(tensors).map(output).collect()
    }

    fn prediction(&self, request: &Request, answer: Answer) -> Result<Prediction, RunnerError> {
        let mut prediction = Prediction {
            image: request.image.clone(),
            service: request.service.clone(),
            model: format!("{}@{}", self.info.name, self.info.identity),
            task: self.info.task.clone(),
            ..Prediction::default()
        };
        match answer {
            Answer::Classes(classes) => prediction.classes = Some(classes),
            Answer::Objects(objects) => prediction.objects = Some(objects),
            Answer::Tensors(tensors) => {
                let json = |(name, tensor): &(String, Tensor)| {
                    OutputTensor::of(name, tensor).ok_or_else(|| {
                        RunnerError::Failed(format!(
                            "output '{name}' holds values that are not finite"
                        ))
                    })
                };
                prediction.outputs = Some(tensors.iter().map(json).collect::<Result<_, _>>()?);
            }
        }
        Ok(prediction)
    }

    /// Tensors by name in the order of the model's inputs.
    fn in_order(&self, tensors: &[(String, Tensor)]) -> Result<Vec<Tensor>, RunnerError> {
        let known = |name: &String| self.info.inputs.iter().any(|info| info.name == *name);
        if let Some((name, _)) = tensors.iter().find(|(name, _)| !known(name)) {
            let names: Vec<_> = self.info.inputs.iter().map(|info| info.name.as_str()).collect();
            let message = format!("the model has no input '{name}'; it has {}", names.join(", "));
            return Err(RunnerError::Tensors(message));
        }
        let pick = |info: &TensorInfo| {
            let mut given = tensors.iter().filter(|(name, _)| *name == info.name);
            match (given.next(), given.next()) {
                (Some((_, tensor)), None) => Ok(tensor.clone()),
                (None, _) => Err(RunnerError::Tensors(format!("input '{}' is missing", info.name))),
                _ => Err(RunnerError::Tensors(format!("input '{}' is given twice", info.name))),
            }
        };
        self.info.inputs.iter().map(pick).collect()
    }
}

impl Runner for Pipeline {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, request: &Request) -> Result<Response, RunnerError> {
        self.complete(self.ready(request)?)
    }

    fn run_batch(&self, requests: &[&Request]) -> Vec<Result<Response, RunnerError>> {
        match &self.stacking {
            Some(stacking) if requests.len() > 1 => stacking.run(self, requests),
            _ => requests.iter().map(|request| self.run(request)).collect(),
        }
    }
}

/// Of a model whose pictures have the size that somebody else than its file says: it may have been
/// made for another, which shows only when shapes do not fit each other in the middle of it.
fn size_hint(settings: &Settings) -> Option<String> {
    let width = settings.get("input.0.width")?;
    let height = settings.get("input.0.height")?;
    if matches!(width.origin, Origin::File(_)) {
        return None;
    }
    Some(format!(
        ". Hint: pictures come to it at {} x {}, as {} says; if it was made for another size, write \
         width and height below [[input]] of a model.toml beside it",
        width.value, height.value, width.origin
    ))
}

/// Finds the one input that takes pictures.
fn picture_path(
    (specs, decoder): (Vec<InputSpec>, Decoder),
    package: &Package,
) -> Result<PicturePath, Incomplete> {
    let pictures: Vec<_> = specs
        .into_iter()
        .enumerate()
        .filter_map(|(index, spec)| match spec {
            InputSpec::Image(spec) => Some((index, spec)),
            InputSpec::Tensor => None,
        })
        .collect();
    match (<[_; 1]>::try_from(pictures), package.graph.inputs.len()) {
        (Ok([(input, spec)]), 1) => Ok(PicturePath { input, spec, decoder }),
        (_, count) => Err(Incomplete {
            model: package.name.clone(),
            missing: Vec::new(),
            hint: format!(
                "The model has {count} inputs; only models with one take pictures. Hint: send tensors"
            ),
        }),
    }
}

/// A scale of zero marks tensors that converters left without quantisation.
fn meaningful(quantization: &Quantization) -> bool {
    quantization.scale.iter().any(|&scale| scale != 0.0)
}

/// Labels by output index for as many classes as an output can have.
fn label_list(labels: &Labels, outputs: &[TensorInfo]) -> Vec<String> {
    let widest = outputs
        .iter()
        .filter_map(|info| info.shape.iter().filter_map(sedge_graph::Dim::fixed).max())
        .max()
        .unwrap_or(0);
    let known = (0..widest.min(100_000)).rev().find(|&index| labels.get(index).is_some());
    let text = |index| labels.get(index).unwrap_or_default().to_owned();
    known.map_or_else(Vec::new, |last| (0..=last).map(text).collect())
}
