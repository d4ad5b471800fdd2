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
use crate::exclusions;

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
    #[serde(default)]
    detection_postprocess: String,
}

#[derive(Deserialize)]
struct FileReference {
    path: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Preprocess {
    /// None where parts of the picture were taken.
    resize: Option<ResizeReference>,
    #[serde(default)]
    normalise: String,
}

impl Preprocess {
    /// False where the original framework divides twice, which no setting of a package does: the
    /// input is then equal but for the last bit.
    fn is_exact(&self) -> bool {
        !self.normalise.contains("divided by std")
    }
}

#[derive(Deserialize)]
struct ResizeReference {
    method: String,
    width: Option<i64>,
    height: Option<i64>,
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
        let mut ways = vec![(FROM_TENSOR, outcome(from_tensor))];
        // Parts of a cascade answer about no picture.
        if self.has_answer() {
            let from_picture = self.replay_picture(&path, registry, engine, testdata);
            ways.push(("from the picture", outcome(from_picture)));
        }
        ways
    }

    /// The reference's boxes in pixels of the picture, where it lists pixels of the input.
    fn in_picture(&self, want: &[Detection], size: (u32, u32)) -> Vec<Detection> {
        let input = self.resize().and_then(|resize| resize.width.zip(resize.height));
        let of_input = self.reference.detection_postprocess.contains("pixels of the INPUT tensor");
        let Some((width, height)) = input.filter(|_| of_input) else { return want.to_vec() };
        let (across, down) = (size.0 as f32 / width as f32, size.1 as f32 / height as f32);
        let scaled = |detection: &Detection| {
            let [xmin, ymin, xmax, ymax] = detection.bounds;
            let bounds = [xmin * across, ymin * down, xmax * across, ymax * down];
            Detection { bounds, ..detection.clone() }
        };
        want.iter().map(scaled).collect()
    }

    fn has_answer(&self) -> bool {
        self.reference.top5.is_some() || self.reference.detections.is_some()
    }

    fn resize(&self) -> Option<&ResizeReference> {
        self.reference.preprocess.as_ref()?.resize.as_ref()
    }

    /// The size of the case as settings.
    fn size(&self) -> Vec<(String, toml::Value, Origin)> {
        let Some((width, height)) = self.resize().and_then(|r| r.width.zip(r.height)) else {
            return Vec::new();
        };
        let set = |key: &str, size: i64| {
            (format!("input.{key}"), toml::Value::from(size), Origin::Flag("test".into()))
        };
        vec![set("width", width), set("height", height)]
    }

    /// The package, for the size of the case where the model takes any.
    fn open(&self, path: &Path) -> Result<Package, String> {
        let open = |overrides: &[_]| Package::open(path, overrides).map_err(|e| e.to_string());
        let package = open(&[])?;
        let is_any = |id: &sedge_graph::ValueId| {
            let shape = package.graph.value(*id).shape.as_deref().unwrap_or_default();
            shape.iter().skip(1).any(|dim| dim.fixed().is_none())
        };
        if package.graph.inputs.iter().any(is_any) {
            return open(&self.size());
        }
        Ok(package)
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
        let package = self.open(path)?;
        let input = self.input(&package, testdata)?;
        let output = |&id: &sedge_graph::ValueId| {
            (package.graph.value(id).name.clone(), output_step(&package.graph, id))
        };
        let (names, steps): (Vec<_>, Vec<_>) = package.graph.outputs.iter().map(output).unzip();
        let decoder = package.settings.get("decoder.kind").map(|kind| kind.value.clone());
        let decoder = decoder.as_ref().and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let outputs = run(package, input)?;
        let mut objects = Vec::new();
        for reference in &self.reference.outputs {
            if exclusions::OUTPUTS_OF_TRAINING.contains(&reference.name.as_str()) {
                assert!(!names.contains(&reference.name), "{} is not cut away", reference.name);
                continue;
            }
            // What the original framework computed on the way.
            if reference.name.starts_with("internal:") {
                continue;
            }
            let at = names.iter().position(|name| *name == reference.name);
            let at = at.ok_or_else(|| format!("there is no output '{}'", reference.name))?;
            let Some(file) = &reference.file else { continue };
            let want = npy(&self.directory.join(file));
            let is_rows = decoder == "detection-rows" && want.shape().last() == Some(&6);
            if is_rows || decoder == "ids-scores-boxes" {
                objects.push((outputs[at].clone(), want));
                continue;
            }
            compare::tensors(&outputs[at], &want, steps[at])
                .map_err(|why| format!("output '{}': {why}", reference.name))?;
        }
        if objects.is_empty() { Ok(()) } else { compare::rows(&objects) }
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
        let exact = self.reference.preprocess.as_ref().is_none_or(Preprocess::is_exact);
        if exact && sha256(tensor.bytes()) != reference.sha256_of_bytes {
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
        let method = self.resize().map_or("none", |resize| resize.method.as_str());
        let stated = Package::open(package, &[]).map_err(|e| e.to_string())?;
        let is_any = stated.settings.get("input.0.width").is_none();
        let mut overrides = if is_any { self.size() } else { Vec::new() };
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
        let way = format!("{method} {:?}", self.size().iter().map(|s| &s.1).collect::<Vec<_>>());
        let pipeline = pipeline(package, &way, &overrides, registry, engine)?;
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
            compare::objects(&got, &self.in_picture(want, size), threshold, size)?;
        }
        Ok(())
    }
}

type Loaded = HashMap<(PathBuf, String, String), std::sync::Arc<Pipeline>>;

/// Loads a pipeline once per model, way of preparing pictures and engine.
fn pipeline(
    package: &Path,
    way: &str,
    overrides: &[(String, toml::Value, Origin)],
    registry: &Registry,
    engine: &str,
) -> Result<std::sync::Arc<Pipeline>, String> {
    static LOADED: OnceLock<Mutex<Loaded>> = OnceLock::new();
    let key = (package.to_owned(), way.to_owned(), engine.to_owned());
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
    stated.and_then(|setting| setting.value.as_float()).unwrap_or(0.0) as f32
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
        let has_manifest = package.join("model.toml").exists();
        for file in listing(&package).into_iter().filter(|path| path.is_file()) {
            let opened = if has_manifest { package.clone() } else { file.clone() };
            packages.insert(sha256(&std::fs::read(&file).unwrap()), opened);
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
