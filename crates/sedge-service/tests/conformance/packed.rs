//! Models of one operator each, packed with inputs and the original framework's outputs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use sedge_engine::{LoadOptions, Model, Registry};
use sedge_import::{Siblings, Source};
use sedge_package::parse_npy;
use sedge_tensor::{DType, Tensor};
use serde::Deserialize;

/// One model with stored inputs and outputs, in the model's order.
#[derive(Deserialize)]
struct Case {
    name: String,
    operator: String,
    /// The model's main file.
    model: String,
    /// Files beside it.
    #[serde(default)]
    beside: Vec<String>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// By how much elements may differ beside rounding.
    absolute: f32,
}

/// Files of an archive as a directory.
struct Beside(BTreeMap<String, Bytes>);

impl Siblings for Beside {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn read(&self, name: &str) -> std::io::Result<Bytes> {
        self.0.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

/// What became of a case.
pub(crate) enum Outcome {
    Equal,
    /// Refused while loading, with these words.
    Refused(String),
    Wrong(String),
}

/// Runs every case of an archive; by name, its operator and what became of it.
pub(crate) fn run(engine: &str, archive: &Path) -> BTreeMap<String, (String, Outcome)> {
    let file = std::fs::File::open(archive).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let cases: Vec<Case> = serde_json::from_slice(&read("index.json")).unwrap();
    let registry = Registry::new(None);
    let one = |case: Case| {
        let outcome = replay(&case, engine, &registry, &mut read);
        (case.name, (case.operator, outcome))
    };
    cases.into_iter().map(one).collect()
}

/// Runs every case of an archive, which has more than `least`: all have to be equal but those that
/// are excused, each with its reason, which have to be refused.
pub(crate) fn judge(engine: &str, archive: &Path, least: usize, excused: &[(&str, &str)]) {
    let answers = run(engine, archive);
    assert!(answers.len() > least, "only {} cases were found", answers.len());
    let (mut equal, mut faults) = (0, Vec::new());
    for (name, (operator, outcome)) in &answers {
        let excuse = excused.iter().find(|(case, _)| case == name);
        match (outcome, excuse) {
            (Outcome::Equal, None) => equal += 1,
            (Outcome::Equal, Some(_)) => faults.push(format!("{name} is excused without need")),
            (Outcome::Refused(why), Some((_, reason))) => {
                println!("  excused {name}: {why}\n          because {reason}");
            }
            (Outcome::Refused(why) | Outcome::Wrong(why), _) => {
                faults.push(format!("{name} ({operator}): {why}"));
            }
        }
    }
    let title = archive.file_name().unwrap_or_default().to_string_lossy();
    println!("engine {engine}: {equal} of {} cases of {title} equal", answers.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn replay(
    case: &Case,
    engine: &str,
    registry: &Registry,
    read: &mut impl FnMut(&str) -> Vec<u8>,
) -> Outcome {
    let beside = case.beside.iter().map(|name| (name.clone(), read(name).into())).collect();
    let beside = Beside(beside);
    let source = Source::new(&case.model, read(&case.model).into(), &beside);
    let model = match sedge_import::import(&source) {
        Ok(imported) => Model::Graph(imported.graph),
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let loaded = registry.engine(engine).unwrap().load(model, &LoadOptions { threads: 1 });
    let session = match loaded {
        Ok(session) => session,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut stored = |kind: &str, index: usize| {
        parse_npy(&read(&format!("{}.{kind}{index}.npy", case.name)).into()).unwrap()
    };
    let names: Vec<&str> = session.inputs().iter().map(|info| info.name.as_str()).collect();
    if names != case.inputs {
        return Outcome::Wrong(format!("inputs {names:?} instead of {:?}", case.inputs));
    }
    let inputs: Vec<Tensor> = (0..names.len()).map(|index| stored("in", index)).collect();
    let answered = match session.run(&inputs) {
        Ok(answered) => answered,
        Err(error) => return Outcome::Wrong(error.to_string()),
    };
    let names: Vec<&str> = session.outputs().iter().map(|info| info.name.as_str()).collect();
    if names != case.outputs {
        return Outcome::Wrong(format!("outputs {names:?} instead of {:?}", case.outputs));
    }
    for (index, (name, got)) in case.outputs.iter().zip(&answered).enumerate() {
        if let Err(why) = close(got, &stored("out", index), case.absolute) {
            return Outcome::Wrong(format!("'{name}': {why}"));
        }
    }
    Outcome::Equal
}

/// Floats within 1e-5 of their value and 1e-6 of the greatest; integers to the last one;
/// `absolute` more where the case says so.
fn close(got: &Tensor, want: &Tensor, absolute: f32) -> Result<(), String> {
    if got.shape() != want.shape() || got.dtype() != want.dtype() {
        let (a, b) = ((got.dtype(), got.shape()), (want.dtype(), want.shape()));
        return Err(format!("{a:?} instead of {b:?}"));
    }
    let (Some(a), Some(b)) = (got.to_f32(), want.to_f32()) else { return Err("no numbers".into()) };
    let finite = b.iter().filter(|x| x.is_finite());
    let greatest = finite.fold(0f32, |most, x| most.max(x.abs()));
    let allowed = |want: f32| match got.dtype() {
        DType::F32 | DType::F64 => absolute + 1e-6 * greatest + 1e-5 * want.abs(),
        DType::F16 => 2e-3 * greatest.max(1.0),
        _ => absolute,
    };
    let off = a.iter().zip(b.iter()).filter(|(a, b)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        !same && (a.is_nan() || b.is_nan() || (*a - *b).abs() > allowed(**b))
    });
    let off: Vec<_> = off.collect();
    match off.first() {
        None => Ok(()),
        Some((a, b)) => {
            Err(format!("{} of {} differ, such as {a} instead of {b}", off.len(), want.len()))
        }
    }
}
