//! One reference case: a model, a picture, and what the original framework answered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use sedge_engine::{Model, Registry};
use sedge_graph::Graph;
use sedge_package::{InputSpec, Origin, Package, parse_npy};
use sedge_service::{LoadOptions, Pipeline, Request, Runner};
use sedge_tensor::Tensor;
use sedge_vision::{DecodeLimits, ImageInput, decode, preprocess};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::compare::{self, Detection};

/// Smallest lead of the first class over the second with which it must stay first.
const CLEAR_MARGIN: f32 = 0.05;

const FROM_TENSOR: &str = "from the tensor";

fn outcome(result: Result<(), String>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}

pub(crate) enum Outcome {
    Passed,
    Failed(String),
}

pub(crate) struct Case {
    pub(crate) model: String,
    pub(crate) name: String,
    directory: PathBuf,
    reference: Reference,
}

#[derive(Deserialize)]
struct Reference {
    model_files: Vec<FileReference>,
    image: Option<FileReference>,
    preprocess: Option<Preprocess>,
    resized_rgb8: Option<Resized>,
    inputs: Vec<TensorReference>,
    outputs: Vec<TensorReference>,
    top5: Option<Vec<Top>>,
    detections: Option<Vec<Detection>>,
}

#[derive(Deserialize)]
struct FileReference {
    path: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Preprocess {
    resize: ResizeReference,
}

#[derive(Deserialize)]
struct ResizeReference {
    method: String,
}

#[derive(Deserialize)]
struct Resized {
    file: String,
}

#[derive(Deserialize)]
struct TensorReference {
    name: String,
    sha256_of_bytes: String,
    file: Option<String>,
}

#[derive(Deserialize)]
struct Top {
    index: usize,
    score: f32,
}

impl Case {
    /// Every case of every reference directory, in order.
    pub(crate) fn all(testdata: &Path) -> Vec<Case> {
        let mut cases = Vec::new();
        for model in listing(&testdata.join("reference")) {
            for path in listing(&model) {
                if path.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                cases.push(Case {
                    model: file_name(&model),
                    name: file_name(&path).trim_end_matches(".json").to_owned(),
                    directory: model.clone(),
                    reference: serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
                });
            }
        }
        cases
    }

    /// Runs the case both ways through an engine, with the model's package or what it was converted
    /// into.
    pub(crate) fn run(
        &self,
        registry: &Registry,
        engine: &str,
        package: impl Fn(&Case) -> PathBuf,
        testdata: &Path,
    ) -> Vec<(&'static str, Outcome)> {
        let path = package(self);
        let from_tensor = self.replay_tensor(&path, testdata, |package, input| {
            let engine = registry.engine(engine).map_err(|e| e.to_string())?;
            let options = sedge_engine::LoadOptions::default();
            let session = engine.load(Model::Graph(package.graph), &options);
            session.map_err(|e| e.to_string())?.run(&[input]).map_err(|e| e.to_string())
        });
        vec![
            (FROM_TENSOR, outcome(from_tensor)),
            ("from the picture", outcome(self.replay_picture(&path, registry, engine, testdata))),
        ]
    }

    /// Runs the case from its tensor, with whatever runs the package's model: in the other binary.
    #[allow(dead_code)]
    pub(crate) fn run_tensor(
        &self,
        path: &Path,
        testdata: &Path,
        run: impl FnOnce(Package, Tensor) -> Result<Vec<Tensor>, String>,
    ) -> (&'static str, Outcome) {
        (FROM_TENSOR, outcome(self.replay_tensor(path, testdata, run)))
    }

    /// The package of the case's model.
    pub(crate) fn package(&self, testdata: &Path) -> PathBuf {
        static PACKAGES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
        let packages = PACKAGES.get_or_init(|| packages_by_model(&testdata.join("models")));
        let wanted = &self.reference.model_files[0];
        packages
            .get(&wanted.sha256)
            .cloned()
            .unwrap_or_else(|| panic!("no package has {}", wanted.path))
    }

    fn replay_tensor(
        &self,
        path: &Path,
        testdata: &Path,
        run: impl FnOnce(Package, Tensor) -> Result<Vec<Tensor>, String>,
    ) -> Result<(), String> {
        let package = Package::open(path, &[]).map_err(|e| e.to_string())?;
        let input = self.input(&package, testdata)?;
        let output = |&id: &sedge_graph::ValueId| {
            (package.graph.value(id).name.clone(), output_step(&package.graph, id))
        };
        let (names, steps): (Vec<_>, Vec<_>) = package.graph.outputs.iter().map(output).unzip();
        let outputs = run(package, input)?;
        for reference in &self.reference.outputs {
            let at = names.iter().position(|name| *name == reference.name);
            let at = at.ok_or_else(|| format!("there is no output '{}'", reference.name))?;
            let Some(file) = &reference.file else { continue };
            let want = npy(&self.directory.join(file));
            compare::tensors(&outputs[at], &want, steps[at])
                .map_err(|why| format!("output '{}': {why}", reference.name))?;
        }
        Ok(())
    }

    /// The reference's input tensor, made from the stored pixels and checked by its sum.
    fn input(&self, package: &Package, testdata: &Path) -> Result<Tensor, String> {
        let reference = &self.reference.inputs[0];
        if let Some(file) = &reference.file
            && self.directory.join(file).exists()
        {
            return Ok(npy(&self.directory.join(file)));
        }
        let spec = image_spec(package)?;
        let resized = self.reference.resized_rgb8.as_ref().ok_or("no stored input")?;
        let bytes =
            std::fs::read(testdata.join("reference").join(resized.file.trim_start_matches("../")));
        let picture = decode(&bytes.map_err(|e| e.to_string())?, &DecodeLimits::default());
        let picture = picture.map_err(|e| e.to_string())?;
        assert_eq!((picture.width, picture.height), (spec.width, spec.height));
        let tensor = preprocess(&picture, &spec).map_err(|e| e.to_string())?.tensor;
        if sha256(tensor.bytes()) != reference.sha256_of_bytes {
            return Err("normalisation does not give the reference's input tensor".into());
        }
        Ok(tensor)
    }

