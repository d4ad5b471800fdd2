//! Requests that are computed together: their tensors stacked along the first dimension, one run,
//! the outputs split again.
//!
//! That the first dimension is open does not say that rows keep to themselves: a file may leave it
//! open by habit and still mix them. So the first requests that could be stacked are answered one by
//! one, the stacked run beside them is compared, and only a model that passed is trusted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bytes::Bytes;
use sedge_engine::{Session, TensorInfo};
use sedge_graph::{Dim, Graph};
use sedge_tensor::{DType, Tensor};

use crate::pipeline::{Pipeline, Ready};
use crate::task::Answer;
use crate::{Request, Runner, RunnerError};

/// Operators whose result for one row depends on the values in others, or that give as many rows as
/// the values want: what a trial with a few rows cannot rule out.
const MIXING: [&str; 5] =
    ["DynamicQuantizeLinear", "NonMaxSuppression", "NonZero", "Unique", "Compress"];

/// How far a row may be off when it is computed with others: additions in another order.
const RELATIVE: f32 = 1e-4;
const ABSOLUTE: f32 = 1e-5;

const UNTRIED: u8 = 0;
const TRUSTED: u8 = 1;
const REFUSED: u8 = 2;

/// Whether nothing in a graph, as far as its operators tell, keeps rows from being stacked.
pub(crate) fn is_separable(graph: &Graph) -> bool {
    !graph.nodes.iter().any(|node| MIXING.iter().any(|op| node.is(op)))
}

/// Computes requests together.
#[derive(Debug)]
pub(crate) struct Stacking {
    most_rows: usize,
    trust: AtomicU8,
}

/// A request that waits for its inference.
struct Waiting<'a> {
    index: usize,
    ready: Ready<'a>,
    /// Rows it fills; `None` when it has to run alone.
    rows: Option<usize>,
}

impl Stacking {
    /// For a model whose inputs and outputs all have an open first dimension, and more than one row
    /// at a time.
    pub(crate) fn of(session: &dyn Session, most_rows: usize) -> Option<Self> {
        let open = |info: &TensorInfo| {
            info.ranked && info.shape.first().is_some_and(|dim| !matches!(dim, Dim::Fixed(_)))
        };
        let all_open = session.inputs().iter().chain(session.outputs()).all(open);
        (most_rows > 1 && all_open && !session.inputs().is_empty())
            .then(|| Self { most_rows, trust: AtomicU8::new(UNTRIED) })
    }

    /// Answers requests in their order. Each is prepared and read by itself and fails by itself.
    pub(crate) fn run(&self, pipeline: &Pipeline, requests: &[&Request]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = requests.iter().map(|_| None).collect();
        let mut waiting = VecDeque::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            match pipeline.ready(request) {
                Ok(ready) => {
                    let rows = rows(&ready.inputs);
                    waiting.push_back(Waiting { index, ready, rows });
                }
                Err(error) => answers[index] = Some(Err(error)),
            }
        }
        while let Some(first) = waiting.pop_front() {
            let group = self.group(first, &mut waiting);
            let indices: Vec<usize> = group.iter().map(|member| member.index).collect();
            for (index, answer) in indices.into_iter().zip(self.answer(pipeline, group)) {
                answers[index] = Some(answer);
            }
        }
        let unanswered = || Err(RunnerError::Failed("the request was not computed".into()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }

    /// Those that fit behind `first`, taken out of what waits.
    fn group<'a>(
        &self,
        first: Waiting<'a>,
        waiting: &mut VecDeque<Waiting<'a>>,
    ) -> Vec<Waiting<'a>> {
        let mut left = match first.rows {
            Some(rows) => self.most_rows.saturating_sub(rows),
            None => 0,
        };
        let mut group = vec![first];
        for _ in 0..waiting.len() {
            let Some(next) = waiting.pop_front() else { break };
            match next.rows {
                Some(rows) if rows <= left && alike(&group[0].ready.inputs, &next.ready.inputs) => {
                    left -= rows;
                    group.push(next);
                }
                _ => waiting.push_back(next),
            }
        }
        group
    }

    fn answer(&self, pipeline: &Pipeline, group: Vec<Waiting<'_>>) -> Vec<Answer> {
        let trust = self.trust.load(Ordering::Relaxed);
        if group.len() < 2 || trust == REFUSED {
            return group.into_iter().map(|member| pipeline.complete(member.ready)).collect();
        }
        let begun = Instant::now();
        let stacked = run_stacked(pipeline, &group);
        let took = begun.elapsed();
        match stacked {
            Some(parts) if trust == TRUSTED => {
                let members = group.into_iter().zip(parts);
                members
                    .map(|(member, outputs)| pipeline.finish(member.ready, outputs, took))
                    .collect()
            }
            stacked => self.answer_alone(pipeline, group, stacked),
        }
    }

    /// Answers one by one, and judges by that what a stacked run gave, if it gave anything.
    fn answer_alone(
        &self,
        pipeline: &Pipeline,
        group: Vec<Waiting<'_>>,
        stacked: Option<Vec<Vec<Tensor>>>,
    ) -> Vec<Answer> {
        // Rows that are all the same would not show that they were mixed.
        let telling = group.iter().any(|member| differ(&group[0].ready, &member.ready));
        let answers: Vec<Answer> =
            group.into_iter().map(|member| pipeline.complete(member.ready)).collect();
        // When one of them fails by itself, the stacked run tells nothing about the model.
        let alone: Option<Vec<_>> =
            answers.iter().map(|answer| Some(&answer.as_ref().ok()?.outputs)).collect();
        let verdict = match (alone, stacked) {
            (None, _) => return answers,
            (Some(_), None) => REFUSED,
            (Some(alone), Some(stacked)) => {
                let same = |(alone, stacked): (&&Vec<(String, Tensor)>, &Vec<Tensor>)| {
                    let mut pairs = alone.iter().zip(stacked);
                    pairs.all(|((_, alone), stacked)| agree(alone, stacked))
                };
                match alone.iter().zip(&stacked).all(same) {
                    false => REFUSED,
                    true if telling => TRUSTED,
                    true => return answers,
                }
            }
        };
        let before = self.trust.swap(verdict, Ordering::Relaxed);
        if before != verdict {
            let model = &pipeline.info().name;
            match verdict {
                TRUSTED => tracing::info!(model, "requests are computed together"),
                _ => tracing::warn!(
                    model,
                    "requests are computed one by one: together they have other answers"
                ),
            }
        }
        answers
    }
}

