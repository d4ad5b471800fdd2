//! TensorFlow graphs: frozen ones in a single file, and saved models with their variables.
//!
//! Functions are put in place of their calls, variables become constants, and operators that only
//! training needs are left out. What ONNX does channels first is wrapped in transposes; taking out
//! what is superfluous is left to the graph's rewrites.

mod blocks;
mod branches;
mod builder;
mod bundle;
mod checksum;
mod control;
mod conv;
mod cubic;
mod detection;
mod dims;
mod elementwise;
mod flow;
mod gather;
mod interface;
mod lists;
mod loops;
mod matrix;
mod operators;
mod pool;
mod program;
mod proto;
mod reduce;
mod resize;
mod shape;
mod slice;
mod table;
mod tensor;
mod variables;
mod window;

pub use operators::supported_operators;

use prost::Message;
use sedge_graph::{Graph, GraphError};

use crate::refusal::Refusal;
use crate::tflite::Listed;
use crate::{Fact, Source, heads};
use builder::{Context, Op};
use bundle::Bundle;
use interface::Interface;
use program::Program;
use variables::Variables;

/// Why a TensorFlow graph cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the protobuf encoding of a graph.
    #[error("the file is damaged or incomplete: {0}")]
    Encoding(#[from] prost::DecodeError),
    /// A protobuf, but without operators.
    #[error("the file contains no graph")]
    Empty,
    /// An operand that is not there.
    #[error("the file is damaged: '{node}' reads '{input}', which does not exist")]
    Dangling {
        /// The reading node or function.
        node: String,
        /// What it reads.
        input: String,
    },
    /// Two nodes of one name.
    #[error("the file is damaged: two nodes have the name '{0}'")]
    Duplicate(String),
    /// A call of a function that is not there.
    #[error("the file is damaged: '{call}' calls the function '{name}', which does not exist")]
    Function {
        /// The calling node.
        call: String,
        /// The function.
        name: String,
    },
    /// Functions that call each other without end, or nearly.
    #[error("the functions of the file call each other too deep, or into more than {0} operators")]
    Endless(usize),
    /// The nodes depend on each other in a circle.
    #[error("the file is damaged: the nodes form a cycle through '{0}'")]
    Cycle(String),
    /// Nothing in the graph looks like an answer.
    #[error(
        "no result of the graph depends on an input. \
         Hint: freeze it with its placeholders, or save it with a signature"
    )]
    NoOutputs,
    /// No graph is for use.
    #[error("the saved model has no graph with the tag 'serve'")]
    NoServing,
    /// No signature, or several and none of them the default.
    #[error(
        "the saved model has no signature 'serving_default' (it has: {}). \
         Hint: save it with tf.saved_model.save(model, path, signatures=...)",
        if .0.is_empty() { "none".to_owned() } else { .0.join(", ") }
    )]
    Signatures(Vec<String>),
    /// A signature names a tensor that is not in the graph.
    #[error("the file is damaged: '{key}' of the signature is '{tensor}', which does not exist")]
    Signature {
        /// Name in the signature.
        key: String,
        /// The tensor's name.
        tensor: String,
    },
    /// The saved variables cannot be read.
    #[error("its variables cannot be read: {0}")]
    Variables(String),
    /// Operators no translation exists for, with how often each occurs.
    #[error("operators that are not supported: {}", Listed(.0))]
    Unsupported(Vec<(String, usize)>),
    /// A loop that is not as TensorFlow makes them, or too long.
    #[error("the loop of '{name}' cannot be imported: {reason}")]
    Loop {
        /// Name of its `LoopCond` or `While`, or of the operator that belongs to none.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A loop that runs as often as the input says.
    #[error(
        "the loop of '{0}' (Enter, Merge, Switch, LoopCond, NextIteration, Exit, or While) cannot be \
         imported: how often it runs is computed from the input; loops over a batch or a list of \
         known length are supported. \
         Hint: export the parts before and behind the loop as models of their own"
    )]
    Rounds(String),
    /// An operator of a supported kind in a form that is not.
    #[error("operator {operator} that makes '{node}' cannot be imported: {reason}")]
    Operator {
        /// Kind of the operator.
        operator: String,
        /// Its name.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// An output is not produced.
    #[error("output '{0}' cannot be imported: no operator makes it")]
    Output(String),
    /// An output that is there only sometimes.
    #[error(
        "output '{0}' cannot be imported: it is one branch of a condition. \
         Hint: freeze the graph with what merges the branches as the output"
    )]
    Branch(String),
    /// The operators do not form a graph.
    #[error("the file is damaged: {0}")]
    Graph(#[from] GraphError),
}

