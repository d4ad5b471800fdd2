//! What the engine is told of a model: a graph, or a package that was compiled.

use sedge_engine::{Compiled, LoadError, Model, TensorInfo};
use sedge_package::{Backend, Neo, Package};

/// Takes the model out of a package, so that weights are not held twice.
pub(crate) fn take_model(package: &mut Package) -> Result<Model, LoadError> {
    match &package.compiled {
        None => Ok(Model::Graph(std::mem::take(&mut package.graph))),
        Some(neo) => compiled(neo, package).map(Model::Compiled),
    }
}

fn compiled(neo: &Neo, package: &Package) -> Result<Compiled, LoadError> {
    if let Some(problem) = &neo.problem {
        return Err(LoadError::Compiled(problem.clone()));
    }
    let (inputs, outputs) = TensorInfo::of_graph(&package.graph);
    let directory = match neo.path.as_os_str().is_empty() {
        true => ".".into(),
        false => neo.path.clone(),
    };
    Ok(Compiled {
        directory,
        parts: neo.parts().map(str::to_owned).collect(),
        inputs,
        outputs,
        trees: neo.backend == Backend::Treelite,
        machine: neo.machine.clone(),
        target: neo.target_device.clone(),
        runtime: neo.runtime(),
        unfit_as_directory: neo.unfit_as_directory().map(str::to_owned),
    })
}
