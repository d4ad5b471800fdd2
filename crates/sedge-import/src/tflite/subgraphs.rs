//! Which of a file's subgraphs is the model, and others put where they are called.

use super::model::{MAX_OPERATORS, MAX_TENSORS, Operator, TensorInfo};
use super::reader::{MAX_NAME, Reader, limit};
use super::{Error, schema};
use crate::flatbuffer::{Table, Tables};

/// Calls within calls; decompositions of composites are one or two deep.
const MAX_DEPTH: usize = 16;
/// More signatures than a message would list.
const MAX_SIGNATURES: usize = 64;
/// The signature that TensorFlow gives a model that is served.
const SERVING: &str = "serving_default";

/// Index of the subgraph that answers requests: that of the only signature, else of
/// `serving_default`, else the first, as TensorFlow Lite's interpreter has it.
pub(super) fn main_subgraph(root: &Table<'_>) -> Result<usize, Error> {
    let mut signatures = Vec::new();
    for signature in root.tables(schema::model::SIGNATURES)?.iter().take(MAX_SIGNATURES) {
        let signature = signature?;
        let index = signature.u32(schema::signature::SUBGRAPH, 0)? as usize;
        let name = signature.blob(schema::signature::KEY)?.unwrap_or_default();
        let name = &name[..name.len().min(MAX_NAME)];
        signatures.push((String::from_utf8_lossy(name).into_owned(), index));
    }
    let first = signatures.first().map_or(0, |&(_, index)| index);
    if signatures.iter().all(|&(_, index)| index == first) {
        return Ok(first);
    }
    match signatures.iter().find(|(name, _)| name == SERVING) {
        Some(&(_, index)) => Ok(index),
        None => Err(Error::Signatures(signatures.into_iter().map(|(name, _)| name).collect())),
    }
}

/// The tensors and operators of a model, those of called subgraphs among them.
#[derive(Debug, Default)]
pub(super) struct Flat<'a> {
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) operators: Vec<Operator<'a>>,
    /// Operators that were read, calls too: what bounds calls of empty subgraphs.
    read: usize,
}

/// Inputs and outputs of a subgraph.
pub(super) struct Ends {
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
}

/// A call's operands, and how deep it stands.
struct Call<'c> {
    inputs: &'c [Option<usize>],
    depth: usize,
    initialiser: bool,
}

/// Reads subgraphs into one list.
pub(super) struct Flattener<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) graphs: Tables<'a>,
    pub(super) codes: Vec<(String, bool)>,
    pub(super) flat: Flat<'a>,
}

impl<'a> Flattener<'_, 'a> {
    /// The subgraph at `index`, with what it calls.
    pub(super) fn main(&mut self, index: usize) -> Result<Ends, Error> {
        self.subgraph(index, &Call { inputs: &[], depth: 0, initialiser: false })
    }

    fn subgraph(&mut self, index: usize, call: &Call<'_>) -> Result<Ends, Error> {
        if call.depth > MAX_DEPTH {
            return Err(Error::Depth(MAX_DEPTH));
        }
        let table =
            self.graphs.get(index).ok_or(Error::Reference { what: "subgraph", index })??;
        let tensors = table.tables(schema::subgraph::TENSORS)?;
        limit("tensors", self.flat.tensors.len() + tensors.len(), MAX_TENSORS)?;
        // Where each of the subgraph's tensors stands in the list.
        let mut places = Vec::with_capacity(tensors.len());
        for tensor in tensors.iter() {
            places.push(self.flat.tensors.len());
            let tensor = self.reader.tensor(&tensor?)?;
            self.flat.tensors.push(tensor);
        }
        let inputs = self.reader.indices(&table, schema::subgraph::INPUTS, places.len())?;
        for (inner, outer) in inputs.iter().zip(call.inputs) {
            if let (Some(inner), Some(outer)) = (inner, outer) {
                places[*inner] = *outer;
            }
        }
        let operators = table.tables(schema::subgraph::OPERATORS)?;
        self.flat.read = self.flat.read.saturating_add(operators.len());
        limit("operators", self.flat.read, MAX_OPERATORS)?;
        for operator in operators.iter() {
            let mut operator = self.reader.operator(&operator?, &self.codes, places.len())?;
            let placed = |operand: &mut Option<usize>| *operand = operand.map(|at| places[at]);
            operator.inputs.iter_mut().for_each(placed);
            match called(&operator)? {
                Some(index) => self.inline(index, call, &operator, &mut places)?,
                None => {
                    operator.outputs.iter_mut().for_each(placed);
                    operator.initialiser = call.initialiser;
                    self.flat.operators.push(operator);
                }
            }
        }
        let outputs = self.reader.indices(&table, schema::subgraph::OUTPUTS, places.len())?;
        let placed = |list: Vec<Option<usize>>| {
            list.into_iter().flatten().map(|at| places[at]).collect::<Vec<usize>>()
        };
        Ok(Ends { inputs: placed(inputs), outputs: placed(outputs) })
    }

    /// Puts a subgraph where it is called: its outputs stand for the call's from here on.
    fn inline(
        &mut self,
        index: usize,
        caller: &Call<'_>,
        operator: &Operator<'a>,
        places: &mut [usize],
    ) -> Result<(), Error> {
        let start = self.flat.tensors.len();
        let initialiser = caller.initialiser || operator.name == ONCE;
        let call = Call { inputs: &operator.inputs, depth: caller.depth + 1, initialiser };
        let ends = self.subgraph(index, &call)?;
        for (outer, inner) in operator.outputs.iter().zip(ends.outputs) {
            let Some(outer) = *outer else { continue };
            // The caller's name is the one that users know.
            if inner >= start {
                let name = std::mem::take(&mut self.flat.tensors[places[outer]].name);
                self.flat.tensors[inner].name = name;
            }
            places[outer] = inner;
        }
        Ok(())
    }
}

const ONCE: &str = "CALL_ONCE";
const COMPOSITE: &str = "STABLEHLO_COMPOSITE";

/// The subgraph that an operator stands for: that of initial values, or what a composite is made of.
fn called(operator: &Operator<'_>) -> Result<Option<usize>, Error> {
    let field = match operator.name.as_str() {
        _ if operator.custom => return Ok(None),
        ONCE => 0,
        COMPOSITE => 1,
        _ => return Ok(None),
    };
    let index = operator.options.i32(field, 0)?;
    let index =
        usize::try_from(index).map_err(|_| Error::Reference { what: "subgraph", index: 0 })?;
    Ok(Some(index))
}
