//! The weights by the names that the graph has for them.

use std::collections::HashMap;

use sedge_tensor::{DType, Tensor};

use super::files::Files;
use super::symbol::Symbol;
use super::training::Wanted;
use super::{Error, operators, params};

/// Weights by the names of their variables.
#[derive(Debug)]
pub(super) struct Weights(HashMap<String, Tensor>);

impl Weights {
    pub(super) fn read(files: &Files) -> Result<Self, Error> {
        let Some((file, bytes)) = &files.params else { return Ok(Self(HashMap::new())) };
        let named =
            params::read(bytes).map_err(|error| Error::Params { file: file.clone(), error })?;
        let bare = |name: &str| {
            let kind = ["arg:", "aux:"].iter().find_map(|kind| name.strip_prefix(kind));
            kind.unwrap_or(name).to_owned()
        };
        Ok(Self(named.into_iter().map(|(name, tensor)| (bare(&name), tensor)).collect()))
    }

    /// The weight of a variable.
    pub(super) fn get(&self, variable: &str) -> Option<&Tensor> {
        // Gluon calls the statistics of a normalisation `running_`, the symbolic interface `moving_`.
        self.0.get(variable).or_else(|| {
            let twin = match variable.contains("moving_") {
                true => variable.replace("moving_", "running_"),
                false => variable.replace("running_", "moving_"),
            };
            self.0.get(&twin)
        })
    }

    /// True where weights are of half precision: MXNet then wants its inputs in that.
    pub(super) fn are_half(&self) -> bool {
        self.0.values().any(|tensor| tensor.dtype() == DType::F16)
    }

    /// Refuses a graph whose layers lack weights.
    pub(super) fn check(
        &self,
        symbol: &Symbol,
        wanted: &Wanted,
        files: &Files,
    ) -> Result<(), Error> {
        let mut missing = Vec::new();
        for node in wanted.nodes().map(|index| &symbol.nodes[index]) {
            let weights = node.inputs.get(operators::first_weight(&node.op)..).unwrap_or_default();
            let variables = weights.iter().map(|entry| &symbol.nodes[entry.node]);
            let lacks = |name: &&str| self.get(name).is_none();
            let names = variables.filter(|node| node.is_variable()).map(|node| node.name.as_str());
            missing.extend(names.filter(lacks));
        }
        let Some(&example) = missing.first() else { return Ok(()) };
        let Some((file, _)) = &files.params else {
            return Err(Error::NoParams {
                found: files.found.clone(),
                wanted: files.wanted_params(),
            });
        };
        Err(Error::MissingWeights {
            file: file.clone(),
            count: missing.len(),
            example: example.to_owned(),
            hint: self.hint(),
        })
    }

    fn hint(&self) -> &'static str {
        if self.0.is_empty() {
            "its arrays have no names; save them with names, as Module.save_checkpoint and \
             HybridBlock.export do"
        } else if self.0.keys().all(|name| name.contains('.')) {
            "it was written by Block.save_parameters, whose names are not the graph's; \
             HybridBlock.export writes both files"
        } else {
            "put the parameter file there that was saved with this graph"
        }
    }
}
