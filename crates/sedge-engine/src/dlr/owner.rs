//! The one thread that owns a model. Used from two, it would answer wrongly and say that all is
//! well; and the runtime keeps its own threads for each that calls it.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use sedge_graph::Dim;
use sedge_tensor::{Tensor, element_count};

use super::WORDS;
use super::library::Library;
use super::model::Loaded;
use crate::session::Session;
use crate::{Compiled, LoadError, RunError, TensorInfo};

/// A request, and where its answer goes.
struct Job {
    inputs: Vec<Tensor>,
    answer: SyncSender<Result<Vec<Tensor>, RunError>>,
}

/// What a model takes and gives.
type Interface = (Vec<TensorInfo>, Vec<TensorInfo>);

/// A package that is loaded, on a thread of its own.
#[derive(Debug)]
pub(super) struct DlrSession {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    jobs: Option<Mutex<SyncSender<Job>>>,
    owner: Option<JoinHandle<()>>,
}

impl DlrSession {
    /// Loads library and package, and runs the model once: whether the processor has the
    /// instructions that it was compiled to shows only then.
    pub(super) fn start(library: PathBuf, package: Compiled) -> Result<Self, LoadError> {
        let (jobs, given) = sync_channel(0);
        let (tell, told) = sync_channel(1);
        let refuse = |reason: String| LoadError::Engine { engine: WORDS, reason };
        let begin = move || match load(&library, &package) {
            Ok(mut model) => {
                let _ = tell.send(Ok((model.inputs.clone(), model.outputs.clone())));
                serve(&mut model, &given);
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        let owner = std::thread::Builder::new().name("dlr".into()).spawn(begin);
        let owner = owner.map_err(|error| refuse(error.to_string()))?;
        let (inputs, outputs): Interface = match told.recv() {
            Ok(loaded) => loaded?,
            Err(_) => return Err(refuse("its thread ended".into())),
        };
        Ok(Self { inputs, outputs, jobs: Some(Mutex::new(jobs)), owner: Some(owner) })
    }
}

fn load(library: &std::path::Path, package: &Compiled) -> Result<Loaded, LoadError> {
    let missing = |reason| LoadError::Unavailable { engine: WORDS, reason };
    let refuse = |reason| LoadError::Engine { engine: WORDS, reason };
    let library = Library::open(library).map_err(missing)?;
    let mut model = Loaded::create(library, package).map_err(refuse)?;
    let zeros: Option<Vec<Tensor>> = model.inputs.iter().map(zeros).collect();
    if let Some(zeros) = zeros {
        let is_open = model.inputs.iter().any(|info| info.zeros().is_none());
        let ran = model.run(&zeros);
        // With ones for what is open a model may have a reason to refuse.
        ran.map(drop).or_else(|reason| if is_open { Ok(()) } else { Err(refuse(reason)) })?;
    }
    Ok(model)
}

/// Zeros for an input, with one for each open dimension.
fn zeros(info: &TensorInfo) -> Option<Tensor> {
    let shape: Vec<usize> = info.shape.iter().map(|dim: &Dim| dim.fixed().unwrap_or(1)).collect();
    let bytes = element_count(&shape)?.checked_mul(info.dtype.size()?)?;
    Tensor::from_bytes(info.dtype, shape, vec![0; bytes].into()).ok()
}

/// Answers until nobody asks any more.
fn serve(model: &mut Loaded, given: &Receiver<Job>) {
    while let Ok(Job { inputs, answer }) = given.recv() {
        let refuse = |reason| RunError::Engine { engine: WORDS, reason };
        let answered = model.accept(&inputs).and_then(|()| model.run(&inputs).map_err(refuse));
        let _ = answer.send(answered);
    }
}

impl Session for DlrSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        let over = || RunError::Engine { engine: WORDS, reason: "its thread ended".into() };
        let (answer, answered) = sync_channel(1);
        let job = Job { inputs: inputs.to_vec(), answer };
        let jobs = self.jobs.as_ref().ok_or_else(over)?;
        // A clone: who waits for the owner holds up nobody else.
        let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.send(job).map_err(|_| over())?;
        answered.recv().map_err(|_| over())?
    }
}

impl Drop for DlrSession {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(owner) = self.owner.take() {
            let _ = owner.join();
        }
    }
}