/// True for the first bytes of a graph: a message, which begins with a name.
pub(crate) fn is_graph(bytes: &[u8]) -> bool {
    let Some((0x0a, rest)) = bytes.split_first().map(|(&first, rest)| (first, rest)) else {
        return false;
    };
    let length = rest.iter().take(5).position(|byte| byte & 0x80 == 0);
    let Some(node) = length.and_then(|at| rest.get(at + 1..)) else { return false };
    matches!(node, [0x0a, length, first, ..]
        if *length > 0 && (first.is_ascii_alphanumeric() || *first == b'.'))
}

/// Before this version of the format the shape of a placeholder that nobody knew was written as
/// that of a scalar (`core/public/version.h`).
const FIRST_WITH_UNKNOWN_SHAPES: i32 = 24;

/// Imports a frozen graph.
pub(crate) fn import_graph(source: &Source<'_>) -> Result<(Graph, Vec<Fact>), Error> {
    let file = proto::GraphDef::decode(source.bytes.clone())?;
    let program = Program::read(&file)?;
    let interface = Interface::of_graph(&program)?;
    translate(source, &file, &program, &interface, None)
}

/// Imports a saved model, whose main file is `saved_model.pb`.
pub(crate) fn import_saved_model(source: &Source<'_>) -> Result<(Graph, Vec<Fact>), Error> {
    let file = proto::SavedModel::decode(source.bytes.clone())?;
    let (meta, signature) = interface::choose(&file.meta_graph)?;
    let graph = meta.graph.as_ref().ok_or(Error::Empty)?;
    let program = Program::read(graph)?;
    let interface = Interface::of_signature(&program, signature)?;
    let bundle = Bundle::open(source).map_err(Error::Variables)?;
    let (mut graph, facts) = translate(source, graph, &program, &interface, bundle)?;
    if let Some(version) = meta.info.as_ref().map(|info| &info.version) {
        graph.metadata.insert("tensorflow.version".to_owned(), version.clone());
    }
    Ok((graph, facts))
}

fn translate(
    source: &Source<'_>,
    file: &proto::GraphDef,
    program: &Program<'_>,
    interface: &Interface,
    bundle: Option<Bundle>,
) -> Result<(Graph, Vec<Fact>), Error> {
    if file.node.is_empty() {
        return Err(Error::Empty);
    }
    let saved = bundle.as_ref().map_or(0, Bundle::size);
    let variables = Variables::new(program, bundle);
    let budget = saved.saturating_add(source.bytes.len()).saturating_add(tensor::MAX_FILLED_BYTES);
    let producer = file.versions.as_ref().map_or(0, |versions| versions.producer);
    let old = producer < FIRST_WITH_UNKNOWN_SHAPES;
    let translated = |batch: Option<usize>| {
        let outputs = interface.outputs.iter().filter_map(|(output, _)| program.source(*output));
        let (order, loops) = control::order(program, &outputs.collect::<Vec<_>>())?;
        let mut context = Context::new(program, &variables, loops, budget.saturating_mul(2));
        let reached: std::collections::HashSet<usize> = order.iter().copied().collect();
        for (node, name) in interface.inputs.iter().filter(|(node, _)| reached.contains(node)) {
            context.input(*node, name, old, batch);
        }
        order.iter().try_for_each(|&node| build(&mut context, node))?;
        for (output, name) in &interface.outputs {
            let value = context.value(*output).ok_or_else(|| Error::Output(name.clone()))?;
            if program.source(*output).is_some_and(|source| context.branches.is_within(source)) {
                return Err(Error::Branch(name.clone()));
            }
            context.output(value, name);
        }
        context.finish()
    };
    let repeats = || program.nodes.iter().any(|node| node.op == "LoopCond");
    let graph = match translated(None) {
        // What loops over the pictures of a batch of any size is imported for one picture.
        Err(Error::Rounds(_) | Error::Operator { .. }) if repeats() => translated(Some(1))?,
        result => result?,
    };
    let mut facts = heads::head_facts(&graph);
    facts.extend(heads::input_facts(&graph));
    facts.extend(interface::detector_facts(&graph));
    Ok((graph, facts))
}

fn build(context: &mut Context<'_>, node: usize) -> Result<(), Error> {
    let (name, op) = (context.program.nodes[node].name, context.program.nodes[node].op);
    let replaced = context.is_input(node) || context.program.results(node).is_some();
    if replaced || context.passes_over(node) {
        return Ok(());
    }
    if op == "LoopCond" {
        return loops::run(context, node);
    }
    let unknown = || Error::Unsupported(vec![(op.to_owned(), 1)]);
    let build = operators::builder(op).ok_or_else(unknown)?;
    let operands = context.loops.operands(context.program, node);
    let built = context.branches.enter(node, &operands);
    built.and_then(|()| context.grow(|context| build(&mut Op { context, node }))).map_err(
        |refusal| Error::Operator {
            operator: op.to_owned(),
            node: name.to_owned(),
            reason: refusal.to_string(),
        },
    )
}
