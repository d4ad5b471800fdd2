//! The embedded engine: integer operators in Sedge's own kernels, everything else in rten.
//!
//! A quantised graph becomes a line of steps. Where dequantise, operator and quantise nodes make one
//! integer operator, its step computes on the bytes and rounds as the model's own framework does;
//! what lies between such operators is cut out and loaded into rten. A graph without integers is
//! one such section.

pub(crate) mod host;
mod lower;
mod memory;
mod plan;
mod segment;
mod step;
mod through;

use std::sync::{Arc, Mutex, PoisonError};

use rten::ThreadPool;
use sedge_graph::{Dim, Graph, Node, passes, shapes};
use sedge_kernels::Threads;
use sedge_tensor::Tensor;

use crate::error::{EMBEDDED, contained};
use crate::integers::sink;
use crate::session::accept_all;
use crate::{Engine, LoadError, LoadOptions, Model, Rten, RunError, Session, TensorInfo, prepare};
use step::{Plan, State};
use through::Through;

const NAME: &str = "native";

/// Input shapes whose plans are kept, when a model takes several.
const MOST_PLANS: usize = 4;

/// What an open first and an open other dimension are taken for while loading.
const TYPICAL: [usize; 2] = [1, 64];

/// The embedded engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Engine for Native {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> Result<String, LoadError> {
        Ok(format!("{} (rten {})", env!("CARGO_PKG_VERSION"), Rten.version()?))
    }

    fn load(&self, model: Model, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        let graph = model.into_graph(EMBEDDED)?;
        if let Some(through) = Through::of(&graph) {
            return Ok(Box::new(through));
        }
        let own = |node: &Node| {
            host::is_host(node)
                || passes::is_fused_integer(node)
                || matches!(
                    node.op.as_str(),
                    "QuantizeLinear" | "DequantizeLinear" | "DetectionPostProcess"
                )
        };
        let (inputs, _) = TensorInfo::of_graph(&graph);
        let is_open = |info: &TensorInfo| info.shape.iter().any(|dim| dim.fixed().is_none());
        if graph.nodes.iter().any(own) || host::doubles::known(&graph) {
            return plan_for(graph, options);
        }
        if !inputs.iter().any(is_open) {
            return Rten.load(Model::Graph(graph), options);
        }
        // Some operators are rewritten only for known sizes, which every request brings.
        match Rten.load(Model::Graph(graph.clone()), options) {
            Err(refusal @ LoadError::Operator { .. }) => {
                plan_for(graph, options).map_err(|_| refusal)
            }
            loaded => loaded,
        }
    }
}

/// A session that plans for the shapes of each request.
fn plan_for(mut graph: Graph, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
    let (inputs, outputs) = TensorInfo::of_graph(&graph);
    passes::expand_quantized(&mut graph).map_err(prepare::refused)?;
    let threads = options.threads.max(1);
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    let mut session = NativeSession {
        graph: Some(graph),
        inputs,
        outputs,
        plans: Mutex::default(),
        pool,
        threads,
    };
    let fixed = session.inputs.iter().map(|info| {
        info.shape.iter().map(Dim::fixed).collect::<Option<Vec<_>>>().filter(|_| info.ranked)
    });
    if let Some(shapes) = fixed.collect::<Option<Vec<_>>>() {
        session.prepared(&shapes)?;
        // No other shapes will come: the plan has what it needs of the weights.
        session.graph = None;
    } else {
        // What cannot be loaded at all must say so now, whatever shapes come later.
        let typical = |info: &TensorInfo| {
            let dims = info.shape.iter().enumerate();
            dims.map(|(axis, dim)| dim.fixed().unwrap_or(TYPICAL[axis.min(1)])).collect()
        };
        let typical: Vec<Vec<usize>> = session.inputs.iter().map(typical).collect();
        session.prepared(&typical)?;
    }
    Ok(Box::new(session))
}

struct NativeSession {
    /// The graph, while shapes may come that no plan is for.
    graph: Option<Graph>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    plans: Mutex<Vec<Arc<Prepared>>>,
    pool: Arc<ThreadPool>,
    threads: usize,
}

/// What runs inputs of certain shapes.
struct Prepared {
    shapes: Vec<Vec<usize>>,
    run: Run,
}

enum Run {
    Plan {
        plan: Plan,
        states: Mutex<Vec<State>>,
    },
    /// The graph could not be cut into sections.
    Whole(Box<dyn Session>),
}

impl std::fmt::Debug for NativeSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeSession").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl NativeSession {
    fn prepared(&self, shapes: &[Vec<usize>]) -> Result<Arc<Prepared>, LoadError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = plans.iter().position(|plan| plan.shapes == shapes) {
            // Last used, last thrown out.
            let plan = plans.remove(at);
            plans.push(plan.clone());
            return Ok(plan);
        }
        let refuse =
            |reason: &str| LoadError::Engine { engine: EMBEDDED, reason: reason.to_owned() };
        let graph = self.graph.as_ref().ok_or_else(|| refuse("no plan is for these shapes"))?;
        let build = || self.build(graph.clone(), shapes);
        let run = contained(build).map_err(|reason| refuse(&reason)).and_then(|run| run)?;
        let plan = Arc::new(Prepared { shapes: shapes.to_vec(), run });
        if plans.len() == MOST_PLANS {
            plans.remove(0);
        }
        plans.push(plan.clone());
        Ok(plan)
    }

    fn build(&self, mut graph: Graph, shapes: &[Vec<usize>]) -> Result<Run, LoadError> {
        let whole = graph.clone();
        for (&input, shape) in graph.inputs.clone().iter().zip(shapes) {
            graph.value_mut(input).shape = Some(shape.iter().map(|&n| Dim::Fixed(n)).collect());
        }
        graph.sort()?;
        shapes::settle(&mut graph);
        prepare::refuse_vast(&graph)?;
        sink::sink_dequantize(&mut graph);
        graph.sort()?;
        shapes::infer(&mut graph);
        let load = |section: Graph| Rten.load_in(self.pool.clone(), section);
        Ok(match plan::plan(&graph, &load)? {
            Some(plan) => Run::Plan { plan, states: Mutex::default() },
            None => Run::Whole(load(whole)?),
        })
    }
}

impl Session for NativeSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        accept_all(&self.inputs, inputs)?;
        let refuse = |reason: String| RunError::Engine { engine: EMBEDDED, reason };
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let prepared = self.prepared(&shapes).map_err(|error| refuse(error.to_string()))?;
        let (plan, states) = match &prepared.run {
            Run::Whole(session) => return session.run(inputs),
            Run::Plan { plan, states } => (plan, states),
        };
        let spare = states.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut state = spare.unwrap_or_else(|| plan.state());
        let threads = Threads::new(self.threads);
        let mut run = || plan.run(&mut state, inputs, threads);
        let run = || if self.threads == 1 { run() } else { self.pool.run(run) };
        // A state that was left in the middle of a run is not used again.
        let answer = contained(run).map_err(refuse)??;
        states.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        Ok(answer)
    }
}
