//! rten: pure Rust, runs everywhere; the embedded engine's way of computing with floats.

pub(crate) mod adapt;

use std::sync::Arc;

use ::rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::TensorView;
use rten_tensor::prelude::*;
use sedge_graph::Graph;
use sedge_tensor::{DType, Tensor, element_count};

use crate::error::{EMBEDDED, contained};
use crate::session::accept_all;
use crate::{Engine, LoadError, LoadOptions, Model, RunError, Session, TensorInfo, prepare};

const NAME: &str = "rten";

/// rten's version, as pinned by the workspace's lock file.
const VERSION: &str = "0.27";

/// Multiply-accumulates and elements below which a model is done before a second thread has woken, which then
/// would only look for work and take time from others.
const LEAST_SHARED_WORK: u64 = 1_000_000;

/// rten by itself: quantised models run as floats between quantise and dequantise nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rten;

struct RtenSession {
    model: ::rten::Model,
    input_ids: Vec<NodeId>,
    output_ids: Vec<NodeId>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    pool: Arc<ThreadPool>,
}

impl std::fmt::Debug for RtenSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtenSession").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl Engine for Rten {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> Result<String, LoadError> {
        Ok(VERSION.into())
    }

    fn load(&self, model: Model, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        let graph = model.into_graph(EMBEDDED)?;
        let threads = if is_small(&graph) { 1 } else { options.threads.max(1) };
        self.load_in(Arc::new(ThreadPool::with_num_threads(threads)), graph)
    }
}

impl Rten {
    /// Loads a graph that will run in `pool`.
    pub(crate) fn load_in(
        self,
        pool: Arc<ThreadPool>,
        graph: Graph,
    ) -> Result<Box<dyn Session>, LoadError> {
        let (inputs, outputs) = TensorInfo::of_graph(&graph);
        let mut graph = prepare::plain(graph, EMBEDDED)?;
        adapt::adapt(&mut graph)?;
        let (file, weights) = prepare::with_weights_apart(graph);
        let refuse = |reason: String| LoadError::Engine { engine: EMBEDDED, reason };
        let load = || {
            let mut model = ModelOptions::with_all_ops();
            model.external_data(prepare::WEIGHTS, weights).prepack_weights(true);
            model.load(file).map_err(|error| error.to_string())
        };
        let model = contained(load).and_then(|loaded| loaded).map_err(refuse)?;
        let ids = |infos: &[TensorInfo]| {
            let id =
                |info: &TensorInfo| model.node_id(&info.name).map_err(|e| refuse(e.to_string()));
            infos.iter().map(id).collect::<Result<Vec<_>, _>>()
        };
        Ok(Box::new(RtenSession {
            input_ids: ids(&inputs)?,
            output_ids: ids(&outputs)?,
            inputs,
            outputs,
            pool,
            model,
        }))
    }
}

fn is_small(graph: &Graph) -> bool {
    let elements = |value: &sedge_graph::Value| element_count(&value.fixed_shape()?);
    let sum = graph.values().try_fold(0usize, |sum, (_, v)| sum.checked_add(elements(v)?));
    let work = sedge_graph::statistics(graph).multiply_accumulates;
    sum.is_some_and(|sum| (sum as u64) < LEAST_SHARED_WORK)
        && work.is_some_and(|work| work < LEAST_SHARED_WORK)
}

impl Session for RtenSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        accept_all(&self.inputs, inputs)?;
        let run = || {
            let values = inputs.iter().map(Operand::of).collect::<Result<Vec<_>, _>>()?;
            let values = self.input_ids.iter().copied().zip(values.iter().map(Operand::value));
            let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
            let answered = self.model.run(values.collect(), &self.output_ids, Some(options));
            answered.map_err(|error| error.to_string())
        };
        let refuse = |reason: String| RunError::Engine { engine: EMBEDDED, reason };
        let values = contained(run).and_then(|answered| answered).map_err(refuse)?;
        self.outputs.iter().zip(values).map(|(info, value)| tensor(value, info.dtype)).collect()
    }
}