/// Rows of a request: the first dimension, the same for all its tensors.
fn rows(inputs: &[Tensor]) -> Option<usize> {
    let rows = *inputs.first()?.shape().first()?;
    let fits = |tensor: &Tensor| {
        tensor.dtype() != DType::String
            && tensor.shape().first() == Some(&rows)
            && !tensor.is_empty()
    };
    (rows > 0 && inputs.iter().all(fits)).then_some(rows)
}

/// Equal types, and shapes but for the first dimension.
fn alike(left: &[Tensor], right: &[Tensor]) -> bool {
    let same = |(left, right): (&Tensor, &Tensor)| {
        left.dtype() == right.dtype() && left.shape()[1..] == right.shape()[1..]
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

fn differ(left: &Ready<'_>, right: &Ready<'_>) -> bool {
    left.inputs.iter().zip(&right.inputs).any(|(left, right)| left.bytes() != right.bytes())
}

/// The outputs of each member of one run; `None` when there are none or they are not theirs.
fn run_stacked(pipeline: &Pipeline, group: &[Waiting<'_>]) -> Option<Vec<Vec<Tensor>>> {
    let rows: Vec<usize> = group.iter().map(|member| member.rows).collect::<Option<_>>()?;
    let total: usize = rows.iter().sum();
    let inputs = (0..group[0].ready.inputs.len())
        .map(|input| stack(group.iter().map(|member| &member.ready.inputs[input]), total));
    let outputs = pipeline.run_session(&inputs.collect::<Option<Vec<_>>>()?).ok()?;
    let mut parts: Vec<Vec<Tensor>> = rows.iter().map(|_| Vec::new()).collect();
    for output in &outputs {
        for (part, tensor) in parts.iter_mut().zip(split(output, &rows, total)?) {
            part.push(tensor);
        }
    }
    Some(parts)
}

fn stack<'a>(tensors: impl Iterator<Item = &'a Tensor> + Clone, total: usize) -> Option<Tensor> {
    let first = tensors.clone().next()?;
    let mut shape = first.shape().to_vec();
    shape[0] = total;
    let mut bytes = Vec::with_capacity(tensors.clone().map(|tensor| tensor.bytes().len()).sum());
    tensors.for_each(|tensor| bytes.extend_from_slice(tensor.bytes()));
    Tensor::from_bytes(first.dtype(), shape, bytes.into()).ok()
}

/// The rows of each; they share the bytes of the whole.
fn split(tensor: &Tensor, rows: &[usize], total: usize) -> Option<Vec<Tensor>> {
    if tensor.dtype() == DType::String || tensor.shape().first() != Some(&total) {
        return None;
    }
    let bytes: Bytes = tensor.shared_bytes();
    let row_bytes = bytes.len() / total;
    let mut at = 0;
    let part = |&rows: &usize| {
        let mut shape = tensor.shape().to_vec();
        shape[0] = rows;
        let end = at + rows * row_bytes;
        let part = bytes.slice(at..end);
        at = end;
        Tensor::from_bytes(tensor.dtype(), shape, part).ok()
    };
    rows.iter().map(part).collect()
}

fn agree(alone: &Tensor, stacked: &Tensor) -> bool {
    if alone.dtype() != stacked.dtype() || alone.shape() != stacked.shape() {
        return false;
    }
    if !matches!(alone.dtype(), DType::F32 | DType::F16 | DType::Bf16 | DType::F64) {
        return alone.bytes() == stacked.bytes();
    }
    let (Some(alone), Some(stacked)) = (alone.to_f32(), stacked.to_f32()) else { return false };
    let near = |(a, b): (&f32, &f32)| {
        a == b || (a - b).abs() <= ABSOLUTE + RELATIVE * a.abs() || a.is_nan() && b.is_nan()
    };
    alone.iter().zip(stacked.iter()).all(near)
}