    fn replay_picture(
        &self,
        package: &Path,
        registry: &Registry,
        engine: &str,
        testdata: &Path,
    ) -> Result<(), String> {
        let method =
            self.reference.preprocess.as_ref().map_or("none", |p| p.resize.method.as_str());
        let mut overrides = Vec::new();
        let mut set = |key: &str, value: toml::Value| {
            overrides.push((key.to_owned(), value, Origin::Flag("test".into())));
        };
        match method {
            "none" => {}
            "pil_bilinear" => set("input.filter", "pillow-bilinear".into()),
            "cv2_linear" => set("input.filter", "opencv-linear".into()),
            "center_crop_224_of_256" => {
                set("input.resize", "crop".into());
                set("input.crop_fraction", 0.875.into());
                set("input.filter", "pillow-bilinear".into());
            }
            other => return Err(format!("unknown resize method {other}")),
        }
        let pipeline = pipeline(package, method, &overrides, registry, engine)?;
        let image = self.reference.image.as_ref().ok_or("no picture")?;
        let bytes = std::fs::read(testdata.join(&image.path)).map_err(|e| e.to_string())?;
        let size =
            decode(&bytes, &DecodeLimits::default()).map_err(|e| e.to_string())?.upright_size();
        let response =
            pipeline.run(&Request::picture("case", bytes.into())).map_err(|e| e.to_string())?;
        let prediction = response.prediction.ok_or("no prediction")?;
        if let Some(top) = &self.reference.top5 {
            let classes = prediction.classes.ok_or("no classes")?;
            let clear = top.len() < 2 || top[0].score - top[1].score >= CLEAR_MARGIN;
            if clear && classes[0].index != top[0].index {
                return Err(format!("class {} instead of {}", classes[0].index, top[0].index));
            }
        }
        if let Some(want) = &self.reference.detections {
            let objects = prediction.objects.ok_or("no objects")?;
            let threshold = threshold_of(package);
            let got: Vec<Detection> = objects
                .iter()
                .map(|o| Detection {
                    class_index: o.index,
                    score: o.score,
                    bounds: [o.bounds.xmin, o.bounds.ymin, o.bounds.xmax, o.bounds.ymax],
                })
                .collect();
            compare::objects(&got, want, threshold, size)?;
        }
        Ok(())
    }
}

type Loaded = HashMap<(PathBuf, String, String), std::sync::Arc<Pipeline>>;

/// Loads a pipeline once per model, way of resizing and engine.
fn pipeline(
    package: &Path,
    method: &str,
    overrides: &[(String, toml::Value, Origin)],
    registry: &Registry,
    engine: &str,
) -> Result<std::sync::Arc<Pipeline>, String> {
    static LOADED: OnceLock<Mutex<Loaded>> = OnceLock::new();
    let key = (package.to_owned(), method.to_owned(), engine.to_owned());
    let loaded = LOADED.get_or_init(Mutex::default);
    if let Some(pipeline) = loaded.lock().unwrap().get(&key) {
        return Ok(pipeline.clone());
    }
    let options = LoadOptions { engine: engine.into(), ..LoadOptions::default() };
    let pipeline =
        Pipeline::open(package, overrides, registry, &options).map_err(|e| e.to_string())?;
    let pipeline = std::sync::Arc::new(pipeline);
    loaded.lock().unwrap().insert(key, pipeline.clone());
    Ok(pipeline)
}

fn threshold_of(package: &Path) -> f32 {
    let package = Package::open(package, &[]).unwrap();
    let stated = package.settings.get("decoder.score_threshold");
    stated.and_then(|setting| setting.value.as_float()).unwrap() as f32
}

fn image_spec(package: &Package) -> Result<ImageInput, String> {
    let (specs, _) = package.pipeline().map_err(|e| e.to_string())?;
    match specs.into_iter().next() {
        Some(InputSpec::Image(spec)) => Ok(spec),
        _ => Err("the package takes no picture".into()),
    }
}

/// The real size of one quantisation step of a float output that is a dequantised integer.
fn output_step(graph: &Graph, output: sedge_graph::ValueId) -> Option<f32> {
    let producers = graph.producers();
    let mut value = output;
    loop {
        let node = &graph.nodes[*producers.get(&value)?];
        match node.op.as_str() {
            "DequantizeLinear" => return graph.constant(node.input(1))?.to_f32()?.first().copied(),
            "Reshape" | "Squeeze" | "Flatten" | "Transpose" | "Identity" => {
                value = node.input(0)?;
            }
            _ => return None,
        }
    }
}

fn packages_by_model(root: &Path) -> HashMap<String, PathBuf> {
    let mut packages = HashMap::new();
    for package in listing(root) {
        for file in listing(&package).into_iter().filter(|path| path.is_file()) {
            packages.insert(sha256(&std::fs::read(&file).unwrap()), package.clone());
        }
    }
    packages
}

fn listing(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a NumPy file.
pub(crate) fn npy(path: &Path) -> Tensor {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    parse_npy(&bytes.into()).unwrap_or_else(|e| panic!("{} {e}", path.display()))
}