/// An input in one of the four element types rten has. Only the types it lacks are copied.
enum Operand<'a> {
    F32(&'a [usize], std::borrow::Cow<'a, [f32]>),
    I32(&'a [usize], std::borrow::Cow<'a, [i32]>),
    I8(&'a [usize], std::borrow::Cow<'a, [i8]>),
    U8(&'a [usize], std::borrow::Cow<'a, [u8]>),
}

impl<'a> Operand<'a> {
    fn of(tensor: &'a Tensor) -> Result<Self, String> {
        let shape = tensor.shape();
        let text = |error: sedge_tensor::TensorError| error.to_string();
        Ok(match tensor.dtype() {
            DType::F32 => Operand::F32(shape, tensor.view().map_err(text)?),
            DType::I32 => Operand::I32(shape, tensor.view().map_err(text)?),
            DType::I8 => Operand::I8(shape, tensor.view().map_err(text)?),
            DType::U8 => Operand::U8(shape, tensor.view().map_err(text)?),
            DType::I64 | DType::Bool | DType::I16 | DType::U16 | DType::U32 | DType::U64 => {
                let wide = tensor.to_i64().unwrap_or_default();
                let narrow =
                    |n: i64| i32::try_from(n).map_err(|_| format!("{n} does not fit 32 bits"));
                let narrow: Vec<i32> = wide.into_iter().map(narrow).collect::<Result<_, _>>()?;
                Operand::I32(shape, narrow.into())
            }
            DType::F16 | DType::Bf16 | DType::F64 => {
                Operand::F32(shape, tensor.to_f32().unwrap_or_default().into_owned().into())
            }
            dtype => return Err(format!("inputs of type {dtype} are not supported")),
        })
    }

    fn value(&self) -> ValueOrView<'_> {
        match self {
            Operand::F32(shape, data) => TensorView::from_data(*shape, &data[..]).into(),
            Operand::I32(shape, data) => TensorView::from_data(*shape, &data[..]).into(),
            Operand::I8(shape, data) => TensorView::from_data(*shape, &data[..]).into(),
            Operand::U8(shape, data) => TensorView::from_data(*shape, &data[..]).into(),
        }
    }
}

/// An answer in the element type the model declares.
fn tensor(value: Value, dtype: DType) -> Result<Tensor, RunError> {
    Ok(match value {
        Value::FloatTensor(t) => match dtype {
            DType::F16 => {
                let half = t.iter().map(|&x| half::f16::from_f32(x)).collect();
                Tensor::new(t.shape(), half)?
            }
            DType::F64 => Tensor::new(t.shape(), t.iter().map(|&x| f64::from(x)).collect())?,
            DType::Bf16 => {
                let half = t.iter().map(|&x| half::bf16::from_f32(x)).collect();
                Tensor::new(t.shape(), half)?
            }
            _ => Tensor::new(t.shape().to_vec(), t.into_data())?,
        },
        Value::Int32Tensor(t) => match dtype {
            DType::I64 => Tensor::new(t.shape(), t.iter().map(|&x| i64::from(x)).collect())?,
            DType::U64 => Tensor::new(t.shape(), t.iter().map(|&x| x as u64).collect())?,
            DType::U32 => Tensor::new(t.shape(), t.iter().map(|&x| x as u32).collect())?,
            DType::I16 => Tensor::new(t.shape(), t.iter().map(|&x| x as i16).collect())?,
            DType::U16 => Tensor::new(t.shape(), t.iter().map(|&x| x as u16).collect())?,
            DType::Bool => {
                let bytes: Vec<u8> = t.iter().map(|&x| u8::from(x != 0)).collect();
                Tensor::from_bytes(DType::Bool, t.shape(), bytes.into())?
            }
            _ => Tensor::new(t.shape().to_vec(), t.into_data())?,
        },
        Value::Int8Tensor(t) => Tensor::new(t.shape().to_vec(), t.into_data())?,
        Value::UInt8Tensor(t) => Tensor::new(t.shape().to_vec(), t.into_data())?,
        _ => {
            let reason = "the model answers something that is no tensor".to_owned();
            return Err(RunError::Engine { engine: EMBEDDED, reason });
        }
    })
}
